"""AdEMAMix."""

from math import exp, log
from typing import Any, Unpack

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import ademamix
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


class AdEMAMix(Optimizer):
    """AdEMAMix: Adam with a second, slow mean of the gradients, so that old gradients keep their influence.

    ::

        m1 <- beta1 * m1 + (1 - beta1) * g
        m2 <- beta3 * m2 + (1 - beta3) * g
        v  <- beta2 * v + (1 - beta2) * g**2
        p  <- p - lr * (m1 / (1 - beta1**t) + alpha * m2) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate.
    betas : (float, float, float), default: (0.9, 0.999, 0.9999)
        Decays of the fast mean, of v and of the slow mean, in [0, 1).
    alpha : float, default: 5
        Weight of the slow mean, at least 0.
    warmup : int or float, default: 0
        Steps over which alpha rises from 0, linearly, and beta3 from beta1, linearly in the half-life of the
        mean, as the paper advises for long trainings (there: all steps of the training).
    eps : float, default: 1e-8
        At least 0.
    eps_inside, eps_hat : bool, default: False
        As in `Adam`.

    Notes
    -----
    Reads and writes 36 bytes an element in float32. State: `exp_avg_fast`, `exp_avg_slow`, `exp_avg_sq`. The
    defaults are optax's and the paper's.

    References
    ----------
    Pagliardini, Ablin & Grangier, "The AdEMAMix optimizer: better, faster, older", 2024, algorithm 1.
    """

    rule: Any = staticmethod(ademamix.ademamix)
    slots: tuple[str, ...] = ("exp_avg_fast", "exp_avg_slow", "exp_avg_sq")
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT, UNIT),
        "alpha": NON_NEGATIVE,
        "warmup": NON_NEGATIVE,
        "eps": NON_NEGATIVE,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float, float]
    alpha: float
    warmup: float
    eps: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate, Rate] = (0.9, 0.999, 0.9999),
        alpha: Rate = 5.0,
        warmup: Rate = 0,
        eps: Rate = 1e-8,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "alpha": alpha, "warmup": warmup, "eps": eps}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def coefficients(self, t: int, lr: float) -> ademamix.AdEMAMixCoefficients:
        beta1, beta2, beta3 = self.betas
        alpha, part = self.alpha, t / self.warmup if t < self.warmup else 1.0
        if part < 1.0:
            alpha *= part
            if 0.0 < beta1 < beta3:  # the paper's equation 9: 1 / log(beta) is proportional to the half-life
                beta3 = min(beta3, exp(1.0 / (part / log(beta3) + (1.0 - part) / log(beta1))))
        m_scale, v_scale = bias_corrections(self, t)
        return ademamix.AdEMAMixCoefficients(
            beta1,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            beta3,
            1.0 - beta3,
            lr * m_scale,
            lr * alpha,
            v_scale,
            *split_eps(self, v_scale),
        )
