"""Adam; AdamW is Adam with decoupled weight decay, which is in `penalties`."""

from typing import NamedTuple

import numpy as np


class AdamCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float  # computed in float64: float32 1 - 0.999 is off by 1.3e-5
    beta2: float
    one_minus_beta2: float
    step_size: float  # lr / (1 - beta1**t)
    v_scale: float  # 1 / (1 - beta2**t)
    eps: float
    eps_inside: float  # eps under the root; one of the two is 0


def adam(p, g, m, v, c: AdamCoefficients):
    """Kingma & Ba 2015, algorithm 1: p <- p - lr * m_hat / (sqrt(v_hat) + eps)."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return p - c.step_size * m / (np.sqrt(v * c.v_scale + c.eps_inside) + c.eps), m, v
