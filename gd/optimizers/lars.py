"""LARS."""

from typing import Any, Unpack

from ..checks import POSITIVE, UNIT
from ..kernels.rules import lars
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class LARS(Optimizer):
    """LARS: momentum for large batches; each array has a rate in proportion to its size.

    ::

        v <- momentum * v + lr * trust_coefficient * |p| / |g| * g         the ratio is 1 where |p| or |g| is 0
        p <- p - v

    Parameters
    ----------
    params, **options
        See `Optimizer`. The norms |p| and |g| are those of each array; a flat vector is one array, a
        ParameterVector one for each name. With l2, g in both places is the gradient with the penalty,
        as in optax, whose weight_decay is ``l2`` here; the paper divides by |g| + l2 * |p|.
    lr : float or callable, default: 1
        The learning rate.
    momentum : float, default: 0.9
        In [0, 1).
    trust_coefficient : float, default: 1e-3
        Above 0 (eta in the paper).

    Notes
    -----
    Two passes: reads and writes 28 bytes an element in float32. State: `momentum_buffer`. The defaults are optax's.

    References
    ----------
    You, Gitman & Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1.
    """

    rule: Any = staticmethod(lars.lars)
    trust_norms: Any = staticmethod(lars.lars_norms)
    slots: tuple[str, ...] = ("momentum_buffer",)
    steady = True
    has_rate = False
    ranges: dict[str, Any] = {"momentum": UNIT, "trust_coefficient": POSITIVE}
    momentum: float
    trust_coefficient: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        momentum: Rate = 0.9,
        trust_coefficient: Rate = 1e-3,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"momentum": momentum, "trust_coefficient": trust_coefficient}, **options)

    def trust(self, parameter: float, update: float, size: int) -> float:
        return self.trust_coefficient * parameter / update if parameter > 0 and update > 0 else 1.0

    def coefficients(self, t: int, lr: float) -> lars.LARSCoefficients:
        return lars.LARSCoefficients(self.momentum, lr)
