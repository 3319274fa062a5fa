"""The state of an optimizer: one block for each array that it steps, and its way into and out of a dict."""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from ..checks import NON_NEGATIVE, check_array, check_integer, check_number, renamed
from ..kernels.interruption import Interruption
from ..kernels.rules import stages
from ..parameters import ParameterVector, entries
from .array_lists import ArrayList
from .blocks import Block
from .hyperparameters import SHARED, Hyperparameters
from .kind import Kind
from .storage import MASTER, OPTIONS, allocate, real_of, widened


class State(Hyperparameters):
    """What `Optimizer` knows of its state."""

    slots = ()  # names of the state arrays, in the order of the rule's arguments
    scalars: dict = {}  # names of state that is a number, and what it starts from
    unsigned = ()  # names of state arrays that are never negative, as 8 bits store them
    exact = ()  # names of those that no state_dtype rounds, such as averages of parameters

    def initial(self, slot, p):
        """Return what a state array starts from: a number, or an array like p, the flat parameters."""
        return 0.0

    def _allocate(self, arrays):
        """Make groups, state arrays and kernels."""
        master, average = (MASTER,) if self.master_weights else (), () if self.ema is None else ("ema",)
        self._slots = (*master, *self.slots, *average)
        wanted = {
            stages.clipped: self.clip_value is not None,
            stages.penalized: self.l1 or self.l2,
            stages.decayed: self.weight_decay and not self.decays_itself,
        }
        self._stages = tuple(stage for stage, is_wanted in wanted.items() if is_wanted)
        self._looks_first = self.skip_nonfinite or self.clip_norm is not None
        self._kinds, self._sums, self._summed, self._ragged = {}, {}, set(), False
        self.groups = tuple(self._group(k, group, arrays) for k, group in enumerate(self._specifications))
        grouped = {key: block for group in self.groups for key, block in group._blocks.items()}
        apart = grouped or self.by_blocks  # blocks of 256 do not end where arrays do
        self._blocks, self._vector_block, slots, start = {}, None, None, 0
        if isinstance(self.params, ParameterVector):
            self._vector_block = self._block("params", self.params.vector, [] if apart else None)
        for key, (label, array) in arrays.items():
            if self._vector_block is not None and not apart:
                slots = [slot[start : start + array.size] for slot in self._vector_block.slots]
                start += array.size
            self._blocks[key] = grouped[key] if key in grouped else self._block(label, array, slots)
            self._blocks[key].label, self._blocks[key].number = label, len(self._blocks)
        self._alone, self._many = self._only_block(), ArrayList.of(self, self._blocks)

    def _allocate_in(self, folder, arrays):
        """Make the same with state arrays in a folder, or leave that as it is."""
        self._folder = folder
        try:
            self._allocate(arrays)
            where = f"{self._name}: state_dir"
            folder.begin(lambda numbers: self._set_numbers(self._checked_numbers(where, numbers)), self._numbers)
        except BaseException:
            folder.abandon()
            raise

    def _group(self, k, specification, arrays):
        """Return the optimizer of a group: of the same class, with its own hyper-parameters."""
        shared = (*SHARED[: SHARED.index("clip_norm")], "ema", *OPTIONS)  # the others look at all groups
        own = {name: self._schedules.get(name, getattr(self, name)) for name in self._hyperparameters}
        keywords = {"lr": self._lr} | own | {name: getattr(self, name) for name in shared}
        keywords |= {name: value for name, value in specification.items() if name != "params"}
        keywords |= {"state_dir": self._folder}
        params = {key: arrays[key][1] for key in specification["params"]}
        return renamed(f"{self._name}:", f"{self._name}: groups[{k}]:", lambda: type(self)(params, **keywords))

    def _only_block(self):
        """Return the block of an optimizer of one array whose step is one call of its kernel, else None."""
        detour = self._looks_first or self.scalars or self.by_blocks or self._folder
        simple = isinstance(self.params, np.ndarray) and not detour
        return self._blocks[None] if simple else None

    def _block(self, label, array, slots=None):
        p = array.reshape(-1)
        if slots is None:
            slots = [self._state_array(label, slot, p) for slot in self._slots]
        dtype = real_of(array.dtype)
        kind = self._kinds.setdefault(dtype, Kind(self, dtype))
        return Block(label, array, slots, kind)

    def _state_array(self, label, slot, p):
        def initial():
            return widened(p) if slot == "ema" else self.initial(slot, widened(p))

        if self._folder is not None:
            return self._folder.vector(label, slot, p, initial)
        state_dtype = None if slot in (*self.exact, "ema") else self.state_dtype
        return allocate(slot, p, initial(), state_dtype, slot in self.unsigned)

    def _change(self):
        """Return the context in which the state changes."""
        return nullcontext() if self._folder is None else self._folder.change()

    def close(self):
        """Have the state of `state_dir` written to the disk; the optimizer takes no further step.

        An optimizer is also a context that closes it. Without state_dir there is nothing to do. After a step that a
        second Ctrl-C interrupted the folder stays marked as in use.
        """
        if self._folder is not None:
            self._folder.close(self._numbers())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def save_state(self, path):
        """Copy the state of `state_dir` into a new folder, from which another optimizer can go on.

        Parameters
        ----------
        path : str or path-like
            Save the parameters with it: the two belong together. A copy that was interrupted is refused.

        Raises
        ------
        ValueError
            If the optimizer was made without state_dir, or closed.
        FileExistsError
            If there is something at path.
        """
        if self._folder is None:
            raise ValueError(f"{self._name}.save_state: the optimizer was made without state_dir; save its state_dict")
        self._folder.check()
        with Interruption():
            self._folder.copy(path, self._numbers())

    def __getstate__(self):
        """Views, kernels and groups are not part of a copy or a pickle: they are made anew for the new params."""
        if self._folder is not None:
            raise TypeError(f"{self._name}: an optimizer with state_dir cannot be copied; see save_state")
        made_anew = {"_alone", "_blocks", "_many", "_vector_block", "_kinds", "_stages", "_sum", "_sums", "_summed"}
        state = {k: v for k, v in self.__dict__.items() if k not in made_anew | {"groups"}}
        specifications = [s | {"lr": g._lr} for s, g in zip(self._specifications, self.groups, strict=True)]
        return state | {"_state": self.state_dict(), "_specifications": tuple(specifications)}

    def __setstate__(self, state):
        saved = state.pop("_state")
        self.__dict__.update(state)
        self._allocate(entries(self._name, "params", self.params))
        self.load_state_dict(saved)

    def state_dict(self):
        """Return the state as a flat dict: `steps`, and a copy of every state array.

        The keys are PyTorch's slot names (`exp_avg`, ...), with the key of the array before them where
        params is a list or a dict: `0.exp_avg`, `W1.exp_avg`. `W1.step` is there where arrays differ in the
        number of steps they took. Hyper-parameters and accumulated gradients are not part of it.
        """
        state = self._numbers()
        for name, slot, shape in self._named_slots():
            state[name] = slot.reshape(shape).copy()
        return state

    def _numbers(self):
        """Return what of the state are numbers."""
        numbers = {"steps": self.steps}
        numbers |= {name: getattr(owner, each) for name, owner, each in self._named_scalars()}
        if self._ragged:
            numbers |= {self._key(key, "step"): block.steps for key, block in self._blocks.items()}
        return numbers

    def load_state_dict(self, state):
        """Restore what `state_dict` returned; the optimizer goes on as if it had not stopped.

        Raises
        ------
        KeyError
            If entries are missing or unknown.
        TypeError, ValueError
            If an entry has another shape or dtype; nothing has changed then.
        """
        where = f"{self._name}.load_state_dict"
        if not isinstance(state, Mapping):
            raise TypeError(f"{where}: state must be a dict, got {type(state).__name__}")
        if self._folder is not None:
            self._folder.check()
        slots = {name: (slot, shape) for name, slot, shape in self._named_slots()}
        numbers = self._checked_numbers(where, state, slots.keys())
        own, arrays = "this optimizer's", {}
        for name, (slot, shape) in slots.items():
            like = {"dtype": (own, slot.dtype), "shape": (own, shape)}
            arrays[name] = check_array(where, f"state[{name!r}]", state[name], **like)
        with Interruption(), self._change():
            for name, (slot, _) in slots.items():
                slot[:] = arrays[name].reshape(-1)
            self._set_numbers(numbers)

    def _checked_numbers(self, where, state, others=frozenset()):
        """Return the numbers of a state that has these and the other names, else raise."""
        scalars = [name for name, _, _ in self._named_scalars()]
        counts = [self._key(key, "step") for key in self._blocks]
        counts = counts if any(name in state for name in counts) else []
        expected = {"steps", *scalars, *counts, *others}
        if state.keys() != expected:
            different = sorted(map(str, state.keys() ^ expected))
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(different)}")
        numbers = {name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in ("steps", *counts)}
        return numbers | {name: check_number(where, f"state[{name!r}]", state[name], NON_NEGATIVE) for name in scalars}

    def _set_numbers(self, numbers):
        for name, owner, each in self._named_scalars():
            setattr(owner, each, numbers[name])
        counts = {self._key(key, "step"): block for key, block in self._blocks.items()}
        for name, block in counts.items():
            block.steps = numbers.get(name, numbers["steps"])
        self._ragged = any(name in numbers for name in counts)
        self._set_steps(numbers["steps"])

    def _key(self, key, name):
        return name if isinstance(self.params, np.ndarray) else f"{key}.{name}"

    def _named_slots(self):
        for key, block in self._blocks.items():
            for slot, array in zip(block.kind.owner._slots, block.slots, strict=True):
                yield self._key(key, slot), array, block.shape if array.size == block.size else array.shape

    def _named_scalars(self):
        for each in self.scalars:
            yield each, self, each
            for k, group in enumerate(self.groups):
                yield f"groups[{k}].{each}", group, each

    def _set_steps(self, steps):
        vars(self)["steps"] = steps  # past __setattr__, which takes as long as a small kernel
        if self.groups:
            for group in self.groups:
                vars(group)["steps"] = steps

    def ema_params(self):
        """Return a copy of the averaged parameters, in the structure of params.

        Raises
        ------
        ValueError
            If the optimizer was made without ema.
        """
        if self.ema is None:
            raise ValueError(
                f"{self._name}.ema_params: the optimizer was made without ema; pass ema=0.999, for example"
            )
        return self._like_params({key: block.slots[-1].copy() for key, block in self._blocks.items()})

    @staticmethod
    def _slot(block, name):
        """Return the state array of a name."""
        return block.slots[block.kind.owner._slots.index(name)]

    def _like_params(self, vectors):
        """Return flat arrays, by key, in the structure of params."""
        if isinstance(self.params, ParameterVector):
            copy = self.params.zeros_like()
            for key, vector in vectors.items():
                copy[key].reshape(-1)[:] = vector
            return copy
        shaped = {key: vector.reshape(self._blocks[key].shape) for key, vector in vectors.items()}
        if isinstance(self.params, np.ndarray):
            return shaped[None]
        if not isinstance(self.params, (list, tuple)):
            return shaped
        return getattr(self.params, "_make", type(self.params))(shaped.values())  # a named tuple, too
