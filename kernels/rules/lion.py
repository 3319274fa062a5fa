"""The rule of Lion."""

from typing import NamedTuple

from ..math import sign


class LionCoefficients(NamedTuple):
    lr: float
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float


def lion(p, g, m, c: LionCoefficients):
    """Chen et al. 2023, algorithm 2: p <- p - lr * sign(beta1 * m + (1 - beta1) * g)."""
    update = sign(c.beta1 * m + c.one_minus_beta1 * g)
    return p - c.lr * update, c.beta2 * m + c.one_minus_beta2 * g
