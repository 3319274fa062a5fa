"""The state of an optimizer: one block for each array that it steps, and its way into and out of a dict."""

from collections.abc import Mapping

import numpy as np

from ..arrays import check_array
from ..kernels.interruption import Interruption
from ..kernels.rules import common
from ..parameters import ParameterVector
from ..ranges import NON_NEGATIVE, check_integer, check_number
from .blocks import Block, aligned_like, entries
from .hyperparameters import SHARED, Hyperparameters
from .kind import Kind


class State(Hyperparameters):
    """What `Optimizer` knows of its state."""

    slots = ()  # names of the state arrays, in the order of the rule's arguments
    scalars: dict = {}  # names of state that is a number, and what it starts from

    def initial(self, slot, p):
        """Return what a state array starts from: a number, or an array like p, the flat parameters."""
        return 0.0

    def _allocate(self, arrays):
        """Make groups, state arrays and kernels."""
        self._slots = self.slots if self.ema is None else (*self.slots, "ema")
        stages = {
            common.clipped: self.clip_value is not None,
            common.penalized: self.l1 or self.l2,
            common.decayed: self.weight_decay and not self.decays_itself,
        }
        self._stages = tuple(stage for stage, wanted in stages.items() if wanted)
        self._looks_first = self.skip_nonfinite or self.clip_norm is not None
        self._kinds, self._sums, self._summed, self._ragged = {}, {}, set(), False
        self.groups = tuple(self._group(k, group, arrays) for k, group in enumerate(self._specifications))
        grouped = {key: block for group in self.groups for key, block in group._blocks.items()}
        self._blocks, self._vector_block, slots, start = {}, None, None, 0
        if isinstance(self.params, ParameterVector):
            self._vector_block = self._block("params", self.params.vector, [] if grouped else None)
        for key, (label, array) in arrays.items():
            if self._vector_block is not None and not grouped:
                slots = [slot[start : start + array.size] for slot in self._vector_block.slots]
                start += array.size
            self._blocks[key] = grouped[key] if key in grouped else self._block(label, array, slots)
            self._blocks[key].label = label
        self._alone = self._only_block()

    def _group(self, k, specification, arrays):
        """Return the optimizer of a group: of the same class, with its own hyper-parameters."""
        shared = SHARED[: SHARED.index("clip_norm")]  # the others are of all groups
        own = {name: self._schedules.get(name, getattr(self, name)) for name in self._hyperparameters}
        keywords = {"lr": self._lr, "ema": self.ema} | own | {name: getattr(self, name) for name in shared}
        keywords |= {name: value for name, value in specification.items() if name != "params"}
        try:
            return type(self)({key: arrays[key][1] for key in specification["params"]}, **keywords)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace(f"{self._name}:", f"{self._name}: groups[{k}]:", 1)) from None

    def _only_block(self):
        """Return the block of an optimizer of one array whose step is one call of its kernel, else None."""
        simple = isinstance(self.params, np.ndarray) and not (self._looks_first or self.scalars)
        return self._blocks[None] if simple else None

    def _block(self, label, array, slots=None):
        p = array.reshape(-1)
        if slots is None:
            slots = [aligned_like(p, p if slot == "ema" else self.initial(slot, p)) for slot in self._slots]
        kind = self._kinds.setdefault(array.dtype, Kind(self, array.dtype))
        return Block(label, array, slots, kind)

    def __getstate__(self):
        """Views, kernels and groups are not part of a copy or a pickle: they are made anew for the new params."""
        made_anew = ("_alone", "_blocks", "_vector_block", "_kinds", "_stages", "_sum", "_sums", "_summed", "groups")
        state = {k: v for k, v in self.__dict__.items() if k not in made_anew}
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
        state = {"steps": self.steps}
        state |= {name: getattr(owner, each) for name, owner, each in self._named_scalars()}
        if self._ragged:
            state |= {self._key(key, "step"): block.steps for key, block in self._blocks.items()}
        for name, slot, shape in self._named_slots():
            state[name] = slot.reshape(shape).copy()
        return state

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
        slots = {name: (slot, shape) for name, slot, shape in self._named_slots()}
        scalars = {name: (owner, each) for name, owner, each in self._named_scalars()}
        counts = {self._key(key, "step"): block for key, block in self._blocks.items()}
        ragged = any(name in state for name in counts)
        expected = slots.keys() | scalars.keys() | {"steps"} | (counts.keys() if ragged else set())
        if state.keys() != expected:
            different = sorted(map(str, state.keys() ^ expected))
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(different)}")
        steps = check_integer(where, "state['steps']", state["steps"], 0)
        numbers = {name: check_number(where, f"state[{name!r}]", state[name], NON_NEGATIVE) for name in scalars}
        taken = {name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in counts if ragged}
        arrays = {}
        for name, (slot, shape) in slots.items():
            own = "this optimizer's"
            like = {"dtype": (own, slot.dtype), "shape": (own, shape)}
            arrays[name] = check_array(where, f"state[{name!r}]", state[name], **like)
        with Interruption():
            for name, (slot, _) in slots.items():
                slot[:] = arrays[name].reshape(-1)
            for name, (owner, each) in scalars.items():
                setattr(owner, each, numbers[name])
            for name, block in counts.items():
                block.steps = taken.get(name, steps)
            self._ragged = ragged
            self._set_steps(steps)

    def _key(self, key, name):
        return name if isinstance(self.params, np.ndarray) else f"{key}.{name}"

    def _named_slots(self):
        for key, block in self._blocks.items():
            for slot, array in zip(block.kind.owner._slots, block.slots, strict=True):
                yield self._key(key, slot), array, block.shape

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
