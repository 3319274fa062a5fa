"""Tuples of arrays and scalars, walked together: unrolled at compile time, for any number of them.

Instead of an array there can be what `storage` opens for a block of one.
"""

import numpy as np
from numba import types
from numba.extending import overload

from ..compiler import INLINED
from ..storage import element, written


def part(operands, start, stop):
    """Return operands[k][start:stop] for every array; scalars stay as they are."""
    return tuple(each[start:stop] if isinstance(each, np.ndarray) else each for each in operands)


def load(operands, i):
    """Return operands[k][i] for every array; scalars stay as they are."""
    return tuple(each[i] if isinstance(each, np.ndarray) else each for each in operands)


def store(arrays, i, values):
    """Set arrays[k][i] = values[k] for every array."""
    for array, value in zip(arrays, values, strict=True):
        array[i] = value


@overload(part, jit_options=INLINED)
def _part(operands, start, stop):
    if len(operands) == 0:
        return lambda operands, start, stop: ()
    if isinstance(operands[0], types.Array):
        return lambda operands, start, stop: (operands[0][start:stop], *part(operands[1:], start, stop))
    return lambda operands, start, stop: (operands[0], *part(operands[1:], start, stop))


@overload(load, jit_options=INLINED)
def _load(operands, i):
    if len(operands) == 0:
        return lambda operands, i: ()
    if isinstance(operands[0], types.Array):
        return lambda operands, i: (operands[0][i], *load(operands[1:], i))
    if isinstance(operands[0], types.NamedTuple):
        return lambda operands, i: (element(operands[0], i), *load(operands[1:], i))
    return lambda operands, i: (operands[0], *load(operands[1:], i))


@overload(store, jit_options=INLINED)
def _store(arrays, i, values):
    if len(arrays) == 0:
        return lambda arrays, i, values: None

    def store_first(arrays, i, values):
        written(arrays[0])[i] = values[0]
        store(arrays[1:], i, values[1:])

    return store_first
