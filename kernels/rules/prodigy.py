"""The rule of Prodigy, and what its estimate of the distance to the solution sums."""

from typing import NamedTuple

import numpy as np


class ProdigyCoefficients(NamedTuple):
    beta1: float
    m_gain: float  # d * (1 - beta1)
    beta2: float
    v_gain: float  # d**2 * (1 - beta2)
    beta3: float
    s_gain: float  # d / d0 * d * lr
    r_gain: float  # the same, also where s_gain has no lr
    step_size: float  # d * lr
    eps: float  # times the next d
    decay: float  # 1 - d * lr * weight_decay


class ProdigySums(NamedTuple):
    """Quantities whose sums over all arrays estimate d: r / |s|."""

    r: float
    s: float


def prodigy(p, g, m, v, s, start, c: ProdigyCoefficients):
    """Mishchenko & Defazio 2024, algorithm 4: p <- p - lr * d * m / (sqrt(v) + d * eps), with d in m and v."""
    m = c.beta1 * m + c.m_gain * g
    v = c.beta2 * v + c.v_gain * g * g
    return c.decay * p - c.step_size * m / (np.sqrt(v) + c.eps), m, v, c.beta3 * s + c.s_gain * g, start


def prodigy_sums(p, g, m, v, s, start, c: ProdigyCoefficients) -> ProdigySums:
    """Return the addends of r, the weighted sum of g * (start - p), and of |s|, that of gradients."""
    return ProdigySums(c.r_gain * g * (start - p), abs(c.beta3 * s + c.s_gain * g))
