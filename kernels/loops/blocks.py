"""The optimizer step by blocks, for what is to be done before and after it while a block is in the first cache.

Parameters, gradient or state that are stored in fewer bits (see `storage`) are decoded into a few kilobytes, stepped
there by the walk of `update`, and encoded again: they move through memory once, in the size that they are stored in.
Norms are taken and the gradient is set to 0 on the way.
"""

import numpy as np
from numba import types
from numba.extending import overload

from ..compiler import INLINED, loop
from ..storage import BLOCK, closed, joined, key_of, opened, parted
from .reductions import block_norm
from .update import update_slices

GRADIENT, UPDATE, PARAMETERS = range(3)  # rows of norms


def _traffic(size, key, coefficients, norms, zero, p, low, g, *slots):
    return 2 * sum(each.nbytes for each in (p, low, *slots)) + (2 if zero else 1) * g.nbytes + norms.nbytes


@loop(parallel_from=64, flush=True, traffic=_traffic)
def update_blocks(rule, *stages):
    """Items are blocks; arguments: key (of random numbers), coefficients, norms, zero, p, low, g, *slots.

    `norms` (3, blocks) are those of gradient, update and new parameters, or (0, 0). With `zero` the gradient is set
    to 0. `low` holds the lower halves of parameters whose upper halves are p, or nothing.
    """
    step = update_slices(rule, *stages)

    def body(start, stop, arguments):
        key, coefficients, norms, zero, p, low, g = arguments[:7]
        slots = arguments[7:]
        room = np.empty((3 + len(slots), BLOCK), coefficients.dtype)
        for block in range(start, stop):
            n = min(BLOCK, g.size - block * BLOCK)
            parameters = opened_parameters(p, low, block, n, room[0])
            gradient = opened(g, block, n, room[1])
            state, change = opened_each(slots, block, n, room[3:]), room[2, :n]
            if norms.size:
                norms[GRADIENT, block] = block_norm(gradient)
                for i in range(n):
                    change[i] = parameters[i]
            step(coefficients, parameters, gradient, state)
            if norms.size:
                for i in range(n):
                    change[i] = parameters[i] - change[i]
                norms[UPDATE, block], norms[PARAMETERS, block] = block_norm(change), block_norm(parameters)
            if zero:
                clear(g, block * BLOCK, block * BLOCK + n)
            close_parameters(p, low, block, parameters, key_of(key, 0, block))
            close_each(slots, block, state, key, 1)

    return body


def clear(x, first, last):
    """Set x[first:last] to 0; what is read-only is never asked to."""


@overload(clear, jit_options=INLINED)
def _clear(x, first, last):
    if not x.mutable:
        return lambda x, first, last: None

    def clear_elements(x, first, last):
        x[first:last] = 0

    return clear_elements


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
