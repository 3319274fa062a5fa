"""The optimizer step: p[i], slots[k][i] = rule(p[i], gradient, slots[k][i], coefficients)."""

import typing

from numba.np.unsafe.ndarray import to_fixed_tuple

from ..compiler import device, loop
from ..rules.penalties import Penalties, decayed, penalized
from .operands import load, part, store


@loop(parallel_from=16_384)
def update(rule):
    """Step a flat vector; arguments: coefficients, p, g, *slots."""
    step = update_slices(rule)

    def body(start, stop, arguments):
        coefficients, p, g = arguments[:3]
        step(coefficients, p[start:stop], g[start:stop], part(arguments[3:], start, stop))

    return body


def update_slices(rule):
    """Return the walk itself, for loops that have a piece of the gradient at hand.

    `coefficients` holds the `Penalties` and then the rule's own, as a vector in the dtype of p: an
    array takes 0.3 us to pass to a kernel, a tuple of scalars 1.5 us.
    """
    own = coefficients_of(rule)
    penalties_size, own_size = len(Penalties._fields), len(own._fields)

    @device
    def step(coefficients, p, g, slots):
        penalties = Penalties(*to_fixed_tuple(coefficients[:penalties_size], penalties_size))
        c = own(*to_fixed_tuple(coefficients[penalties_size:], own_size))
        for i in range(p.size):
            gradient = penalized(g[i], p[i], penalties)
            new = rule(decayed(p[i], penalties), gradient, *load(slots, i), c)
            p[i] = new[0]
            store(slots, i, new[1:])

    return step


def coefficients_of(rule):
    """Return the named tuple of scalars that a rule takes as its last argument, from its annotation."""
    return typing.get_type_hints(getattr(rule, "py_func", rule))["c"]
