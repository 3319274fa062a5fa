"""AdaBelief."""

from typing import Any, Unpack

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import adabelief
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


class AdaBelief(Optimizer):
    """AdaBelief: Adam that divides by how far the gradient is from its mean, not by its size.

    ::

        m <- beta1 * m + (1 - beta1) * g
        s <- beta2 * s + (1 - beta2) * (g - m)**2 + eps
        p <- p - lr * (m / (1 - beta1**t)) / (sqrt(s / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        Decays of the two means, in [0, 1).
    eps : float, default: 1e-16
        At least 0; added to s at every step, and outside the root, as the authors' code and optax do (Keras
        has no AdaBelief).
    bias_correction, eps_inside, eps_hat : bool
        As in `Adam`.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_var`. The defaults are optax's.

    References
    ----------
    Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", NeurIPS 2020,
    algorithm 2.
    """

    by_array: bool = True
    rule: Any = staticmethod(adabelief.adabelief)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_var")
    unsigned: tuple[str, ...] = ("exp_avg_var",)
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
        eps: Rate = 1e-16,
        bias_correction: bool = True,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "bias_correction": bias_correction}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def coefficients(self, t: int, lr: float) -> adabelief.AdaBeliefCoefficients:
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        return adabelief.AdaBeliefCoefficients(
            beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, self.eps, v_scale, *split_eps(self, v_scale)
        )
