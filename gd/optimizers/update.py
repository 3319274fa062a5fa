"""Update: the kernels that step the arrays of one optimizer, or group, and measure their gradients."""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS
from ..kernels.compiler import join
from ..kernels.loops import reductions
from ..kernels.loops.blocks import norm_blocks, update_blocks
from ..kernels.loops.some_rows import group_rows, update_rows
from ..kernels.loops.update import coefficients_of, update
from ..kernels.random_numbers import key_of
from ..kernels.rules import stages
from ..kernels.storage import CODE_BLOCK
from ..parameters import ParameterArray
from .coefficients import COMMON, Coefficients
from .state_folder import Streamed

if TYPE_CHECKING:
    from .base import Optimizer

QUANTITIES = 3  # measured by track_norms: the norms of gradient, update and parameters


class Update:
    """Kernel and coefficients shared by the arrays of one dtype and one optimizer or group.

    Attributes
    ----------
    owner : Optimizer
        The optimizer itself, or that of a group.
    dtype : dtype
        Of coefficients and gradients.
    slots : tuple of str
        Names of the state arrays, in order.
    stages : tuple of callable
        Applied around the rule: see `kernels.rules.stages`.
    coefficients : Coefficients
    key : uint64
        Made from the seed of stochastic rounding.
    formula : Kernel
        The rule's own.
    blocks : Kernel
        The rule's walk by blocks, which also takes gradients in bfloat16.
    kernel : Kernel
        Steps an array: one of the two.
    casts : bool
        True if gradients may have another dtype than the parameters.
    trust : Kernel or None
        Measures an array, before its step, for a trust ratio or an estimate.
    place_of_lr : int
        Index of the rule's coefficient `lr`, where there is a trust ratio.
    """

    owner: "Optimizer"
    dtype: np.dtype[Any]
    slots: tuple[str, ...]
    stages: tuple[Callable[..., Any], ...]
    coefficients: Coefficients
    kernel: Callable[..., Any]
    blocks: Any
    casts: bool
    trust: Any
    key: np.uint64
    formula: Any
    place_of_lr: int
    by_shape = False  # True for a `Walk`, which needs the shapes of arrays

    def __init__(
        self, owner: "Optimizer", dtype: np.dtype[Any], slots: tuple[str, ...], by_chunks: bool = False
    ) -> None:
        self.owner, self.dtype, self.slots = owner, dtype, slots
        self.stages = stages_of(owner)
        self.coefficients = Coefficients(owner, dtype)
        self.key = key_of(owner.seed)
        self._scaled = 1.0, np.array(stages.CommonCoefficients(), dtype)
        self._largest = float(np.finfo(dtype).max)
        self.formula = join(update, owner.rule, *self.stages)
        self.blocks = join(update_blocks, owner.rule, *self.stages)
        self.kernel, self.casts = self.blocks if owner.by_blocks else self.formula, owner.grad_dtype is not None
        if by_chunks:
            self.kernel = Streamed(self.kernel)
        self.trust = None
        self.place_of_lr = 0
        if owner.estimates:
            self.trust = join(reductions.sums, owner.trust_norms, *self.stages)
        elif not owner.elementwise:
            self.place_of_lr = COMMON + coefficients_of(owner.rule)._fields.index("lr")
            if owner.trust_norms is not None:
                self.trust = join(reductions.norms, owner.trust_norms, *self.stages)

    def step(self, array: ParameterArray, vector: NDArray[Any], g: NDArray[Any], t: int) -> NDArray[np.float64] | None:
        """Step one array by its flat gradient and the coefficients; return the norms of its blocks, if tracked."""
        norms = np.empty((QUANTITIES, -(-array.size // CODE_BLOCK))) if self.owner.track_norms else None
        kernel = self.blocks if self.casts and g.dtype not in FLOATS else self.kernel
        kernel(*self.arguments(array, vector, g, t, norms))
        array.clear_unread()
        return norms

    def arguments(
        self,
        array: ParameterArray,
        vector: NDArray[Any],
        g: NDArray[Any],
        t: int,
        norms: NDArray[np.float64] | None = None,
    ) -> tuple[Any, ...]:
        """Return the arguments of the kernel for step t + 1 of one array."""
        owner, slots, low = self.owner, array.slots, None
        if self.trust is not None and not owner.estimates:
            vector = self.trusted(array, g, vector)
        if not owner.by_blocks and not (self.casts and g.dtype not in FLOATS):
            return array.size, vector, g, 0, array.p, *slots
        if owner.master_weights:
            low, *slots = slots
        blocks, cleared = -(-array.size // CODE_BLOCK), g if owner.zero_grads else None
        numbers = self.key, t, array.number, array.first_block
        return blocks, *numbers, vector, norms, cleared, array.p, low, g, *slots

    def step_rows(
        self,
        array: ParameterArray,
        vector: NDArray[Any],
        found: NDArray[np.intp],
        order: NDArray[np.intp],
        starts: NDArray[np.intp],
        g: NDArray[Any],
    ) -> None:
        """Step the rows `found` of a matrix, each by a group of rows of g: see `grouped`."""
        shape = array.shape
        if array.order is not None:  # rows do not lie in one piece; each has one row of g
            matrices = [array.shaped(each) for each in (array.p, *array.slots)]
            taken = [matrix.take(found, 0) for matrix in matrices]
            self.formula(g.size, vector, g.reshape(-1), 0, *(each.reshape(-1) for each in taken))
            for matrix, each in zip(matrices, taken, strict=True):
                matrix[found] = each
            return
        arguments = g, array.p.reshape(shape), len(array.slots), self.bound(array)
        join(update_rows)(order.size, vector, found, order, starts, *arguments)

    def bound(self, array: ParameterArray) -> Any:
        """Return the step of an array, bound to it, for loops that compute or look up its gradient piece by piece."""
        return self.formula.bind(self.dtype, array.p, *array.slots)

    def trusted(self, array: ParameterArray, g: NDArray[Any], vector: NDArray[Any]) -> NDArray[Any]:
        """Return the coefficients with the rule's `lr` multiplied by the trust ratio of an array."""
        parts = self.measured(array, g, vector)
        norms = parts.ravel().tolist() if parts.shape[1] == 1 else combined(parts)
        return self.with_ratio(vector, self.owner.trust(norms[0], norms[1], array.size))

    def with_ratio(self, vector: NDArray[Any], ratio: float) -> NDArray[Any]:
        """Return the coefficients with the rule's `lr` multiplied by a ratio."""
        vector, lr = vector.copy(), float(vector[self.place_of_lr]) * ratio
        vector[self.place_of_lr] = lr if abs(lr) <= self._largest else lr * inf  # without a warning that it overflows
        return vector

    def measured(self, array: ParameterArray, g: NDArray[Any], vector: NDArray[Any]) -> NDArray[np.float64]:
        """Return what the kernel `trust` finds in the blocks of an array, a row for each quantity."""
        slots = array.slots[: len(self.owner.slots)]  # without the average of p
        return _parts(self.trust, 2, array.size, vector, array.p, g, *slots)

    def gradient_norms(self, g: NDArray[Any], grad_scale: float) -> NDArray[np.float64]:
        """Return the norms of a flat gradient's blocks, times |grad_scale|; infinite if too large for its dtype."""
        if g.dtype in FLOATS:
            return _parts(join(reductions.norms, stages.gradient), 1, g.size, self.scaled(grad_scale), g, g)
        parts = np.empty((1, -(-g.size // CODE_BLOCK)))
        join(norm_blocks)(parts.size, parts[0], g)
        return self.limited(parts, grad_scale)

    def limited(self, parts: NDArray[np.float64], scales: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return norms times |scales|; infinite if too large for the dtype of coefficients."""
        with np.errstate(over="ignore"):
            parts = parts * np.abs(scales)
        parts[parts > self._largest] = inf
        return parts

    def accumulate(self, is_first: bool, grad_scale: float, total: NDArray[Any], g: NDArray[Any]) -> None:
        """Overwrite a total by a scaled gradient if it is the first, else add it."""
        rule, vector = stages.start_accumulation if is_first else stages.accumulate, self.scaled(grad_scale)
        if g.dtype in FLOATS:
            join(update, rule)(g.size, vector, g, 0, total)
        else:
            blocks, unrounded = -(-g.size // CODE_BLOCK), (self.key, 0, 0, 0)  # totals are floats
            join(update_blocks, rule)(blocks, *unrounded, vector, None, None, total, None, g)

    def scaled(self, grad_scale: float) -> NDArray[Any]:
        """Return the coefficients that only scale a gradient; they are read only."""
        scale, vector = self._scaled  # read once: threads may share an Update
        if scale != grad_scale:
            vector = np.array(stages.CommonCoefficients(scale=grad_scale), self.dtype)
            self._scaled = grad_scale, vector
        return vector


def stages_of(owner: "Optimizer") -> tuple[Callable[..., Any], ...]:
    """Return the stages that the hyper-parameters ask for, in order."""
    penalty = owner.uses("l2") or (owner.uses("l1") and not owner.proximal)
    wanted = {
        stages.clipped: owner.clip_value is not None,
        stages.penalized: penalty and not owner.penalizes_itself,
        stages.decayed: owner.uses("weight_decay") and not owner.decays_itself,
        stages.shrunk: owner.uses("l1") and owner.proximal,
    }
    return tuple(stage for stage, is_wanted in wanted.items() if is_wanted)


def _parts(kernel: Callable[..., Any], quantities: int, size: int, *arguments: NDArray[Any]) -> NDArray[np.float64]:
    """Return the norms of each block of an array: a row for each quantity, a column for each block."""
    blocks = -(-size // reductions.NORM_BLOCK)
    parts = np.empty((quantities, blocks))
    kernel(blocks, parts, *arguments)
    return parts


def grouped(rows: NDArray[np.intp], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the different ones of some rows of `most`, the positions of all, and where those of each begin and end."""
    n = rows.size
    bits = (2 * n).bit_length()
    size, shift = (most, 0) if most <= 4 * n else (2**bits, 64 - bits)
    found, order, starts = np.empty(n, np.intp), np.empty(n, np.intp), np.zeros(n + 2, np.intp)
    join(group_rows)(1, rows, np.zeros(size, np.int32), found, order, starts, shift)
    count = int(starts[-1])
    return found[:count], order, starts[: count + 1]


def combined(parts: NDArray[np.float64]) -> list[float]:
    """Return the norm of the norms in each row."""
    if parts.shape[1] == 1:
        return parts[:, 0].tolist()
    out = np.empty(len(parts))
    join(reductions.combine)(out.size, out, parts)
    return out.tolist()
