"""Stages: what optimizers do to the given gradient and the parameter before a rule sees them, and to its result.

A stage is f(g, p, c) -> (g, p), or f(p, c) -> p after the rule. An optimizer takes only the stages that its options
need, in the order below, so that options that are not used cost nothing.
"""

from typing import NamedTuple

import numpy as np

from ..compiler import device
from ..math import clip, sign


class CommonCoefficients(NamedTuple):
    """Scalars that all optimizers share; the defaults change nothing."""

    scale: float = 1.0  # multiplies the gradient; negative to maximize
    clip_value: float = np.inf  # of the scaled gradient
    l1: float = 0.0
    l2: float = 0.0
    decay: float = 1.0  # 1 - lr * weight_decay
    ema: float = 0.0  # decay of the average of p
    one_minus_ema: float = 1.0
    threshold: float = 0.0  # of the proximal step: lr * l1


class NoCoefficients(NamedTuple):
    """Coefficients of a rule that takes none."""


def clipped(g, p, c: CommonCoefficients):
    """Clip every element to [-clip_value, clip_value]."""
    return clip(g, c.clip_value), p


def penalized(g, p, c: CommonCoefficients):
    """Return the gradient of f(p) + l1 * |p| + l2 / 2 * p**2; |p|' at 0 is 0."""
    return g + c.l2 * p + c.l1 * sign(p), p


def decayed(g, p, c: CommonCoefficients):
    """Decoupled weight decay, Loshchilov & Hutter 2019: p <- p - lr * weight_decay * p."""
    return g, c.decay * p


def shrunk(p, c: CommonCoefficients):
    """Soft threshold, the proximal step of l1, Duchi & Singer 2009: sign(p) * max(|p| - threshold, 0)."""
    return p - clip(p, c.threshold)


def averaged(average, p, c: CommonCoefficients):
    """Return the exponential moving average of the parameters, a discounted form of Polyak & Juditsky 1992."""
    return c.ema * average + c.one_minus_ema * p


@device
def root(v, c):
    """Return the denominator of Adam and its variants: sqrt(v_hat) + eps, or sqrt(v_hat + eps)."""
    return np.sqrt(v * c.v_scale + c.eps_inside) + c.eps


class GradientNorm(NamedTuple):
    """Quantity whose norm is taken before a step."""

    gradient: float


def gradient(p, g, c: NoCoefficients) -> GradientNorm:
    """Return the gradient itself, as the quantity to measure."""
    return GradientNorm(g)


def accumulate(p, g, c: NoCoefficients):
    """Add the gradient to a buffer that is passed as p."""
    return (p + g,)


def start_accumulation(p, g, c: NoCoefficients):
    """Write the gradient into the buffer that is passed as p."""
    return (g,)


class TrustNorms(NamedTuple):
    """Quantities whose norms a trust ratio compares: the parameter and its update."""

    parameter: float
    update: float
