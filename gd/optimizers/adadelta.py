"""Adadelta."""

from typing import Any, Unpack

from ..checks import POSITIVE, UNIT
from ..kernels.rules import adadelta
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class Adadelta(Optimizer):
    """Adadelta: steps in the units of the parameters, without a rate to choose.

    ::

        v <- rho * v + (1 - rho) * g**2
        d  = sqrt(u + eps) / sqrt(v + eps) * g
        u <- rho * u + (1 - rho) * d**2
        p <- p - lr * d

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1
        The learning rate; 1 is the paper's algorithm.
    rho : float, default: 0.9
        Decay of both mean squares, in [0, 1).
    eps : float, default: 1e-6
        Above 0; under both roots.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `square_avg` (v), `acc_delta` (u). The defaults
    are PyTorch's; Keras has rho=0.95, eps=1e-7 and lr=1e-3; optax differs in the default of lr only.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.
    """

    rule: Any = staticmethod(adadelta.adadelta)
    slots: tuple[str, ...] = ("square_avg", "acc_delta")
    unsigned: tuple[str, ...] = ("square_avg", "acc_delta")
    steady = True
    ranges: dict[str, Any] = {"rho": UNIT, "eps": POSITIVE}
    rho: float
    eps: float

    def __init__(
        self, params: Params, lr: Rate = 1.0, rho: Rate = 0.9, eps: Rate = 1e-6, **options: Unpack[OptimizerOptions]
    ) -> None:
        super().__init__(params, lr, {"rho": rho, "eps": eps}, **options)

    def coefficients(self, t: int, lr: float) -> adadelta.AdadeltaCoefficients:
        return adadelta.AdadeltaCoefficients(lr, self.rho, 1.0 - self.rho, self.eps)
