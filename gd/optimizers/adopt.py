"""ADOPT."""

from typing import Any, Unpack

from ..checks import POSITIVE, UNIT
from ..kernels.rules import adopt
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class ADOPT(Optimizer):
    """ADOPT: Adam that divides by the second moment before this gradient, and converges for any beta2.

    ::

        first step:  v <- g**2
        then:        m <- beta1 * m + (1 - beta1) * clip(g / max(sqrt(v), eps), (t - 1)**(1/4))
                     p <- p - lr * m
                     v <- beta2 * v + (1 - beta2) * g**2

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.9999)
        In [0, 1).
    eps : float, default: 1e-6
        Above 0.
    clip : bool, default: True
        Clip the normalized gradient, as the authors' code and optax do; the paper's first version did not.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`. The defaults are optax's.

    References
    ----------
    Taniguchi et al., "ADOPT: modified Adam can converge with any beta2 with the optimal rate", NeurIPS 2024.
    """

    rule: Any = staticmethod(adopt.adopt)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    ranges: dict[str, Any] = {"betas": (UNIT, UNIT), "eps": POSITIVE, "clip": bool}
    betas: tuple[float, float]
    eps: float
    clip: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.9999),
        eps: Rate = 1e-6,
        clip: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"betas": betas, "eps": eps, "clip": clip}, **options)

    def coefficients(self, t: int, lr: float) -> adopt.ADOPTCoefficients:
        beta1, beta2 = self.betas if t > 1 else (1.0, 0.0)
        limit = (t - 1) ** 0.25 if self.clip or t == 1 else float("inf")
        return adopt.ADOPTCoefficients(lr, beta1, 1.0 - beta1, beta2, 1.0 - beta2, self.eps, limit)
