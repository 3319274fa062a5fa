"""The state of an optimizer: state arrays and numbers, and their way into and out of a dict or a folder."""

from collections.abc import Mapping
from contextlib import nullcontext

from ..checks import NON_NEGATIVE, check_array, check_integer, check_number
from ..kernels.interruption import Interruption
from .storage import MASTER, allocate, widened
from .update import Update


class State:
    """What changes as an optimizer steps.

    Parameters
    ----------
    owner : Optimizer
    structure : Structure
        Of its parameters: gets state arrays here, and an `Update` each.
    groups : sequence of Optimizer
        Those of its groups, whose arrays have their state already.
    folder : StateFolder, optional
        Where state arrays are files.

    Attributes
    ----------
    slots : tuple of str
        Names of the state arrays of each array.
    ragged : bool
        Whether arrays differ in the number of steps they took, and count them apart.
    """

    def __init__(self, owner, structure, groups, folder):
        self._owner, self._structure, self._groups, self.folder = owner, structure, groups, folder
        average = () if owner.ema is None else ("ema",)
        self.slots, self.ragged = ((MASTER,) if owner.master_weights else ()) + owner.slots + average, False
        updates, arrays = {}, structure.arrays

        def add(array):
            if array.real not in updates:
                updates[array.real] = Update(owner, array.real, self.slots, folder is not None)
            array.update = updates[array.real]

        for group in groups:
            structure.adopt(group._structure.arrays)
        vector = structure.vector
        apart = bool(groups) or owner.by_blocks  # blocks of 256 do not end where arrays do
        if vector is not None:
            add(vector)
            vector.slots = [] if apart else [self._allocated(vector, slot) for slot in self.slots]
            pieces = zip(*(structure.pieces(slot) for slot in vector.slots), strict=True)
        for array in arrays.values():
            if array.update is None:
                add(array)
                if vector is not None and not apart:
                    array.slots = [piece for _, piece in next(pieces, ())]
                else:
                    array.slots = [self._allocated(array, slot) for slot in self.slots]

    def _allocated(self, array, slot):
        """Return a new state array of a name."""
        owner, p = self._owner, array.p

        def initial():
            return widened(p) if slot == "ema" else owner.initial(slot, widened(p))

        if self.folder is not None:
            return self.folder.vector(array.label, slot, p, initial)
        state_dtype = None if slot in (*owner.exact, "ema") else owner.state_dtype
        return allocate(slot, p, initial(), state_dtype, slot in owner.unsigned)

    def check(self):
        """Raise unless this process may step."""
        if self.folder is not None:
            self.folder.check()

    def change(self):
        """Return the context in which the state changes."""
        return nullcontext() if self.folder is None else self.folder.change()

    def count_apart(self):
        """From now on count the steps of every array by itself."""
        if not self.ragged:
            for array in self._structure.arrays.values():
                array.steps = self._owner.steps
            self.ragged = True

    def set_steps(self, steps):
        """Set the count of steps, which groups have, too."""
        vars(self._owner)["steps"] = steps  # past __setattr__, which takes as long as a small kernel
        for group in self._groups:
            vars(group)["steps"] = steps

    def numbers(self):
        """Return what of the state are numbers."""
        numbers = {"steps": self._owner.steps}
        numbers |= {name: getattr(owner, each) for name, owner, each in self._scalars()}
        if self.ragged:
            numbers |= {name: array.steps for name, array in self._counts().items()}
        return numbers

    def to_dict(self):
        """Return the numbers, and a copy of every state array."""
        return self.numbers() | {name: slot.reshape(shape).copy() for name, slot, shape in self._named_slots()}

    def load(self, where, state):
        """Restore what `to_dict` returned."""
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: state must be a dict, got {type(state).__name__}")
        self.check()
        slots = {name: (slot, shape) for name, slot, shape in self._named_slots()}
        numbers = self.checked_numbers(where, state, slots.keys())
        own, arrays = "this optimizer's", {}
        for name, (slot, shape) in slots.items():
            like = {"dtype": (own, slot.dtype), "shape": (own, shape)}
            arrays[name] = check_array(where, f"state[{name!r}]", state[name], **like)
        with Interruption(), self.change():
            for name, (slot, _) in slots.items():
                slot[:] = arrays[name].reshape(-1)
            self.set_numbers(numbers)

    def checked_numbers(self, where, state, others=frozenset()):
        """Return the numbers of a state that has these and the other names, else raise."""
        scalars = [name for name, _, _ in self._scalars()]
        counts = list(self._counts())
        counts = counts if any(name in state for name in counts) else []
        expected = {"steps", *scalars, *counts, *others}
        if state.keys() != expected:
            different = sorted(map(str, state.keys() ^ expected))
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(different)}")
        numbers = {name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in ("steps", *counts)}
        return numbers | {name: check_number(where, f"state[{name!r}]", state[name], NON_NEGATIVE) for name in scalars}

    def restore_numbers(self, numbers):
        """Restore the numbers of a state folder."""
        self.set_numbers(self.checked_numbers(f"{self._owner._name}: state_dir", numbers))

    def set_numbers(self, numbers):
        """Restore what `numbers` returned."""
        for name, owner, each in self._scalars():
            setattr(owner, each, numbers[name])
        counts = self._counts()
        for name, array in counts.items():
            array.steps = numbers.get(name, numbers["steps"])
        self.ragged = any(name in numbers for name in counts)
        self.set_steps(numbers["steps"])

    def vectors(self, slot):
        """Return the state arrays of a name as vectors, by key."""
        arrays = self._structure.arrays.items()
        return {key: array.slots[array.update.slots.index(slot)] for key, array in arrays}

    def copies(self, slot):
        """Return a copy of the state arrays of a name, in the structure of params."""
        return self._structure.like({key: vector.copy() for key, vector in self.vectors(slot).items()})

    def _counts(self):
        """Return the arrays by the names of their counts of steps."""
        return {self._structure.name(key, "step"): array for key, array in self._structure.arrays.items()}

    def _named_slots(self):
        for key, array in self._structure.arrays.items():
            for slot, values in zip(array.update.slots, array.slots, strict=True):
                shape = array.shape if values.size == array.size else values.shape
                yield self._structure.name(key, slot), values, shape

    def _scalars(self):
        for each in self._owner.scalars:
            yield each, self._owner, each
            for k, group in enumerate(self._groups):
                yield f"groups[{k}].{each}", group, each
