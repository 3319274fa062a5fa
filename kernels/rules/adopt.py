"""The rule of ADOPT."""

from typing import NamedTuple

import numpy as np

from ..math import clip, maximum


class ADOPTCoefficients(NamedTuple):
    lr: float
    beta1: float  # 1 at the first step, which only takes v from the gradient
    one_minus_beta1: float
    beta2: float  # 0 at the first step
    one_minus_beta2: float
    eps: float
    limit: float  # of the normalized gradient: (t - 1)**(1/4)


def adopt(p, g, m, v, c: ADOPTCoefficients):
    """Taniguchi et al. 2024, algorithm 2: m <- beta1 * m + (1 - beta1) * clip(g / sqrt(last v)); p <- p - lr * m."""
    m = c.beta1 * m + c.one_minus_beta1 * clip(g / maximum(np.sqrt(v), c.eps), c.limit)
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return p - c.lr * m, m, v
