"""The rule of Adadelta."""

from typing import NamedTuple

import numpy as np


class AdadeltaCoefficients(NamedTuple):
    lr: float
    rho: float
    one_minus_rho: float
    eps: float


def adadelta(p, g, v, u, c: AdadeltaCoefficients):
    """Zeiler 2012, algorithm 1: update = RMS(past updates) / RMS(gradients) * g; p <- p - lr * update."""
    v = c.rho * v + c.one_minus_rho * g * g
    delta = np.sqrt(u + c.eps) / np.sqrt(v + c.eps) * g
    u = c.rho * u + c.one_minus_rho * delta * delta
    return p - c.lr * delta, v, u
