"""Rebinding: an optimizer gets other arrays; see `Optimizer.rebind`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_apart, check_array, shown
from ..kernels.interruption import Interruption
from ..parameters import Structure
from ..typing import Params
from .groups import structure_of
from .protocols import Protocols

if TYPE_CHECKING:
    from .base import Optimizer

Vectors = dict[Any, tuple[NDArray[Any], ...]]  # key of an array -> its state arrays as vectors


class Rebinding(Protocols):
    """The method of an optimizer that gives it other arrays."""

    def rebind(self, params: Params, state: Mapping[str, Any] | None = None) -> None:
        """Step other arrays from now on, with the same hyper-parameters, schedules and counts of steps.

        For programs that reallocate their parameters, or copy or unpickle them apart from the optimizer. Optimizer and
        parameters that are pickled or copied together (`pickle.dumps((params, optimizer))`, `copy.deepcopy`) stay
        together without it, unless `params` are views of other arrays.

        Parameters
        ----------
        params : as params
            Of the same structure, shapes, dtypes and orders of axes.
        state : dict of str to ndarray, optional
            State arrays, under their names in `state_dict`, of the same shapes and dtypes: the optimizer keeps and
            updates these arrays themselves, not copies. By default it keeps its own. It may hold the numbers of
            `state_dict`, too. With a ParameterVector each slot is one flat vector, such as ``{"exp_avg": vector}``.

        Raises
        ------
        KeyError
            If entries of the state are missing or unknown.
        TypeError, ValueError
            If an array does not match or two overlap, or there is a state_dir; nothing has changed then.

        Examples
        --------
        >>> import gd, numpy as np
        >>> p = np.zeros(2)
        >>> optimizer = gd.SGD(p, lr=0.5)
        >>> q = p.copy()
        >>> optimizer.rebind(q)
        >>> optimizer.step(np.ones(2))
        True
        >>> p.tolist(), q.tolist()
        ([0.0, 0.0], [-0.5, -0.5])
        """
        if self._small is None or not self._small.rebind(params, state):
            _rebind(self, params, state)  # pyright: ignore[reportArgumentType]  # all are Optimizers


def _rebind(optimizer: "Optimizer", params: Any, state: Mapping[str, Any] | None) -> None:
    where, own = f"{optimizer._name}.rebind", optimizer._structure
    optimizer._state.check_own()
    if optimizer._state.folder is not None:
        raise TypeError(f"{where}: params cannot be rebound where state_dir has the state; make another optimizer")
    new = structure_of(optimizer, where, params)
    _check_alike(where, own, new)
    vectors, numbers = _state_of(optimizer, where, state, new)
    with Interruption():
        if own.vector is not None and new.vector is not None:
            own.vector.rebind(new.vector.given, vectors.get(None, own.vector.slots))
            own.vector.memory = new.vector.memory
        for key, array in own.arrays.items():
            array.rebind(new.arrays[key].given, vectors.get(key, array.slots))
            array.memory = new.arrays[key].memory
        own.params = new.params
        for group in optimizer.groups:
            keys = group._structure.arrays
            group._structure.params = {key: own.arrays[key].given for key in keys}
        for each in (optimizer, *optimizer.groups):
            vars(each)["params"] = each._structure.params
            each.inside.use(each._structure)
        if numbers is not None:
            optimizer._state.set_numbers(numbers)


def _check_alike(where: str, own: Structure, new: Structure) -> None:
    """Raise unless two structures have the same keys, shapes, dtypes and orders of axes."""
    kinds = [(isinstance(each.params, Mapping), each.vector is None, list(each.arrays)) for each in (own, new)]
    if kinds[0] != kinds[1]:
        names = ", ".join(array.label for array in own.arrays.values())
        raise ValueError(f"{where}: params must have the structure of the optimizer's, {shown(names, str)}")
    for key, array in own.arrays.items():
        other = new.arrays[key]
        if (array.shape, array.dtype) != (other.shape, other.dtype):
            expected = f"shape {array.shape} and dtype {array.dtype}"
            raise ValueError(f"{where}: {array.label} must have {expected}, got {other.shape} and {other.dtype}")
        if array.order != other.order:
            raise ValueError(f"{where}: {array.label} must have its axes in the same order in memory as before")


def _state_of(optimizer: "Optimizer", where: str, state: Any, new: Structure) -> tuple[Vectors, dict[str, Any] | None]:
    """Return the state arrays of the arrays of a structure, and the numbers of a state, or None."""
    own, vector = optimizer._structure, optimizer._structure.vector
    given = [(array.label, array.given) for array in new.arrays.values()]
    if state is None:
        slots = [each for array in own.arrays.values() for each in array.slots]
        check_apart(where, [*given, *(("the optimizer's state", each) for each in slots)])
        return {}, None
    if not isinstance(state, Mapping):
        raise TypeError(f"{where}: state must be a dict, got {shown(state)}")
    if vector is not None and vector.slots:
        named = {slot: (None, each) for slot, each in zip(optimizer._state.slots, vector.slots, strict=True)}
    else:
        named = {name: (key, slot) for key, name, slot in optimizer._state.named_slots()}
    arrays = {name: state[name] for name in named if name in state}
    missing = [f"no {name}" for name in named if name not in arrays]
    numbers = {name: value for name, value in state.items() if name not in named}
    if missing:
        raise KeyError(f"{where}: state must hold every state array, but has {shown(', '.join(missing), str)}")
    checked = optimizer._state.checked_numbers(where, numbers) if numbers else None
    vectors: Vectors = {}
    for name, (key, slot) in named.items():
        label, like = f"state[{name!r}]", ("this optimizer's", slot.dtype)
        shape = "this optimizer's", slot.shape
        each = check_array(where, label, arrays[name], dtype=like, shape=shape, writeable=True, any_layout=True)
        array = vector if vector is not None and key is None else own.arrays[key]
        flat = array.flat(each) if each.size == array.size else each
        if each.size and not np.may_share_memory(flat, each):
            raise ValueError(f"{where}: {label} must have its axes in the order of its parameters in memory")
        vectors[key] = (*vectors.get(key, ()), flat)
        given.append((label, each))
    check_apart(where, given)
    if vector is not None and vector.slots:
        pieces = zip(*([piece for _, piece in own.pieces(each)] for each in vectors[None]), strict=True)
        vectors |= dict(zip(own.arrays, pieces, strict=True))
    return vectors, checked
