"""The optimizer of a shard: of which class it may be, and what it does differently from one of a whole vector."""

from inspect import isabstract
from math import inf

import numpy as np

from ..kernels.compiler import splitting
from ..kernels.loops import reductions
from ..optimizers import Optimizer, Together

SPAN = reductions.BLOCK  # shards are multiples of it, so that norms and blocks of 8-bit states never lie on a border


class AllShards(Together):
    """How norms are put together where each rank has a shard of the one array."""

    def __init__(self, ranks):
        self._ranks = ranks

    def norm(self, parts):
        """Return the norms over all shards."""
        return super().norm(np.concatenate(self._ranks.gather(parts), axis=1))

    def is_true(self, found):
        """Return whether something holds for the shards of all ranks."""
        return not self._ranks.sum(not found)


def check_class(where, cls):
    """Raise unless a class is that of an optimizer that can step a shard."""
    if not isinstance(cls, type) or not issubclass(cls, Optimizer) or isabstract(cls):
        raise TypeError(f"{where}: optimizer_class must be an optimizer such as gd.Adam, got {cls!r}")
    if cls.trust_norms is not None:
        raise ValueError(
            f"{where}: optimizer_class must be elementwise, got {cls.__name__}, which measures whole arrays"
        )


def compile_steps(optimizer_class, dtype, options):
    """Take a step with another optimizer of the same kind, serially and in parallel."""
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            optimizer_class(np.zeros(SPAN, dtype), **options).step(np.ones(SPAN, dtype))
