"""The rule of AdaBelief."""

from typing import NamedTuple

from .stages import root


class AdaBeliefCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    step_size: float
    v_eps: float  # added to s at every step
    v_scale: float
    eps: float
    eps_inside: float


def adabelief(p, g, m, s, c: AdaBeliefCoefficients):
    """Zhuang et al. 2020: s <- beta2 * s + (1 - beta2) * (g - m)**2 + eps instead of Adam's v."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    surprise = g - m
    s = c.beta2 * s + c.one_minus_beta2 * surprise * surprise + c.v_eps
    return p - c.step_size * m / root(s, c), m, s
