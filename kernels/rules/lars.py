"""LARS: momentum, with a rate for each array in proportion to the array's size."""

from typing import NamedTuple

from .stages import TrustNorms


class LARSCoefficients(NamedTuple):
    momentum: float
    lr: float  # times the trust ratio trust_coefficient * |p| / |g|


def lars(p, g, v, c: LARSCoefficients):
    """You, Gitman & Ginsburg 2017: v <- momentum * v + lr * trust_coefficient * |p| / |g| * g; p <- p - v."""
    v = c.momentum * v + c.lr * g
    return p - v, v


def lars_norms(p, g, v, c: LARSCoefficients) -> TrustNorms:
    """What the trust ratio compares."""
    return TrustNorms(p, g)
