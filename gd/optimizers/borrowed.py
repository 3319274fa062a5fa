"""BorrowedArrays: steps arrays whose memory, state and counts of steps belong to another library."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS
from ..kernels.interruption import Interruption
from ..kernels.settings import INTERPRETED
from ..parameters import Structure
from .array_lists import FEWEST, ArrayList
from .coefficients import Coefficients
from .gradients import Gradients, Pairs
from .hyperparameters import OF_GROUPS, SHARED
from .storage import MASTER, allocate, check_parameter, widened
from .update import Update, stages_of

if TYPE_CHECKING:
    from .base import Optimizer


OPTIONS = (*(name for name in OF_GROUPS if name != "clip_norm_each"), "state_dtype", "master_weights", "seed")


class BorrowedArrays:
    """Arrays of which each has an optimizer that holds its formula and hyper-parameters, and nothing else.

    Parameters
    ----------
    where : str
        The caller, for messages.
    params : sequence of ndarray
    owners : sequence of Optimizer
        Of each array.

    Attributes
    ----------
    options : tuple of str
        What the owners may be given, besides what is their own.
    """

    options = OPTIONS

    def __init__(self, where: str, params: "Sequence[NDArray[Any]]", owners: "Sequence[Optimizer]") -> None:
        self._where, self._structure = where, Structure(where, list(params), _check)
        self._arrays = list(self._structure.arrays.values())
        updates: dict[Any, Update] = {}
        for array, owner in zip(self._arrays, owners, strict=True):
            key = owner, array.real
            if key not in updates:
                updates[key] = Update(owner, array.real, ((MASTER,) if owner.master_weights else ()) + owner.slots)
            array.update = updates[key]
        self._updates = list(updates.values())

    def slots(self, k: int) -> tuple[str, ...]:
        """Return the names of the state arrays of an array, in order."""
        return self._arrays[k].update.slots

    def new_slot(self, k: int, slot: str) -> NDArray[Any]:
        """Return a new state array of an array, in its shape and order."""
        array, slots = self._arrays[k], self._arrays[k].update.slots
        owner, p = array.update.owner, array.p
        value = 0.0 if slot == MASTER else owner.initial(slot, widened(p))
        state_dtype = None if slot in owner.exact else owner.state_dtype
        return array.shaped(allocate(slot, slots, p, value, state_dtype, slot in owner.unsigned))

    def use(self, states: Sequence[Sequence[NDArray[Any]]]) -> None:
        """Take the state arrays of each array, which have its shape and order."""
        for array, slots in zip(self._arrays, states, strict=True):
            array.slots = tuple(array.flat(slot) for slot in slots)
        self._list = ArrayList(self._structure, False)

    def renew(self, owner: "Optimizer", new: "Optimizer") -> bool:
        """Give an owner the hyper-parameters of another; return False if those need other kernels or states."""
        if _kind(owner) != _kind(new):
            return False
        names = (*new._hyperparameters, *SHARED, "_lr")
        vars(owner).update({name: getattr(new, name) for name in names})
        for update in self._updates:
            if update.owner is owner:
                update.coefficients = Coefficients(owner, update.dtype)
        return True

    def step(
        self, found: NDArray[np.intp], counts: NDArray[Any], has: Any, gradient: Callable[[int], NDArray[Any]]
    ) -> bool:
        """Step by gradients in the order of memory of their arrays, at the addresses `found`: 0 for none.

        `counts` are the steps that the arrays took before; those that `has` chooses are counted. `gradient(k)` returns
        one as an array. Return False, and do nothing, if gradients overlap parameters.
        """
        own = counts if found.all() else counts[found != 0]
        if not own.size:
            counts[has] += 1
            return True
        together = int(own[0]) if own.min() == own.max() else None
        many: Gradients | None = self._list.at(found, found)  # the caller holds the gradients
        if many is None:
            return False
        if INTERPRETED or len(self._arrays) < FEWEST:
            many = Pairs([(array, array.flat(gradient(k))) for k, array in enumerate(self._arrays) if found[k]])
        if together is None:
            for array, t in zip(many.arrays, own.tolist(), strict=True):
                array.steps = int(t)
        many.prepare(1.0, together)
        with Interruption():
            many.step()
            counts[has] += 1
        return True

    def takes_rows(self, k: int) -> bool:
        """Return True if single rows of an array can be stepped."""
        array = self._arrays[k]
        owner = array.update.owner
        plain = array.order is None or len(array.shape) == 2
        return bool(array.size and plain and owner.elementwise and not owner.by_blocks)

    def step_rows(self, k: int, rows: NDArray[np.intp], values: NDArray[Any], count: NDArray[Any]) -> None:
        """Step some rows of an array, each by its gradient; no row comes twice. `count` holds the array's steps."""
        array = self._arrays[k]
        if not len(rows):
            count += 1
            return
        shape, vector = array.shape, array.update.coefficients.vector(int(count[0]), 1.0)
        array.shape = shape[0], array.size // shape[0]  # a row holds all but the first axis
        try:
            with Interruption():
                each = np.arange(len(rows) + 1)  # the place of each row, and where it ends
                array.update.step_rows(array, vector, rows, each[:-1], each, values.reshape(len(rows), -1))
                count += 1
        finally:
            array.shape = shape


def _kind(owner: "Optimizer") -> Any:
    """Return what kernels and states depend on."""
    return owner.rule, owner.slots, stages_of(owner), owner.state_dtype, owner.master_weights, owner.seed


def _check(where: str, label: str, array: Any) -> None:
    check_parameter(where, label, array, None if array.dtype in FLOATS else "bfloat16")
