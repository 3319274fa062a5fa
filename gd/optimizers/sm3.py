"""SM3."""

import functools
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.compiler import join
from ..kernels.loops.matrices import tiles, update_matrix_and_maxima
from ..kernels.rules import sm3
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .walk import Walk


class _Slices(Walk):
    """SM3-II in one pass: the last axis has columns, and a row is bounded by the slices of all axes before it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        rule = sm3.sm3_slices_momentum if self.owner.uses("momentum") else sm3.sm3_slices
        self._kernel = join(update_matrix_and_maxima, rule, *self.stages)

    def walk(self, vector: NDArray[Any], p: NDArray[Any], g: NDArray[Any], *slots: NDArray[Any]) -> None:
        (*leading, columns), others = slots[: p.ndim], slots[p.ndim :]
        width = p.shape[-1]
        rows = np.empty((*p.shape[:-1], 1), self.dtype)
        rows[...] = functools.reduce(np.minimum, leading)
        above, beside = tiles(1, rows.size, width)
        by_row, by_column = np.empty((beside, *rows.shape), self.dtype), np.empty((above, width), self.dtype)
        matrices = [each.reshape(-1, width) for each in (p, g)]
        given = vector, rows.reshape(-1), columns.reshape(1, -1), *matrices, *(each.reshape(-1) for each in others)
        self._kernel(above * beside, by_row.reshape(beside, -1), by_column, *given)
        columns[...] = by_column.max(0)
        largest = by_row.max(0)
        for axis, own in enumerate(leading):
            own[...] = largest.max(tuple(k for k in range(p.ndim - 1) if k != axis), keepdims=True)


class SM3(Optimizer):
    """SM3: Adagrad whose accumulators are bounds for slices of an array: for each row, each column, and so on.

    For an element of a matrix, in row i and column j::

        v     = min(a0[i], a1[j]) + g**2
        m    <- momentum * m + (1 - momentum) * g / sqrt(v + eps)     (0 where v is 0)
        p    <- p - lr * m
        a0[i] <- max(v)                  the largest of row i
        a1[j] <- max(v)                  the largest of column j

    An array of n axes has n such vectors. Each element of a vector is its own slice: that is Adagrad.

    Parameters
    ----------
    params, **options
        See `Optimizer`. Lists of arrays with matrices among them are stepped one by one. Not for state_dtype,
        param_dtype, `step_rows`, proximal and `Distributed`.
    lr : float or callable, default: 0.1
        The learning rate; the paper warms it up.
    momentum : float, default: 0.9
        In [0, 1).
    eps : float, default: 1e-8
        At least 0, added under the root as optax does; the paper has none.

    Notes
    -----
    This is the paper's SM3-II, with momentum as in its section 4, and ``optax.sm3``. lr has no default there or in the
    paper; 0.1 is a common one. Reads and writes 20 bytes an element in float32, 12 without momentum. State:
    `accumulator_0`, `accumulator_1`, ... of one number for each slice; `momentum_buffer` with momentum. A NaN stays in
    its element.

    References
    ----------
    Anil, Gupta, Koren & Singer, "Memory-efficient adaptive optimization", NeurIPS 2019.

    Examples
    --------
    >>> import gd, numpy as np
    >>> W = np.ones((100, 200), np.float32)
    >>> optimizer = gd.SM3(W, momentum=0)
    >>> optimizer.step(np.ones_like(W))
    True
    >>> {name: array.shape for name, array in optimizer.state_dict().items() if name != "steps"}
    {'accumulator_0': (100, 1), 'accumulator_1': (1, 200)}
    """

    rule: Any = staticmethod(sm3.sm3)
    walk: Any = _Slices
    slots: tuple[str, ...] = ("accumulator_0",)
    has_rate = False
    ranges: dict[str, Any] = {"momentum": UNIT, "eps": NON_NEGATIVE}
    momentum: float
    eps: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 0.1,
        momentum: Rate = 0.9,
        eps: Rate = 1e-8,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"momentum": momentum, "eps": eps}, **options)

    def choose(self) -> None:
        if self.uses("momentum"):
            self.rule, self.slots = sm3.sm3_momentum, ("accumulator_0", "momentum_buffer")

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        if len(shape) < 2:
            return None
        own = {f"accumulator_{k}": tuple(n if k == j else 1 for j, n in enumerate(shape)) for k in range(len(shape))}
        return own | ({"momentum_buffer": shape} if self.uses("momentum") else {})

    def coefficients(self, t: int, lr: float) -> sm3.SM3Coefficients:
        return sm3.SM3Coefficients(self.momentum, 1.0 - self.momentum, self.eps, lr)
