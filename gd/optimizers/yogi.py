"""Yogi."""

from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import yogi
from ..kernels.rules.adam import AdamCoefficients
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


class Yogi(Optimizer):
    """Yogi: Adam whose second moment moves by steps of the size of g**2, so it cannot forget quickly.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- v - (1 - beta2) * sign(v - g**2) * g**2
        p <- p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        In [0, 1).
    eps : float, default: 1e-3
        At least 0.
    initial_accumulator_value : float, default: 1e-6
        Initial value of v and m, as in optax and TensorFlow Addons; in the paper m starts from 0.
    bias_correction, eps_inside, eps_hat : bool
        As in `Adam`. The paper has no bias correction.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`. The defaults are optax's.

    References
    ----------
    Zaheer et al., "Adaptive methods for nonconvex optimization", NeurIPS 2018, algorithm 2.
    """

    by_array: bool = True
    rule: Any = staticmethod(yogi.yogi)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "initial_accumulator_value": NON_NEGATIVE,
        "bias_correction": bool,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    initial_accumulator_value: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-3,
        initial_accumulator_value: Rate = 1e-6,
        bias_correction: bool = True,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "initial_accumulator_value": initial_accumulator_value}
        own |= {"bias_correction": bias_correction, "eps_inside": eps_inside, "eps_hat": eps_hat}
        super().__init__(params, lr, own, **options)

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return self.initial_accumulator_value

    def coefficients(self, t: int, lr: float) -> AdamCoefficients:
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        eps = split_eps(self, v_scale)
        return AdamCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, v_scale, *eps)
