"""Prodigy."""

from math import inf, isfinite, sqrt
from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, POSITIVE, UNIT, Range, check_number
from ..kernels.rules import prodigy
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import bias_corrections


def _beta3(where: str, name: str, value: Any) -> float | None:
    """Return beta3 if it is a decay rate or None, else raise."""
    return None if value is None else check_number(where, name, value, UNIT)


class Prodigy(Optimizer):
    """Prodigy: Adam that estimates its learning rate, from the distance d between start and solution.

    ::

        r <- beta3 * r + d / d0 * d * lr * sum(g * (start - p))          r, |s| and d are those of all arrays
        s <- beta3 * s + d / d0 * d * lr * g
        m <- beta1 * m + (1 - beta1) * d * g
        v <- beta2 * v + (1 - beta2) * (d * g)**2
        d' = min(max(d, d_coef * r / sum(|s|)), growth_rate * d)
        p <- (1 - d * lr * weight_decay) * p - d * lr * m / (sqrt(v) + d' * eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`. Groups share d: d0, d_coef, growth_rate and the decay of r are those of the optimizer itself.
    lr : float or callable, default: 1
        A factor of the estimated rate: leave it at 1, or give a schedule that begins with 1.
    betas : (float, float), default: (0.9, 0.999)
        In [0, 1).
    beta3 : float, optional
        Decay of r and s, in [0, 1); by default the root of the second of betas.
    eps : float, default: 1e-8
        At least 0.
    weight_decay : float, default: 0
        Decoupled; at the estimated rate.
    d0 : float, default: 1e-6
        The first d, above 0, which is too small.
    d_coef : float, default: 1
        Above 0: larger values make larger rates.
    growth_rate : float, default: inf
        Limits d to so many times the one before, above 1; but not at the first growth.
    bias_correction : bool, default: False
        Multiply d * lr by sqrt(1 - beta2**t) / (1 - beta1**t).
    safeguard_warmup : bool, default: False
        Leave lr out of s, for schedules that begin with a warm-up.

    Notes
    -----
    Two passes: reads and writes 60 bytes an element in float32 (sums: p, g, s, start; update: those, m and v, and all
    but g written). State: `exp_avg`, `exp_avg_sq`, `grad_sum` (s), `start` and the numbers `d`, `d_max` and
    `d_numerator` (r). The defaults are those of the authors' code. As there, eps is multiplied by the next d; the paper
    takes the same d as elsewhere. optax always corrects the bias. A gradient that is not finite stops the estimate: see
    skip_nonfinite. `step_rows` and state_dtype are not possible.

    References
    ----------
    Mishchenko & Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", ICML 2024, algorithm 4.
    """

    rule: Any = staticmethod(prodigy.prodigy)
    trust_norms: Any = staticmethod(prodigy.prodigy_sums)
    estimates = True
    slots: tuple[str, ...] = ("exp_avg", "exp_avg_sq", "grad_sum", "start")
    scalars: dict[str, float] = {"d": 0.0, "d_max": 0.0, "d_numerator": 0.0}
    signed: tuple[str, ...] = ("d_numerator",)
    decays_itself = True
    has_rate = False
    ranges: dict[str, Any] = {
        "betas": (UNIT, UNIT),
        "beta3": _beta3,
        "eps": NON_NEGATIVE,
        "d0": POSITIVE,
        "d_coef": POSITIVE,
        "growth_rate": Range(1.0, inf, False, True),
        "bias_correction": bool,
        "safeguard_warmup": bool,
    }
    betas: tuple[float, float]
    beta3: float | None
    eps: float
    d0: float
    d_coef: float
    growth_rate: float
    safeguard_warmup: bool
    d: float
    d_max: float
    d_numerator: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        beta3: float | None = None,
        eps: Rate = 1e-8,
        d0: float = 1e-6,
        d_coef: Rate = 1.0,
        growth_rate: Rate = inf,
        bias_correction: bool = False,
        safeguard_warmup: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "beta3": beta3, "eps": eps, "d0": d0, "d_coef": d_coef, "growth_rate": growth_rate}
        own |= {"bias_correction": bias_correction, "safeguard_warmup": safeguard_warmup}
        super().__init__(params, lr, own, **options)

    def choose(self) -> None:
        self.d = self.d_max = self.d0
        self._next = self.d, self.d_max, self.d_numerator

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return p if slot == "start" else 0.0

    def coefficients(self, t: int, lr: float) -> prodigy.ProdigyCoefficients:
        (beta1, beta2), beta3, d = self.betas, self._decay, self.d
        m_scale, v_scale = bias_corrections(self, t)
        step_size = d * lr * m_scale / sqrt(v_scale)
        return prodigy.ProdigyCoefficients(
            beta1,
            d * (1.0 - beta1),
            beta2,
            d * d * (1.0 - beta2),
            beta3,
            d / self.d0 * (d if self.safeguard_warmup else step_size),
            d / self.d0 * step_size,
            step_size,
            self._next[0] * self.eps,
            1.0 - step_size * self.weight_decay,
        )

    @property
    def _decay(self) -> float:
        return sqrt(self.betas[1]) if self.beta3 is None else self.beta3

    def estimate(self, sums: list[float]) -> None:
        d, largest, r, s = self.d, self.d_max, self._decay * self.d_numerator + sums[0], sums[1]
        if isfinite(r) and isfinite(s):
            found = self.d_coef * r / s if s > 0 else 0.0
            largest = max(largest, found)
            self._next = min(largest, self.growth_rate * (max(d, found) if d == self.d0 else d)), largest, r
        else:
            self._next = d, largest, self.d_numerator
        for group in self.groups:
            group._next = self._next  # pyright: ignore[reportAttributeAccessIssue]  # groups are of the same class

    def stepped(self, lr: float) -> None:
        self.d, self.d_max, self.d_numerator = self._next
