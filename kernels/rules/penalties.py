"""What happens to every gradient before its optimizer's rule: scale, direction, l1, l2, weight decay."""

from typing import NamedTuple

from ..compiler import device
from ..math import cast


class Penalties(NamedTuple):
    """Scalars that all optimizers share; the defaults change nothing."""

    scale: float = 1.0  # of the gradient; negative to maximize
    l1: float = 0.0
    l2: float = 0.0
    decay: float = 1.0  # 1 - lr * weight_decay


@device
def penalized(g, p, c):
    """Return the gradient of scale * f(p) + l1 * |p| + l2 / 2 * p**2; |p|' at 0 is 0."""
    zero = cast(0, p)
    l1 = c.l1 if p > zero else (-c.l1 if p < zero else zero)
    return c.scale * g + c.l2 * p + l1


@device
def decayed(p, c):
    """Decoupled weight decay, Loshchilov & Hutter 2019: p <- p - lr * weight_decay * p."""
    return c.decay * p
