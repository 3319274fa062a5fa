"""The rule of AdEMAMix."""

from typing import NamedTuple

from .stages import root


class AdEMAMixCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    beta3: float
    one_minus_beta3: float
    fast_step: float  # lr / (1 - beta1**t)
    slow_step: float  # lr * alpha
    v_scale: float
    eps: float
    eps_inside: float


def ademamix(p, g, fast, slow, v, c: AdEMAMixCoefficients):
    """Pagliardini, Ablin & Grangier 2024: p <- p - lr * (m1_hat + alpha * m2) / (sqrt(v_hat) + eps)."""
    fast = c.beta1 * fast + c.one_minus_beta1 * g
    slow = c.beta3 * slow + c.one_minus_beta3 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return p - (c.fast_step * fast + c.slow_step * slow) / root(v, c), fast, slow, v
