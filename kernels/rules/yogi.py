"""The rule of Yogi."""

from ..math import sign
from .adam import AdamCoefficients
from .stages import root


def yogi(p, g, m, v, c: AdamCoefficients):
    """Zaheer et al. 2018: v <- v - (1 - beta2) * sign(v - g**2) * g**2; the rest is Adam."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    square = g * g
    v = v - c.one_minus_beta2 * sign(v - square) * square
    return p - c.step_size * m / root(v, c), m, v
