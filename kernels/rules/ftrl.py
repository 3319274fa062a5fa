"""The rules of FTRL-Proximal."""

from typing import NamedTuple

import numpy as np

from ..compiler import device
from ..math import cast, clip, exp, log


class FTRLCoefficients(NamedTuple):
    inverse_lr: float  # 1 / lr, and 0 where lr is
    power: float
    power_of_0: float
    l1: float
    l2: float  # l2 + beta / lr
    l2_shrinkage: float


def ftrl(p, g, n, z, c: FTRLCoefficients):
    """McMahan et al. 2013, algorithm 1, for n**0.5."""
    n_next = n + g * g
    return _lead(p, g, n, z, n_next, np.sqrt(n), np.sqrt(n_next), c)


def ftrl_power(p, g, n, z, c: FTRLCoefficients):
    """McMahan et al. 2013, algorithm 1, with another power of n."""
    n_next = n + g * g
    return _lead(p, g, n, z, n_next, _power(n, c), _power(n_next, c), c)


@device
def _power(n, c):
    return c.power_of_0 if n == 0 else exp(c.power * log(n))


@device
def _lead(p, g, n, z, n_next, before, after, c):
    """Return p = (clip(z, l1) - z) / (n**power / lr + l2), with z <- z + g - (change of n**power) / lr * p; n; z."""
    z_next = z + (g + c.l2_shrinkage * p) - c.inverse_lr * (after - before) * p
    p_next = (clip(z_next, c.l1) - z_next) / (c.inverse_lr * after + c.l2)
    p_next = cast(0, p) if abs(z_next) <= c.l1 else p_next
    moves = c.inverse_lr > 0
    return (p_next, n_next, z_next) if moves else (p, n, z)
