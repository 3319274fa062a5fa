"""Gradient descent, plain and with momentum."""

from typing import Any, Unpack

from ..checks import UNIT
from ..kernels.rules import sgd
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum: the buffer does not hold the learning rate.

    ::

        b <- momentum * b + (1 - dampening) * g        (b <- g at the first step)
        p <- p - lr * b                                 or, with nesterov: p - lr * (g + momentum * b)

    With momentum = 0 it is p <- p - lr * g, without a state.

    Parameters
    ----------
    params, **options
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

    rule: Any = staticmethod(sgd.sgd)
    slots: tuple[str, ...] = ()
    steady = True
    ranges: dict[str, Any] = {"momentum": UNIT, "dampening": UNIT, "nesterov": bool}
    momentum: float
    dampening: float
    nesterov: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: Rate = 0.0,
        dampening: Rate = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}, **options)

    def choose(self) -> None:
        if self.uses("momentum"):
            self.rule, self.slots = (sgd.sgd_nesterov if self.nesterov else sgd.sgd_momentum), ("momentum_buffer",)
        if self.nesterov and (not self.uses("momentum") or self.uses("dampening")):
            raise ValueError("SGD: nesterov=True needs momentum > 0 and dampening = 0")

    def coefficients(self, t: int, lr: float) -> sgd.BufferCoefficients | sgd.SGDCoefficients:
        if not self.slots:
            return sgd.SGDCoefficients(lr)
        return sgd.BufferCoefficients(lr, self.momentum, 1.0 if t == 1 else 1.0 - self.dampening)

    def effective_lr(self, lr: float) -> float:
        return lr * (1.0 - self.dampening) / (1.0 - self.momentum) if self.slots else lr


class Momentum(Optimizer):
    """Gradient descent with momentum: the velocity holds the learning rate.

    ::

        v <- momentum * v - lr * g
        p <- p + v

    Parameters
    ----------
    params, **options
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

    rule: Any = staticmethod(sgd.momentum)
    slots: tuple[str, ...] = ("velocity",)
    steady = True
    ranges: dict[str, Any] = {"momentum": UNIT}
    momentum: float

    def __init__(
        self, params: Params, lr: Rate = 1e-2, momentum: Rate = 0.9, **options: Unpack[OptimizerOptions]
    ) -> None:
        super().__init__(params, lr, {"momentum": momentum}, **options)

    def coefficients(self, t: int, lr: float) -> sgd.VelocityCoefficients:
        return sgd.VelocityCoefficients(lr, self.momentum)

    def effective_lr(self, lr: float) -> float:
        return lr / (1.0 - self.momentum)


class Nesterov(Momentum):
    """Nesterov's accelerated gradient: the parameters are the look-ahead point where the gradient is taken.

    ::

        v <- momentum * v - lr * g
        p <- p + momentum * v - lr * g

    Parameters
    ----------
    params, **options
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

    rule: Any = staticmethod(sgd.nesterov)
