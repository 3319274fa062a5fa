"""gradient_check: a gradient against differences of the function."""

import warnings
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from ..checks import check_array, check_integer, shown
from ..parameters import entries

DIRECTIONS = 4  # random ones, besides single coordinates
SHARE = 1e-4  # of the largest derivative: smaller ones are compared with that
SUSPECT = 1e-6  # relative errors from which a coordinate is looked at for a kink, in float64


class GradientCheck(NamedTuple):
    """What `gradient_check` found.

    Attributes
    ----------
    error : float
        The largest relative error |analytic - numeric| / max(|analytic|, |numeric|, 1e-4 max |gradient|).
    index : tuple
        Where: the index in the array, after its key where there are several arrays.
    analytic, numeric : float
        The derivative as given, and by differences.
    """

    error: float
    index: tuple
    analytic: float
    numeric: float


def gradient_check(f, params, grads, coordinates=200, seed=0):
    """Compare a gradient with central differences of the function, and return where it is worst.

    ::

        numeric = (8 (f(p + h) - f(p - h)) - (f(p + 2 h) - f(p - 2 h))) / (12 h)

    Some coordinates are taken at random; in addition four random directions see all of them at once, and where one
    disagrees the coordinate at fault is found by halving. So one wrong derivative among millions is caught.

    Parameters
    ----------
    f : callable
        ``f(params)`` returns the value, a number. It must be deterministic.
    params : ndarray, or a list, tuple or dict of ndarrays, or ParameterVector
        Where to differentiate. Changed in place meanwhile, and restored. In float64: rounding in float32 leaves
        three digits.
    grads : as params
        The gradient to check.
    coordinates : int, default: 200
        How many coordinates to take; all, if there are no more.
    seed : int, default: 0
        Of their choice.

    Returns
    -------
    GradientCheck
        ``error, index, analytic, numeric``.

    Warns
    -----
    RuntimeWarning
        Where the function has a kink nearby (relu at 0): differences do not tell the derivative there, and the
        coordinate is left out.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import gd, numpy as np
    >>> w = np.array([1.0, 2.0, 3.0])
    >>> gd.gradient_check(lambda w: np.sum(w**3), w, 3 * w**2).error < 1e-9
    True
    >>> gd.gradient_check(lambda w: np.sum(w**3), w, np.array([3.0, 12.012, 27.0])).index
    (1,)
    """
    where = "gradient_check"
    if not callable(f):
        raise TypeError(f"{where}: f must be a function of params, got {type(f).__name__}")
    coordinates, seed = check_integer(where, "coordinates", coordinates, 1), check_integer(where, "seed", seed, 0)
    arrays, given = entries(where, "params", params), entries(where, "grads", grads)
    if arrays.keys() != given.keys():
        raise ValueError(f"{where}: grads must have the structure of params")
    for key, (label, array) in arrays.items():
        check_array(where, label, array, writeable=True)
        check_array(where, *given[key], dtype=(label, array.dtype), shape=(label, array.shape))
    return _Check(f, params, arrays, given).run(coordinates, np.random.default_rng(seed))


class _Check:
    """The parameters as one long vector of coordinates, and differences along any direction in it."""

    def __init__(self, f, params, arrays, given):
        self.f, self.params = f, params
        self.keys, self.views = list(arrays), [array.reshape(-1) for _, array in arrays.values()]
        self.shapes = [array.shape for _, array in arrays.values()]
        self.gradient = np.concatenate([given[key][1].reshape(-1) for key in arrays]).astype(np.float64)
        self.before = [view.copy() for view in self.views]
        self.starts = np.cumsum([0] + [view.size for view in self.views])
        precision = max(np.finfo(view.dtype).eps for view in self.views)
        self.h = float(precision) ** 0.2
        self.suspect = SUSPECT if precision < 1e-10 else 1e-2
        self.floor = SHARE * max(float(np.max(np.abs(self.gradient))), np.finfo(float).tiny)
        self.kinks = []

    def run(self, coordinates, rng):
        """Check random coordinates, then all at once in random directions."""
        size = self.gradient.size
        try:
            chosen = np.arange(size) if size <= coordinates else rng.choice(size, coordinates, replace=False)
            worst = max((self.coordinate(k) for k in chosen), key=lambda each: each[0])
            if size > coordinates:
                for _ in range(DIRECTIONS):
                    signs = rng.choice([-1.0, 1.0], size)
                    found = self.search(signs, 0, size)
                    worst = max(worst, self.coordinate(found), key=lambda each: each[0]) if found is not None else worst
        finally:
            self.move(0.0, slice(0, 0), None)
        if self.kinks:
            places = ", ".join(str(self.index(k)) for k in self.kinks[:5])
            warnings.warn(
                f"gradient_check: the function has a kink near {places}{' ...' if len(self.kinks) > 5 else ''}; "
                f"left out {len(self.kinks)} coordinates",
                RuntimeWarning,
                stacklevel=3,
            )
        error, k, analytic, numeric = worst
        return GradientCheck(error, self.index(k), analytic, numeric)

    def coordinate(self, k):
        """Return (relative error, k, analytic, numeric) of one coordinate; the error is 0 at a kink."""
        one = np.ones(1)
        analytic, numeric = float(self.gradient[k]), self.slope(slice(k, k + 1), one, self.h)
        error = self.error(analytic, numeric)
        if error > self.suspect:
            nearer = self.slope(slice(k, k + 1), one, self.h / 8)
            if abs(nearer - numeric) > 0.1 * abs(analytic - numeric):  # of a smooth function both would be alike
                self.kinks.append(k)
                return 0.0, k, analytic, numeric
        return error, k, analytic, numeric

    def error(self, analytic, numeric):
        if not isfinite(analytic) or not isfinite(numeric):
            return float("inf")
        return abs(analytic - numeric) / max(abs(analytic), abs(numeric), self.floor)

    def search(self, signs, first, last):
        """Return the coordinate that may be at fault, by halving, or None where the direction agrees."""
        mismatch, scale = self.mismatch(signs, first, last)
        if mismatch <= self.suspect / 100 * scale:
            return None
        while last - first > 1:
            middle = (first + last) // 2
            left, right = self.mismatch(signs, first, middle)[0], self.mismatch(signs, middle, last)[0]
            first, last = (first, middle) if not left < right else (middle, last)
        return first

    def mismatch(self, signs, first, last):
        """Return by how much the derivative along some signs is not what the gradient says, and its scale."""
        part = slice(first, last)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite counts as wrong
            expected = float(signs[part] @ self.gradient[part])
        found = self.slope(part, signs[part], self.h / (last - first) ** 0.25)
        return abs(expected - found), max(abs(expected), (last - first) ** 0.5 * self.floor)

    def slope(self, part, direction, h):
        """The derivative along a direction, by four values."""
        values = [self.value(shift, part, direction) for shift in (h, -h, 2 * h, -2 * h)]
        return (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * h)

    def value(self, shift, part, direction):
        self.move(shift, part, direction)
        value = self.f(self.params)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(f"gradient_check: f must return a number, got {shown(value)}") from None

    def move(self, shift, part, direction):
        """Put the parameters where they were, but for a part that is moved along a direction."""
        for view, before, start in zip(self.views, self.before, self.starts, strict=False):
            view[:] = before
            first, last = max(part.start, start), min(part.stop, start + view.size)
            if first < last:
                view[first - start : last - start] += shift * direction[first - part.start : last - part.start]

    def index(self, k):
        """Return the place of a coordinate, as its array is indexed."""
        which = int(np.searchsorted(self.starts, k, side="right")) - 1
        place = tuple(map(int, np.unravel_index(k - self.starts[which], self.shapes[which])))
        key: Any = self.keys[which]
        return place if key is None else (key, *place)
