"""gradient_check: compares a gradient with finite differences of the function."""

import warnings
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from ..checks import check_array, check_integer, shown
from ..parameters import entries
from ..typing import Params

DIRECTIONS = 4  # random directions, in addition to single coordinates
SHARE = 1e-4  # errors are relative to at least this share of the largest derivative
SUSPECT = 1e-6  # coordinates of larger relative errors are examined for a kink, in float64


class GradientCheck(NamedTuple):
    """The result of `gradient_check`.

    Attributes
    ----------
    error : float
        The largest relative error |analytic - numeric| / max(|analytic|, |numeric|, 1e-4 max |gradient|).
    index : tuple
        The place of this error: the index in the array, preceded by its key if there are several arrays.
    analytic, numeric : float
        The derivative there: as given, and by finite differences.
    """

    error: float
    index: tuple[Any, ...]
    analytic: float
    numeric: float


def gradient_check(
    f: Callable[..., Any], params: Params, grads: Params, coordinates: int = 200, seed: int = 0
) -> GradientCheck:
    """Compare a gradient with central differences of the function, and return its worst coordinate.

    ::

        numeric = (8 (f(p + h) - f(p - h)) - (f(p + 2 h) - f(p - 2 h))) / (12 h)

    Random coordinates are checked one by one. In addition, four random directions check all coordinates at once; if one
    disagrees, bisection finds the wrong coordinate. So one wrong derivative among millions is found.

    Parameters
    ----------
    f : callable
        ``f(params)`` returns the value, a number. It must be deterministic.
    params : ndarray, or a list, tuple or dict of ndarrays, or ParameterVector
        Where to differentiate. They are changed in place during the check, and restored. Use float64: rounding in
        float32 leaves three digits.
    grads : as params
        The gradient to check.
    coordinates : int, default: 200
        How many coordinates to check; all of them if there are no more.
    seed : int, default: 0
        The seed of the random choice.

    Returns
    -------
    GradientCheck
        ``error, index, analytic, numeric``.

    Warns
    -----
    RuntimeWarning
        If the function has a kink near a coordinate (relu at 0): finite differences are not the derivative there, so
        the coordinate is left out.

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
    """Views all parameters as one vector of coordinates, and takes differences along directions in it."""

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
        """Check random coordinates, then all coordinates at once in random directions."""
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
            if abs(nearer - numeric) > 0.1 * abs(analytic - numeric):  # a smooth function would give about the same
                self.kinks.append(k)
                return 0.0, k, analytic, numeric
        return error, k, analytic, numeric

    def error(self, analytic, numeric):
        if not isfinite(analytic) or not isfinite(numeric):
            return float("inf")
        return abs(analytic - numeric) / max(abs(analytic), abs(numeric), self.floor)

    def search(self, signs, first, last):
        """Return the coordinate that may be wrong, by bisection, or None if the direction agrees."""
        mismatch, scale = self.mismatch(signs, first, last)
        if mismatch <= self.suspect / 100 * scale:
            return None
        while last - first > 1:
            middle = (first + last) // 2
            left, right = self.mismatch(signs, first, middle)[0], self.mismatch(signs, middle, last)[0]
            first, last = (first, middle) if not left < right else (middle, last)
        return first

    def mismatch(self, signs, first, last):
        """Return the error of the derivative along `signs[first:last]`, and the scale to compare it with."""
        part = slice(first, last)
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite count as wrong
            expected = float(signs[part] @ self.gradient[part])
        found = self.slope(part, signs[part], self.h / (last - first) ** 0.25)
        return abs(expected - found), max(abs(expected), (last - first) ** 0.5 * self.floor)

    def slope(self, part, direction, h):
        """Return the derivative along a direction, by four values of the function."""
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
        """Restore the parameters, then move a part of them along a direction."""
        for view, before, start in zip(self.views, self.before, self.starts, strict=False):
            view[:] = before
            first, last = max(part.start, start), min(part.stop, start + view.size)
            if first < last:
                view[first - start : last - start] += shift * direction[first - part.start : last - part.start]

    def index(self, k):
        """Return the index of a coordinate in its array, preceded by the array's key if there is one."""
        which = int(np.searchsorted(self.starts, k, side="right")) - 1
        place = tuple(map(int, np.unravel_index(k - self.starts[which], self.shapes[which])))
        key: Any = self.keys[which]
        return place if key is None else (key, *place)
