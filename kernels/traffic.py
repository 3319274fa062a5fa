"""How many bytes the walks of a loop move: what they read and what they write, each array once.

So much has to pass between memory and processor where no cache holds any of it. What the hardware moves besides does
not count: that an ordinary store first reads the line that it overwrites, that what was evicted is read again.
An array counts even where a rule ignores it.
"""

from itertools import chain, repeat

from numpy import ndarray

TIMES = {"-": 0, "r": 1, "w": 1, "rw": 2}  # what happens to an array -> how often it is moved


def whole(words):
    """Return f(size, *arguments) -> bytes, of loops that walk whole arrays.

    `words` has one of `TIMES` for each argument; the last holds for all further ones. Scalars do not count.
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
