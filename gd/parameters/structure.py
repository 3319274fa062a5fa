"""The structures that users keep arrays in, and the gradients that belong to them.

A structure is one array, a list, tuple or dict of arrays, or a `ParameterVector`.
"""

import weakref
from collections.abc import Mapping

import numpy as np

from ..checks import FLOATS, check_apart, check_apart_from, check_array, lent
from .vector import ParameterVector


class ParameterArray:
    """One array of a structure: what its gradient must match, and what an optimizer keeps for it.

    Attributes
    ----------
    label : str
        What messages call it.
    number : int
        Its place in the structure, from 1; 0 for the vector of all arrays.
    p : ndarray
        The array as a vector.
    shape, size, dtype
        As of the array.
    real : dtype
        What kernels compute in: float32 for parameters in bfloat16.
    slots : list of ndarray
        State arrays.
    update : Update
        How it is stepped.
    steps : int
        How often it was stepped, kept only while arrays differ in it.
    first_block : int
        Where it begins, in blocks of 256 elements, in the vector of which it is a part.
    """

    def __init__(self, label, number, array):
        self.label, self.number = label, number
        self.p, self.shape, self.size, self.dtype = array.reshape(-1), array.shape, array.size, array.dtype
        self.real = array.dtype if array.dtype in FLOATS else np.dtype(np.float32)
        self.slots, self.update, self.steps, self.first_block = [], None, 0, 0
        self._known = lambda: None

    def gradient(self, where, label, g, writeable=False):
        """Return a gradient that matches as a vector, else raise."""
        if not self.fits(g):
            dtype = self.real if getattr(g, "dtype", None) == self.real else self.dtype
            own = {"dtype": (self.label, dtype), "shape": (self.label, self.shape)}
            g = check_array(where, label, g, **own, writeable=writeable)
        if self._known() is not g and np.may_share_memory(g, self.p):
            raise ValueError(f"{where}: {label} overlaps {self.label} in memory")
        return g if len(self.shape) == 1 else g.reshape(-1)

    def fits(self, g):
        """Return whether g is a plain array of the right dtype, shape and layout; others need a closer look."""
        return type(g) is np.ndarray and g.dtype == self.dtype and g.shape == self.shape and g.flags.carray

    def knows(self, g):
        """Return whether this very array was seen to lie apart from the parameters."""
        return self._known() is g

    def remember(self, g):
        """Note that an array lies apart from the parameters."""
        self._known = weakref.ref(g)


class Structure:
    """The arrays that a user gave as `params`, and the way from gradients in the same structure to each of them.

    Parameters
    ----------
    where : str
        Who asks, for messages.
    params : ndarray, list, tuple or dict of ndarray, or ParameterVector
    check : callable, optional
        ``check(where, label, array)`` raises unless an array will do; by default floats that can be written to.
    clears : bool, default: False
        Whether gradients will be set to 0, so that they must be writeable and apart from each other.

    Attributes
    ----------
    params
        As given; tensors of other libraries as arrays.
    arrays : dict of ParameterArray
        By key: None for one array, an index or a name for several.
    vector : ParameterArray or None
        All arrays of a ParameterVector as one.
    """

    def __init__(self, where, params, check=None, clears=False):
        check = check or (lambda where, label, array: check_array(where, label, array, writeable=True))
        found = entries(where, "params", params)
        for label, array in found.values():
            check(where, label, array)
        check_apart(where, list(found.values()))
        if len({str(key) for key in found}) < len(found):
            raise ValueError(f"{where}: params has keys that read alike, got {', '.join(map(repr, found))}")
        self.params = params if isinstance(params, (list, tuple, Mapping)) else found[None][1]
        self.arrays = {key: ParameterArray(label, k, each) for k, (key, (label, each)) in enumerate(found.items(), 1)}
        self.vector = ParameterArray("params", 0, params.vector) if isinstance(params, ParameterVector) else None
        self._clears = clears

    def adopt(self, others):
        """Take arrays of another structure, by key, in place of one's own."""
        for key, array in others.items():
            own = self.arrays[key]
            array.label, array.number, self.arrays[key] = own.label, own.number, array

    def name(self, key, slot):
        """Return what a state array is called in a dict: by the key of its array, where there are several."""
        return slot if isinstance(self.params, np.ndarray) else f"{key}.{slot}"

    def like(self, vectors):
        """Return vectors, by key, in the structure of params."""
        if self.vector is not None:
            copy = self.params.zeros_like()
            for key, vector in vectors.items():
                copy[key].reshape(-1)[:] = vector
            return copy
        shaped = {key: None if each is None else each.reshape(self.arrays[key].shape) for key, each in vectors.items()}
        if isinstance(self.params, np.ndarray):
            return shaped[None]
        if not isinstance(self.params, (list, tuple)):
            return shaped
        return getattr(self.params, "_make", type(self.params))(shaped.values())  # a named tuple, too

    def pieces(self, vector):
        """Return (array, its part of a vector) for every array of a ParameterVector."""
        pairs, start = [], 0
        for array in self.arrays.values():
            pairs.append((array, vector[start : start + array.size]))
            start += array.size
        return pairs

    def pairs(self, where, grads, whole=False, name="grads"):
        """Return (array, gradient as a vector) for every array that has one; raise before anything has changed.

        A ParameterVector is one pair with its vector if `whole`, and gradients are a ParameterVector or a vector.
        """
        if self.vector is not None:
            if not isinstance(grads, (ParameterVector, np.ndarray, dict)):
                grads = lent(where, name, grads)
            g = self._as_vector(where, grads, name)
            if g is not None:
                return [(self.vector, g)] if whole else self.pieces(g)
        if isinstance(self.params, np.ndarray):
            array = self.arrays[None]
            g = array.gradient(where, name, grads, self._clears)
            if not array.knows(grads):
                array.remember(grads)
            return [(array, g)]
        given, arrays = entries(where, name, grads), self.arrays
        if given.keys() != arrays.keys():
            missing = [f"none for {arrays[key].label}" for key in arrays.keys() - given.keys()]
            extra = [f"unknown {given[key][0]}" for key in given.keys() - arrays.keys()]
            raise ValueError(f"{where}: {name} must have the structure of params; {'; '.join(missing + extra)}")
        given = {key: entry for key, entry in given.items() if entry[1] is not None}
        pairs = [(arrays[key], arrays[key].gradient(where, *entry, self._clears)) for key, entry in given.items()]
        if len(arrays) > 1 and not all(arrays[key].knows(g) for key, (_, g) in given.items()):
            self._check_apart(where, given)
        return pairs

    def _as_vector(self, where, grads, name):
        """Return gradients of a ParameterVector as one vector, None if they are a dict or in another order."""
        if isinstance(grads, ParameterVector):
            shapes = self.params.shapes
            if grads.shapes != shapes:
                raise ValueError(f"{where}: {name} has shapes {grads.shapes}, params has {shapes}")
            if list(grads.shapes) != list(shapes):
                return None
            return self.vector.gradient(where, f"{name}.vector", grads.vector, self._clears)
        return self.vector.gradient(where, name, grads, self._clears) if isinstance(grads, np.ndarray) else None

    def _check_apart(self, where, given):
        """Raise if a gradient shares memory with any parameter; they may share with each other unless set to 0."""
        if self._clears:
            check_apart(where, list(given.values()))
        check_apart_from(where, given.values(), [(array.label, array.p) for array in self.arrays.values()])
        for key, (_, g) in given.items():
            self.arrays[key].remember(g)


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
