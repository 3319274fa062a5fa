"""The rule of LAMB: Adam's update, with a step for each array in proportion to the array's norm."""

from typing import NamedTuple

from ..compiler import device
from .stages import TrustNorms, root


class LAMBCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    m_scale: float  # 1 / (1 - beta1**t)
    v_scale: float  # 1 / (1 - beta2**t)
    eps: float
    eps_inside: float
    weight_decay: float
    lr: float  # times the trust ratio |p| / |update|


@device
def _step(p, g, m, v, c):
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return c.m_scale * m / root(v, c) + c.weight_decay * p, m, v


def lamb(p, g, m, v, c: LAMBCoefficients):
    """You et al. 2020, algorithm 2: p <- p - lr * |p| / |u| * u, u = m_hat / (sqrt(v_hat) + eps) + weight_decay * p."""
    update, m, v = _step(p, g, m, v, c)
    return p - c.lr * update, m, v


def lamb_norms(p, g, m, v, c: LAMBCoefficients) -> TrustNorms:
    """Return what the trust ratio compares: the parameter and its update."""
    return TrustNorms(p, _step(p, g, m, v, c)[0])
