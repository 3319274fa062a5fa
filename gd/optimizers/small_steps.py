"""Small steps: those of few elements in plain arrays, which compiled code checks and takes (see `kernels.gates`)."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import FLOATS
from ..kernels.compiler import join
from ..kernels.gates import MOST_ARRAYS, OPEN, NormGate, StepGate, refuse
from ..kernels.loops import reductions
from ..kernels.loops.update import coefficients_of
from ..kernels.rules.stages import CommonCoefficients, gradient
from ..parameters import ParameterArray, ParameterVector, Structure

if TYPE_CHECKING:
    from .base import Optimizer


class SmallSteps:
    """The steps of an optimizer whose arrays share one `Update` without norms, blocks or groups.

    Parameters
    ----------
    owner : Optimizer
    structure : Structure
    """

    def __init__(self, owner: "Optimizer", structure: Structure) -> None:
        self._arrays, self._keys, self._is_list, self._shapes = _arrays(structure), None, False, None
        if structure.vector is not None:
            self._shapes = structure.params._shapes
        elif not structure.is_one:
            self._keys = list(structure.arrays)
            self._is_list = self._keys == list(range(len(self._keys)))
        self._state, self._attributes, self._update = owner._state, vars(owner), self._arrays[0].update
        self._coefficients = self._update.coefficients
        self._enter = refuse

    @staticmethod
    def of(owner: "Optimizer", structure: Structure) -> "SmallSteps | None":
        """Return the small steps of an optimizer, None if its arrays are many, large or not alike."""
        arrays = _arrays(structure)
        update = arrays[0].update
        alike = all(array.update is update and _is_plain(array) for array in arrays)
        if not alike or update.owner is not owner or update.trust is not None or owner.groups:
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
        common, own = self._coefficients.values(t, grad_scale)
        if keys is None:
            if type(grads) is ParameterVector and self._is_known(grads):
                grads = grads._vector
            return enter(state, t + 1, common, own, grads)
        if type(grads) is dict and len(grads) == len(keys):
            return enter(state, t + 1, common, own, *map(grads.get, keys))
        return enter(state, t + 1, common, own, *grads) if self._is_list and type(grads) in (list, tuple) else None

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
            count = len(CommonCoefficients._fields) + len(coefficients_of(self._update.owner.rule)._fields)
            self._enter = StepGate(self._update.formula, count, arrays, guards).enter


@cache
def norm_gate() -> NormGate:
    """Return the gate of the norm of small gradients."""
    return NormGate(join(reductions.norms, gradient), join(reductions.combine), reductions.NORM_BLOCK)


def _arrays(structure: Structure) -> list[ParameterArray]:
    return list(structure.arrays.values()) if structure.vector is None else [structure.vector]


def _is_plain(array: ParameterArray) -> bool:
    return type(array.given) is np.ndarray and array.order is None and array.dtype in FLOATS
