"""Verification before timing: compares every library's results with plain NumPy's, at odd sizes."""

import warnings
from math import inf

import numpy as np

from gd.kernels.compiler import splitting

from .cases import Case

CALLS = 2
LOOSER = {"jax": 10, "optax": 10, "thinc": 10, "numexpr": 10, "torch compiled": 10, "deepspeed": 10}


def verify(family, what, dtype="float32", libraries=None, sizes=None):
    """Return {library: reason} for the libraries whose results differ from plain NumPy's after two calls.

    Parameters
    ----------
    family : Family
    what : str
    dtype : str, default: "float32"
    libraries : collection of str, optional
        Libraries to verify; by default all that are installed.
    sizes : tuple of int, optional
        Sizes to verify at; by default `family.odd`.
    """
    wrong = {}
    for k, size in enumerate(sizes or family.odd):
        case = family.case(what, size, dtype)
        only = None if libraries is None else {*libraries, "numpy"}
        with splitting(1 if k % 2 else inf):  # the serial and the parallel kernel of gd in turn
            for library, reason in _differences(family, case, only):
                wrong.setdefault(library, reason)
    return wrong


def _differences(family, case: Case, libraries):
    """Yield (library, reason) for the wrong results at one size."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        sides = family.sides(case, libraries)
        for library, side in sides.items():
            try:
                for _ in range(CALLS):
                    side.call()
            except Exception as error:
                yield library, f"failed at size {case.size}: {type(error).__name__}: {error}"[:200]
                sides = {name: each for name, each in sides.items() if name != library}
        compared = {name: side for name, side in sides.items() if side.results is not None}
        expected = [np.asarray(each, np.float64) for each in compared["numpy"].results()]
        for library, side in compared.items():
            found = [np.asarray(each, np.float64) for each in side.results()]
            error = max(difference(*pair) for pair in zip(found, expected, strict=True))
            tolerance = family.tolerance * LOOSER.get(library, 1) * (1 if case.dtype == "float32" else 1e-6)
            if not error <= tolerance:
                yield library, f"wrong results at size {case.size}: they differ by {error:.1e} of the largest"


def difference(found, expected):
    """Return the largest difference relative to the largest expected value."""
    if found.shape != expected.shape:
        return np.inf
    return float(np.max(np.abs(found - expected)) / max(np.max(np.abs(expected)), 1e-30))
