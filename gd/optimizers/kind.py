"""What arrays stepped alike share: their kernels, and the scalars that these take."""

import struct
from math import inf
from typing import NamedTuple

import numpy as np

from ..checks import FLOATS
from ..kernels.compiler import join
from ..kernels.loops import reductions
from ..kernels.loops.blocks import norm_blocks, update_blocks
from ..kernels.loops.update import update
from ..kernels.rules import stages
from ..kernels.rules.dropout import GOLDEN, key_of
from ..kernels.storage import BLOCK
from .disk import Streamed


class Norms(NamedTuple):
    """Euclidean norms, over all arrays, of a step."""

    gradient: float
    update: float
    parameters: float


class Kind:
    """What the arrays of one optimizer or group, and one dtype, share: the kernel and the scalars of a step."""

    def __init__(self, owner, dtype):
        self.owner, self.dtype, self._largest = owner, dtype, float(np.finfo(dtype).max)
        self.update = join(update, owner.rule, *owner._stages)
        self.kernel = join(update_blocks) if owner.by_blocks else self.update
        if owner._folder is not None:
            self.kernel = Streamed(self.kernel)
        self.trust_norms = (
            None if owner.trust_norms is None else join(reductions.norms, owner.trust_norms, *owner._stages)
        )
        self._values = self._vector = self._format = self._given = None

    def vector(self, t, grad_scale, reuse):
        """Return the scalars of the step after t steps as kernels take them; `reuse` the vector of the step before."""
        owner = self.owner
        if owner._folder is not None:
            owner._folder.check()
        if reuse and self.is_settled(t, grad_scale):
            return self._vector
        values = owner._values(t, grad_scale)
        if not reuse:
            return np.array(values, self.dtype)
        if values != self._values:
            self._values = self._given = None  # until the vector holds them, as Ctrl-C can come before it does
            if self._format is None:
                self._vector = np.empty(len(values), self.dtype)
                self._format = struct.Struct(f"{len(values)}{self.dtype.char}")
            try:
                self._format.pack_into(self._vector, 0, *values)  # half the time of np.array
            except OverflowError:
                self._vector[:] = values
            self._values = values
        self._given = None if callable(owner._lr) or owner._schedules or t == 0 else (owner._lr, grad_scale)
        return self._vector

    def step(self, block, vector, g, t):
        """Step one array by its flat gradient; return the norms of its blocks, or None."""
        owner = self.owner
        if not owner.by_blocks:
            self.kernel(block.size, vector, g, 0, block.p, *block.slots)
            return None
        blocks, key = -(-block.size // BLOCK), advanced(key_of(owner.seed, t, block.number), block.before)
        low, slots = (block.slots[0], block.slots[1:]) if owner.master_weights else (None, block.slots)
        norms = np.empty((len(Norms._fields), blocks)) if owner.track_norms else None
        cleared, step = g if owner.zero_grads else None, self.rebound(self.update, len(slots))
        self.kernel(blocks, key, vector, norms, cleared, step, block.p, low, g, *slots)
        return norms

    def rebound(self, kernel, slots):
        """Return the step of a parameter with so many slots that another kernel will bind to its own vectors."""
        return kernel.bind(self.dtype, *(np.empty(0, self.dtype),) * (1 + slots))

    def gradient_norms(self, g, grad_scale):
        """Return the norms of a flat gradient's blocks, times |grad_scale|; infinite above the largest of its dtype."""
        if g.dtype in FLOATS:
            vector = np.array(stages.CommonCoefficients(scale=grad_scale), self.dtype)
            return parts_of(join(reductions.norms, stages.gradient), 1, vector, g, g)
        parts = np.empty((1, -(-g.size // BLOCK)))
        join(norm_blocks)(parts.size, parts[0], g)
        with np.errstate(over="ignore"):
            parts *= abs(grad_scale)
        parts[parts > self._largest] = inf
        return parts

    def accumulate(self, rule, grad_scale, total, g):
        """Add a gradient to a total, or put it there, by one of the rules for that."""
        vector = np.array(stages.CommonCoefficients(scale=grad_scale), self.dtype)
        if g.dtype in FLOATS:
            join(update, rule)(g.size, vector, g, 0, total)
        else:
            step = self.rebound(join(update, rule), 0)
            join(update_blocks)(-(-g.size // BLOCK), np.uint64(0), vector, None, None, step, total, None, g)

    def is_settled(self, t, grad_scale):
        """Whether the scalars after t steps are those of the step before, and will be those of the next."""
        return self.owner.steady and t > 1 and self._given == (self.owner._lr, grad_scale)

    def trusted(self, block, g, vector):
        """Return the scalars with the last one multiplied by the trust ratio of an array."""
        slots = block.slots[: len(self.owner.slots)]  # without the average of p
        ratio = self.owner.trust(*measure(self.trust_norms, 2, vector, block.p, g, *slots))
        vector, scaled = vector.copy(), float(vector[-1]) * ratio
        vector[-1] = scaled if abs(scaled) <= self._largest else scaled * inf  # without a warning that it overflows
        return vector


def advanced(key, blocks):
    """Return the key of which block k has the random numbers that block k + blocks has of another."""
    return np.uint64((int(key) + blocks * int(GOLDEN)) % 2**64) if blocks else key  # of SplitMix64's sequence


def measure(kernel, quantities, vector, p, g, *slots):
    """Return the norms that a kernel measures of an array."""
    parts = parts_of(kernel, quantities, vector, p, g, *slots)
    return parts.ravel().tolist() if parts.shape[1] == 1 else combine(parts)


def parts_of(kernel, quantities, vector, p, g, *slots):
    """Return the norms of each block of an array, in rows."""
    blocks = -(-p.size // reductions.BLOCK)
    parts = np.empty((quantities, blocks))
    kernel(blocks, parts, vector, p, g, *slots)
    return parts


def combine(parts):
    """Return the norm of the norms in each row."""
    out = np.empty(len(parts))
    join(reductions.combine)(out.size, out, parts)
    return out.tolist()
