"""Schedule-Free AdamW."""

from collections.abc import Callable
from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, UNIT, Range
from ..kernels.rules import schedule_free
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import split_eps
from .storage import widened


class ScheduleFreeAdamW(Optimizer):
    """Schedule-Free AdamW: an average of the iterates replaces a falling schedule.

    ::

        v <- beta2 * v + (1 - beta2) * g**2                 g is the gradient at y, which is p
        u  = g / (sqrt(v / (1 - beta2**t)) + eps) + weight_decay * y
        z <- z - lr * u
        x <- (1 - c) * x + c * z,   c = w_t / (w_1 + ... + w_t),   w_t = t**r * (largest lr so far)**weight_lr_power
        y  = beta1 * x + (1 - beta1) * z

    Parameters
    ----------
    params, **options
        See `Optimizer`. The parameters are y, where gradients are taken; `averaged_params` returns x, which
        is the result: `gd.fit` evaluates it, and within `gd.averaged` the model holds it, to be saved.
    lr : float or callable, default: 2.5e-3
        The learning rate; 1 to 10 times that of AdamW with a schedule.
    betas : (float, float), default: (0.9, 0.999)
        The place of y between z and x, in (0, 1); the decay of v, in [0, 1). The place may change from step to step if
        each step has the gradients of all arrays.
    eps : float, default: 1e-8
        At least 0.
    warmup_steps : float, default: 0
        Steps over which the rate rises linearly, from lr / warmup_steps at the first.
    r, weight_lr_power : float, default: 0, 2
        Exponents of the weights in the average, at least 0.
    weight_decay : float, default: 0
        Decoupled, taken at y.
    eps_inside, eps_hat : bool, default: False
        As in `Adam`.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `z`, `exp_avg_sq`, and the numbers `weight_sum`,
    `lr_max` and `beta1`, that of the last step. The defaults are the authors'; optax's warm-up begins with a rate of 0.

    References
    ----------
    Defazio et al., "The road less scheduled", NeurIPS 2024, algorithm 1.
    """

    rule: Any = staticmethod(schedule_free.schedule_free_adamw)
    slots: tuple[str, ...] = ("z", "exp_avg_sq")
    exact: tuple[str, ...] = ("z",)
    unsigned: tuple[str, ...] = ("exp_avg_sq",)
    scalars: dict[str, float] = {"weight_sum": 0.0, "lr_max": 0.0, "beta1": 1.0}
    unsaved: dict[str, Callable[..., float]] = {"beta1": lambda optimizer, steps: optimizer.betas[0]}
    decays_itself = True
    evaluated = "averaged"
    has_rate = False
    ranges: dict[str, Any] = {
        "betas": (Range(0.0, 1.0, False), UNIT),
        "eps": NON_NEGATIVE,
        "warmup_steps": NON_NEGATIVE,
        "r": NON_NEGATIVE,
        "weight_lr_power": NON_NEGATIVE,
        "eps_inside": bool,
        "eps_hat": bool,
    }
    betas: tuple[float, float]
    eps: float
    warmup_steps: float
    r: float
    weight_lr_power: float
    weight_sum: float
    lr_max: float
    beta1: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 2.5e-3,
        betas: tuple[Rate, Rate] = (0.9, 0.999),
        eps: Rate = 1e-8,
        warmup_steps: Rate = 0,
        r: Rate = 0.0,
        weight_lr_power: Rate = 2.0,
        eps_inside: bool = False,
        eps_hat: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"betas": betas, "eps": eps, "warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}
        super().__init__(params, lr, own | {"eps_inside": eps_inside, "eps_hat": eps_hat}, **options)

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return p if slot == "z" else 0.0

    def _weighted(self, lr: float) -> tuple[float, float, float]:
        """Return the rate of the next step, warmed up, the largest so far, and the weight of its z."""
        t = self.steps + 1
        lr *= min(1.0, t / self.warmup_steps) if self.warmup_steps else 1.0
        largest = max(lr, self.lr_max)
        return lr, largest, t**self.r * largest**self.weight_lr_power

    def coefficients(self, t: int, lr: float) -> schedule_free.ScheduleFreeCoefficients:
        beta1, beta2 = self.betas
        lr, _, weight = self._weighted(lr)
        part = weight / (self.weight_sum + weight) if weight > 0 else 0.0
        moved = beta1 / self.beta1  # 1 while beta1 stays
        v_scale = 1.0 / (1.0 - beta2**t)
        return schedule_free.ScheduleFreeCoefficients(
            beta2,
            1.0 - beta2,
            lr,
            lr * (1.0 - beta1 * (1.0 - part)),
            1.0 - moved + moved * part,
            moved * (1.0 - part),
            self.weight_decay,
            v_scale,
            *split_eps(self, v_scale),
        )

    def stepped(self, lr: float) -> None:
        _, self.lr_max, weight = self._weighted(lr)
        self.beta1 = self.betas[0]
        self.weight_sum += weight

    def averaged_params(self) -> Any:
        """Return x, the averaged parameters, as a copy in the structure of params."""
        self._state.check_own()
        averages = {}
        for key, z in self._state.vectors("z").items():
            array = self._structure.arrays[key]
            beta1 = array.update.owner.beta1  # of the step that made y
            averages[key] = (widened(array.p) - (1.0 - beta1) * z) / beta1
        return self._structure.like(averages)
