"""The rules of Adafactor: for vectors, and for matrices, whose second moments are outer products."""

from typing import NamedTuple

import numpy as np

from ..bits import unit
from ..compiler import device
from .stages import TrustNorms


class AdafactorCoefficients(NamedTuple):
    beta2: float  # 1 - t**beta2_decay
    one_minus_beta2: float
    added: float  # to squares of the gradient
    most: float  # the largest 1 / sqrt(v); below 0: one over the unit of rounding
    beta1: float
    one_minus_beta1: float
    decay: float  # 1 - lr * weight_decay
    lr: float  # times the parameters' scale, over the clipping of the update


@device
def _limited(x, c):
    """Return 1 / sqrt(v) within its limit; NaN stays NaN."""
    most = c.most if c.most >= 0 else 1 / unit(x)
    return most if x > most else x


@device
def _second_moment(g, v, c):
    v = c.beta2 * v + c.one_minus_beta2 * (g * g + c.added)
    return v, g * _limited(1 / np.sqrt(v), c)


def adafactor(p, g, v, c: AdafactorCoefficients):
    """Shazeer & Stern 2018, algorithm 5: p <- p - alpha * u, u = g / sqrt(v), with alpha and clipping in lr."""
    v, u = _second_moment(g, v, c)
    return c.decay * p - c.lr * u, v


def adafactor_momentum(p, g, v, m, c: AdafactorCoefficients):
    """Step by the mean of the updates."""
    v, u = _second_moment(g, v, c)
    m = c.beta1 * m + c.one_minus_beta1 * (c.lr * u)
    return c.decay * p - m, v, m


def adafactor_norms(p, g, v, c: AdafactorCoefficients) -> TrustNorms:
    """Return the parameter and its update before clipping."""
    return TrustNorms(p, _second_moment(g, v, c)[1])


def adafactor_momentum_norms(p, g, v, m, c: AdafactorCoefficients) -> TrustNorms:
    """Return the parameter and its update before clipping."""
    return TrustNorms(p, _second_moment(g, v, c)[1])


# --- Algorithm 4. An element of 1 / sqrt(v) is the product of its row's factor and its column's.


def squared(p, g, row, column, c: AdafactorCoefficients):
    """Return the square of a gradient, of which rows and columns keep means."""
    return g * g + c.added


def squared_update(p, g, row, column, c: AdafactorCoefficients):
    """Return the square of an update."""
    u = g * _limited(row * column, c)
    return u * u


def factored(p, g, row, column, c: AdafactorCoefficients):
    """Step as `adafactor` does."""
    return (c.decay * p - c.lr * (g * _limited(row * column, c)),)


def factored_momentum(p, g, row, column, m, c: AdafactorCoefficients):
    """Step as `adafactor_momentum` does."""
    m = c.beta1 * m + c.one_minus_beta1 * (c.lr * (g * _limited(row * column, c)))
    return c.decay * p - m, m
