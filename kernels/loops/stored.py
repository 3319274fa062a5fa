"""The optimizer step where parameters, gradient or state are stored in fewer bits: see `storage`.

A block is decoded into a few kilobytes that stay in the first cache, stepped there by the walk of `update`, and
encoded again: it moves through memory once, in the size that it is stored in.
"""

import numpy as np
from numba import types
from numba.extending import overload

from ..compiler import INLINED, loop
from ..storage import BLOCK, closed, joined, key_of, opened, parted
from .update import update_slices


@loop(parallel_from=64, flush=True, traffic="- - rw rw r rw")
def update_stored(rule, *stages):
    """Items are blocks; arguments: key (of the step's random numbers), coefficients, p, low, g, *slots.

    `low` holds the lower halves of parameters whose upper halves are p, or nothing.
    """
    step = update_slices(rule, *stages)

    def body(start, stop, arguments):
        key, coefficients, p, low, g = arguments[:5]
        slots = arguments[5:]
        room = np.empty((2 + len(slots), BLOCK), coefficients.dtype)
        for block in range(start, stop):
            n = min(BLOCK, g.size - block * BLOCK)
            parameters = opened_parameters(p, low, block, n, room[0])
            gradient = opened(g, block, n, room[1])
            state = opened_each(slots, block, n, room[2:])
            step(coefficients, parameters, gradient, state)
            close_parameters(p, low, block, parameters, key_of(key, 0, block))
            close_each(slots, block, state, key, 1)

    return body


def opened_parameters(p, low, block, n, room):
    """Return the floats of a block of parameters, of which `low` may hold the lower halves."""


def close_parameters(p, low, block, x, key):
    """Store them again."""


@overload(opened_parameters, jit_options=INLINED)
def _opened_parameters(p, low, block, n, room):
    if isinstance(p.dtype, types.Float):
        return lambda p, low, block, n, room: opened(p, block, n, room)
    return lambda p, low, block, n, room: joined(p, low, block, n, room) if low.size else opened(p, block, n, room)


@overload(close_parameters, jit_options=INLINED)
def _close_parameters(p, low, block, x, key):
    if isinstance(p.dtype, types.Float):
        return lambda p, low, block, x, key: None

    def close_halves(p, low, block, x, key):
        if low.size:
            parted(p, low, block, x)
        else:
            closed(p, block, x, key)

    return close_halves


def opened_each(slots, block, n, room):
    """Return the floats of every slot."""


def close_each(slots, block, state, key, k):
    """Store the floats of every slot; the first has the number k."""


@overload(opened_each, jit_options=INLINED)
def _opened_each(slots, block, n, room):
    if len(slots) == 0:
        return lambda slots, block, n, room: ()
    return lambda slots, block, n, room: (
        opened(slots[0], block, n, room[0]),
        *opened_each(slots[1:], block, n, room[1:]),
    )


@overload(close_each, jit_options=INLINED)
def _close_each(slots, block, state, key, k):
    if len(slots) == 0:
        return lambda slots, block, state, key, k: None

    def close_first(slots, block, state, key, k):
        closed(slots[0], block, state[0], key_of(key, k, block))
        close_each(slots[1:], block, state[1:], key, k + 1)

    return close_first
