"""What happens around every optimizer's rule: stages from the gradient as given to the one that the rule sees.

A stage is f(g, p, c) -> (g, p). An optimizer names those that its options need, in the order below, so
that what is not asked for costs nothing.
"""

from typing import NamedTuple

import numpy as np

from ..compiler import device
from ..math import clip, sign


class CommonCoefficients(NamedTuple):
    """Scalars that all optimizers share; the defaults change nothing."""

    scale: float = 1.0  # of the gradient; negative to maximize
    clip_value: float = np.inf  # after scaling
    l1: float = 0.0
    l2: float = 0.0
    decay: float = 1.0  # 1 - lr * weight_decay
    ema: float = 0.0  # decay of the average of p
    one_minus_ema: float = 1.0


class NoCoefficients(NamedTuple):
    """Of a rule that takes none."""


def clipped(g, p, c: CommonCoefficients):
    """Clip every element to [-clip_value, clip_value]."""
    return clip(g, c.clip_value), p


def penalized(g, p, c: CommonCoefficients):
    """Return the gradient of f(p) + l1 * |p| + l2 / 2 * p**2; |p|' at 0 is 0."""
    return g + c.l2 * p + c.l1 * sign(p), p


def decayed(g, p, c: CommonCoefficients):
    """Decoupled weight decay, Loshchilov & Hutter 2019: p <- p - lr * weight_decay * p."""
    return g, c.decay * p


def averaged(average, p, c: CommonCoefficients):
    """Return the exponential moving average of the parameters, Polyak & Juditsky 1992 in its discounted form."""
    return c.ema * average + c.one_minus_ema * p


@device
def root(v, c):
    """Return what Adam and its kin divide by: sqrt(v_hat) + eps, or sqrt(v_hat + eps)."""
    return np.sqrt(v * c.v_scale + c.eps_inside) + c.eps


class GradientNorm(NamedTuple):
    """What is measured of the gradient before a step."""

    gradient: float


def gradient(p, g, c: NoCoefficients) -> GradientNorm:
    """The gradient itself."""
    return GradientNorm(g)


def accumulate(p, g, c: NoCoefficients):
    """Add the gradient to a buffer that stands in the place of p."""
    return (p + g,)


def start_accumulation(p, g, c: NoCoefficients):
    """Put the gradient into the buffer that stands in the place of p."""
    return (g,)


class TrustNorms(NamedTuple):
    """What a trust ratio compares: the norms of the parameters and of their update."""

    parameter: float
    update: float
