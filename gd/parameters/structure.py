"""Structure: traverses the arrays that users pass as parameters, and matches gradients to them.

A structure is one array, a list, tuple or dict of arrays, or a `ParameterVector`.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS, check_apart, check_apart_from, check_array, lent, memory_order
from .vector import ParameterVector

ONCE = Iterator, ValuesView  # taken as a list: what can be read once, or cannot be indexed


def _nothing() -> None:
    """Stand for a weak reference to no array."""


class ParameterArray:
    """One array of a structure, with what its gradient must match and what an optimizer stores for it.

    It owns no list, dict or function: lists of 100,000 arrays are made as objects are, and Python's garbage collector
    walks over each of those again and again.

    Attributes
    ----------
    label : str
        Name in messages.
    number : int
        Position in the structure, from 1; 0 for the vector of all arrays.
    p : ndarray
        The array as a vector, in the order of its memory.
    order : tuple of int or None
        Its axes in the order of its memory; None in C order.
    shape, size, dtype
        As of the array.
    real : dtype
        The dtype that kernels compute in: float32 for parameters in bfloat16.
    slots : tuple of ndarray
        State arrays.
    update : Update
        Its kernel and coefficients, once an optimizer has it.
    steps : int
        Steps taken; valid only while arrays differ in it.
    first_block : int
        Its offset, in blocks of 256 elements, in the vector that it is a part of.
    memory : tuple of (str, ndarray)
        The array, and others whose flags also tell whether it may be written to, each with its name.
    unread : ndarray or None
        The gradient itself, if it is to be set to 0 and a copy in another order was returned for it.
    """

    label: str
    number: int
    p: NDArray[Any]
    order: tuple[int, ...] | None
    shape: tuple[int, ...]
    size: int
    dtype: np.dtype[Any]
    real: np.dtype[Any]
    memory: tuple[tuple[str, NDArray[Any]], ...]
    slots: tuple[NDArray[Any], ...]
    update: Any  # an Update
    steps: int
    first_block: int

    def __init__(self, label: str, number: int, array: NDArray[Any]) -> None:
        self.label, self.number, self.given, self.memory = label, number, array, ((label, array),)
        self.order = None if array.flags.c_contiguous else memory_order(array)
        self.shape, self.size, self.dtype, self.p = array.shape, array.size, array.dtype, self.flat(array)
        self._fitting = self.shape if self.order is None else None  # shape of gradients that are vectors as they are
        self.real = array.dtype if array.dtype in FLOATS else np.dtype(np.float32)
        self.slots, self.update, self.steps, self.first_block, self.unread = (), None, 0, 0, None
        self._known: Callable[[], Any] = _nothing

    def rebind(self, array: NDArray[Any], slots: tuple[NDArray[Any], ...]) -> None:
        """Stand for another array of the same shape, dtype and order, with other state arrays."""
        memory, p = ((self.memory[0][0], array), *self.memory[1:]), self.flat(array)
        vars(self).update(given=array, p=p, slots=slots, memory=memory, unread=None, _known=_nothing)  # all at once

    def flat(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of this shape as a vector in the order of the parameters: a copy if it has another order."""
        return (array if self.order is None else array.transpose(self.order)).reshape(-1)

    def shaped(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return a vector in the order of the parameters as an array of their shape, always a view."""
        if self.order is None:
            return vector.reshape(self.shape)
        return vector.reshape([self.shape[axis] for axis in self.order]).transpose(np.argsort(self.order))

    def clear_unread(self) -> None:
        """Set the gradient to 0 if a copy of it was read, and set to 0, in its place."""
        if self.unread is not None:
            self.unread[...], self.unread = 0, None

    def check_writeable(self, where: str) -> None:
        """Raise if the array has become read-only since the optimizer was made."""
        check_unfrozen(where, self.memory)

    def gradient(self, where: str, label: str, g: Any, writeable: bool = False) -> NDArray[Any]:
        """Return a gradient as a vector if it matches, else raise."""
        self.check_writeable(where)
        if not self.shape and isinstance(g, np.generic) and not writeable:
            g = np.asarray(g)  # NumPy's functions of 0-d arrays return scalars
        if not self.fits(g):
            g = lent(where, label, g)
            dtype = self.real if getattr(g, "dtype", None) == self.real else self.dtype
            own = (self.label, dtype), (self.label, self.shape)
            g = check_array(where, label, g, dtype=own[0], shape=own[1], writeable=writeable, any_layout=True)
        if self._known() is not g and np.may_share_memory(g, self.p):
            raise ValueError(f"{where}: {label} overlaps {self.label} in memory")
        vector = g if len(self.shape) == 1 else self.flat(g)
        if writeable:
            self.unread = g if g.size and not np.may_share_memory(vector, g) else None
        return vector

    def fits(self, g: Any) -> TypeGuard[NDArray[Any]]:
        """Return True if g is a plain array of the right dtype and shape, in C order; others need a closer look."""
        return type(g) is np.ndarray and g.dtype == self.dtype and g.shape == self._fitting and g.flags.carray

    def knows(self, g: Any) -> bool:
        """Return True if g is the array that was last found not to overlap the parameters."""
        return self._known() is g

    def remember(self, g: Any) -> None:
        """Note that an array does not overlap the parameters; None to know none."""
        self._known = (lambda: None) if g is None or isinstance(g, np.generic) else weakref.ref(g)


class Structure:
    """The arrays that a user gave as `params`; pairs each with its gradient, given in the same structure.

    Parameters
    ----------
    where : str
        The caller, for messages.
    params : ndarray, list, tuple, dict or iterator of ndarray, or ParameterVector
    check : callable, optional
        ``check(where, label, array)`` raises unless an array is valid; by default writeable floats are.
    clears : bool, default: False
        True if gradients will be set to 0, so that they must be writeable and must not overlap.

    Attributes
    ----------
    params
        As given; tensors of other libraries as arrays.
    arrays : dict of ParameterArray
        By key: None for one array, an index or a name for several.
    vector : ParameterArray or None
        All arrays of a ParameterVector as one.
    """

    params: Any
    arrays: dict[Any, ParameterArray]
    vector: ParameterArray | None

    def __init__(
        self,
        where: str,
        params: Any,
        check: Callable[[str, str, Any], Any] | None = None,
        clears: bool = False,
    ) -> None:
        check = check or (lambda where, label, array: check_array(where, label, array, writeable=True, any_layout=True))
        params = list(params) if isinstance(params, ONCE) else params
        found = entries(where, "params", params)
        for label, array in found.values():
            check(where, label, array)
        check_apart(where, list(found.values()))
        if len({str(key) for key in found}) < len(found):
            raise ValueError(f"{where}: params has keys that read alike, got {', '.join(map(repr, found))}")
        self.params = params if isinstance(params, (list, tuple, Mapping)) else found[None][1]
        labelled = enumerate(found.items(), 1)
        self.arrays: dict[Any, ParameterArray] = {
            k: ParameterArray(label, n, each) for n, (k, (label, each)) in labelled
        }
        self.is_one = isinstance(self.params, np.ndarray)  # not a structure whose only key is None
        self.vector = None
        if isinstance(params, ParameterVector):
            check(where, "params.vector", params.vector)
            self.vector = ParameterArray("params", 0, params.vector)
            self.vector.memory = ("params.vector", params.vector), *found.values()
            for array in self.arrays.values():
                array.memory += self.vector.memory[:1]
        self._clears = clears

    def adopt(self, others: Mapping[Any, ParameterArray]) -> None:
        """Replace arrays by those of another structure, by key; they keep label and number."""
        for key, array in others.items():
            own = self.arrays[key]
            array.label, array.number, array.memory, self.arrays[key] = own.label, own.number, own.memory, array

    def name(self, key: Any, slot: str) -> str:
        """Return the name of a state array in a dict: with the key of its array, if there are several."""
        return slot if self.is_one else f"{key}.{slot}"

    def like(self, vectors: Mapping[Any, NDArray[Any] | None]) -> Any:
        """Return vectors, by key, in the structure of params."""
        if self.vector is not None:
            copy = self.params.zeros_like()
            for key, vector in vectors.items():
                copy[key].reshape(-1)[:] = vector
            return copy
        shaped = {key: None if each is None else self.arrays[key].shaped(each) for key, each in vectors.items()}
        if self.is_one:
            return shaped[None]
        if not isinstance(self.params, (list, tuple)):
            return shaped
        return getattr(self.params, "_make", type(self.params))(shaped.values())  # a named tuple, too

    def reordered(self, orders: Mapping[Any, tuple[int, ...]]) -> Any:
        """Return params with arrays in these orders of memory, which a pickle may lose; a list or dict stays itself."""
        if all(self.arrays[key].order == order for key, order in orders.items()):
            return self.params
        for key, order in orders.items():
            self.arrays[key].order = order
        params = self.like({key: array.flat(array.given) for key, array in self.arrays.items()})
        if not isinstance(self.params, (list, dict)):
            return params
        for key in orders:
            self.params[key] = params[key]
        return self.params

    def pieces(self, vector: NDArray[Any]) -> list[tuple[ParameterArray, NDArray[Any]]]:
        """Return (array, its part of a vector) for every array of a ParameterVector."""
        pairs, start = [], 0
        for array in self.arrays.values():
            pairs.append((array, vector[start : start + array.size]))
            start += array.size
        return pairs

    def pairs(
        self, where: str, grads: Any, whole: bool = False, name: str = "grads", clears: bool = True
    ) -> list[tuple[ParameterArray, NDArray[Any]]]:
        """Return (array, gradient as a vector) for every array that has one, else raise.

        With `whole`, a ParameterVector is one pair, if its gradients are a ParameterVector or a vector. Without
        `clears` the gradients will not be set to 0.
        """
        clears = clears and self._clears
        if self.vector is not None:
            if not isinstance(grads, (ParameterVector, np.ndarray, dict)):
                grads = lent(where, name, grads)
            g = self._as_vector(self.vector, where, grads, name, clears)
            if g is not None:
                return [(self.vector, g)] if whole else self.pieces(g)
        if self.is_one:
            array = self.arrays[None]
            g = array.gradient(where, name, grads, clears)
            if not array.knows(grads):
                array.remember(grads)
            return [(array, g)]
        arrays = self.arrays
        if self.vector is None and (known := self._known(grads)):
            return known
        given = entries(where, name, grads)
        if given.keys() != arrays.keys():
            missing = [f"none for {arrays[key].label}" for key in arrays.keys() - given.keys()]
            extra = [f"unknown {given[key][0]}" for key in given.keys() - arrays.keys()]
            raise ValueError(f"{where}: {name} must have the structure of params; {'; '.join(missing + extra)}")
        given = {key: entry for key, entry in given.items() if entry[1] is not None}
        pairs = [(arrays[key], arrays[key].gradient(where, *entry, clears)) for key, entry in given.items()]
        if len(arrays) > 1 and not all(arrays[key].knows(g) for key, (_, g) in given.items()):
            self._check_apart(where, given, clears)
        return pairs

    def _known(self, grads: Any) -> list[tuple[ParameterArray, NDArray[Any]]] | None:
        """Return the pairs of gradients that have all been looked at before, None if any needs a closer look."""
        if type(grads) not in (list, tuple, dict) or len(grads) != len(self.arrays):
            return None
        keys = grads if type(grads) is dict else range(len(grads))
        values = grads.values() if type(grads) is dict else grads
        pairs = [
            (array, g.reshape(-1))
            for key, (k, array), g in zip(keys, self.arrays.items(), values, strict=True)
            if key == k and array.knows(g) and array.fits(g) and array.given.flags.writeable and array.unread is None
        ]
        return pairs if len(pairs) == len(grads) else None

    def _as_vector(
        self, vector: ParameterArray, where: str, grads: Any, name: str, clears: bool
    ) -> NDArray[Any] | None:
        """Return gradients of a ParameterVector as one vector, None if they are a dict or in another order."""
        if isinstance(grads, ParameterVector):
            shapes = self.params.shapes
            if grads.shapes != shapes:
                raise ValueError(f"{where}: {name} has shapes {grads.shapes}, params has {shapes}")
            if list(grads.shapes) != list(shapes):
                return None
            return vector.gradient(where, f"{name}.vector", grads.vector, clears)
        return vector.gradient(where, name, grads, clears) if isinstance(grads, np.ndarray) else None

    def _check_apart(self, where: str, given: Mapping[Any, tuple[str, NDArray[Any]]], clears: bool) -> None:
        """Raise if a gradient overlaps any parameter; gradients may overlap each other unless they are set to 0."""
        if clears:
            check_apart(where, list(given.values()))
        grads = [entry for entry in given.values() if not isinstance(entry[1], np.generic)]
        check_apart_from(where, grads, [(array.label, array.p) for array in self.arrays.values()])
        for key, array in self.arrays.items() if clears == self._clears else ():
            array.remember(given[key][1] if key in given else None)  # only gradients of one call are apart


def check_unfrozen(where: str, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Raise if an array, given as (name, array), has become read-only."""
    for name, array in arrays:
        if not array.flags.writeable:
            raise ValueError(f"{where}: {name} has become read-only; set its flags.writeable to True to step it")


def entries(where: str, name: str, arrays: Any) -> dict[Any, tuple[str, Any]]:
    """Return {key: (label, array)} of an array, or a list, tuple, mapping or iterator of them; tensors become views."""
    if isinstance(arrays, np.ndarray):
        return {None: (name, arrays)}
    if isinstance(arrays, (list, tuple)):
        labelled = {k: (f"{name}[{k}]", array) for k, array in enumerate(arrays)}
    elif isinstance(arrays, Mapping):
        labelled = {key: (f"{name}[{key!r}]", array) for key, array in arrays.items()}
    elif isinstance(arrays, ONCE):
        return entries(where, name, list(arrays))
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
