"""The optimizer step by blocks, where arrays are stored in fewer bits, or norms and cleared gradients are asked for.

One loop decodes an element of each array (see `storage`), applies the rule and encodes what has a code by itself. What
is stored in 8 bits needs the largest value of its block first: the loop finds it, while new values wait in a few
kilobytes, and a second loop writes the codes of all slots. So arrays move through memory once, in their stored size.
"""

import numpy as np
from numba import types

from ..compiler import device, loop
from ..machine_code import by_types
from ..storage import CODE_BLOCK, Whole, chance_of, encode, encoder, key_of_step, opened, read, write
from ..views import SINGLE, allocate, release, vector_at
from .reductions import block_norm
from .update import around, average, slots_of, unpack

GRADIENT, UPDATE, PARAMETERS = range(3)  # rows of norms


def _traffic(size, seed, steps, number, first_block, coefficients, norms, cleared, p, low, g, *slots):
    bytes_of = [getattr(each, "nbytes", 0) for each in (g, cleared, norms, p, p, low, low)]
    return sum(bytes_of) + 2 * sum(each.nbytes for each in slots)


@loop(parallel_from=64, flush=True, traffic=_traffic)
def update_blocks(rule, *stages):
    """Items are blocks; arguments: a key, three numbers, coefficients, norms, cleared, p, low, g, *slots.

    The first four make the random numbers: see `key_of_step`. These may be None: `norms` (3, blocks) receives the norms
    of gradient, update and new parameters; `cleared`, which is g, is set to 0; `low` holds the lower halves of
    parameters whose upper halves are p.
    """
    scalars, taken = unpack(rule), slots_of(rule)
    prepared, finished = around(stages)

    @device
    def step(n, coefficients, p, g, slots, seen):
        """Step a block; return the largest absolute value of each slot in 8 bits."""
        common, c = scalars(coefficients)
        own, averages = slots[:taken], slots[taken:]
        largest = zeros(own)
        for i in range(n):
            given, old = read(g, i, coefficients), read(p, i, coefficients)
            gradient, parameter = prepared(common.scale * given, old, common)
            new = rule(parameter, gradient, *read_each(own, i, coefficients), c)
            after = finished(new[0], common)
            look(seen, i, given, old, after)
            write(p, i, after, 0)
            largest = write_each(own, i, new[1:], largest)
            average(averages, i, after, common)
        return largest

    def body(start, stop, arguments):
        seed, steps, number, first_block, coefficients, norms, cleared, p, low, g = arguments[:10]
        key, slots = key_of_step(seed, steps, number, first_block), arguments[10:]
        room, seen = allocate(SINGLE, (1 + len(slots)) * CODE_BLOCK), room_to_look(norms, coefficients)
        for block in range(start, stop):
            n, chance = min(CODE_BLOCK, g.size - block * CODE_BLOCK), chance_of(key, block)
            parameters, gradient, state = open_block(p, low, g, slots, block, n, chance, room)
            largest = step(n, coefficients, parameters, gradient, state, seen)
            close_block(slots, block, n, chance, state, largest, norms, seen, cleared)
        release(room)
        release_seen(seen)

    return body


@loop(parallel_from=256, traffic="w r")
def norm_blocks():
    """Take the Euclidean norms of blocks; arguments: out (one per block), x."""

    def body(start, stop, arguments):
        out, x = arguments
        room = allocate(SINGLE, CODE_BLOCK)
        for block in range(start, stop):
            n = min(CODE_BLOCK, x.size - block * CODE_BLOCK)
            stored, floats = opened(x, block, n, np.uint64(0), 0, room), vector_at(room, 0, n)
            for i in range(n):
                floats[i] = read(stored, i, room)
            out[block] = block_norm(floats)
        release(room)

    return body


# --- A block, of functions that know no rule: they are compiled once for all of them


@device
def open_block(p, low, g, slots, block, n, chance, room):
    """Return the block of parameters, of the gradient and of each slot; slot k has the number k + 1."""
    parameters, gradient = opened_parameters(p, low, block, n, chance, room), opened(g, block, n, chance, 0, room)
    return parameters, gradient, opened_each(slots, block, n, chance, 1, room)


@device
def close_block(slots, block, n, chance, state, largest, norms, seen, cleared):
    """Write the codes of a block after its step, take its norms and clear its gradient."""
    waiting = encoders(slots, block, state, chance, 1, largest)
    for i in range(n):
        encode_each(waiting, i)
    take_norms(norms, block, seen, n)
    clear(cleared, block * CODE_BLOCK, n)


@by_types
def opened_parameters(p, low, block, n, chance, room):
    """Open a block of parameters; `low` has their lower halves or is None."""
    if low == types.none:
        return lambda p, low, block, n, chance, room: opened(p, block, n, chance, 0, room)
    return lambda p, low, block, n, chance, room: Whole(
        vector_at(p, block * CODE_BLOCK, n), vector_at(low, block * CODE_BLOCK, n)
    )


# --- All slots of an element or a block: the first, and the rest


@by_types
def opened_each(slots, block, n, chance, k, room):
    """Open a block of every slot; the first slot has the number k."""
    if len(slots) == 0:
        return lambda slots, block, n, chance, k, room: ()
    return lambda slots, block, n, chance, k, room: (
        opened(slots[0], block, n, chance, k, room),
        *opened_each(slots[1:], block, n, chance, k + 1, room),
    )


@by_types
def zeros(slots):
    """Return a 0 in 32 bits for every slot."""
    if len(slots) == 0:
        return lambda slots: ()
    return lambda slots: (np.int32(0), *zeros(slots[1:]))


@by_types
def read_each(blocks, i, like):
    """Read an element of every slot."""
    if len(blocks) == 0:
        return lambda blocks, i, like: ()
    return lambda blocks, i, like: (read(blocks[0], i, like), *read_each(blocks[1:], i, like))


@by_types
def write_each(blocks, i, values, largest):
    """Write an element of every slot; return the largest values so far."""
    if len(blocks) == 0:
        return lambda blocks, i, values, largest: ()
    return lambda blocks, i, values, largest: (
        write(blocks[0], i, values[0], largest[0]),
        *write_each(blocks[1:], i, values[1:], largest[1:]),
    )


@by_types
def encoders(slots, block, state, chance, k, largest):
    """Return the encoder of every slot, without that of averages; the first slot has the number k."""
    if len(largest) == 0:
        return lambda slots, block, state, chance, k, largest: ()
    return lambda slots, block, state, chance, k, largest: (
        encoder(slots[0], block, state[0], chance, k, largest[0]),
        *encoders(slots[1:], block, state[1:], chance, k + 1, largest[1:]),
    )


@by_types
def encode_each(waiting, i):
    """Write code i of every slot."""
    if len(waiting) == 0:
        return lambda waiting, i: None

    def encode_first(waiting, i):
        encode(waiting[0], i)
        encode_each(waiting[1:], i)

    return encode_first


# --- Work that the types of arguments switch off: a branch, or a reference count at one, would slow down the rest


@by_types
def room_to_look(norms, like):
    """Return room for gradient, update and new parameters of a block, None without norms."""
    if norms == types.none:
        return lambda norms, like: None
    return lambda norms, like: allocate(like, 3 * CODE_BLOCK)


@by_types
def release_seen(seen):
    """Free what `room_to_look` returned."""
    if seen == types.none:
        return lambda seen: None
    return lambda seen: release(seen)


@by_types
def look(seen, i, g, before, after):
    """Note an element of the gradient, its update and the new parameter."""
    if seen == types.none:
        return lambda seen, i, g, before, after: None

    def note(seen, i, g, before, after):
        seen[GRADIENT * CODE_BLOCK + i] = g
        seen[UPDATE * CODE_BLOCK + i] = after - before
        seen[PARAMETERS * CODE_BLOCK + i] = after

    return note


@by_types
def take_norms(norms, block, seen, n):
    """Take the norms of what `look` noted."""
    if norms == types.none:
        return lambda norms, block, seen, n: None

    def take(norms, block, seen, n):
        for k in range(len(norms)):
            norms[k, block] = block_norm(vector_at(seen, k * CODE_BLOCK, n))

    return take


@by_types
def clear(x, first, n):
    """Set n elements to 0."""
    if x == types.none:
        return lambda x, first, n: None

    def clear_elements(x, first, n):
        x[first : first + n] = 0

    return clear_elements
