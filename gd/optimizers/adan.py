"""Adan."""

from typing import Any, Unpack

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import adan
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import split_eps


class Adan(Optimizer):
    """Adan: Adam with Nesterov's momentum, which it takes from the differences of successive gradients.

    ::

        d' = g - previous g                                 0 at the first step
        m <- beta1 * m + (1 - beta1) * g
        d <- beta2 * d + (1 - beta2) * d'
        v <- beta3 * v + (1 - beta3) * (g + beta2 * d')**2
        u  = (m / (1 - beta1**t) + beta2 * d / (1 - beta2**t)) / (sqrt(v / (1 - beta3**t)) + eps)
        p <- (p - lr * u) / (1 + lr * weight_decay)         with no_prox: (1 - lr * weight_decay) * p - lr * u

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-3
        The learning rate; the authors take 5 to 10 times that of Adam.
    betas : (float, float, float), default: (0.98, 0.92, 0.99)
        Decays of m, d and v, in [0, 1). The paper's betas are 1 minus these.
    eps : float, default: 1e-8
        At least 0.
    weight_decay : float, default: 0
        Decoupled, by a proximal step, as in the paper.
    no_prox : bool, default: False
        Decay as AdamW does instead.
    eps_inside, eps_hat : bool, default: False
        As in `Adam`.

    Notes
    -----
    Reads and writes 44 bytes an element in float32. State: `exp_avg`, `exp_avg_diff`, `exp_avg_sq`, `previous_grad`.
    The defaults are the authors', whose code this follows, without restarts. optax differs: it multiplies differences
    by 1 - beta2 in place of beta2 (alike for 0.5), has eps_root=1e-8, and decays as with no_prox. An array or a row
    that pauses is compared with the gradient of its own last step; the first of a row that comes later, with 0.

    References
    ----------
    Xie et al., "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", 2022, algorithm 1.
    """

    rule: Any = staticmethod(adan.adan)
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_grad")
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    decays_itself = True
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "no_prox": bool,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float, float]
    eps: float
    no_prox: bool
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[Rate, Rate, Rate] = (0.98, 0.92, 0.99),
        eps: Rate = 1e-8,
        no_prox: bool = False,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "no_prox": no_prox, "eps_inside": eps_inside, "eps_hat": eps_hat}
        super().__init__(params, lr, own, **options)

    def coefficients(self, t: int, lr: float) -> adan.AdanCoefficients:
        beta1, beta2, beta3 = self.betas
        decayed, v_scale = lr * self.weight_decay, 1.0 / (1.0 - beta3**t)
        return adan.AdanCoefficients(
            beta1,
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            beta3,
            1.0 - beta3,
            lr / (1.0 - beta1**t),
            lr * beta2 / (1.0 - beta2**t),
            v_scale,
            *split_eps(self, v_scale),
            float(t > 1),
            1.0 - decayed if self.no_prox else 1.0,
            1.0 if self.no_prox else 1.0 / (1.0 + decayed),
        )
