"""The scalar functions that `gd.math` shows to users: for rules, and for numbers and arrays in plain Python.

Those of `math` are of both kinds. The others below are Python functions with a form for compiled rules.
"""

import numpy as np
from numba import types

from . import bits
from .machine_code import overload
from .math import cast, erf, exp, exp_minus, expm1_minus, gelu, gelu_slope, log, log1p, sigmoid, silu, softplus, tanh
from .multiply_add import multiply_add as fused

__all__ = [
    "cast", "clip", "copysign", "erf", "exp", "exp_minus", "expm1_minus", "gelu", "gelu_slope", "log", "log1p",
    "maximum", "minimum", "multiply_add", "sigmoid", "sign", "silu", "softplus", "sqrt", "tanh", "where",
]  # fmt: skip


def multiply_add(a, b, c):
    """Return a * b + c, rounded once where the processor fuses the two, else twice."""
    return a * b + c


def sqrt(x):
    """Return the square root of x, NaN below 0; 0.5 ULP."""
    return np.sqrt(x)


def sign(x):
    """Return 1 above 0, -1 below 0, and x itself where it is 0 or NaN; exact."""
    return np.sign(x)


def minimum(x, y):
    """Return the smaller of two numbers, NaN if either is NaN; exact."""
    return np.minimum(x, y)


def maximum(x, y):
    """Return the larger of two numbers, NaN if either is NaN; exact."""
    return np.maximum(x, y)


def clip(x, low, high):
    """Return x, or the nearer of the two bounds if it is outside of them; NaN stays NaN; exact."""
    return np.minimum(np.maximum(x, low), high)


def where(condition, x, y):
    """Return x where the condition holds, else y: like ``x if condition else y``, but also for arrays; exact."""
    return np.where(condition, x, y)[()]


def copysign(x, y):
    """Return |x| with the sign of y; exact."""
    return np.copysign(x, y)


def _widest(*kinds):
    """Return the widest type of floats among some types: a literal beside a float32 is one, too."""
    return max(kinds, key=lambda kind: (isinstance(kind, types.Float), kind.bitwidth))


@overload(multiply_add)
def _multiply_add(a, b, c):
    real = _widest(a, b, c)
    return lambda a, b, c: fused(real(a), real(b), real(c))


@overload(sqrt)
def _sqrt(x):
    return lambda x: np.sqrt(x)


@overload(sign)
def _sign(x):
    return lambda x: cast(1, x) if x > 0 else (cast(-1, x) if x < 0 else x)


@overload(minimum)
def _minimum(x, y):
    real = _widest(x, y)
    return lambda x, y: real(x) if x < y or x != x else real(y)


@overload(maximum)
def _maximum(x, y):
    real = _widest(x, y)
    return lambda x, y: real(x) if x > y or x != x else real(y)


@overload(clip)
def _clip(x, low, high):
    return lambda x, low, high: cast(low, x) if x < low else (cast(high, x) if x > high else x)


@overload(where)
def _where(condition, x, y):
    real = _widest(x, y)
    return lambda condition, x, y: real(x) if condition else real(y)


@overload(copysign)
def _copysign(x, y):
    return lambda x, y: bits.copysign(x, cast(y, x))
