"""How many bytes the walks of a loop read and write, each array once.

This is what must pass between memory and processor if no cache holds any of it. Further traffic of the hardware does
not count: an ordinary store first reads the cache line that it overwrites, and evicted data are read again.
An array counts even if a rule ignores it.
"""

from itertools import chain, repeat

from numpy import ndarray

TIMES = {"-": 0, "r": 1, "w": 1, "rw": 2}  # what happens to an array -> how often it is moved


def of_arrays(words):
    """Return f(size, *arguments) -> bytes, for loops that walk whole arrays.

    `words` has a key of `TIMES` for each argument; the last holds for all further arguments. Scalars do not count.
    """
    *first, last = (TIMES[word] for word in words.split())

    def traffic(size, *arguments):
        total = 0
        for array, times in zip(arguments, chain(first, repeat(last)), strict=False):
            if times and isinstance(array, ndarray):
                total += times * array.nbytes
        return total

    return traffic


def of_rows(array, n):
    """Return the bytes of n rows of an array."""
    return n * (array.nbytes // max(1, len(array)))
