"""Tuples of arrays and scalars, walked together: unrolled at compile time, for any number of them.

Instead of an array there can be what `storage` opens for a block of one.
"""

from numba import types

from .. import words
from ..machine_code import overload
from ..storage import element, written

part = words.part


def load(operands, i):
    """Return operands[k][i] for every array; scalars stay as they are."""
    return words.load(operands, i)


def store(arrays, i, values):
    """Set arrays[k][i] = values[k] for every array."""
    words.store(arrays, i, values)


def _are_plain(operands):
    return not any(isinstance(each, types.NamedTuple) for each in operands)


@overload(load)
def _load(operands, i):
    if _are_plain(operands):
        return lambda operands, i: words.load(operands, i)
    if isinstance(operands[0], types.NamedTuple):
        return lambda operands, i: (element(operands[0], i), *load(operands[1:], i))
    return lambda operands, i: (*words.load(operands[:1], i), *load(operands[1:], i))


@overload(store)
def _store(arrays, i, values):
    if _are_plain(arrays):
        return lambda arrays, i, values: words.store(arrays, i, values)

    def store_first(arrays, i, values):
        written(arrays[0])[i] = values[0]
        store(arrays[1:], i, values[1:])

    return store_first
