"""Parts: the arrays of a list that share one Update; one kernel call measures or steps some of them, or all."""

from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS, address
from ..kernels.compiler import join
from ..kernels.loops import reductions
from ..kernels.loops.array_lists import measure_many, update_many
from ..kernels.loops.blocks import norm_blocks, update_blocks
from ..kernels.loops.update import update
from ..kernels.rules import stages
from ..kernels.storage import CODE_BLOCK
from ..parameters import ParameterArray
from .coefficients import count_of
from .tables import Table, starts_of
from .update import QUANTITIES, Update

Rows = NDArray[np.intp] | None  # which arrays of a part; None for all
Scale = float | NDArray[np.float64]  # that multiplies their gradients: one for all, or one for each


class Part:
    """Arrays that share one `Update`, and whose gradients have one dtype.

    Methods take `rows`, which of them, and `g`, the addresses of their gradients.
    """

    def __init__(self, update: Update, arrays: Sequence[ParameterArray], dtype: np.dtype[Any]) -> None:
        self._update, self._owner, self._arrays = update, update.owner, arrays
        self._sizes = np.array([array.size for array in arrays])
        self._blocks, self._parts = (-(-self._sizes // size) for size in (CODE_BLOCK, reductions.NORM_BLOCK))
        self.floats, self._real, self._gradient = dtype in FLOATS, np.empty(0, update.dtype), np.empty(0, dtype)
        self._is_own = dtype == update.dtype  # that which the walk of a rule is declared for

    @property
    def is_limited_by_schedule(self) -> bool:
        """True if clip_norm_each changes from step to step."""
        return "clip_norm_each" in self._owner._schedules

    # --- Tables, made when they are needed

    def _vectors(self) -> dict[str, tuple[Any, ...]]:
        """Return the columns of the parameters and of each slot."""
        found = {}
        for k, vectors in enumerate(zip(*((array.p, *array.slots) for array in self._arrays), strict=True)):
            found[f"vector {k}"] = vectors[0][:0], [address(each) for each in vectors], [each.size for each in vectors]
        return found

    def _table(self, loop: Any, kernel: Any, items: Any, work: int, moved: int, own: Any, given: Any = None) -> Table:
        return Table(loop, kernel, self._update.dtype, items, work, work * moved, own, given or {})

    def _given(self, rule: Any) -> dict[str, tuple[Any, ...]]:
        """Return the columns of what the `update` of a rule is given."""
        g = self._real, None, self._sizes
        return {"coefficients": self._coefficients(rule), "g": g, "first": (0, 0)}

    def _coefficients(self, rule: Any) -> tuple[Any, ...]:
        return self._real, None, count_of(rule)

    @cached_property
    def _norms(self) -> Table:
        if not self.floats:
            own = {"out": (np.empty(0), None, self._blocks), "g": (self._gradient, None, self._sizes)}
            return self._table(measure_many, join(norm_blocks), self._blocks, CODE_BLOCK, self._gradient.itemsize, own)
        g, size = (self._gradient, None, self._sizes), self._gradient.itemsize
        own = {"out": (np.empty((1, 0)), None, 1, self._parts), "coefficients": self._coefficients(stages.gradient)}
        kernel, own = join(reductions.norms, stages.gradient), own | {"p": g, "g": g}
        return self._table(measure_many, kernel, self._parts, reductions.NORM_BLOCK, size, own)

    @cached_property
    def _trust(self) -> Table:
        vectors = list(self._vectors().values())[: 1 + len(self._owner.slots)]  # without the average of p
        own = {"out": (np.empty((2, 0)), None, 2, self._parts), "coefficients": self._coefficients(self._owner.rule)}
        own |= {"p": vectors[0], "g": (self._gradient, None, self._sizes)} | dict(enumerate(vectors[1:]))
        moved = (1 + len(vectors)) * self._real.itemsize
        return self._table(measure_many, self._update.trust, self._parts, reductions.NORM_BLOCK, moved, own)

    @cached_property
    def _step(self) -> Table:
        owner, vectors = self._owner, self._vectors()
        moved = 2 * sum(each.itemsize for each, *_ in vectors.values()) + self._gradient.itemsize
        if self._is_own and not owner.by_blocks:
            return self._table(
                update_many, self._update.formula, self._sizes, 1, moved, vectors, self._given(owner.rule)
            )
        p, *slots = vectors.values()
        low, *slots = slots if owner.master_weights else ((None,), *slots)
        own = self._chance(None, [array.number for array in self._arrays]) | {
            "coefficients": self._coefficients(owner.rule),
            "norms": (np.empty((QUANTITIES, 0)), None, QUANTITIES, self._blocks) if owner.track_norms else (None,),
            "cleared": (self._gradient, None, self._sizes) if owner.zero_grads else (None,),
            "p": p,
            "low": low,
            "g": (self._gradient, None, self._sizes),
        }
        own |= dict(enumerate(slots))
        return self._table(update_many, self._update.blocks, self._blocks, CODE_BLOCK, moved, own)

    @cached_property
    def _sums(self) -> list[Table]:
        """The tables that overwrite totals by gradients, and that add them."""
        return [self._sum(rule) for rule in (stages.start_accumulation, stages.accumulate)]

    def _sum(self, rule: Any) -> Table:
        total = self._real, None, self._sizes
        moved = 2 * self._real.itemsize + self._gradient.itemsize
        if self._is_own:
            given = self._given(rule)
            return self._table(update_many, join(update, rule), self._sizes, 1, moved, {"total": total}, given)
        own = self._chance(0, 0) | {
            "coefficients": self._coefficients(rule),
            "norms": (None,),
            "cleared": (None,),
            "total": total,
            "low": (None,),
            "g": (self._gradient, None, self._sizes),
        }
        return self._table(update_many, join(update_blocks, rule), self._blocks, CODE_BLOCK, moved, own)

    def _chance(self, steps: Any, number: Any) -> dict[str, tuple[Any, ...]]:
        """Return the columns of the arguments that make random numbers."""
        seed = int(self._update.key.view(np.int64))
        return {"seed": (self._update.key, seed), "steps": (0, steps), "number": (0, number), "first": (0, 0)}

    # --- What they do

    def measure(self, rows: Rows, g: NDArray[np.intp], scale: Scale, out: NDArray[np.intp]) -> None:
        """Write the norms of the blocks of scaled gradients to the addresses `out`; those in 16 bits are not scaled."""
        if not self.floats:
            self._norms.walk(rows, out=out, g=g)
            return
        coefficients = self._scaled(scale)
        self._norms.walk(rows, out=out, coefficients=_of_rows(coefficients), p=g, g=g)

    def coefficients(self, rows: Rows, scale: Scale, steps: int | None) -> NDArray[Any]:
        """Return the coefficients of a step: a matrix with a row for each array, or one for all."""
        vector, one = self._update.coefficients.vector, 1.0 if isinstance(scale, np.ndarray) else scale
        if steps is not None:
            found = vector(steps, one)[None]
        else:
            counts = self._counts(rows)
            different, places = np.unique(counts, return_inverse=True)
            found = np.stack([vector(t, one, reuse=False) for t in different.tolist()])[places]
        if isinstance(scale, np.ndarray):
            return _with(found, 0, -scale if self._owner.maximize else scale)
        return found

    def _counts(self, rows: Rows) -> list[int]:
        return [array.steps for array in (self._arrays if rows is None else [self._arrays[k] for k in rows])]

    def step(
        self,
        rows: Rows,
        g: NDArray[np.intp],
        coefficients: NDArray[Any],
        steps: int | None,
        norms: NDArray[np.intp] | None,
    ) -> None:
        """Step by gradients and coefficients; write the norms of blocks to the addresses `norms`, if tracked."""
        if self._update.trust is not None and not self._owner.estimates:
            coefficients = self._trusted(rows, g, coefficients)
        words: dict[str, Any] = {"coefficients": _of_rows(coefficients), "g": g}
        if self._owner.by_blocks or not self._is_own:
            words |= {"steps": self._counts(rows) if steps is None else steps}
            words |= {"norms": norms} if self._owner.track_norms else {}
            words |= {"cleared": g} if self._owner.zero_grads else {}
        self._step.walk(rows, **words)

    def _measured(
        self, rows: Rows, g: NDArray[np.intp], coefficients: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return what the kernel `trust` writes: both quantities of each array in blocks, and where those begin."""
        starts = starts_of(np.repeat(self._parts if rows is None else self._parts[rows], 2))
        out = np.empty(starts[-1])
        self._trust.walk(rows, out=address(out) + 8 * starts[:-1:2], coefficients=_of_rows(coefficients), g=g)
        return out, starts

    def sums(self, rows: Rows, g: NDArray[np.intp], coefficients: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums of the blocks of all arrays, a row for each of both quantities."""
        out, starts = self._measured(rows, g, coefficients)
        is_second = np.repeat(np.arange(starts.size - 1) % 2, np.diff(starts)) == 1
        return np.stack([out[~is_second], out[is_second]])

    def _trusted(self, rows: Rows, g: NDArray[np.intp], coefficients: NDArray[Any]) -> NDArray[Any]:
        """Return the coefficients with the rule's `lr` multiplied by the trust ratio of each array."""
        both = combined_each(*self._measured(rows, g, coefficients)).tolist()
        sizes = (self._sizes if rows is None else self._sizes[rows]).tolist()
        ratios = list(map(self._owner.trust, both[::2], both[1::2], sizes))
        place, largest = self._update.place_of_lr, np.finfo(self._real.dtype).max
        with np.errstate(over="ignore", invalid="ignore"):
            lr = coefficients[:, place].astype(np.float64) * np.array(ratios)
            return _with(coefficients, place, np.where(np.abs(lr) <= largest, lr, lr * inf))

    def accumulate(
        self, rows: Rows, g: NDArray[np.intp], scale: float, totals: NDArray[np.intp], begun: set[int]
    ) -> None:
        """Add scaled gradients to totals at these addresses; overwrite those of arrays whose numbers have not begun."""
        rows = np.arange(self._sizes.size) if rows is None else rows
        has = np.array([self._arrays[k].number in begun for k in rows.tolist()])
        for table, some in zip(self._sums, (~has, has), strict=True):
            if some.any():
                coefficients = self._scaled(scale)
                table.walk(rows[some], coefficients=_of_rows(coefficients), g=g[some], total=totals[some])

    def _scaled(self, scale: Scale) -> NDArray[Any]:
        """Return the coefficients of a measurement or a sum: a matrix with a row for each array, or one for all."""
        if isinstance(scale, np.ndarray):
            return _with(self._update.scaled(1.0)[None], 0, scale)
        return self._update.scaled(scale)[None]


def _with(matrix: NDArray[Any], column: int, values: NDArray[np.float64]) -> NDArray[Any]:
    """Return a matrix with a row for each of some values, which stand in one column."""
    found = np.repeat(matrix, len(values) if len(matrix) == 1 else 1, 0)
    with np.errstate(over="ignore"):
        found[:, column] = values
    return found


def _of_rows(matrix: NDArray[Any]) -> Any:
    """Return the address of each row of a matrix; of the only one if there is one."""
    first = address(matrix)
    return first if len(matrix) == 1 else first + np.arange(len(matrix)) * matrix.strides[0]


def combined_each(parts: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the norm of the norms parts[starts[k] : starts[k + 1]], for each k."""
    out = np.empty(starts.size - 1)
    join(reductions.combine_each)(out.size, out, parts, starts)
    return out
