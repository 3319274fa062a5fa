"""Many arrays stepped in one kernel call, as Python takes as long for each array as a kernel for 10,000 elements."""

import numpy as np

from ..checks import address
from ..kernels.addresses import KNOWN
from ..kernels.compiler import join
from ..kernels.loops.array_lists import match, update_many

FEWEST = 8  # arrays: fewer are stepped one by one


class ArrayList:
    """The arrays of an optimizer, by the addresses of their memory.

    Gradients are looked at anew in each step, where they are and what they are, so that nothing is kept of them.
    """

    def __init__(self, blocks):
        self._keys, blocks = list(blocks), list(blocks.values())
        self._ordered = self._keys == list(range(len(blocks)))
        self._likes = _objects([block.p.reshape(block.shape) for block in blocks])
        starts, self._sizes = np.array([[address(block.p), block.p.nbytes] for block in blocks]).T
        order = np.argsort(starts)
        self._begins, self._ends = starts[order], (starts + self._sizes)[order]
        self._apart = None  # the addresses that were last found to lie apart from the parameters
        places = {}
        for k, block in enumerate(blocks):
            places.setdefault(block.kind, []).append(k)
        self._parts = [Part(kind, [blocks[k] for k in at], np.array(at)) for kind, at in places.items()]

    @classmethod
    def of(cls, optimizer, blocks):
        """Return that of an optimizer, or None where its arrays are stepped in other ways."""
        if not KNOWN or len(blocks) < FEWEST or optimizer._vector_block is not None or optimizer._folder is not None:
            return None
        detour = optimizer._looks_first or optimizer.by_blocks or optimizer.trust_norms is not None
        if detour or not all(map(_is_plain, blocks.values())):
            return None
        return cls(blocks)

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
    """The arrays of one kind."""

    def __init__(self, kind, blocks, places):
        self.kind, self.blocks, self.places = kind, blocks, places
        self.kernel = join(update_many)
        places = [[address(each) for each in (block.p, *block.slots)] for block in blocks]
        self._places = np.array(places, np.intp).T.copy()  # a row each for the parameters and every slot
        self._step = kind.rebound(kind.update, len(self._places) - 1)
        self._sizes = np.array([block.size for block in blocks])
        self._starts, self._rows = _starts(self._sizes), np.zeros(len(blocks), np.intp)

    def call(self, g, grad_scale, steps):
        """Return (part, arguments of its kernel, the blocks that step); None where no array has a gradient."""
        blocks, places, starts, rows = self.blocks, self._places, self._starts, self._rows
        if not g.all():
            given = np.flatnonzero(g)
            if not given.size:
                return None
            g, places = g[given], places[:, given].copy()
            blocks, starts, rows = [blocks[k] for k in given], _starts(self._sizes[given]), rows[given]
        if steps is not None:
            coefficients = self.kind.vector(steps, grad_scale, True)[None]
        else:
            different, rows = np.unique([block.steps for block in blocks], return_inverse=True)
            coefficients = np.stack([self.kind.vector(t, grad_scale, False) for t in different.tolist()])
        return self, (int(starts[-1]), starts, coefficients, rows, g, places, self._step), blocks


def _is_plain(block):
    """Whether a block and its state are stored as they are computed with."""
    return all(type(each) is np.ndarray and each.dtype == block.kind.dtype for each in (block.p, *block.slots))


def _objects(arrays):
    return np.fromiter(arrays, object, len(arrays))


def _starts(sizes):
    return np.concatenate(([0], np.cumsum(sizes)))
