"""Steps: the ways to step an optimizer: array by array, all in one call, rows of one array, inside a compiled loop.

Each way checks all arguments first, then computes all coefficients, as a schedule may raise, and only then runs
kernels, while signals wait; `_count` notes what was done. `Optimizer.step` has a shorter way, for one array.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    REAL,
    aligned_empty,
    aligned_full,
    check_apart_from,
    check_array,
    check_indices,
    check_number,
    lent,
)
from ..kernels.compiler import join
from ..kernels.interruption import Interruption
from ..kernels.loops.some_rows import sum_rows
from ..kernels.storage import CODE_BLOCK
from ..parameters import ParameterArray, ParameterVector, Structure, filled
from .array_lists import ArrayList
from .gradients import Gradients, Pairs, Scales
from .hyperparameters import scheduled
from .small_steps import SmallSteps
from .state import State
from .storage import GRAD_DTYPES, widened
from .together import Together
from .update import grouped

if TYPE_CHECKING:
    from .base import Optimizer

SMALLER = 2.0**-64  # makes the norm of any finite gradient finite


class Norms(NamedTuple):
    """Euclidean norms of a step, over all arrays."""

    gradient: float
    update: float
    parameters: float


class Steps:
    """The steps of an optimizer.

    Attributes
    ----------
    together : Together
        Replaced where arrays are shards, so that norms are those of all shards.
    looks_first : bool
        True if a step needs norms of the gradients before it.
    """

    def __init__(self, owner: "Optimizer", structure: Structure, state: State) -> None:
        self._owner, self._state, self._together = owner, state, Together()
        self._clips_each = any(each.clip_norm_each is not None for each in (owner, *owner.groups))
        limits = {"clip_norm", "clip_norm_each"}
        self._limited = [each for each in (owner, *owner.groups) if limits & each._schedules.keys()]
        self.looks_first = owner.skip_nonfinite or owner.clip_norm is not None or self._clips_each
        self._sums: Any = None  # accumulated gradients, in the structure of params
        self._totals: dict[int, NDArray[Any]] = {}  # the same as vectors, by the numbers of their arrays
        self._summed: set[int] = set()  # numbers of the arrays that have one
        self.use(structure)

    @property
    def together(self) -> Together:
        """Combines the norms and conditions of all arrays."""
        return self._together

    @together.setter
    def together(self, value: Together) -> None:
        self._together = value
        self._choose()

    def use(self, structure: Structure) -> None:
        """Step the arrays of a structure, which have their state."""
        owner, folder, self._structure = self._owner, self._state.folder, structure
        dtypes = [GRAD_DTYPES[owner.grad_dtype], None] if owner.grad_dtype else [None]
        lists = (ArrayList.of(structure, owner.zero_grads, dtype) for dtype in dtypes)
        self._lists = [] if folder or structure.vector else [each for each in lists if each is not None]
        self._small = None if folder else SmallSteps.of(owner, structure)
        self._choose()

    def _choose(self) -> None:
        """Set the shorter ways of `Optimizer.step`, which take steps that are nothing but kernel calls."""
        owner, structure = self._owner, self._structure
        detour = self._summed or owner.scalars or owner.track_norms or self._state.folder or self._state.is_averaged
        detour = detour or owner.walk or owner.grad_dtype
        owner._alone = structure.arrays[None] if structure.is_one and not (detour or self.looks_first) else None
        # Norms include those of other processes, or limits are schedules
        elsewhere = self.looks_first and (type(self._together) is not Together or bool(self._limited))
        owner._small = None if detour or elsewhere or owner.by_blocks else self._small

    def take(self, where: str, grads: Any, grad_scale: float) -> bool:
        """Step by gradients and the accumulated ones; return True if anything was stepped."""
        owner = self._owner
        if grads is not None and not self._summed:
            return self._by(where, grads, grad_scale)
        if grads is not None:
            for each in (owner, *owner.groups):
                scheduled(each)  # a schedule that raises must do so before anything is added
        elif not self._summed:
            raise TypeError(f"{where}: grads must be a NumPy array, or several like params, as nothing was accumulated")
        with Interruption():
            read = []
            if grads is not None:
                given = self._gradients(where, grads)
                read = given.originals() if owner.zero_grads else []
                self._add(given, 1.0)
            applied = self._by(where, self._accumulated(), grad_scale)
            for g in read if applied else ():
                g[...] = 0
            self._summed.clear()
            self._choose()
        return applied

    def _gradients(self, where: str, grads: Any, whole: bool = False, clears: bool = True) -> Gradients:
        """Return gradients, each with its array, if they match, else raise; `whole` and `clears` as in `Structure`."""
        for each in self._lists:
            if (found := each.find(grads, clears)) is not None:
                return found
        return Pairs(self._structure.pairs(where, grads, whole, clears=clears))

    def _by(self, where: str, grads: Any, grad_scale: float) -> bool:
        """Step by gradients: all at once, or array by array."""
        given = self._gradients(where, grads, self.whole is not None)
        if not given.arrays or (scales := self.looked_at(given, grad_scale)) is None:
            return False
        owner, state, structure = self._owner, self._state, self._structure
        if given.arrays[0] is not structure.vector and len(given.arrays) < len(structure.arrays):
            state.count_apart()
        state.check()
        given.prepare(scales, None if state.ragged else owner.steps)
        if owner.estimates:
            owner.estimate(self.together.sum(given.sums()))
            given.prepare(scales, None if state.ragged else owner.steps)
        with Interruption(), state.change():
            norms = given.step()
            self._note_norms(norms, given, scales)
            self._count(given.arrays, counted=True)
        return True

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse steps within a block, where the parameters hold averages."""
        state = self._state
        state.check_own()
        try:
            state.is_averaged = True
            self._choose()
            yield
        finally:
            state.is_averaged = False
            self._choose()

    # --- Rows of one array

    def rows(self, where: str, key: Any, rows: Any, grad_rows: Any, grad_scale: float) -> bool:
        """Step some rows of one matrix by their gradients: see `Optimizer.step_rows`."""
        owner = self._owner
        if owner.by_blocks:
            given = "state_dtype, param_dtype, zero_grads or track_norms"
            raise TypeError(f"{where}: rows cannot be stepped where {given} is given")
        grad_scale = check_number(where, "grad_scale", grad_scale, REAL)
        if not owner.elementwise:
            raise TypeError(f"{where}: {owner._name} steps whole arrays, it cannot step single rows")
        arrays = self._structure.arrays
        if not isinstance(key, Hashable) or key not in arrays:
            raise KeyError(f"{where}: key must be one of {', '.join(map(repr, arrays))}, got {key!r}")
        array = arrays[key]
        if len(array.shape) != 2:
            raise ValueError(f"{where}: {array.label} must be a matrix, it has shape {array.shape}")
        rows = check_indices(where, "rows", rows, array.shape[0], least=0)
        array.check_writeable(where)
        if not rows.size:  # a batch without any of the rows is a step all the same
            if np.shape(grad_rows) != (0, array.shape[1]):
                raise ValueError(f"{where}: grad_rows must have shape (0, {array.shape[1]}), got {np.shape(grad_rows)}")
            none = np.empty((0, array.shape[1]), array.dtype)
            return self._rows(array, rows, rows, np.zeros(1, np.intp), none, grad_scale)
        grad_rows = lent(where, "grad_rows", grad_rows)
        dtype = next((each for each in array.dtypes if each == getattr(grad_rows, "dtype", None)), array.dtype)
        own = {"dtype": (array.label, dtype), "shape": ("rows and columns", (rows.size, array.shape[1]))}
        grad_rows = check_array(where, "grad_rows", grad_rows, **own, any_layout=True)
        grad_rows = np.ascontiguousarray(widened(grad_rows, array.dtype))
        check_apart_from(where, [("grad_rows", grad_rows)], [(each.label, each.p) for each in arrays.values()])
        found, order, starts = grouped(rows, array.shape[0])
        if self.looks_first or array.order is not None:  # each needs the sums, the first in the order of the matrix
            groups = np.argsort(found)
            summed = aligned_empty(found.size * array.shape[1], array.dtype).reshape(found.size, array.shape[1])
            join(sum_rows)(found.size, summed, grad_rows, order, starts, groups)
            found, grad_rows, order, starts = found[groups], summed, np.arange(found.size), np.arange(found.size + 1)
        return self._rows(array, found, order, starts, grad_rows, grad_scale)

    def _rows(
        self,
        array: ParameterArray,
        found: NDArray[np.intp],
        order: NDArray[np.intp],
        starts: NDArray[np.intp],
        g: NDArray[Any],
        grad_scale: float,
    ) -> bool:
        if (scales := self.looked_at(Pairs([(array, g.reshape(-1))]), grad_scale)) is None:
            return False
        state = self._state
        if len(self._structure.arrays) > 1:
            state.count_apart()
        state.check()
        scale = scales.item(0) if isinstance(scales, np.ndarray) else scales
        vector = array.update.coefficients.vector(array.steps if state.ragged else self._owner.steps, scale)
        with Interruption(), state.change():
            array.update.step_rows(array, vector, found, order, starts, g)
            self._count([array], max(self._owner.steps, array.steps + 1) if state.ragged else None)
        return True

    def _count(self, arrays: Iterable[ParameterArray], steps: int | None = None, *, counted: bool = False) -> None:
        """Count a step of some arrays; `steps` is the optimizer's new count, by default one more.

        `counted` says that the arrays have their own counts already.
        """
        owner, state = self._owner, self._state
        if state.ragged and not counted:
            for array in arrays:
                array.steps += 1
        if owner.scalars:
            for each in (owner, *owner.groups) if owner.estimates else {array.update.owner for array in arrays}:
                each.stepped(each._lr_of_step)
        state.set_steps(owner.steps + 1 if steps is None else steps)

    # --- Inside a loop that computes the gradients

    @property
    def whole(self) -> ParameterArray | None:
        """The array of all parameters of a ParameterVector, as long as they step together."""
        owner, apart = self._owner, self._state.ragged
        apart = apart or owner.groups or not owner.elementwise or owner.by_blocks or self._clips_each
        return None if apart else self._structure.vector

    @property
    def is_possible(self) -> bool:
        """True if `step` and `run` can step: nothing needs the whole gradient first, and all arrays step together."""
        return self.whole is not None and not self.looks_first and not self._summed

    def step(self, loop: Callable[..., Any], pieces: Iterable[tuple[Any, ...]]) -> None:
        """Take a step by a loop that computes the gradient of a ParameterVector itself, piece by piece.

        `pieces` yields (size, *arguments) for each call of the kernel.
        """
        array = self.whole
        assert array is not None  # see `is_possible`
        array.check_writeable(self._owner._name)
        self._state.check()
        vector = array.update.coefficients.vector(self._owner.steps, 1.0)
        self._count([array])  # before the kernels: Ctrl-C during one acts when it has ended
        kernel, step = join(loop), array.update.bound(array)
        for size, *arguments in pieces:
            kernel(size, vector, step, *arguments, array.p, len(array.slots))

    def run(self, loop: Callable[..., Any], count: int, work: int, **given: Any) -> int:
        """Take up to `count` steps by an ordered loop that computes the gradients itself; return how many.

        `work` is the amount of work of a step. `given` are arguments of the loop by name; the optimizer adds its own:
        taken (which counts the steps), coefficients, p, slots and step.
        """
        owner, array = self._owner, self.whole
        assert array is not None  # see `is_possible`
        array.check_writeable(owner._name)
        before = {name: getattr(owner, name) for name in (*owner.scalars, *owner.derived)}
        steps, taken = owner.steps, np.zeros(1, np.intp)
        with Interruption():
            try:
                coefficients = self._ahead(array, count)
                step, slots = array.update.bound(array), len(array.slots)
                own = {"taken": taken, "coefficients": coefficients, "p": array.p, "slots": slots, "step": step}
                _, *arguments = loop.names(parts=None, **given, **own)
                join(loop)(count, work, *arguments)
            finally:
                if taken[0] < count:
                    self._state.set_steps(steps)
                    for name, value in before.items():
                        setattr(owner, name, value)
                    self._ahead(array, int(taken[0]))
        return int(taken[0])

    def _ahead(self, array: ParameterArray, count: int) -> NDArray[Any] | None:
        """Return the coefficients of the next steps, one row each, and count these steps."""
        self._state.check()
        owner, coefficients = self._owner, array.update.coefficients
        rows = coefficients.ahead(owner.steps, count)
        if rows is not None:
            self._state.set_steps(owner.steps + count)
            return rows
        for k in range(count):
            vector = coefficients.vector(owner.steps, 1.0)
            if rows is None:
                rows = np.empty((count, vector.size), array.dtype)
            if coefficients.is_settled(owner.steps, 1.0):
                rows[k:] = vector
                self._state.set_steps(owner.steps + count - k)
                break
            rows[k] = vector
            if owner.scalars:
                owner.stepped(owner._lr_of_step)
            self._state.set_steps(owner.steps + 1)
        return rows

    # --- Gradients of several batches

    @property
    def holds_gradients(self) -> bool:
        """True if accumulated gradients wait for a step."""
        return bool(self._summed)

    def accumulate(self, where: str, grads: Any, grad_scale: float) -> None:
        """Add gradients to those that the next step takes."""
        self._add(self._gradients(where, grads, clears=False), grad_scale)

    def _add(self, given: Gradients, grad_scale: float) -> None:
        structure, owner = self._structure, self._owner
        if self._sums is None:
            if structure.vector is not None:
                self._sums = owner.params.zeros_like()
            else:
                zeros = {key: aligned_full(each.size, each.real, 0.0) for key, each in structure.arrays.items()}
                self._sums = {key: structure.arrays[key].shaped(each) for key, each in zeros.items()}
            self._totals = {each.number: each.flat(self._sums[key]) for key, each in structure.arrays.items()}
        with Interruption():
            owner._alone = owner._small = None
            given.accumulate(grad_scale, self._totals, self._summed)

    def _accumulated(self) -> Any:
        """Return the accumulated gradients, in the structure of params."""
        arrays = self._structure.arrays
        if isinstance(self._sums, ParameterVector) and len(self._summed) == len(arrays):
            return self._sums
        found = (self._sums[key] if each.number in self._summed else None for key, each in arrays.items())
        return filled(self._owner.params, found)

    # --- Norms

    def looked_at(self, given: Gradients, grad_scale: float) -> Scales | None:
        """Return the scales of gradients that bring the norms within their limits, or None to skip the step."""
        if not self.looks_first:
            return grad_scale
        for each in self._limited:
            scheduled(each)  # as the coefficients, but those come after the norms
        owner, scales = self._owner, grad_scale
        norm = self._norm(given, scales)
        vars(owner)["grad_norm"] = norm
        if owner.skip_nonfinite and not isfinite(norm) and not self._are_finite(given, scales):
            return None
        if self._clips_each:
            limits, norms = given.limits(), given.norms(grad_scale)
            over = np.isfinite(limits) & ~(norms <= limits)
            with np.errstate(divide="ignore", invalid="ignore"):
                scales = np.where(over, grad_scale * (limits / norms), grad_scale)
            for k in np.flatnonzero(over & (norms == inf)).tolist():  # which may be above the largest float
                scales[k] = self._clipped(partial(given.only, k), grad_scale, limits.item(k), inf)
            norm = inf if owner.clip_norm is None else self._norm(given, scales)
        return self._clipped(lambda: given, scales, owner.clip_norm, norm)

    def _clipped(self, given: Callable[[], Gradients], scales: Any, limit: float | None, norm: float) -> Any:
        """Return the scales that bring the norm of all gradients together within a limit."""
        if limit is None or norm <= limit or limit == inf:
            return scales
        if norm == inf and self._are_finite(given(), scales):  # it is above the largest float
            scales = scales * SMALLER
            norm = self._norm(given(), scales)
        return scales * (limit / norm)

    def _norm(self, given: Gradients, scales: Scales) -> float:
        """Return the Euclidean norm of all gradients together, each times its |scale|."""
        return self.together.norm(given.block_norms(scales))[0]

    def _are_finite(self, given: Gradients, scales: Scales) -> bool:
        """Return True if all gradients are finite although their norm is not."""
        return self.together.is_true(given.are_finite(scales))

    def _note_norms(self, parts: NDArray[np.float64] | None, given: Gradients, scales: Scales) -> None:
        """Set the optimizer's `norms` from those of the blocks of all arrays."""
        if parts is not None:
            if isinstance(scales, np.ndarray) or scales != 1.0:
                factors: Any = scales
                if isinstance(scales, np.ndarray):
                    factors = np.repeat(scales, [-(-array.size // CODE_BLOCK) for array in given.arrays])
                with np.errstate(over="ignore", invalid="ignore"):
                    parts[0] *= np.abs(factors)
            vars(self._owner)["norms"] = Norms(*self.together.norm(parts))
