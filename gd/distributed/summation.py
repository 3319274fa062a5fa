"""The sum of vectors by a fixed binary tree: the same bits, however the vectors are spread over ranks."""

from ..checks import aligned_empty
from .ranks import add


class TreeSum:
    """Sums 2**k vectors: of pairs, then of pairs of pairs, and so on. Its memory stays for the next sum."""

    def __init__(self, count):
        self._count, self._levels = count, []

    def __call__(self, vectors):
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
