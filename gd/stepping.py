"""Optimizer: what all optimizers share. Arguments, parameters, gradients, state, penalties, the step."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isfinite

import numpy as np

from .arrays import aligned_full, check_apart, check_apart_from, check_array
from .kernels.compiler import join
from .kernels.loops.update import update
from .parameters import ParameterVector
from .ranges import NON_NEGATIVE, Range, check_flag, check_integer, check_number, check_numbers

OPTIMIZERS = {}  # name -> class, in order of declaration


class Optimizer(ABC):
    """The base class of all optimizers: it owns arguments, state and traversal.

    A subclass is its constructor, its state slots, its rule and the scalars that the rule takes at step t.

    Parameters
    ----------
    params : ndarray, or a list, tuple or dict of ndarrays, or ParameterVector
        Updated in place; float32 or float64, contiguous in C order, writeable, apart in memory.
    lr : float or callable
        The learning rate, or a schedule: a function of the number of steps taken before.
    l1, l2 : float, default: 0
        Penalties l1 * |p| and l2 / 2 * p**2: their gradients are added to the gradient (coupled).
    weight_decay : float, default: 0
        Decoupled decay (Loshchilov & Hutter 2019): p is first multiplied by 1 - lr * weight_decay.
    maximize : bool, default: False
        Ascend instead of descend.

    Raises
    ------
    TypeError, ValueError
        For arrays that kernels cannot take and hyper-parameters out of range; nothing has changed then.
    """

    rule = None  # the scalar formula, from kernels.rules
    slots = ()  # names of the state arrays, in the order of the rule's arguments
    ranges: dict = {}  # hyper-parameter -> Range, or a tuple of them, or bool

    def __init_subclass__(cls):
        if cls.__module__.startswith(f"{__package__}."):  # not those of users
            OPTIMIZERS[cls.__name__] = cls

    def __init__(self, params, lr, hyperparameters, *, l1=0.0, l2=0.0, weight_decay=0.0, maximize=False, **unknown):
        self._name = type(self).__name__
        for keyword in unknown:
            raise TypeError(f"{self._name}: unexpected keyword {keyword!r}")
        for name, value in hyperparameters.items():
            setattr(self, name, self._checked(name, value, self.ranges[name]))
        self.l1 = check_number(self._name, "l1", l1, NON_NEGATIVE)
        self.l2 = check_number(self._name, "l2", l2, NON_NEGATIVE)
        self.weight_decay = check_number(self._name, "weight_decay", weight_decay, NON_NEGATIVE)
        self.maximize = check_flag(self._name, "maximize", maximize)
        self._hyperparameters = tuple(hyperparameters)
        self.lr = lr
        self.steps = 0
        self.params = params
        arrays = _entries(self._name, "params", params)
        for label, array in arrays.values():
            check_array(self._name, label, array, writeable=True)
        check_apart(self._name, list(arrays.values()))
        if len({str(key) for key in arrays}) < len(arrays):
            raise ValueError(f"{self._name}: params has keys that read alike, got {', '.join(map(repr, arrays))}")
        self._allocate(arrays)

    def __setattr__(self, name, value):
        if name in self.ranges and name in self.__dict__:
            raise AttributeError(f"{self._name}: {name} is fixed at construction; make another with this state_dict")
        super().__setattr__(name, value)

    def __getstate__(self):
        """Views and kernels are not part of what is copied or pickled: they are made anew for the new params."""
        made_anew = ("_whole", "_blocks", "_kernel")
        return {k: v for k, v in self.__dict__.items() if k not in made_anew} | {"_state": self.state_dict()}

    def __setstate__(self, state):
        saved = state.pop("_state")
        self.__dict__.update(state)
        self._allocate(_entries(self._name, "params", self.params))
        self.load_state_dict(saved)

    def _checked(self, name, value, allowed):
        if allowed is bool:
            return check_flag(self._name, name, value)
        if isinstance(allowed, Range):
            return check_number(self._name, name, value, allowed)
        return check_numbers(self._name, name, value, allowed)

    def _allocate(self, arrays):
        initial = [self.initial(slot) for slot in self.slots]
        if isinstance(self.params, ParameterVector):
            vector = self.params.vector
            self._whole = _Block("params", vector, [aligned_full(vector.size, vector.dtype, v) for v in initial])
            self._blocks, start = {}, 0
            for key, (label, array) in arrays.items():
                slots = [slot[start : start + array.size] for slot in self._whole.slots]
                self._blocks[key] = _Block(label, array, slots)
                start += array.size
        else:
            self._whole = None
            self._blocks = {
                key: _Block(label, array, [aligned_full(array.size, array.dtype, v) for v in initial])
                for key, (label, array) in arrays.items()
            }
        self._dtypes = tuple({block.dtype for block in self._blocks.values()})
        self._kernel = join(update, self.rule)

    @abstractmethod
    def coefficients(self, t, lr):
        """Return the named tuple of scalars that the rule takes at step t (1, 2, ...)."""

    def initial(self, slot):
        """Return the value that a state slot starts from."""
        return 0.0

    @property
    def lr(self):
        """The learning rate of the next step; set it to a number or a schedule."""
        return self._lr(self.steps) if callable(self._lr) else self._lr

    @lr.setter
    def lr(self, value):
        self._lr = value if callable(value) else check_number(self._name, "lr", value, NON_NEGATIVE)

    def step(self, grads, grad_scale=1.0):
        """Update the parameters in place by their gradients.

        Parameters
        ----------
        grads : as params
            The same structure, shapes and dtypes; read, never written. A ParameterVector takes a
            ParameterVector or one flat vector, in a single pass, or a dict.
        grad_scale : float, default: 1
            Multiplies the gradients: 1 / loss_scale, or 1 / n for sums over n examples.

        Returns
        -------
        applied : bool
            True.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then.
        """
        if type(grad_scale) is not float or not isfinite(grad_scale):
            grad_scale = check_number(f"{self._name}.step", "grad_scale", grad_scale, Range(-np.inf, np.inf, False))
        pairs = self._paired(grads)
        coefficients = {dtype: self._vector(dtype, grad_scale) for dtype in self._dtypes}
        for block, g in pairs:
            self._kernel(block.size, coefficients[block.dtype], block.p, g, *block.slots)
        vars(self)["steps"] += 1  # past __setattr__, which takes as long as a small kernel
        return True

    def step_inside(self, loop, size, *arguments):
        """Take a step by a loop that computes the gradient of a ParameterVector itself, piece by piece."""
        block = self._whole
        join(loop, self.rule)(size, *arguments, self._vector(block.dtype, 1.0), block.p, *block.slots)
        vars(self)["steps"] += 1  # past __setattr__, which takes as long as a small kernel

    def _vector(self, dtype, grad_scale):
        """The penalties' and the rule's scalars of the next step, computed in float64, cast once."""
        lr = self._lr
        if callable(lr):
            lr = check_number(f"{self._name}.step", f"lr({self.steps})", lr(self.steps), NON_NEGATIVE)
        scale = -grad_scale if self.maximize else grad_scale
        penalties = (scale, self.l1, self.l2, 1.0 - lr * self.weight_decay)  # the order of `Penalties`
        return np.array(penalties + self.coefficients(self.steps + 1, lr), dtype)

    def _paired(self, grads):
        """Return (block, flat gradient) for every array; raise before anything has changed."""
        where = f"{self._name}.step"
        whole = self._whole
        if whole is not None and isinstance(grads, ParameterVector):
            if grads.shapes != self.params.shapes:
                raise ValueError(f"{where}: grads has shapes {grads.shapes}, params has {self.params.shapes}")
            return [(whole, whole.gradient(where, "grads.vector", grads.vector))]
        if whole is not None and isinstance(grads, np.ndarray):
            return [(whole, whole.gradient(where, "grads", grads))]
        if isinstance(self.params, np.ndarray):
            block = self._blocks[None]
            g = block.gradient(where, "grads", grads)
            if not block.knows(grads):
                block.remember(grads)
            return [(block, g)]
        entries = _entries(where, "grads", grads)
        if entries.keys() != self._blocks.keys():
            missing = [self._blocks[key].label for key in self._blocks.keys() - entries.keys()]
            extra = [entries[key][0] for key in entries.keys() - self._blocks.keys()]
            raise ValueError(
                f"{where}: grads must have the structure of params; "
                + "; ".join([f"none for {label}" for label in missing] + [f"unknown {label}" for label in extra])
            )
        pairs = [(self._blocks[key], self._blocks[key].gradient(where, *entry)) for key, entry in entries.items()]
        if len(self._blocks) > 1 and not all(self._blocks[key].knows(array) for key, (_, array) in entries.items()):
            self._check_grads_apart(where, entries)
        return pairs

    def _check_grads_apart(self, where, entries):
        """Raise if a gradient shares memory with any parameter; gradients may share with each other."""
        check_apart_from(where, entries.values(), [(block.label, block.p) for block in self._blocks.values()])
        for key, (_, g) in entries.items():
            self._blocks[key].remember(g)

    def state_dict(self):
        """Return the state as a flat dict: `steps`, and a copy of every state array.

        The keys are PyTorch's slot names (`exp_avg`, ...), with the key of the array before them where
        params is a list or a dict: `0.exp_avg`, `W1.exp_avg`. Hyper-parameters are not part of it.
        """
        state = {"steps": self.steps}
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
        if state.keys() != slots.keys() | {"steps"}:
            different = sorted(map(str, state.keys() ^ (slots.keys() | {"steps"})))
            raise KeyError(f"{where}: state does not match this optimizer in {', '.join(different)}")
        steps = check_integer(where, "state['steps']", state["steps"], 0)
        for name, (slot, shape) in slots.items():
            expected = "this optimizer's"
            check_array(where, f"state[{name!r}]", state[name], dtype=(expected, slot.dtype), shape=(expected, shape))
        for name, (slot, _) in slots.items():
            slot[:] = state[name].reshape(-1)
        self.steps = steps

    def _named_slots(self):
        for key, block in self._blocks.items():
            for slot, array in zip(self.slots, block.slots, strict=True):
                yield (slot if isinstance(self.params, np.ndarray) else f"{key}.{slot}"), array, block.shape

    def __repr__(self):
        lr = self._lr if callable(self._lr) else f"{self._lr:g}"
        shared = [name for name in ("l1", "l2", "weight_decay", "maximize") if getattr(self, name)]
        given = "".join(f", {name}={getattr(self, name)}" for name in (*self._hyperparameters, *shared))
        return f"{self._name}(lr={lr}{given})"


class _Block:
    """One array that is stepped: its flat view, its state, and what its gradient must match."""

    def __init__(self, label, array, slots):
        self.label, self.p, self.slots = label, array.reshape(-1), slots
        self.shape, self.size, self.dtype = array.shape, array.size, array.dtype
        self._known = lambda: None

    def gradient(self, where, label, g):
        """Return the flat view of a gradient that matches, else raise."""
        if not (type(g) is np.ndarray and g.dtype == self.dtype and g.shape == self.shape and g.flags.carray):
            check_array(where, label, g, dtype=(self.label, self.dtype), shape=(self.label, self.shape))
        if self._known() is not g and np.may_share_memory(g, self.p):
            raise ValueError(f"{where}: {label} overlaps {self.label} in memory")
        return g if len(self.shape) == 1 else g.reshape(-1)

    def knows(self, g):
        """Whether this very array was seen to lie apart from the parameters."""
        return self._known() is g

    def remember(self, g):
        self._known = weakref.ref(g)


def _entries(where, name, arrays):
    """Return {key: (label, array)} of an array, or a list, tuple or mapping of arrays."""
    if isinstance(arrays, np.ndarray):
        return {None: (name, arrays)}
    if isinstance(arrays, (list, tuple)):
        entries = {k: (f"{name}[{k}]", array) for k, array in enumerate(arrays)}
    elif isinstance(arrays, Mapping):
        entries = {key: (f"{name}[{key!r}]", array) for key, array in arrays.items()}
    else:
        raise TypeError(
            f"{where}: {name} must be a NumPy array, or a list, tuple or dict of them, got {type(arrays).__name__}"
        )
    if not entries:
        raise ValueError(f"{where}: {name} must hold at least one array, got none")
    return entries
