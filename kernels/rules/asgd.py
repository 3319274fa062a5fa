"""The rule of averaged stochastic gradient descent."""

from typing import NamedTuple


class ASGDCoefficients(NamedTuple):
    eta: float  # lr / (1 + lambd * lr * (t - 1))**alpha
    shrink: float  # 1 - lambd * eta
    mu: float  # weight of the new parameters in their average: 1 / max(1, t - 1 - t0)
    one_minus_mu: float


def asgd(p, g, average, c: ASGDCoefficients):
    """Polyak & Juditsky 1992, in Bottou's form: p <- (1 - lambd * eta) * p - eta * g, and the average of p."""
    p = c.shrink * p - c.eta * g
    return p, c.one_minus_mu * average + c.mu * p
