"""The arrays that an optimizer steps: their state, and what their gradients must match."""

import weakref
from collections.abc import Mapping

import numpy as np

from ..arrays import check_array
from ..interchange import lent


class Block:
    """One array that is stepped: its flat view, its state, and its kind, which it shares with arrays stepped alike."""

    def __init__(self, label, array, slots, kind):
        self.label, self.p, self.slots, self.kind = label, array.reshape(-1), slots, kind
        self.shape, self.size, self.dtype = array.shape, array.size, array.dtype
        self.steps = 0  # kept only while arrays differ in it
        self.number = 0  # among the arrays of the optimizer
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


def entries(where, name, arrays):
    """Return {key: (label, array)} of an array, or a list, tuple or mapping of arrays, tensors as their memory."""
    if isinstance(arrays, np.ndarray):
        return {None: (name, arrays)}
    if isinstance(arrays, (list, tuple)):
        labelled = {k: (f"{name}[{k}]", array) for k, array in enumerate(arrays)}
    elif isinstance(arrays, Mapping):
        labelled = {key: (f"{name}[{key!r}]", array) for key, array in arrays.items()}
    elif (array := lent(where, name, arrays)) is not arrays:
        return {None: (name, array)}
    else:
        raise TypeError(
            f"{where}: {name} must be a NumPy array, or a list, tuple or dict of them, got {type(arrays).__name__}"
        )
    if not labelled:
        raise ValueError(f"{where}: {name} must hold at least one array, got none")
    for key, (label, array) in labelled.items():
        if type(array) is not np.ndarray:
            labelled[key] = label, lent(where, label, array)
    return labelled
