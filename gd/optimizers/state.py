"""State: the state arrays and numbers of an optimizer, saved to and loaded from a dict or a folder."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, check_array, check_integer, check_number
from ..kernels.interruption import Interruption
from ..parameters import ParameterArray, Structure
from .state_folder import StateFolder
from .storage import MASTER, allocate, widened
from .update import Update

if TYPE_CHECKING:
    from .base import Optimizer


NOTHING = nullcontext()


class State:
    """The arrays and numbers that change as an optimizer steps, other than the parameters.

    Parameters
    ----------
    owner : Optimizer
    structure : Structure
        Of the owner's parameters: each array gets its state arrays and its `Update` here.
    groups : sequence of Optimizer
        The owner's groups, whose arrays have their state already.
    folder : StateFolder, optional
        Holds the state arrays as files.

    Attributes
    ----------
    slots : tuple of str
        Names of the state arrays of each array.
    ragged : bool
        True if arrays differ in the number of steps they took, so that each counts its own.
    is_averaged : bool
        True while the parameters hold averages, within `gd.averaged`.
    """

    folder: StateFolder | None
    slots: tuple[str, ...]
    ragged: bool
    is_averaged: bool = False

    def __init__(
        self, owner: "Optimizer", structure: Structure, groups: "Sequence[Optimizer]", folder: StateFolder | None
    ) -> None:
        self._owner, self._structure, self._groups, self.folder = owner, structure, groups, folder
        average = () if owner.ema is None else ("ema",)
        self.slots, self.ragged = ((MASTER,) if owner.master_weights else ()) + owner.slots + average, False
        updates: dict[np.dtype[Any], Update] = {}
        arrays, pieces = structure.arrays, iter(())

        def add(array: ParameterArray) -> None:
            if array.real not in updates:
                updates[array.real] = Update(owner, array.real, self.slots, folder is not None)
            array.update = updates[array.real]

        for group in groups:
            structure.adopt(group._structure.arrays)
        vector = structure.vector
        apart = bool(groups) or owner.by_blocks  # blocks of 256 do not end where arrays do
        if vector is not None:
            add(vector)
            vector.slots = () if apart else tuple(self._allocated(vector, slot) for slot in self.slots)
            pieces = zip(*(structure.pieces(slot) for slot in vector.slots), strict=True)
        for array in arrays.values():
            if array.update is None:
                add(array)
                if vector is not None and not apart:
                    array.slots = tuple(piece for _, piece in next(pieces, ()))
                else:
                    array.slots = tuple(self._allocated(array, slot) for slot in self.slots)

    def _allocated(self, array: ParameterArray, slot: str) -> NDArray[Any]:
        """Return a new state array for a slot of an array."""
        owner, p = self._owner, array.p

        def initial() -> float | NDArray[Any]:
            return widened(p) if slot == "ema" else owner.initial(slot, widened(p))

        if self.folder is not None:
            order = "" if array.order is None else f" in the order {array.order} of axes"
            return self.folder.vector(array.label + order, slot, p, initial)
        state_dtype = None if slot in (*owner.exact, "ema") else owner.state_dtype
        return allocate(slot, self.slots, p, initial(), state_dtype, slot in owner.unsigned)

    def check(self) -> None:
        """Raise unless this process may step."""
        self.check_own()
        if self.folder is not None:
            self.folder.check()

    def check_own(self) -> None:
        """Raise if the parameters hold averages."""
        if self.is_averaged:
            raise RuntimeError(f"{self._owner._name}: params hold averages until the end of the block of gd.averaged")

    def change(self) -> AbstractContextManager[None]:
        """Return the context manager in which the state must be changed."""
        return NOTHING if self.folder is None else self.folder.change()

    def count_apart(self) -> None:
        """From now on, count the steps of each array separately."""
        if not self.ragged:
            for array in self._structure.arrays.values():
                array.steps = self._owner.steps
            self.ragged = True

    def set_steps(self, steps: int) -> None:
        """Set the count of steps of the owner and its groups."""
        vars(self._owner)["steps"] = steps  # not by __setattr__, which takes as long as a small kernel
        for group in self._groups:
            vars(group)["steps"] = steps

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the state, by name."""
        numbers = {"steps": self._owner.steps}
        numbers |= {name: getattr(owner, each) for name, owner, each in self._scalars()}
        if self.ragged:
            numbers |= {name: array.steps for name, array in self._counts().items()}
        return numbers

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, and a copy of every state array."""
        return self.numbers() | {name: slot.copy() for name, slot in self._named_slots()}

    def load(self, where: str, state: Any) -> None:
        """Restore what `to_dict` returned."""
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: state must be a dict, got {type(state).__name__}")
        self.check()
        slots = dict(self._named_slots())
        numbers = self.checked_numbers(where, state, slots.keys())
        own, arrays = "this optimizer's", {}
        for name, slot in slots.items():
            label = f"state[{name!r}]"
            expected = {"dtype": (own, slot.dtype), "shape": (own, slot.shape)}
            arrays[name] = check_array(where, label, state[name], **expected, any_layout=True)
        with Interruption(), self.change():
            for name, slot in slots.items():
                slot[...] = arrays[name]
            self.set_numbers(numbers)

    def checked_numbers(self, where: str, state: Mapping[str, Any], others: Collection[str] = ()) -> dict[str, Any]:
        """Return the numbers of a state, else raise; `others` are its other names."""
        scalars = {name: (owner, each) for name, owner, each in self._scalars()}
        older = {name for name, (owner, each) in scalars.items() if each in owner.unsaved and name not in state}
        counts = list(self._counts())
        counts = counts if any(name in state for name in counts) else []
        expected = {"steps", *scalars, *counts, *others} - older
        if state.keys() != expected:
            different = sorted(map(str, state.keys() ^ expected))
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(different)}")
        numbers: dict[str, Any] = {
            name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in ("steps", *counts)
        }
        for name, (owner, each) in scalars.items():
            value = owner.unsaved[each](owner, numbers["steps"]) if name in older else state[name]
            numbers[name] = check_number(where, f"state[{name!r}]", value, NON_NEGATIVE)
        return numbers

    def restore_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Restore the numbers of a state folder."""
        self.set_numbers(self.checked_numbers(f"{self._owner._name}: state_dir", numbers))

    def set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Restore what `numbers` returned."""
        counts = self._counts()
        for name, array in counts.items():
            array.steps = numbers.get(name, numbers["steps"])
        self.ragged = any(name in numbers for name in counts)
        self.set_steps(numbers["steps"])
        for name, owner, each in self._scalars():
            setattr(owner, each, numbers[name])

    def vectors(self, slot: str) -> dict[Any, NDArray[Any]]:
        """Return the state arrays of a slot as vectors, by key."""
        arrays = self._structure.arrays.items()
        return {key: array.slots[array.update.slots.index(slot)] for key, array in arrays}

    def copies(self, slot: str) -> Any:
        """Return a copy of the state arrays of a slot, in the structure of params."""
        return self._structure.like({key: vector.copy() for key, vector in self.vectors(slot).items()})

    def _counts(self) -> dict[str, ParameterArray]:
        """Return each array under the name of its count of steps."""
        return {self._structure.name(key, "step"): array for key, array in self._structure.arrays.items()}

    def _named_slots(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield (name, state array in the shape of its parameters) for each slot of each array.

        States in 8 bits stay vectors of blocks, named after the order of axes, in which alone they can be loaded.
        """
        for key, array in self._structure.arrays.items():
            for slot, values in zip(array.update.slots, array.slots, strict=True):
                if values.size == array.size:
                    yield self._structure.name(key, slot), array.shaped(values)
                else:
                    axes = "" if array.order is None else f".axes_{'_'.join(map(str, array.order))}"
                    yield self._structure.name(key, slot + axes), values

    def _scalars(self) -> "Iterator[tuple[str, Optimizer, str]]":
        """Yield (name in a dict, optimizer, name of its attribute) for each number that an optimizer declares."""
        for each in (*self._owner.scalars, *self._owner.derived):
            yield each, self._owner, each
            for k, group in enumerate(self._groups):
                yield f"groups[{k}].{each}", group, each
