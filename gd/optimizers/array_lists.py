"""ArrayList: steps many arrays in one kernel call, as Python needs per array the time of 10,000 elements."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import address
from ..kernels.array_layout import KNOWN
from ..kernels.compiler import join
from ..kernels.loops.array_lists import apart, match
from ..kernels.loops.reductions import NORM_BLOCK
from ..kernels.settings import INTERPRETED
from ..kernels.storage import CODE_BLOCK
from ..parameters import ParameterArray, Structure
from .gradients import Gradients, Pairs, Scales, limits_of
from .parts import Part, combined_each
from .tables import starts_of
from .update import QUANTITIES, Update

FEWEST = 8  # fewer arrays are stepped one by one


class ArrayList:
    """The arrays of an optimizer, by the addresses of their memory.

    Each step reads the headers of the gradients again, so the list keeps no reference to them.

    Parameters
    ----------
    structure : Structure
    written : bool
        Whether gradients are set to 0 by a step.
    dtype : dtype, optional
        Of the gradients; by default that of each array.
    """

    arrays: list[ParameterArray]
    parts: list[tuple[NDArray[np.intp], Part]]  # with the places of their arrays
    sizes: NDArray[np.intp]  # of all arrays, in elements

    def __init__(self, structure: Structure, written: bool, dtype: Any = None) -> None:
        self.keys, self.arrays, self._written = list(structure.arrays), list(structure.arrays.values()), written
        self._leaves = structure.leaves
        self._ordered = structure.is_nested or self.keys == list(range(len(self.arrays)))
        self._params = _objects([array.given for array in self.arrays])
        self._likes = self._params if dtype is None else _objects([_like(each, dtype) for each in self._params])
        self._at_params, self._at_likes = address(self._params), address(self._likes)
        starts, lengths = np.array([[address(array.p), array.p.nbytes] for array in self.arrays]).T
        self.sizes = np.array([array.size for array in self.arrays])
        self._bytes = self.sizes * np.array([like.itemsize for like in self._likes])
        order = np.argsort(starts)
        order = order[lengths[order] > 0]
        self._begins, self._ends = starts[order], (starts + lengths)[order]
        self._totals: Mapping[int, NDArray[Any]] | None = None
        # Addresses that the last check found apart from the parameters, and the places of those that are not of None
        self._looked_at: tuple[Any, NDArray[np.intp] | None] = (None, None)
        places: dict[Update, list[int]] = {}
        for k, array in enumerate(self.arrays):
            places.setdefault(array.update, []).append(k)
        self.parts = [
            (np.array(at), Part(update, [self.arrays[k] for k in at], self._likes[at[0]].dtype))
            for update, at in places.items()
        ]

    @property
    def limits(self) -> NDArray[np.float64]:
        """The clip_norm_each of each array, infinity for None."""
        varies = any(part.is_limited_by_schedule for _, part in self.parts)
        return limits_of(self.arrays) if varies else self._limits

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        return limits_of(self.arrays)

    @cached_property
    def blocks(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """How many blocks each array has whose norms are measured, and where those of each begin."""
        blocks = _blocks(self.sizes, self.parts[0][1].floats)
        return blocks, starts_of(blocks)

    @classmethod
    def of(cls, structure: Structure, written: bool, dtype: Any = None) -> Self | None:
        """Return the list of the arrays of a structure; None if they are few."""
        given = structure.arrays.values()
        several = KNOWN and not INTERPRETED and len(given) >= FEWEST and any(array.size for array in given)
        several = several and not any(array.update.by_shape for array in given)
        plain = several and all(type(each) is np.ndarray for array in given for each in (array.p, *array.slots))
        if dtype is not None and len({array.dtype for array in given}) > 1:
            return None
        return cls(structure, written, dtype) if plain else None

    def find(self, grads: Any, written: bool) -> "Many | None":
        """Return the gradients if they match; None if they need a closer look. With `written` they will be set to 0."""
        grads = self._leaves(grads)
        if type(grads) is dict and list(grads) == self.keys:
            grads = grads.values()
        elif type(grads) not in (list, tuple) or not self._ordered or len(grads) != len(self.keys):
            return None
        written &= self._written
        objects, found = _objects(grads), np.empty(len(self.keys), np.intp)
        if self._likes is not self._params:  # they tell no longer whether parameters are writeable
            join(match)(found.size, found, self._at_params, self._at_params, id(None), True)
            if found.min() < 0:
                return None
        join(match)(found.size, found, address(objects), self._at_likes, id(None), written)
        return self.at(found, objects, written)

    def at(self, found: NDArray[np.intp], objects: Any, written: bool = False) -> "Many | None":
        """Return the gradients at addresses, 0 for None, that match; None unless all lie apart from the parameters.

        `objects` hold their memory.
        """
        marks = found.tobytes(), written
        if marks != self._looked_at[0]:
            order = np.argsort(found) if written else np.empty(0, np.intp)
            are_apart = np.zeros(1, np.bool_)
            join(apart)(1, are_apart, found, self._bytes, self._begins, self._ends, order)
            if not are_apart[0]:
                return None
            self._looked_at = marks, None if found.all() else np.flatnonzero(found)
        return Many(self, objects, found, self._looked_at[1])

    def addresses_of(self, totals: Mapping[int, NDArray[Any]]) -> NDArray[np.intp]:
        """Return the addresses of totals, given by the numbers of the arrays; they are looked up once."""
        if self._totals is not totals:
            self._totals, self._at_totals = totals, np.array([address(totals[array.number]) for array in self.arrays])
        return self._at_totals


class Many(Gradients):
    """Gradients of an `ArrayList`, by the addresses of their memory; `given` are the places of those not None."""

    def __init__(
        self, owner: ArrayList, objects: NDArray[Any], found: NDArray[np.intp], given: NDArray[np.intp] | None
    ) -> None:
        self._list, self._given, self._last = owner, given, None
        self._objects = objects  # the reference keeps them until the kernels have run
        self._some: list[tuple[Any, Part, Any, NDArray[np.intp]]]  # (places here, part, rows of it, addresses)
        if given is None:
            self.arrays, self._sizes, whole = owner.arrays, owner.sizes, len(owner.parts) == 1
            self._some = [(slice(None) if whole else at, part, None, found[at]) for at, part in owner.parts]
            return
        self._objects, self.arrays, self._sizes = objects[given], [owner.arrays[k] for k in given], owner.sizes[given]
        having = [(at, part, np.flatnonzero(found[at])) for at, part in owner.parts]
        having = [(at[rows], part, rows) for at, part, rows in having if rows.size]
        self._some = [(np.searchsorted(given, at), part, rows, found[at]) for at, part, rows in having]

    def _measured(self, scales: Scales) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the norms of the blocks of all scaled gradients, and where those of each gradient begin."""
        if self._last is not None and self._last[0] is scales:
            return self._last[1:]
        if self._given is None:
            blocks, starts = self._list.blocks
        else:
            blocks = _blocks(self._sizes, self._some[0][1].floats)
            starts = starts_of(blocks)
        out = np.empty(starts[-1])
        places = address(out) + 8 * starts[:-1]
        for at, part, rows, g in self._some:
            part.measure(rows, g, _of(scales, at), places[at])
        if not self._some[0][1].floats:
            out = self.arrays[0].update.limited(
                out, np.repeat(scales, blocks) if isinstance(scales, np.ndarray) else scales
            )
        self._last = scales, out, starts
        return out, starts

    def block_norms(self, scales: Scales) -> NDArray[np.float64]:
        return self._measured(scales)[0].reshape(1, -1)

    def norms(self, scales: Scales) -> NDArray[np.float64]:
        return combined_each(*self._measured(scales))

    def limits(self) -> NDArray[np.float64]:
        return self._list.limits if self._given is None else self._list.limits[self._given]

    def only(self, k: int) -> Pairs:
        return Pairs([(self.arrays[k], self.arrays[k].flat(self._objects[k]))])

    def are_finite(self, scales: Scales) -> bool:
        suspects = np.flatnonzero(~np.isfinite(self.norms(scales))).tolist()
        each = scales.tolist() if isinstance(scales, np.ndarray) else [scales] * len(self.arrays)
        return all(self.only(k).are_finite(each[k]) for k in suspects)

    def prepare(self, scales: Scales, steps: int | None) -> None:
        self._steps = steps
        self._prepared = [
            (at, part, rows, g, part.coefficients(rows, _of(scales, at), steps)) for at, part, rows, g in self._some
        ]

    def sums(self) -> NDArray[np.float64]:
        return np.concatenate([part.sums(rows, g, vectors) for _, part, rows, g, vectors in self._prepared], axis=1)

    def step(self) -> NDArray[np.float64] | None:
        tracked, parts = self.arrays[0].update.owner.track_norms, None
        if tracked:
            blocks = -(-self._sizes // CODE_BLOCK)
            starts = starts_of(blocks)
            parts = np.empty(QUANTITIES * starts[-1])  # the quantities of an array lie together
            places = address(parts) + 8 * QUANTITIES * starts[:-1]
        for at, part, rows, g, coefficients in self._prepared:
            part.step(rows, g, coefficients, self._steps, places[at] if tracked else None)
        if self._steps is None:
            for array in self.arrays:
                array.steps += 1
        if parts is None:
            return None
        first, count = np.repeat(starts[:-1], blocks), np.repeat(blocks, blocks)
        at_first = (QUANTITIES - 1) * first + np.arange(starts[-1])
        return parts[at_first + np.arange(QUANTITIES)[:, None] * count]

    def accumulate(self, grad_scale: float, totals: Mapping[int, NDArray[Any]], begun: set[int]) -> None:
        places = self._list.addresses_of(totals)
        places = places if self._given is None else places[self._given]
        for at, part, rows, g in self._some:
            part.accumulate(rows, g, grad_scale, places[at], begun)
        begun.update(array.number for array in self.arrays)

    def originals(self) -> list[NDArray[Any]]:
        return list(self._objects)


def _of(scales: Scales, at: Any) -> float | NDArray[np.float64]:
    """Return the scales of the gradients at some places."""
    return scales[at] if isinstance(scales, np.ndarray) else scales


def _blocks(sizes: NDArray[np.intp], floats: bool) -> NDArray[np.intp]:
    """Return how many blocks each array has whose norms are measured."""
    return -(-sizes // (NORM_BLOCK if floats else CODE_BLOCK))


def _like(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return an array of the shape and order of another, of a dtype, that has no memory."""
    strides = [stride // array.itemsize * np.dtype(dtype).itemsize for stride in array.strides]
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), array.shape, strides)


def _objects(arrays: Collection[Any]) -> NDArray[Any]:
    return np.fromiter(arrays, object, len(arrays))
