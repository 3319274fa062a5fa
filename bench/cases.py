"""Cases and families: the computation, size and library of every comparison, test and timing.

A *case* names a computation; a *family* of cases makes its *sides*: one for each library, on its own arrays that start
with equal numbers. To add a library or a computation, add it to its family in `bench.families`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from gd.checks import aligned_empty

from .libraries import installed

MANY = 10_000_000  # elements of an array: larger ones are not cached, and ratios hardly change


@dataclass(frozen=True)
class Case:
    """One computation of one size."""

    family: str
    what: str
    size: int  # elements, or rows of a batch
    dtype: str = "float32"

    def __str__(self):
        return f"{self.what}, {self.size:,} {self.dtype}"


class Side(NamedTuple):
    """The implementation of a case by one library."""

    call: Callable  # computes once, in place where the library can
    results: Callable = lambda: ()  # the arrays that must agree between libraries after equal numbers of calls


class Family(ABC):
    """Computations of one kind.

    Attributes
    ----------
    name : str
    sizes, quick : tuple of int
        Sizes of a full run and of a quick run.
    headline : tuple of str
        Computations that a quick run times; a full run times them at all sizes.
    odd : tuple of int
        Sizes at which the libraries are compared.
    tolerance : float
        Largest difference of float32 results from plain NumPy's, relative to the largest result.
    settle : float
        Seconds that threads of other libraries need to fall asleep.
    """

    name: str
    sizes: tuple = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    quick: tuple = (10_000, 1_000_000, 8_000_000)
    odd: tuple = (1, 7, 1023, 4097)
    tolerance = 2e-5
    settle = 0.005

    @property
    @abstractmethod
    def whats(self):
        """Names of the computations."""

    @property
    @abstractmethod
    def headline(self):
        """Names of the computations that a reader looks for first."""

    def sizes_of(self, what):
        """Return the sizes of a full run; above ten million only for the headline, as it would take hours."""
        return tuple(size for size in self.sizes if size <= MANY or what in self.headline)

    @abstractmethod
    def makers(self, case):
        """Return {library: function that makes its `Side`} for the libraries that have this computation."""

    def ceiling(self, case):
        """Return (mix of streams, `Side`): a loop over equal arrays that computes next to nothing."""
        return None, None

    def flops(self, case):
        """Return the floating-point operations of a call by a formula; None if they are read from the assembly."""
        return None

    def arrays(self, case):
        """Return how many arrays of the case's size all sides together hold, to decide if they fit into memory."""
        return 40

    def fits(self, case):
        """Return True if the arrays of all sides take at most half of the memory."""
        needed = self.arrays(case) * case.size * np.dtype(case.dtype).itemsize
        return needed <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2

    def case(self, what, size, dtype="float32"):
        """Return a case of this family."""
        return Case(self.name, what, size, dtype)

    def sides(self, case, libraries=None):
        """Return {library: Side} for the installed libraries, or for some of them."""
        made = {}
        for library, maker in self.makers(case).items():
            if (libraries is None or library in libraries) and installed(library):
                made[library] = maker()
        return made


def vectors(case, count):
    """Return new aligned arrays of standard normal numbers, equal for all sides."""
    return [_copied(_drawn(case.size, case.dtype, k)) for k in range(count)]


@lru_cache(maxsize=6)
def _drawn(size, dtype, seed):
    return normal((size,), dtype, np.random.default_rng(seed))


def _copied(array):
    own = aligned_empty(array.size, array.dtype)
    own[:] = array
    return own


def normal(shape, dtype, rng):
    """Return an array of standard normal numbers, allocated like gd's arrays."""
    array = aligned_empty(prod(shape), np.dtype(dtype))
    rng.standard_normal(array.size, array.dtype, array)
    return array.reshape(shape)
