"""Walks of matrices whose rows and columns have numbers of their own: sums or maxima of all elements of each.

Items are tiles of fixed size, which write sums of their own; whoever calls adds those up. So results have the same bits
for any number of threads. Several matrices of one shape lie one after the other, as the last two axes of an array do.
"""

import typing

from numba import types

from ..compiler import device, loop
from ..machine_code import by_types
from ..math import maximum
from ..vectors import largest, summed
from ..views import load, local, part, store, vector_at
from .update import around, average, slots_of, unpack

ROWS, COLUMNS = 64, 4096  # of a tile: of fewer columns, 4096 x 4096 takes a tenth longer
FACTORS = 2  # arguments that a rule takes besides those of `update`: of the row, and of the column
room_of = local(COLUMNS)
total_of = summed(lambda x: x)


def tiles(matrices, rows, columns):
    """Return how many tiles there are above and beside each other in some matrices."""
    return matrices * -(-rows // ROWS), -(-columns // COLUMNS)


class Tile(typing.NamedTuple):
    """Where a tile lies: rows first to last of all matrices, and so many columns from `left` on."""

    first: int
    last: int
    left: int
    width: int
    matrix: int
    strip: int  # row of tiles
    place: int  # in that row


@device
def tile_at(item, rows, columns):
    """Return a tile of matrices that have these factors of rows (all in one vector) and columns (a row for each)."""
    matrices, width = columns.shape
    height, beside = rows.size // matrices, -(-width // COLUMNS)
    strip, place = item // beside, item % beside
    above = -(-height // ROWS)
    matrix, k = strip // above, strip % above
    first, left = matrix * height + k * ROWS, place * COLUMNS
    last = min(first + ROWS, (matrix + 1) * height)
    return Tile(first, last, left, min(COLUMNS, width - left), matrix, strip, place)


@loop(parallel_from=16_384, traffic="w w - - - - r", work=lambda size, *arguments: arguments[-1].size)
def sum_matrix(rule, *stages):
    """Sum a quantity of each element; arguments: row_sums, column_sums, coefficients, rows, columns, p, g.

    row_sums are (tiles beside each other, rows), in float64, and column_sums (tiles above each other, columns) or None.
    """
    scalars = unpack(rule)
    prepared, _ = around(stages)

    @device
    def add(coefficients, row, columns, p, g, values, sums):
        common, c = scalars(coefficients)
        for i in range(p.size):
            gradient, parameter = prepared(common.scale * g[i], p[i], common)
            value = rule(parameter, gradient, row, columns[i], c)
            values[i] = value
            add_to(sums, i, value)

    def body(start, stop, arguments):
        row_sums, column_sums, coefficients, rows, columns, p, g = arguments
        width, room = columns.shape[1], room_of(p)
        for item in range(start, stop):
            tile = tile_at(item, rows, columns)
            sums = zeros_at(column_sums, tile.strip * width + tile.left, tile.width)
            factors = vector_at(columns, tile.matrix * width + tile.left, tile.width)
            values = vector_at(room, 0, tile.width)
            for k in range(tile.first, tile.last):
                begin = k * width + tile.left
                parts = vector_at(p, begin, tile.width), vector_at(g, begin, tile.width)
                add(coefficients, rows[k], factors, *parts, values, sums)
                row_sums[tile.place, k] = total_of((values,), ())

    return body


@by_types
def zeros_at(x, start, size):
    """Set n elements to 0 and return them; None where there are none."""
    if x == types.none:
        return lambda x, start, size: None

    def cleared(x, start, size):
        found = vector_at(x, start, size)
        for i in range(size):
            found[i] = 0
        return found

    return cleared


@by_types
def add_to(x, i, value):
    """Add to an element, or do nothing where there are none."""
    if x == types.none:
        return lambda x, i, value: None

    def add(x, i, value):
        x[i] += value

    return add


def _step(rule, stages):
    """Return the step of a piece of a row."""
    scalars, taken = unpack(rule), slots_of(rule) - FACTORS
    prepared, finished = around(stages)

    @device
    def step(coefficients, row, columns, p, g, slots):
        common, c = scalars(coefficients)
        own, averages = slots[:taken], slots[taken:]
        for i in range(p.size):
            gradient, parameter = prepared(common.scale * g[i], p[i], common)
            new = rule(parameter, gradient, row, columns[i], *load(own, i), c)
            p[i] = finished(new[0], common)
            store(own, i, new[1:])
            average(averages, i, p[i], common)

    return step


@loop(parallel_from=16_384, flush=True, traffic="- - - rw r rw", work=lambda size, *arguments: arguments[4].size)
def update_matrix(rule, *stages):
    """Step matrices by factors of rows and columns; arguments: coefficients, rows, columns, p, g, *slots."""
    step = _step(rule, stages)

    def body(start, stop, arguments):
        coefficients, rows, columns, p, g = arguments[:5]
        width = columns.shape[1]
        for item in range(start, stop):
            tile = tile_at(item, rows, columns)
            factors = vector_at(columns, tile.matrix * width + tile.left, tile.width)
            for k in range(tile.first, tile.last):
                begin = k * width + tile.left
                parts = vector_at(p, begin, tile.width), vector_at(g, begin, tile.width)
                step(coefficients, rows[k], factors, *parts, part(arguments[5:], begin, begin + tile.width))

    return body


@loop(parallel_from=16_384, flush=True, traffic="w w - - - rw r rw", work=lambda size, *arguments: arguments[6].size)
def update_matrix_and_maxima(rule, *stages):
    """Step as `update_matrix` does; arguments: row_maxima, column_maxima, and those of that.

    The maxima are those of the rule's first slot, which is not kept; their shapes are those of `sum_matrix`'s sums.
    """
    step = _step(rule, stages)

    @device
    def raise_to(maxima, values):
        for i in range(maxima.size):
            maxima[i] = maximum(maxima[i], values[i])

    def body(start, stop, arguments):
        row_maxima, column_maxima, coefficients, rows, columns, p, g = arguments[:7]
        width, room = columns.shape[1], room_of(p)
        for item in range(start, stop):
            tile = tile_at(item, rows, columns)
            maxima = zeros_at(column_maxima, tile.strip * width + tile.left, tile.width)
            factors = vector_at(columns, tile.matrix * width + tile.left, tile.width)
            values = vector_at(room, 0, tile.width)
            for k in range(tile.first, tile.last):
                begin = k * width + tile.left
                slots = (values, *part(arguments[7:], begin, begin + tile.width))
                parts = vector_at(p, begin, tile.width), vector_at(g, begin, tile.width)
                step(coefficients, rows[k], factors, *parts, slots)
                raise_to(maxima, values)
                row_maxima[tile.place, k] = largest(values)

    return body
