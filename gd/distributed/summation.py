"""TreeSum: sums vectors by a fixed binary tree, with the same bits however the vectors are spread over ranks."""

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from ..checks import aligned_empty
from .ranks import add


class TreeSum:
    """Sums 2**k vectors: pairs, then pairs of pairs, and so on. It keeps its memory for the next sum."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._levels: list[NDArray[Any]] = []

    def __call__(self, vectors: Iterable[NDArray[Any]]) -> Any:
        """Return the sum; each vector is read before the next is asked for."""
        levels, total = self._levels, None
        for count, vector in enumerate(vectors, start=1):
            level, total = 0, vector
            while not count >> level & 1:
                total = add(levels[level], total, out=levels[level])
                level += 1
            if count < self._count:
                if level == len(levels):
                    levels.append(aligned_empty(vector.size, vector.dtype))
                levels[level][:] = total
        return total
