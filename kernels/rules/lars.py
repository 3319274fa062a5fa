"""The rule of LARS: momentum, with a learning rate for each array in proportion to the array's norm."""

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
    """Return what the trust ratio compares: the parameter and its gradient."""
    return TrustNorms(p, g)
