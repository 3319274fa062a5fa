"""ArrayList: steps many arrays in one kernel call, as Python needs per array the time of 10,000 elements."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import address
from ..kernels.array_layout import KNOWN
from ..kernels.compiler import join
from ..kernels.loops.array_lists import match, update_many
from ..kernels.settings import INTERPRETED
from ..parameters import ParameterArray
from .update import Update

FEWEST = 8  # fewer arrays are stepped one by one


class ArrayList:
    """The arrays of an optimizer, by the addresses of their memory.

    Each step reads the headers of the gradients again, so the list keeps no reference to them.
    """

    def __init__(self, by_key: Mapping[Any, ParameterArray]) -> None:
        self._keys, arrays = list(by_key), list(by_key.values())
        self._ordered = self._keys == list(range(len(arrays)))
        self._likes = _objects([array.given for array in arrays])
        starts, self._sizes = np.array([[address(array.p), array.p.nbytes] for array in arrays]).T
        order = np.argsort(starts)
        order = order[self._sizes[order] > 0]
        self._begins, self._ends = starts[order], (starts + self._sizes)[order]
        self._apart: NDArray[Any] | None = None  # addresses that the last check found apart from the parameters
        places: dict[Update, list[int]] = {}
        for k, array in enumerate(arrays):
            places.setdefault(array.update, []).append(k)
        self._parts = [Part(update, [arrays[k] for k in at], np.array(at)) for update, at in places.items()]

    @classmethod
    def of(cls, arrays: Mapping[Any, ParameterArray]) -> Self | None:
        """Return the list of some arrays, by key; None if they are few, or stored in another dtype than computed in."""
        given = arrays.values()
        readable = KNOWN and not INTERPRETED  # by address
        several = len(arrays) >= FEWEST and any(array.size for array in given)
        return cls(arrays) if readable and several and all(map(_is_plain, given)) else None

    def find(self, grads: Any) -> tuple[NDArray[Any], NDArray[np.intp]] | None:
        """Return (array objects, addresses of their elements) of gradients that match, with address 0 for None.

        Return None if they need a closer look. The addresses are valid as long as the objects are kept.
        """
        if type(grads) is dict and list(grads) == self._keys:
            grads = grads.values()
        elif type(grads) not in (list, tuple) or not self._ordered or len(grads) != len(self._keys):
            return None
        objects, found = _objects(grads), np.empty(len(self._keys), np.intp)
        join(match)(found.size, found, address(objects), address(self._likes), id(None))
        if self._apart is None or not np.array_equal(found, self._apart):
            last = np.searchsorted(self._begins, found + self._sizes) - 1  # array that begins before the gradient ends
            if found.min() < 0 or np.any((last >= 0) & (self._ends[last] > found)):
                return None
            self._apart = found
        return objects, found

    def calls(self, found: NDArray[np.intp], grad_scale: float, steps: int | None) -> "list[Call]":
        """Return the kernel calls of a step; `steps` is how many steps all arrays took before, None if they differ."""
        several = len(self._parts) > 1
        calls = [part.call(found[part.places] if several else found, grad_scale, steps) for part in self._parts]
        return [call for call in calls if call is not None]


class Part:
    """The arrays that share one `Update`: one kernel call steps them."""

    update: Update
    arrays: Sequence[ParameterArray]
    places: NDArray[Any]  # indices of the arrays in the list
    kernel: Callable[..., Any]

    def __init__(self, update: Update, arrays: Sequence[ParameterArray], places: NDArray[Any]) -> None:
        self.update, self.arrays, self.places = update, arrays, places
        self.kernel = join(update_many)
        addresses = [[address(each) for each in (array.p, *array.slots)] for array in arrays]
        self._places = np.array(addresses, np.intp).T.copy()  # a row each for the parameters and every slot
        self._step = update.unbound(len(self._places) - 1)
        self._sizes = np.array([array.size for array in arrays])
        self._starts, self._rows = _starts(self._sizes), np.zeros(len(arrays), np.intp)

    def call(self, g: NDArray[np.intp], grad_scale: float, steps: int | None) -> "Call | None":
        """Return (part, arguments of its kernel, the arrays that step); None if no array has a gradient."""
        arrays, places, starts, rows = self.arrays, self._places, self._starts, self._rows
        if not g.all():
            given = np.flatnonzero(g)
            if not given.size:
                return None
            g, places = g[given], places[:, given].copy()
            arrays, starts, rows = [arrays[k] for k in given.tolist()], _starts(self._sizes[given]), rows[given]
        if steps is not None:
            coefficients = self.update.coefficients.vector(steps, grad_scale)[None]
        else:
            different, rows = np.unique([array.steps for array in arrays], return_inverse=True)
            vector = self.update.coefficients.vector
            coefficients = np.stack([vector(t, grad_scale, reuse=False) for t in different.tolist()])
        return self, (int(starts[-1]), starts, coefficients, rows, g, places, self._step), arrays


Call = tuple[Part, tuple[Any, ...], Sequence[ParameterArray]]


def _is_plain(array: ParameterArray) -> bool:
    return all(type(each) is np.ndarray and each.dtype == array.update.dtype for each in (array.p, *array.slots))


def _objects(arrays: Collection[Any]) -> NDArray[Any]:
    return np.fromiter(arrays, object, len(arrays))


def _starts(sizes: NDArray[Any]) -> NDArray[np.intp]:
    return np.concatenate(([0], np.cumsum(sizes)))
