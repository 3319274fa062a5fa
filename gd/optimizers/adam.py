"""Adam and its variants: AdamW, Adamax, NAdam and RAdam."""

from collections.abc import Callable
from math import inf, sqrt
from typing import Any, Literal, Unpack

from ..checks import NON_NEGATIVE, UNIT, Range, check_choice
from ..kernels.rules import adam
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


def _amsgrad(where: str, name: str, value: Any) -> bool | str:
    """Return amsgrad if it is True, False or "corrected", else raise."""
    return value if isinstance(value, bool) else check_choice(where, name, value, ("corrected",))


class Adam(Optimizer):
    """Adam: the running mean of the gradient over the root of its running mean square.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        p <- p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    With amsgrad=True, v in the last line is the largest v so far.

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate (alpha in the paper).
    betas : (float, float), default: (0.9, 0.999)
        Decays of the two means, in [0, 1).
    eps : float, default: 1e-8
        At least 0; added outside the root, after the bias correction, as PyTorch and optax do.
    amsgrad : bool or "corrected", default: False
        Take the maximum of the uncorrected v, as PyTorch and Keras do, or with "corrected" of v / (1 - beta2**t),
        as optax does. The paper has no bias correction at all: bias_correction=False.
    bias_correction : bool, default: True
        Divide by 1 - beta**t.
    eps_inside : bool, default: False
        Use sqrt(v / (1 - beta2**t) + eps) instead: optax's `eps_root`.
    eps_hat : bool, default: False
        Add eps to the uncorrected sqrt(v) (with eps_inside: to v), as Keras, TensorFlow, scikit-learn and the
        end of the paper's section 2 do, where it is called epsilon hat.

    Notes
    -----
    Reads and writes 28 bytes an element in float32, 36 with amsgrad. State: `exp_avg`, `exp_avg_sq`,
    `max_exp_avg_sq` (amsgrad). PyTorch's ``Adam(weight_decay=x)`` is ``l2=x`` here; decoupled decay is `AdamW`.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1; Reddi, Kale & Kumar, "On
    the convergence of Adam and beyond", ICLR 2018 (amsgrad).

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

    by_array: bool = True
    rule: Any = staticmethod(adam.adam)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    unsigned: tuple[str, ...] = ("exp_avg_sq", "max_exp_avg_sq")
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "amsgrad": _amsgrad,
        "bias_correction": bool,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    amsgrad: bool | Literal["corrected"]
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        amsgrad: bool | Literal["corrected"] = False,
        bias_correction: bool = True,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "amsgrad": amsgrad, "bias_correction": bias_correction}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def choose(self) -> None:
        if self.amsgrad:
            self.rule, self.slots = adam.amsgrad, ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def coefficients(self, t: int, lr: float) -> adam.AMSGradCoefficients | adam.AdamCoefficients:
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        eps, inside = split_eps(self, v_scale)
        if not self.amsgrad:
            return adam.AdamCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, v_scale, eps, inside)
        scales = (v_scale, 1.0) if self.amsgrad == "corrected" else (1.0, v_scale)
        return adam.AMSGradCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, *scales, eps, inside)


class AdamW(Adam):
    """Adam with decoupled weight decay: p is first multiplied by 1 - lr * weight_decay.

    The formula and the other arguments are those of `Adam`.

    Parameters
    ----------
    weight_decay : float, default: 1e-2
        At least 0.

    Notes
    -----
    The default is 4e-3 in Keras and 1e-4 in optax.

    References
    ----------
    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        amsgrad: bool | Literal["corrected"] = False,
        bias_correction: bool = True,
        eps_inside: bool = False,
        eps_hat: bool = False,
        weight_decay: Rate = 1e-2,
        **options: Unpack[OptimizerOptions],  # pyright: ignore[reportGeneralTypeIssues]  # weight_decay is above, too
    ) -> None:
        options["weight_decay"] = weight_decay
        super().__init__(params, lr, betas, eps, amsgrad, bias_correction, eps_inside, eps_hat, **options)


class Adamax(Optimizer):
    """Adamax: Adam with the infinity norm of past gradients in place of their root mean square.

    ::

        m <- beta1 * m + (1 - beta1) * g
        u <- max(beta2 * u, |g| + eps)
        p <- p - lr * (m / (1 - beta1**t)) / u

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 2e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        Decays of the mean and of the norm, in [0, 1).
    eps : float, default: 1e-8
        At least 0.
    bias_correction : bool, default: True
        Divide m by 1 - beta1**t.
    eps_inside : bool, default: True
        Add eps to |g|, as PyTorch and optax do; False adds it to u in the last line, as Keras does.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_inf`.

    References
    ----------
    Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 2.
    """

    by_array: bool = True
    rule: Any = staticmethod(adam.adamax)
    slots: tuple[str, ...] = ("exp_avg", "exp_inf")
    unsigned: tuple[str, ...] = ("exp_inf",)
    ranges: dict[str, Any] = {"betas": (UNIT, UNIT), "eps": NON_NEGATIVE, "bias_correction": bool, "eps_inside": bool}
    betas: tuple[float, float]
    eps: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        bias_correction: bool = True,
        eps_inside: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "bias_correction": bias_correction, "eps_inside": eps_inside}
        super().__init__(params, lr, own, **options)

    def coefficients(self, t: int, lr: float) -> adam.AdamaxCoefficients:
        beta1, beta2 = self.betas
        m_scale, _ = bias_corrections(self, t)
        return adam.AdamaxCoefficients(beta1, 1.0 - beta1, beta2, lr * m_scale, *split_eps(self))


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's look-ahead in the mean.

    ::

        mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        n  = (1 - mu_t) * g / (1 - mu_1 ... mu_t) + mu_t+1 * m / (1 - mu_1 ... mu_t+1)
        p <- p - lr * n / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 2e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        Decays of the two means, in [0, 1).
    eps : float, default: 1e-8
        At least 0.
    momentum_decay : float, default: 4e-3
        How fast mu_t rises from beta1 / 2 to beta1, at least 0. The default is PyTorch's, Keras's
        is 1. With infinity mu_t is beta1 from the start, as in optax.
    eps_inside, eps_hat : bool, default: False
        As in `Adam`.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`, `mu_product` (mu_1 ... mu_t).

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """

    _mu_product: tuple[int, float] = 0, 1.0  # (t, mu_1 ... mu_t) of the last call, of the betas that each step had
    rule: Any = staticmethod(adam.nadam)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    derived: tuple[str, ...] = ("mu_product",)
    unsaved: dict[str, Callable[..., float]] = {"mu_product": lambda optimizer, steps: optimizer._product(steps)}
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "momentum_decay": Range(0.0, inf, includes_high=True),
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    momentum_decay: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        momentum_decay: Rate = 4e-3,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "momentum_decay": momentum_decay}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def mu(self, t: int) -> float:
        """Return mu_t."""
        return self.betas[0] * (1.0 - 0.5 * 0.96 ** (t * self.momentum_decay))

    @property
    def mu_product(self) -> float:
        """mu_1 ... mu_t of the steps taken."""
        return self._product(self.steps)

    @mu_product.setter
    def mu_product(self, value: float) -> None:
        vars(self)["_mu_product"] = self.steps, value

    def _product(self, t: int) -> float:
        """Return mu_1 ... mu_t."""
        before, product = self._mu_product
        if before == t:  # a rule that steps arrays one by one asks again
            return product
        product, steps = (product, range(t, t + 1)) if before == t - 1 else (1.0, range(1, t + 1))
        for step in steps:
            if product < 1e-30:  # 1 - product is 1, and it stays what it is
                break
            product *= self.mu(step)
        vars(self)["_mu_product"] = t, product
        return self._mu_product[1]

    def torch_scalars(self, t: int) -> dict[str, float]:
        return {"mu_product": self._product(t)}

    def coefficients(self, t: int, lr: float) -> adam.NAdamCoefficients:
        beta1, beta2 = self.betas
        _, v_scale = bias_corrections(self, t)
        mu, mu_next, product = self.mu(t), self.mu(t + 1), self._product(t)
        steps = lr * (1.0 - mu) / (1.0 - product), lr * mu_next / (1.0 - product * mu_next)
        return adam.NAdamCoefficients(
            beta1, 1.0 - beta1, beta2, 1.0 - beta2, *steps, v_scale, *split_eps(self, v_scale)
        )


class RAdam(Optimizer):
    """RAdam: Adam whose adaptive rate is rectified by its variance, and off while that is not tractable.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        rho_inf = 2 / (1 - beta2) - 1
        rho_t = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        r_t = sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
        p <- p - lr * m / (1 - beta1**t) * (r_t * sqrt(1 - beta2**t) / (sqrt(v) + eps) if rho_t > threshold, else 1)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        Decays of the two means, in [0, 1).
    eps : float, default: 1e-8
        At least 0.
    threshold : float, default: 5
        At least 4. The default is PyTorch's and optax's; the paper has 4.
    eps_inside : bool, default: False
        Use sqrt(v + eps).
    eps_hat : bool, default: True
        Add eps to the uncorrected sqrt(v), as PyTorch does; False adds it after the bias correction, as optax does.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2.
    """

    rule: Any = staticmethod(adam.radam)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "threshold": Range(4.0, inf),
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    threshold: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        threshold: Rate = 5.0,
        eps_inside: bool = False,
        eps_hat: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "threshold": threshold, "eps_inside": eps_inside, "eps_hat": eps_hat}
        super().__init__(params, lr, own, **options)

    def coefficients(self, t: int, lr: float) -> adam.RAdamCoefficients:
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        longest = 2.0 / (1.0 - beta2) - 1.0
        rho = longest - 2.0 * t * beta2**t / (1.0 - beta2**t)
        rectification, rectified = 1.0, 0.0
        if rho > self.threshold:
            rectified = 1.0
            rectification = sqrt((rho - 4.0) * (rho - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * rho))
        step_size, eps = lr * m_scale * rectification, split_eps(self, v_scale)
        return adam.RAdamCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, step_size, rectified, v_scale, *eps)
