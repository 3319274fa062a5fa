"""Adafactor."""

from math import inf, sqrt
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..checks import POSITIVE, UNIT, Range, check_number, shown
from ..kernels.compiler import join
from ..kernels.loops.matrices import sum_matrix, tiles, update_matrix
from ..kernels.rules import adafactor
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import COMMON
from .walk import Walk

MOST = COMMON + adafactor.AdafactorCoefficients._fields.index("most")


class _Matrices(Walk):
    """Algorithm 4: squares by row and column, then the size of the update, then the step; each reads the gradient."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        rule = adafactor.factored_momentum if self.owner.uses("momentum") else adafactor.factored
        self._squares = join(sum_matrix, adafactor.squared, *self.stages)
        self._updates = join(sum_matrix, adafactor.squared_update, *self.stages)
        self._step = join(update_matrix, rule, *self.stages)

    def walk(self, vector: NDArray[Any], p: NDArray[Any], g: NDArray[Any], *slots: NDArray[Any]) -> None:
        owner: Any = self.owner
        row_var, col_var, *others = slots
        height, width = p.shape[-2:]
        c = adafactor.AdafactorCoefficients(*self.own(vector))
        if c.most < 0:
            vector = vector.copy()
            vector[MOST] = 1 / np.finfo(self.dtype).eps
        scale = self.norm(p) / sqrt(p.size) if owner.scale_parameter else 1.0
        p, g = p.reshape(-1, width), g.reshape(-1, width)
        rows, columns = np.zeros(len(p), self.dtype), np.zeros((len(p) // height, width), self.dtype)
        matrices, (above, beside) = len(columns), tiles(len(columns), height, width)
        by_row, by_column = np.empty((beside, len(p))), np.empty((above, width), self.dtype)
        arguments = vector, rows, columns, p, g
        self._squares(above * beside, by_row, by_column, *arguments)
        by_column = by_column.reshape(matrices, -1, width).sum(1, dtype=float)
        with np.errstate(all="ignore"):
            for own, sums, count in ((row_var, by_row.sum(0), width), (col_var, by_column, height)):
                own[...] = c.beta2 * own + c.one_minus_beta2 * (sums.reshape(own.shape) / count)
            means = row_var.mean(-2, dtype=float, keepdims=True)
            rows[:] = np.sqrt(np.maximum(means, 1 / vector[MOST]) / row_var).ravel()
            columns[...] = (1 / np.sqrt(col_var)).reshape(columns.shape)
        ratio = max(owner.eps[1], scale) if owner.scale_parameter else 1.0
        if owner.d < inf:
            self._updates(above * beside, by_row, None, *arguments)
            ratio /= max(1.0, sqrt(by_row.sum() / p.size) / owner.d)
        others = [each.reshape(-1) for each in others]
        self._step(above * beside, self.with_ratio(vector, ratio), rows, columns, p, g, *others)


def _eps(where: str, name: str, value: Any) -> tuple[float | None, float]:
    """Return eps if it is a pair of numbers, of which the first may be None, else raise."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{where}: {name} must be (number or None, number), got {shown(value)}")
    first = None if value[0] is None else check_number(where, f"{name}[0]", value[0], POSITIVE)
    return first, check_number(where, f"{name}[1]", value[1], POSITIVE)


class Adafactor(Optimizer):
    """Adafactor: Adam's second moments from the means of rows and columns, in steps as long as the parameters' scale.

    For a matrix, or the last two axes of an array (beta2 = 1 - t**beta2_decay)::

        r <- beta2 * r + (1 - beta2) * mean(g**2 of each row)
        c <- beta2 * c + (1 - beta2) * mean(g**2 of each column)
        v  = r * c / max(mean(r), eps[0])
        u  = g / sqrt(max(v, eps[0]**2))
        p <- (1 - lr * weight_decay) * p - alpha * u / max(1, rms(u) / d)
        alpha = max(eps[1], rms(p)) * min(lr, 1 / sqrt(t))

    For a vector, v <- beta2 * v + (1 - beta2) * g**2. rms is the root of the mean of squares over an array.

    Parameters
    ----------
    params, **options
        See `Optimizer`. Lists of arrays with matrices among them are stepped one by one. Not for state_dtype,
        param_dtype, `step_rows`, proximal and `Distributed`.
    lr : float or callable, default: 1e-2
        The largest relative step.
    beta2_decay : float, default: -0.8
        Below or at 0.
    eps : (float or None, float), default: (None, 1e-3)
        Above 0: what keeps 1 / sqrt(v) finite, by default the distance from 1 to the next number of the dtype (with
        eps_inside 1e-30), and the smallest scale of the parameters.
    d : float, default: 1
        The largest root mean square of u, above 0; math.inf for no limit.
    relative_step : bool, default: True
        Whether lr is limited by 1 / sqrt(t).
    scale_parameter : bool, default: True
        Whether alpha has the factor max(eps[1], rms(p)).
    momentum : float, default: 0
        In [0, 1): p is moved by the mean m <- momentum * m + (1 - momentum) * alpha * u, u after its limit.
    eps_inside : bool, default: False
        Add eps[0] to g**2, as in the paper, rather than bound v; mean(r) is not bounded then.
    min_size_to_factor : float, default: 1
        Arrays whose last two axes are not both as long are stepped as vectors.

    Notes
    -----
    The defaults are `torch.optim.Adafactor`'s, which calls p's scale and lr so, too. The paper and optax's
    ``adafactor(lr)`` are ``relative_step=False, eps_inside=True, min_size_to_factor=128`` (optax; there
    ``clipping_threshold`` is d and ``weight_decay_rate`` is lr * weight_decay; it factors the two longest axes, gd and
    PyTorch the last two). Keras's is ``eps_inside=True``.

    A matrix is walked three times, or twice with d=inf, and p is read once more for its scale: 24 bytes an element in
    float32, 32 with momentum. State: `row_var` and `col_var`, one number for each row and column, or `variance` of
    vectors; `exp_avg` with momentum.

    References
    ----------
    Shazeer & Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018, algorithms 4 and 5.

    Examples
    --------
    >>> import gd, numpy as np
    >>> W = np.ones((100, 200), np.float32)
    >>> optimizer = gd.Adafactor(W)
    >>> optimizer.step(np.ones_like(W))
    True
    >>> {name: array.shape for name, array in optimizer.state_dict().items() if name != "steps"}
    {'row_var': (100, 1), 'col_var': (1, 200)}
    """

    rule: Any = staticmethod(adafactor.adafactor)
    trust_norms: Any = staticmethod(adafactor.adafactor_norms)
    walk: Any = _Matrices
    slots: tuple[str, ...] = ("variance",)
    decays_itself = True
    has_rate = False
    ranges: dict[str, Any] = {
        "beta2_decay": Range(-inf, 0.0, includes_low=False),
        "eps": _eps,
        "d": Range(0.0, inf, includes_low=False, includes_high=True),
        "relative_step": bool,
        "scale_parameter": bool,
        "momentum": UNIT,
        "eps_inside": bool,
        "min_size_to_factor": Range(1.0, inf),
    }
    beta2_decay: float
    eps: tuple[float | None, float]
    d: float
    relative_step: bool
    scale_parameter: bool
    momentum: float
    eps_inside: bool
    min_size_to_factor: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        beta2_decay: Rate = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: Rate = 1.0,
        relative_step: bool = True,
        scale_parameter: bool = True,
        momentum: Rate = 0.0,
        eps_inside: bool = False,
        min_size_to_factor: float = 1,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "relative_step": relative_step}
        own |= {"scale_parameter": scale_parameter, "momentum": momentum, "eps_inside": eps_inside}
        super().__init__(params, lr, own | {"min_size_to_factor": min_size_to_factor}, **options)

    def choose(self) -> None:
        if self.uses("momentum"):
            self.rule, self.trust_norms = adafactor.adafactor_momentum, adafactor.adafactor_momentum_norms
            self.slots = ("variance", "exp_avg")

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        if len(shape) < 2 or min(shape[-2:]) < self.min_size_to_factor:
            return None
        factors = {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}
        return factors | ({"exp_avg": shape} if self.uses("momentum") else {})

    def trust(self, parameter: float, update: float, size: int) -> float:
        root = sqrt(size) or 1.0  # of an empty array
        scale = max(self.eps[1], parameter / root) if self.scale_parameter else 1.0
        return scale / max(1.0, update / root / self.d)

    def coefficients(self, t: int, lr: float) -> adafactor.AdafactorCoefficients:
        eps, rate = self.eps[0], min(lr, 1.0 / sqrt(t)) if self.relative_step else lr
        one_minus_beta2 = t**self.beta2_decay
        added, most = (0.0, -1.0 if eps is None else 1.0 / eps)
        if self.eps_inside:
            added, most = 1e-30 if eps is None else eps, inf
        return adafactor.AdafactorCoefficients(
            1.0 - one_minus_beta2,
            one_minus_beta2,
            added,
            most,
            self.momentum,
            1.0 - self.momentum,
            1.0 - lr * self.weight_decay,
            rate,
        )
