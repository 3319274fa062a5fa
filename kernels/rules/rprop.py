"""The rule of Rprop."""

from typing import NamedTuple

from ..math import cast, maximum, sign


class RpropCoefficients(NamedTuple):
    shrink: float
    grow: float
    smallest: float
    largest: float


def rprop(p, g, before, step, c: RpropCoefficients):
    """Riedmiller & Braun 1993: a step grows while the gradient keeps its sign; else it shrinks and p stays."""
    agreement = sign(g) * sign(before)
    factor = c.grow if agreement > 0 else (c.shrink if agreement < 0 else cast(1, g))
    step = maximum(step * factor, c.smallest)
    step = c.largest if step > c.largest else step
    g = cast(0, g) if agreement < 0 else g
    return p - sign(g) * step, g, step
