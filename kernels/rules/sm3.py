"""The rules of SM3: for vectors, and for arrays of several axes, whose accumulators are those of their slices."""

from typing import NamedTuple

import numpy as np

from ..compiler import device
from ..math import cast


class SM3Coefficients(NamedTuple):
    momentum: float
    one_minus_momentum: float
    eps: float
    lr: float


@device
def _update(g, v, c):
    """Return g / sqrt(v + eps), 0 where v is 0."""
    return cast(0, g) if v <= 0 else g / np.sqrt(v + c.eps)


def sm3(p, g, v, c: SM3Coefficients):
    """Anil et al. 2019, SM3-II, where each element is a set of its own: v <- v + g**2; p <- p - lr * g / sqrt(v)."""
    v = v + g * g
    return p - c.lr * _update(g, v, c), v


def sm3_momentum(p, g, v, m, c: SM3Coefficients):
    """Step by the mean of the updates."""
    v = v + g * g
    m = c.momentum * m + c.one_minus_momentum * _update(g, v, c)
    return p - c.lr * m, v, m


def sm3_slices(p, g, row, column, v, c: SM3Coefficients):
    """Step an element whose slices have the bounds row and column; v goes into the bounds of the next step."""
    v = (row if row < column else column) + g * g
    return p - c.lr * _update(g, v, c), v


def sm3_slices_momentum(p, g, row, column, v, m, c: SM3Coefficients):
    """Step by the mean of the updates."""
    v = (row if row < column else column) + g * g
    m = c.momentum * m + c.one_minus_momentum * _update(g, v, c)
    return p - c.lr * m, v, m
