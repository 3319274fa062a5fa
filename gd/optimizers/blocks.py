"""The arrays that an optimizer steps: their state, and what their gradients must match."""

import weakref

import numpy as np

from ..checks import check_array


class Block:
    """One array that is stepped: its flat view, its state, and its kind, which it shares with arrays stepped alike."""

    def __init__(self, label, array, slots, kind):
        self.label, self.p, self.slots, self.kind = label, array.reshape(-1), slots, kind
        self.shape, self.size, self.dtype = array.shape, array.size, array.dtype
        self.steps = 0  # kept only while arrays differ in it
        self.number = 0  # among the arrays of the optimizer
        self.before = 0  # blocks of 256 elements of the vector of which this is a part
        self._known = lambda: None

    def gradient(self, where, label, g):
        """Return the flat view of a gradient that matches, else raise."""
        if not self.fits(g):
            dtype = self.kind.dtype if getattr(g, "dtype", None) == self.kind.dtype else self.dtype
            own = {"dtype": (self.label, dtype), "shape": (self.label, self.shape)}
            g = check_array(where, label, g, **own, writeable=self.kind.owner.zero_grads)
        if self._known() is not g and np.may_share_memory(g, self.p):
            raise ValueError(f"{where}: {label} overlaps {self.label} in memory")
        return g if len(self.shape) == 1 else g.reshape(-1)

    def fits(self, g):
        """Whether this is a plain array of the right dtype, shape and layout; others are looked at more closely."""
        return type(g) is np.ndarray and g.dtype == self.dtype and g.shape == self.shape and g.flags.carray

    def knows(self, g):
        """Whether this very array was seen to lie apart from the parameters."""
        return self._known() is g

    def remember(self, g):
        """Note that an array lies apart from the parameters."""
        self._known = weakref.ref(g)
