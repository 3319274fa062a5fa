"""Lion."""

from typing import Any, Unpack

from ..checks import UNIT
from ..kernels.rules import lion
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class Lion(Optimizer):
    """Lion: the sign of a blend of the mean gradient and the gradient; one state array.

    ::

        p <- p - lr * sign(beta1 * m + (1 - beta1) * g)
        m <- beta2 * m + (1 - beta2) * g

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-4
        The learning rate: the size of every element's step. 3 to 10 times smaller than for AdamW.
    betas : (float, float), default: (0.9, 0.99)
        Decays of the blend and of the mean, in [0, 1).

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `exp_avg`. optax's weight_decay is 1e-3 by default,
    here it is 0; the paper takes 3 to 10 times AdamW's.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.
    """

    rule: Any = staticmethod(lion.lion)
    slots: tuple[str, ...] = ("exp_avg",)
    steady = True
    ranges: dict[str, Any] = {"betas": (UNIT, UNIT)}
    betas: tuple[float, float]

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-4,
        betas: tuple[Rate, Rate] = (0.9, 0.99),
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"betas": betas}, **options)

    def coefficients(self, t: int, lr: float) -> lion.LionCoefficients:
        beta1, beta2 = self.betas
        return lion.LionCoefficients(lr, beta1, 1.0 - beta1, beta2, 1.0 - beta2)
