"""Optimizers: they step NumPy arrays in place, each in a single pass over memory.

Every class is its constructor, its state slots, its rule and the scalars that the rule takes at step t;
`Optimizer` does the rest.
"""

from .kernels.rules import adagrad, adam, rmsprop, sgd
from .ranges import NON_NEGATIVE, UNIT, check_flag, check_number
from .stepping import OPTIMIZERS, Optimizer

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Momentum", "Nesterov", "Optimizer", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum: the buffer does not hold the learning rate.

    ::

        b <- momentum * b + (1 - dampening) * g        (b <- g at the first step)
        p <- p - lr * b                                 or, with nesterov: p - lr * (g + momentum * b)

    With momentum = 0 it is p <- p - lr * g, without a state.

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate.
    momentum : float, default: 0
        Decay of the buffer, in [0, 1).
    dampening : float, default: 0
        In [0, 1).
    nesterov : bool, default: False
        Needs momentum > 0 and dampening = 0.

    Notes
    -----
    Reads and writes 12 bytes an element in float32, 20 with momentum. State: `momentum_buffer`.
    PyTorch's ``SGD(weight_decay=x)`` is ``l2=x`` here. Keras's momentum is `Momentum` and `Nesterov`.

    References
    ----------
    Robbins & Monro, "A stochastic approximation method", 1951; Sutskever, Martens, Dahl & Hinton, "On the
    importance of initialization and momentum in deep learning", 2013.

    Examples
    --------
    >>> import gd, numpy as np
    >>> p = np.array([1.0, 2.0])
    >>> gd.SGD(p, lr=0.5).step(np.array([1.0, -1.0]))
    True
    >>> p.tolist()
    [0.5, 2.5]
    """

    ranges = {"momentum": UNIT, "dampening": UNIT, "nesterov": bool}

    def __init__(self, params, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False, **options):
        if check_number("SGD", "momentum", momentum, UNIT) > 0:
            self.rule, self.slots = (sgd.sgd_nesterov if nesterov else sgd.sgd_momentum), ("momentum_buffer",)
        else:
            self.rule = sgd.sgd
        super().__init__(params, lr, {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}, **options)
        if nesterov and (not momentum or dampening):
            raise ValueError("SGD: nesterov=True needs momentum > 0 and dampening = 0")

    def coefficients(self, t, lr):
        if not self.momentum:
            return sgd.SGDCoefficients(lr)
        return sgd.BufferCoefficients(lr, self.momentum, 1.0 if t == 1 else 1.0 - self.dampening)


class Momentum(Optimizer):
    """Gradient descent with momentum: the velocity holds the learning rate.

    ::

        v <- momentum * v - lr * g
        p <- p + v

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    momentum : float, default: 0.9
        Decay of the velocity, in [0, 1).

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `velocity`. It is Keras's ``SGD(momentum=...)``,
    and equals `SGD` with the same momentum as long as the learning rate is constant.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    rule = staticmethod(sgd.momentum)
    slots = ("velocity",)
    ranges = {"momentum": UNIT}

    def __init__(self, params, lr=1e-2, momentum=0.9, **options):
        super().__init__(params, lr, {"momentum": momentum}, **options)

    def coefficients(self, t, lr):
        return sgd.VelocityCoefficients(lr, self.momentum)


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: the parameters are the look-ahead point where the gradient is taken.

    ::

        v <- momentum * v - lr * g
        p <- p + momentum * v - lr * g

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    momentum : float, default: 0.9
        Decay of the velocity, in [0, 1).

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `velocity`. It is Keras's
    ``SGD(momentum=..., nesterov=True)``; `SGD` with nesterov=True keeps the learning rate out of the buffer.

    References
    ----------
    Nesterov, "A method for solving a convex programming problem with convergence rate O(1/k^2)", 1983;
    Sutskever et al. 2013, section 2.
    """

    rule = staticmethod(sgd.nesterov)


class Adagrad(Optimizer):
    """Adagrad: each coordinate's rate falls with the sum of its squared gradients.

    ::

        s <- s + g**2
        p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    lr_decay : float, default: 0
        At least 0.
    initial_accumulator_value : float, default: 0
        What s starts from, at least 0.
    eps : float, default: 1e-10
        At least 0.
    eps_inside : bool, default: False
        Use sqrt(s + eps) instead, as Keras and optax do (they start s from 0.1).

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `sum`. The defaults are PyTorch's.

    References
    ----------
    Duchi, Hazan & Singer, "Adaptive subgradient methods", JMLR 2011.
    """

    rule = staticmethod(adagrad.adagrad)
    slots = ("sum",)
    ranges = {
        "lr_decay": NON_NEGATIVE,
        "initial_accumulator_value": NON_NEGATIVE,
        "eps": NON_NEGATIVE,
        "eps_inside": bool,
    }

    def __init__(
        self, params, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False, **options
    ):
        own = {
            "lr_decay": lr_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "eps_inside": eps_inside,
        }
        super().__init__(params, lr, own, **options)

    def initial(self, slot):
        return self.initial_accumulator_value

    def coefficients(self, t, lr):
        return adagrad.AdagradCoefficients(lr / (1.0 + (t - 1) * self.lr_decay), *_eps(self))


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square.

    ::

        v <- rho * v + (1 - rho) * g**2
        u  = g / (sqrt(v) + eps)
        p <- p - lr * u                        or, with momentum: b <- momentum * b + u; p <- p - lr * b

    With centered=True, v is replaced in u by the variance v - a**2, where a <- rho * a + (1 - rho) * g.

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    rho : float, default: 0.99
        Decay of the mean square, in [0, 1); PyTorch's `alpha`. Keras and optax use 0.9.
    eps : float, default: 1e-8
        At least 0.
    momentum : float, default: 0
        In [0, 1).
    centered : bool, default: False
        Divide by the standard deviation instead of the root mean square.
    eps_inside : bool, default: False
        Use sqrt(v + eps) instead, as Keras, optax and TensorFlow do.

    Notes
    -----
    Reads and writes 20 bytes an element in float32; momentum and centered add 8 each. State: `square_avg`,
    `grad_avg` (centered), `momentum_buffer` (momentum). The defaults are PyTorch's.

    References
    ----------
    Tieleman & Hinton, "Lecture 6.5: RMSprop", 2012; Graves, "Generating sequences with recurrent neural
    networks", 2013 (centered).
    """

    ranges = {
        "rho": UNIT,
        "eps": NON_NEGATIVE,
        "momentum": UNIT,
        "centered": bool,
        "eps_inside": bool,
    }
    _variants = {  # (centered, momentum)
        (False, False): (rmsprop.rmsprop, ("square_avg",)),
        (False, True): (rmsprop.rmsprop_momentum, ("square_avg", "momentum_buffer")),
        (True, False): (rmsprop.rmsprop_centered, ("square_avg", "grad_avg")),
        (True, True): (rmsprop.rmsprop_centered_momentum, ("square_avg", "grad_avg", "momentum_buffer")),
    }

    def __init__(self, params, lr=1e-2, rho=0.99, eps=1e-8, momentum=0.0, centered=False, eps_inside=False, **options):
        with_momentum = check_number("RMSprop", "momentum", momentum, UNIT) > 0
        self.rule, self.slots = self._variants[check_flag("RMSprop", "centered", centered), with_momentum]
        own = {"rho": rho, "eps": eps, "momentum": momentum, "centered": centered, "eps_inside": eps_inside}
        super().__init__(params, lr, own, **options)

    def coefficients(self, t, lr):
        return rmsprop.RMSpropCoefficients(lr, self.rho, 1.0 - self.rho, self.momentum, *_eps(self))


class Adam(Optimizer):
    """Adam: the running mean of the gradient over the root of its running mean square.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        p <- p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, l1, l2, weight_decay, maximize
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate (alpha in the paper).
    betas : (float, float), default: (0.9, 0.999)
        Decays of the two means, in [0, 1).
    eps : float, default: 1e-8
        At least 0; added outside the root, after the bias correction, as PyTorch and optax do.
    bias_correction : bool, default: True
        Divide by 1 - beta**t.
    eps_inside : bool, default: False
        Use sqrt(v / (1 - beta2**t) + eps) instead: optax's `eps_root`.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`. PyTorch's
    ``Adam(weight_decay=x)`` is ``l2=x`` here; decoupled decay is `AdamW`.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Examples
    --------
    >>> import gd, numpy as np
    >>> p = np.zeros(3)
    >>> optimizer = gd.Adam(p, lr=0.1)
    >>> optimizer.step(np.array([1.0, -2.0, 0.0]))
    True
    >>> np.round(p, 6).tolist()
    [-0.1, 0.1, 0.0]
    """

    rule = staticmethod(adam.adam)
    slots = ("exp_avg", "exp_avg_sq")
    ranges = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "bias_correction": bool,
        "eps_inside": bool,
    }

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, eps_inside=False, **options
    ):
        own = {"betas": betas, "eps": eps, "bias_correction": bias_correction, "eps_inside": eps_inside}
        super().__init__(params, lr, own, **options)

    def coefficients(self, t, lr):
        beta1, beta2 = self.betas
        if self.bias_correction:
            step_size, v_scale = lr / (1.0 - beta1**t), 1.0 / (1.0 - beta2**t)
        else:
            step_size, v_scale = lr, 1.0
        return adam.AdamCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, v_scale, *_eps(self))


class AdamW(Adam):
    """Adam with decoupled weight decay: p is first multiplied by 1 - lr * weight_decay.

    The formula and the other arguments are those of `Adam`.

    Parameters
    ----------
    weight_decay : float, default: 1e-2
        At least 0.

    Notes
    -----
    Keras's AdamW has a default of 4e-3; optax's of 1e-4.

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        bias_correction=True,
        eps_inside=False,
        weight_decay=1e-2,
        **options,
    ):
        super().__init__(params, lr, betas, eps, bias_correction, eps_inside, weight_decay=weight_decay, **options)


def _eps(optimizer):
    """The two coefficients eps and eps_inside of a rule, one of which is 0."""
    return (0.0, optimizer.eps) if optimizer.eps_inside else (optimizer.eps, 0.0)
