"""Many arrays stepped in one kernel call, as Python takes as long for each array as a kernel for 10,000 elements."""

import numpy as np

from ..checks import address
from ..kernels.array_layout import KNOWN
from ..kernels.compiler import join
from ..kernels.loops.array_lists import match, update_many

FEWEST = 8  # arrays: fewer are stepped one by one


class ArrayList:
    """The arrays of an optimizer, by the addresses of their memory.

    Gradients are looked at again in each step, where they are and what they are, so that nothing is kept of them.
    """

    def __init__(self, arrays):
        self._keys, arrays = list(arrays), list(arrays.values())
        self._ordered = self._keys == list(range(len(arrays)))
        self._likes = _objects([array.p.reshape(array.shape) for array in arrays])
        starts, self._sizes = np.array([[address(array.p), array.p.nbytes] for array in arrays]).T
        order = np.argsort(starts)
        self._begins, self._ends = starts[order], (starts + self._sizes)[order]
        self._apart = None  # the addresses that were last found to lie apart from the parameters
        places = {}
        for k, array in enumerate(arrays):
            places.setdefault(array.update, []).append(k)
        self._parts = [Part(update, [arrays[k] for k in at], np.array(at)) for update, at in places.items()]

    @classmethod
    def of(cls, arrays):
        """Return that of some arrays, by key, or None where they are few, or not stored as they are computed with."""
        return cls(arrays) if KNOWN and len(arrays) >= FEWEST and all(map(_is_plain, arrays.values())) else None

    def find(self, grads):
        """Return (array objects, the addresses of their elements) of gradients that match, 0 where there is none.

        None where they are to be looked at more closely. The addresses hold as long as the objects are kept.
        """
        if type(grads) is dict and list(grads) == self._keys:
            grads = grads.values()
        elif type(grads) not in (list, tuple) or not self._ordered or len(grads) != len(self._keys):
            return None
        objects, found = _objects(grads), np.empty(len(self._keys), np.intp)
        join(match)(found.size, found, address(objects), address(self._likes), id(None))
        if not np.array_equal(found, self._apart):
            last = np.searchsorted(self._begins, found + self._sizes) - 1  # that begins before the gradient's end
            if found.min() < 0 or np.any((last >= 0) & (self._ends[last] > found)):
                return None
            self._apart = found
        return objects, found

    def calls(self, found, grad_scale, steps):
        """Return the kernel calls of a step; `steps` is how many all arrays took before, None where they differ."""
        several = len(self._parts) > 1
        calls = [part.call(found[part.places] if several else found, grad_scale, steps) for part in self._parts]
        return [call for call in calls if call is not None]


class Part:
    """The arrays that step alike: those with one `Update`."""

    def __init__(self, update, arrays, places):
        self.update, self.arrays, self.places = update, arrays, places
        self.kernel = join(update_many)
        places = [[address(each) for each in (array.p, *array.slots)] for array in arrays]
        self._places = np.array(places, np.intp).T.copy()  # a row each for the parameters and every slot
        self._step = update.unbound(len(self._places) - 1)
        self._sizes = np.array([array.size for array in arrays])
        self._starts, self._rows = _starts(self._sizes), np.zeros(len(arrays), np.intp)

    def call(self, g, grad_scale, steps):
        """Return (part, arguments of its kernel, the arrays that step); None where no array has a gradient."""
        arrays, places, starts, rows = self.arrays, self._places, self._starts, self._rows
        if not g.all():
            given = np.flatnonzero(g)
            if not given.size:
                return None
            g, places = g[given], places[:, given].copy()
            arrays, starts, rows = [arrays[k] for k in given], _starts(self._sizes[given]), rows[given]
        if steps is not None:
            coefficients = self.update.coefficients.vector(steps, grad_scale)[None]
        else:
            different, rows = np.unique([array.steps for array in arrays], return_inverse=True)
            vector = self.update.coefficients.vector
            coefficients = np.stack([vector(t, grad_scale, reuse=False) for t in different.tolist()])
        return self, (int(starts[-1]), starts, coefficients, rows, g, places, self._step), arrays


def _is_plain(array):
    return all(type(each) is np.ndarray and each.dtype == array.update.dtype for each in (array.p, *array.slots))


def _objects(arrays):
    return np.fromiter(arrays, object, len(arrays))


def _starts(sizes):
    return np.concatenate(([0], np.cumsum(sizes)))
