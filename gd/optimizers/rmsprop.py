"""RMSprop."""

from typing import Any, Unpack

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import rmsprop
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import split_eps


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square.

    ::

        v <- rho * v + (1 - rho) * g**2
        u  = g / (sqrt(v) + eps)
        p <- p - lr * u                        or, with momentum: b <- momentum * b + u; p <- p - lr * b

    With centered=True, v is replaced in u by the variance v - a**2, where a <- rho * a + (1 - rho) * g.

    Parameters
    ----------
    params, **options
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

    rule: Any
    slots: tuple[str, ...]
    unsigned: tuple[str, ...] = ("square_avg",)
    steady = True
    ranges: dict[str, Any] = {
        "rho": UNIT,
        "eps": NON_NEGATIVE,
        "momentum": UNIT,
        "centered": bool,
        "eps_inside": bool,
    }
    rho: float
    eps: float
    momentum: float
    centered: bool
    eps_inside: bool
    _variants = {  # (centered, momentum)
        (False, False): (rmsprop.rmsprop, ("square_avg",)),
        (False, True): (rmsprop.rmsprop_momentum, ("square_avg", "momentum_buffer")),
        (True, False): (rmsprop.rmsprop_centered, ("square_avg", "grad_avg")),
        (True, True): (rmsprop.rmsprop_centered_momentum, ("square_avg", "grad_avg", "momentum_buffer")),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        rho: Rate = 0.99,
        eps: Rate = 1e-8,
        momentum: Rate = 0.0,
        centered: bool = False,
        eps_inside: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"rho": rho, "eps": eps, "momentum": momentum, "centered": centered, "eps_inside": eps_inside}
        super().__init__(params, lr, own, **options)

    def choose(self) -> None:
        self.rule, self.slots = self._variants[self.centered, self.uses("momentum")]

    def effective_lr(self, lr: float) -> float:
        return lr / (1.0 - self.momentum)

    def coefficients(self, t: int, lr: float) -> rmsprop.RMSpropCoefficients:
        return rmsprop.RMSpropCoefficients(lr, self.rho, 1.0 - self.rho, self.momentum, *split_eps(self))
