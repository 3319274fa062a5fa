"""The rule of Adan."""

from typing import NamedTuple

from .stages import root


class AdanCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    beta3: float
    one_minus_beta3: float
    step_size: float  # lr / (1 - beta1**t)
    difference_step: float  # lr * beta2 / (1 - beta2**t)
    v_scale: float  # 1 / (1 - beta3**t)
    eps: float
    eps_inside: float
    known: float  # 0 at the first step, which has no previous gradient, then 1
    decay: float  # before the step: 1 - lr * weight_decay, or 1
    shrink: float  # after the step: 1 / (1 + lr * weight_decay), or 1


def adan(p, g, m, d, v, previous, c: AdanCoefficients):
    """Xie et al. 2022, algorithm 1: d averages differences of gradients, v squares of g + beta2 * difference."""
    difference = c.known * (g - previous)
    m = c.beta1 * m + c.one_minus_beta1 * g
    d = c.beta2 * d + c.one_minus_beta2 * difference
    ahead = g + c.beta2 * difference
    v = c.beta3 * v + c.one_minus_beta3 * ahead * ahead
    moved = c.decay * p - (c.step_size * m + c.difference_step * d) / root(v, c)
    return c.shrink * moved, m, d, v, g
