"""The rules of RMSprop: plain or centered, each with or without momentum."""

from typing import NamedTuple

import numpy as np

from ..compiler import device
from ..math import cast


class RMSpropCoefficients(NamedTuple):
    lr: float
    rho: float
    one_minus_rho: float
    momentum: float
    eps: float
    eps_inside: float  # eps under the root; one of the two is 0


@device
def scaled(g, variance, c):
    return g / (np.sqrt(variance + c.eps_inside) + c.eps)


@device
def centered_variance(v, a):
    """Graves 2013: the second moment about the mean; rounding must not take it below 0."""
    variance = v - a * a
    zero = cast(0, v)
    return zero if variance < zero else variance


def rmsprop(p, g, v, c: RMSpropCoefficients):
    """Tieleman & Hinton 2012: v <- rho * v + (1 - rho) * g**2; p <- p - lr * g / (sqrt(v) + eps)."""
    v = c.rho * v + c.one_minus_rho * g * g
    return p - c.lr * scaled(g, v, c), v


def rmsprop_momentum(p, g, v, b, c: RMSpropCoefficients):
    """Return a step as in `rmsprop`, with b <- momentum * b + g / (sqrt(v) + eps); p <- p - lr * b."""
    v = c.rho * v + c.one_minus_rho * g * g
    b = c.momentum * b + scaled(g, v, c)
    return p - c.lr * b, v, b


def rmsprop_centered(p, g, v, a, c: RMSpropCoefficients):
    """Return a step as in `rmsprop`, with a <- rho * a + (1 - rho) * g and sqrt(v - a**2)."""
    v = c.rho * v + c.one_minus_rho * g * g
    a = c.rho * a + c.one_minus_rho * g
    return p - c.lr * scaled(g, centered_variance(v, a), c), v, a


def rmsprop_centered_momentum(p, g, v, a, b, c: RMSpropCoefficients):
    """Return a step as in `rmsprop_centered`, with momentum as in `rmsprop_momentum`."""
    v = c.rho * v + c.one_minus_rho * g * g
    a = c.rho * a + c.one_minus_rho * g
    b = c.momentum * b + scaled(g, centered_variance(v, a), c)
    return p - c.lr * b, v, a, b
