"""The optimizer of a shard: the classes that are possible, and norms over the shards of all ranks."""

from collections.abc import Mapping
from inspect import isabstract
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.compiler import splitting
from ..kernels.loops import reductions
from ..optimizers import Optimizer, Together
from .ranks import Ranks

SPAN = (
    reductions.NORM_BLOCK
)  # shards are multiples of it, so that no block of norms or of 8-bit states crosses a border


class AllShards(Together):
    """Combines norms and conditions over all ranks, each of which has a shard of the one array."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def norm(self, parts: NDArray[np.float64]) -> list[float]:
        """Return the norms over all shards."""
        return super().norm(np.concatenate(self._ranks.gather(parts), axis=1))

    def sum(self, parts: NDArray[np.float64]) -> list[float]:
        """Return the sums over all shards."""
        return super().sum(np.concatenate(self._ranks.gather(parts), axis=1))

    def is_true(self, found: bool) -> bool:
        """Return True if a condition, which is `found` here, holds for the shards of all ranks."""
        return not self._ranks.sum(not found)


def check_class(where: str, cls: Any) -> None:
    """Raise unless a class is an optimizer that can step a shard."""
    if not isinstance(cls, type) or not issubclass(cls, Optimizer) or isabstract(cls):
        raise TypeError(f"{where}: optimizer_class must be an optimizer such as gd.Adam, got {cls!r}")
    if not (cls.elementwise or cls.estimates):
        raise ValueError(f"{where}: optimizer_class must be elementwise, got {cls.__name__}, which steps whole arrays")


def compile_steps(optimizer_class: type[Optimizer], dtype: np.dtype[Any], options: Mapping[str, Any]) -> None:
    """Compile the serial and the parallel step, by taking both with another optimizer of the same kind."""
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            optimizer_class(np.zeros(SPAN, dtype), **options).step(np.ones(SPAN, dtype))
    Together().norm(np.ones((1, 2)))  # of several ranks
