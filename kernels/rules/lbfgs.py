"""The step of L-BFGS along a direction."""

from ..math import multiply_add


def moved(x, d, t):
    """Return x + t d."""
    return multiply_add(t, d, x)
