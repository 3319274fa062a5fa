"""LAMB."""

from typing import Any, Unpack

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import lamb
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


class LAMB(Optimizer):
    """LAMB: Adam for large batches; each array's step is as long as lr times the array.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g**2
        u  = (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps) + weight_decay * p
        p <- p - lr * |p| / |u| * u                 |p| / |u| is 1 where one of them is 0

    Parameters
    ----------
    params, **options
        See `Optimizer`. The norms |p| and |u| are those of each array; a flat vector is one array, a
        ParameterVector one for each name.
    lr : float or callable, default: 1e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        In [0, 1).
    eps : float, default: 1e-6
        At least 0.
    bias_correction, eps_inside, eps_hat : bool
        As in `Adam`.
    weight_decay : float, default: 0
        Part of the update u, as in the paper: it is inside the trust ratio.

    Notes
    -----
    Two passes: reads and writes 44 bytes an element in float32 (norms: p, g, m, v; update: those, and p, m, v
    written). State: `exp_avg`, `exp_avg_sq`. The defaults are optax's.

    References
    ----------
    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, algorithm 2.
    """

    rule: Any = staticmethod(lamb.lamb)
    trust_norms: Any = staticmethod(lamb.lamb_norms)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    decays_itself = True
    has_rate = False
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "bias_correction": bool,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-6,
        bias_correction: bool = True,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "bias_correction": bias_correction}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def trust(self, parameter: float, update: float, size: int) -> float:
        return parameter / update if parameter > 0 and update > 0 else 1.0

    def coefficients(self, t: int, lr: float) -> lamb.LAMBCoefficients:
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        eps = split_eps(self, v_scale)
        return lamb.LAMBCoefficients(
            beta1, 1.0 - beta1, beta2, 1.0 - beta2, m_scale, v_scale, *eps, self.weight_decay, lr
        )
