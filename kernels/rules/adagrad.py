"""The rule of Adagrad."""

from typing import NamedTuple

import numpy as np


class AdagradCoefficients(NamedTuple):
    lr: float
    eps: float
    eps_inside: float  # eps under the root; one of the two is 0


def adagrad(p, g, s, c: AdagradCoefficients):
    """Duchi, Hazan & Singer 2011: s <- s + g**2; p <- p - lr * g / (sqrt(s) + eps)."""
    s = s + g * g
    return p - c.lr * g / (np.sqrt(s + c.eps_inside) + c.eps), s
