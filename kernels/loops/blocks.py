"""The optimizer step by blocks, with work before and after it while a block is in the first-level cache.

Parameters, gradient or state that are stored in fewer bits (see `storage`) are decoded into a few kilobytes, stepped
there by an `update`, and encoded again: they move through memory once, in their stored size. Norms are taken and the
gradient is set to 0 in the same pass.
"""

from numba import types

from ..compiler import loop
from ..machine_code import by_types
from ..storage import CODE_BLOCK, chance_of, closed, closed_whole, opened, opened_whole
from ..views import INTEGERS, SINGLE, allocate, release, vector_at
from ..words import HEAD, invoke, rebound
from .reductions import block_norm

GRADIENT, UPDATE, PARAMETERS = range(3)  # rows of norms


def _traffic(size, key, coefficients, norms, cleared, step, p, low, g, *slots):
    bytes_of = [getattr(each, "nbytes", 0) for each in (g, cleared, norms, p, p, low, low)]
    return sum(bytes_of) + 2 * sum(each.nbytes for each in slots)


@loop(parallel_from=64, flush=True, traffic=_traffic)
def update_blocks():
    """Items are blocks; arguments: key (of random numbers), coefficients, norms, cleared, step, p, low, g, *slots.

    `step` is an `update` bound to vectors of any size. These may be None: `norms` (3, blocks) receives the norms of
    gradient, update and new parameters; `cleared`, which is g, is set to 0; `low` holds the lower halves of parameters
    whose upper halves are p.
    """

    def body(start, stop, arguments):
        key, coefficients, norms, cleared, step, p, low, g = arguments[:8]
        slots = arguments[8:]
        room, words = (
            allocate(coefficients, (3 + len(slots)) * CODE_BLOCK),
            allocate(INTEGERS, HEAD + 2 + 2 * len(slots)),
        )
        change = vector_at(room, 0, CODE_BLOCK)
        for block in range(start, stop):
            n = min(CODE_BLOCK, g.size - block * CODE_BLOCK)
            parameters = opened_parameters(p, low, block, n, vector_at(room, CODE_BLOCK, CODE_BLOCK))
            gradient = opened(g, block, n, vector_at(room, 2 * CODE_BLOCK, CODE_BLOCK))
            state = opened_each(slots, block, n, room, 3)
            look_before(norms, block, gradient, parameters, change)
            invoke(rebound(words, step, (parameters, *state)), 0, n, (coefficients, gradient, 0))
            look_after(norms, block, parameters, change)
            clear(cleared, block * CODE_BLOCK, n)
            chance = chance_of(key, block)
            close_parameters(p, low, block, parameters, chance)
            close_each(slots, block, state, chance, 1)
        release(room)
        release(words)

    return body


@loop(parallel_from=256, traffic="w r")
def norm_blocks():
    """Take the Euclidean norms of blocks; arguments: out (one per block), x."""

    def body(start, stop, arguments):
        out, x = arguments
        room = allocate(SINGLE, CODE_BLOCK)
        for block in range(start, stop):
            n = min(CODE_BLOCK, x.size - block * CODE_BLOCK)
            out[block] = block_norm(opened(x, block, n, room))
        release(room)

    return body


# --- Work that the types of arguments switch off: a branch, or a reference count at one, would slow down the rest


@by_types
def look_before(norms, block, gradient, parameters, change):
    """Take the norm of the gradient and copy the parameters."""
    if norms == types.none:
        return lambda norms, block, gradient, parameters, change: None

    def look(norms, block, gradient, parameters, change):
        norms[GRADIENT, block] = block_norm(gradient)
        for i in range(parameters.size):
            change[i] = parameters[i]

    return look


@by_types
def look_after(norms, block, parameters, change):
    """Take the norms of update and parameters."""
    if norms == types.none:
        return lambda norms, block, parameters, change: None

    def look(norms, block, parameters, change):
        update = vector_at(change, 0, parameters.size)
        for i in range(update.size):
            update[i] = parameters[i] - update[i]
        norms[UPDATE, block], norms[PARAMETERS, block] = block_norm(update), block_norm(parameters)

    return look


@by_types
def clear(x, first, n):
    """Set n elements to 0."""
    if x == types.none:
        return lambda x, first, n: None

    def clear_elements(x, first, n):
        x[first : first + n] = 0

    return clear_elements


@by_types
def opened_parameters(p, low, block, n, room):
    """Open a block of parameters; `low` has their lower halves or is None."""
    if low == types.none:
        return lambda p, low, block, n, room: opened(p, block, n, room)
    return lambda p, low, block, n, room: opened_whole(p, low, block, n, room)


@by_types
def close_parameters(p, low, block, x, chance):
    """Store a block of parameters again."""
    if low == types.none:
        return lambda p, low, block, x, chance: closed(p, block, x, chance, 0)
    return lambda p, low, block, x, chance: closed_whole(p, low, block, x)


@by_types
def opened_each(slots, block, n, room, k):
    """Open a block of every slot; the first slot uses the k-th block of room if it needs one."""
    if len(slots) == 0:
        return lambda slots, block, n, room, k: ()
    return lambda slots, block, n, room, k: (
        opened(slots[0], block, n, vector_at(room, k * CODE_BLOCK, CODE_BLOCK)),
        *opened_each(slots[1:], block, n, room, k + 1),
    )


@by_types
def close_each(slots, block, state, chance, k):
    """Store a block of every slot again; the first slot has the number k."""
    if len(slots) == 0:
        return lambda slots, block, state, chance, k: None

    def close_first(slots, block, state, chance, k):
        closed(slots[0], block, state[0], chance, k)
        close_each(slots[1:], block, state[1:], chance, k + 1)

    return close_first
