"""Structure: traverses the arrays that users pass as parameters, and matches gradients to them.

A structure is one array, a list, tuple or dict of arrays or of further lists, tuples and dicts, or a `ParameterVector`.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS, check_apart, check_apart_from, check_array, is_array, lent, memory_order
from .trees import ONCE, entries, filled, is_nested, reader, replaced
from .vector import ParameterVector

MOST_FAULTS = 6  # that a message lists


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
    dtypes : tuple of dtype
        Those of its gradient.
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
    dtypes: tuple[np.dtype[Any], ...]
    memory: tuple[tuple[str, NDArray[Any]], ...]
    slots: tuple[NDArray[Any], ...]
    update: Any  # an Update
    steps: int
    first_block: int

    def __init__(self, label: str, number: int, array: NDArray[Any], grad_dtype: Any = None) -> None:
        self.label, self.number, self.given, self.memory = label, number, array, ((label, array),)
        self.order = None if array.flags.c_contiguous else memory_order(array)
        self.shape, self.size, self.dtype, self.p = array.shape, array.size, array.dtype, self.flat(array)
        self._fitting = self.shape if self.order is None else None  # shape of gradients that are vectors as they are
        self.real = array.dtype if array.dtype in FLOATS else np.dtype(np.float32)
        self.dtypes = self.dtype, self.real, *(() if grad_dtype is None else (np.dtype(grad_dtype),))
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
            dtype = self.dtypes[-1]
            if is_array(g):
                dtype = next((each for each in self.dtypes if each == g.dtype), self.dtype)
                self._check_dtype(where, label, g.dtype)
            own = (self.label, dtype), (self.label, self.shape)
            g = check_array(where, label, g, dtype=own[0], shape=own[1], writeable=writeable, any_layout=True)
        if self._known() is not g and np.may_share_memory(g, self.p):
            raise ValueError(f"{where}: {label} overlaps {self.label} in memory")
        vector = g if len(self.shape) == 1 else self.flat(g)
        if writeable:
            self.unread = g if g.size and not np.may_share_memory(vector, g) else None
        return vector

    def _check_dtype(self, where: str, label: str, dtype: np.dtype[Any]) -> None:
        """Raise if a gradient has another dtype, with what can be done."""
        if dtype in self.dtypes:
            return
        advice = f"; pass {label}.astype(np.{self.real})" if dtype.kind == "f" else ""
        if dtype in FLOATS:
            advice += f", or make the optimizer with grad_dtype={str(dtype)!r}"
        elif dtype == np.uint16:
            advice = "; for bfloat16 make the optimizer with grad_dtype='bfloat16'"
        raise TypeError(f"{where}: {label} has dtype {dtype}, {self.label} is {self.dtype}{advice}")

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
    params : ndarray, or a tree or iterator of them, or ParameterVector
    check : callable, optional
        ``check(where, label, array)`` raises unless an array is valid; by default writeable floats are.
    clears : bool, default: False
        True if gradients will be set to 0, so that they must be writeable and must not overlap.
    grad_dtype : dtype, optional
        That gradients may have, beside the dtype of the parameters.

    Attributes
    ----------
    params
        As given; tensors of other libraries as arrays.
    arrays : dict of ParameterArray
        By key: None for one array, an index or a name for several, a path in a nested tree (see `entries`).
    vector : ParameterArray or None
        All arrays of a ParameterVector as one.
    is_nested : bool
        True if it is a tree of several levels.
    """

    params: Any
    arrays: dict[Any, ParameterArray]
    vector: ParameterArray | None
    is_nested: bool

    def __init__(
        self,
        where: str,
        params: Any,
        check: Callable[[str, str, Any], Any] | None = None,
        clears: bool = False,
        grad_dtype: Any = None,
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
            k: ParameterArray(label, n, each, grad_dtype) for n, (k, (label, each)) in labelled
        }
        self.is_one = isinstance(self.params, np.ndarray)  # not a structure whose only key is None
        self.is_nested = not self.is_one and is_nested(self.params)
        self._read: Callable[[Any], list[Any]] | None = None
        self.vector = None
        if isinstance(params, ParameterVector):
            check(where, "params.vector", params.vector)
            self.vector = ParameterArray("params", 0, params.vector, grad_dtype)
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

    def like(self, vectors: Mapping[Any, NDArray[Any]]) -> Any:
        """Return vectors, by key, in the structure of params."""
        return filled(self.params, (self.arrays[key].shaped(each) for key, each in vectors.items()))

    def reordered(self, orders: Mapping[Any, tuple[int, ...]]) -> Any:
        """Return params with arrays in these orders of memory, which a pickle may lose; a list or dict stays itself."""
        if all(self.arrays[key].order == order for key, order in orders.items()):
            return self.params
        for key, order in orders.items():
            self.arrays[key].order = order
        arrays = self.arrays.items()
        given = (each.shaped(each.flat(each.given)) if key in orders else each.given for key, each in arrays)
        return replaced(self.params, filled(self.params, given))

    def below(self, key: Any) -> list[Any]:
        """Return the keys of all arrays in a container of a nested tree, given by its own key or path."""
        return [each for each in self.arrays if str(each).startswith((f"{key}.", f"{key}["))] if self.is_nested else []

    def leaves(self, grads: Any) -> Any:
        """Return gradients in a nested tree as a list in the order of params; None if they need a closer look.

        Those of other structures are returned as they are.
        """
        if not self.is_nested:
            return grads
        if self._read is None:
            self._read = reader(self.params)
        try:
            return self._read(grads)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return None

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
        if self.is_nested and (found := self.leaves(grads)) is not None:
            labels = (array.label.replace("params", name, 1) for array in arrays.values())
            given = dict(zip(arrays, zip(labels, found, strict=True), strict=True))
        else:
            given = entries(where, name, grads, arrays)
        if given.keys() != arrays.keys():
            faults = [f"none for {array.label}" for key, array in arrays.items() if key not in given]
            faults += [f"unknown {label}" for key, (label, _) in given.items() if key not in arrays]
            if len(faults) > MOST_FAULTS:
                faults[MOST_FAULTS - 1 :] = [f"and {len(faults) - MOST_FAULTS + 1} more"]
            raise ValueError(f"{where}: {name} must have the structure of params; {'; '.join(faults)}")
        given = {key: entry for key, entry in given.items() if entry[1] is not None}
        pairs = [(arrays[key], arrays[key].gradient(where, *entry, clears)) for key, entry in given.items()]
        if len(arrays) > 1 and not all(arrays[key].knows(g) for key, (_, g) in given.items()):
            self._check_apart(where, given, clears)
        return pairs

    def _known(self, grads: Any) -> list[tuple[ParameterArray, NDArray[Any]]] | None:
        """Return the pairs of gradients that have all been looked at before, None if any needs a closer look."""
        grads = self.leaves(grads)
        if type(grads) not in (list, tuple, dict) or len(grads) != len(self.arrays):
            return None
        keys = grads if type(grads) is dict else self.arrays if self.is_nested else range(len(grads))
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
