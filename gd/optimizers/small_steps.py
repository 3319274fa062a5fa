"""Small steps: those of few elements in plain arrays, which compiled code checks and takes (see `kernels.gates`)."""

from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import FLOATS
from ..kernels.compiler import join
from ..kernels.gates import MOST_ARRAYS, OPEN, NormGate, StepGate, refuse
from ..kernels.loops import reductions
from ..kernels.rules.stages import gradient
from ..parameters import ParameterArray, ParameterVector, Structure
from .coefficients import count_of

if TYPE_CHECKING:
    from .base import Optimizer


class SmallSteps:
    """The steps of an optimizer whose arrays share one `Update` without blocks or groups.

    Parameters
    ----------
    owner : Optimizer
    structure : Structure
    """

    def __init__(self, owner: "Optimizer", structure: Structure) -> None:
        self._arrays, self._keys, self._is_list, self._shapes = _arrays(structure), None, False, None
        self._leaves = structure.leaves if structure.is_nested else None
        if structure.vector is not None:
            self._shapes = structure.params._shapes
        elif not structure.is_one:
            self._keys = list(structure.arrays)
            self._is_list = structure.is_nested or self._keys == list(range(len(self._keys)))
        self._state, self._attributes, self._update = owner._state, vars(owner), self._arrays[0].update
        self._coefficients = self._update.coefficients
        self._enter, self._structure = refuse, structure
        self._gate: StepGate | None = None
        limits = [each for each in (owner.clip_norm, owner.clip_norm_each) if each is not None]
        self._looks, self._norm = bool(limits) or owner.skip_nonfinite, norm_gate()
        self._limit = limits[0] if limits else None

    @staticmethod
    def of(owner: "Optimizer", structure: Structure) -> "SmallSteps | None":
        """Return the small steps of an optimizer, None if its arrays are many, large or not alike."""
        arrays = _arrays(structure)
        update = arrays[0].update
        alike = all(array.update is update and _is_plain(array) for array in arrays)
        if not alike or update.owner is not owner or not owner.elementwise or owner.groups:
            return None
        if owner.clip_norm_each is not None and (len(arrays) > 1 or owner.clip_norm is not None):
            return None
        is_small = sum(array.size for array in arrays) < update.formula.parallel_from  # it is not split over threads
        return SmallSteps(owner, structure) if is_small and len(arrays) <= MOST_ARRAYS else None

    def take(self, grads: Any, grad_scale: float) -> bool | None:
        """Step and count it, and return True if the gradients are plain; else return None, and nothing has changed."""
        enter, state, keys = self._enter, self._attributes, self._keys
        if self._state.ragged:
            return None
        t = state["steps"]
        if enter is refuse:
            return self._prepare() if t else None  # the first step compiles in Python, and explains
        if self._looks:
            return self._clipped(enter, t, grads, grad_scale)
        common, own = self._coefficients.values(t, grad_scale)
        if keys is None:
            if type(grads) is ParameterVector and self._is_known(grads):
                grads = grads._vector
            return enter(state, t + 1, common, own, grads)
        if self._leaves is not None:
            grads = self._leaves(grads)
        elif type(grads) is dict and len(grads) == len(keys):
            return enter(state, t + 1, common, own, *map(grads.get, keys))
        return enter(state, t + 1, common, own, *grads) if self._is_list and type(grads) in (list, tuple) else None

    def _clipped(self, enter: Any, t: int, grads: Any, grad_scale: float) -> bool | None:
        """Step as `take` does, where the norm of the gradients is needed first."""
        keys, state, limit = self._keys, self._attributes, self._limit
        if keys is None:
            given = (grads._vector if type(grads) is ParameterVector and self._is_known(grads) else grads,)
        elif self._leaves is None and type(grads) is dict and len(grads) == len(keys):
            given = tuple(map(grads.get, keys))
        else:
            grads = grads if self._leaves is None else self._leaves(grads)
            given = grads if self._is_list and type(grads) in (list, tuple) else ()
        norm = self._norm.enter(self._update.scaled(grad_scale), *given)
        if norm is None or not isfinite(norm):  # which needs a closer look
            return None
        scale = grad_scale if limit is None or norm <= limit else grad_scale * (limit / norm)
        common, own = self._coefficients.values(t, scale)
        done = enter(state, t + 1, common, own, *given)
        if done:
            state["grad_norm"] = norm
        return done

    def _is_known(self, grads: ParameterVector) -> bool:
        """Return True if a ParameterVector has the names and shapes of the parameters, in the same order."""
        if grads._shapes is not self._shapes:
            if self._shapes is None or list(grads._shapes.items()) != list(self._shapes.items()):
                return False
            self._shapes = grads._shapes  # the same object comes again
        return True

    def _prepare(self) -> None:
        """Make the gate."""
        if OPEN:
            arrays = [(array.given, array.p, array.slots) for array in self._arrays]
            guards = [each for array in self._arrays for _, each in array.memory]
            count = count_of(self._update.owner.rule)
            if self._looks:
                blocks = sum(-(-array.size // reductions.NORM_BLOCK) for array in self._arrays)
                self._norm.admit(self._update.dtype, blocks > 1)
            self._gate = StepGate(self._update.formula, count, arrays, guards)
            self._enter = self._gate.enter

    def rebind(self, p: Any, state: Any) -> bool:
        """Step another array, if it is the only one and plain, as `Optimizer.rebind` does; else change nothing."""
        array, gate = self._arrays[0], self._gate
        if gate is None or not self._structure.is_one or type(p) is not np.ndarray or p.shape != array.shape:
            return False
        slots: list[Any]
        if state is None:
            slots = [each.reshape(array.shape) for each in array.slots]
        elif type(state) is dict and len(state) == len(array.slots):
            slots = list(map(state.get, self._update.slots))
        else:
            return False
        self._gate, self._enter = None, refuse  # where Ctrl-C ends this, the next step makes another gate
        plain = gate.rebind(p, slots)
        if plain:
            array.rebind(p, array.slots if state is None else tuple(each.reshape(-1) for each in slots))
            self._attributes["params"] = self._structure.params = p
        self._gate, self._enter = gate, gate.enter
        return plain


@cache
def norm_gate() -> NormGate:
    """Return the gate of the norm of small gradients."""
    return NormGate(join(reductions.norms, gradient), join(reductions.combine), reductions.NORM_BLOCK)


def _arrays(structure: Structure) -> list[ParameterArray]:
    return list(structure.arrays.values()) if structure.vector is None else [structure.vector]


def _is_plain(array: ParameterArray) -> bool:
    return type(array.given) is np.ndarray and array.order is None and array.dtype in FLOATS
