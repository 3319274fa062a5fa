"""Sums and norms by fixed blocks, and within a block by fixed lanes: the same bits for any number of threads."""

import typing

import numpy as np

from ..compiler import device, loop
from ..math import multiply_add
from ..storage import read as element
from ..views import load, local, matrix_at, part, row_at, store, vector_at
from .update import chained, unpack

NORM_BLOCK = 2048  # elements of a partial norm
LINE = 64  # bytes of a cache line
LANES = 64  # running sums in a block: their order is fixed, yet they vectorize
SMALL, LARGE = 1e-280, 1e300  # sums of squares outside this range may have lost terms: they are taken again, scaled
UP, DOWN = 2.0**700, 2.0**-700
lanes_of = local(LANES)


@device
def sum_of_lanes(lanes):
    """Return the sum of `LANES` running sums, in float64."""
    total = np.float64(0)
    for lane in range(LANES):
        total += lanes[lane]
    return total


@device
def block_sum(values):
    """Return the sum of a block in float64: by lanes in the dtype of values, then over the lanes."""
    lanes = lanes_of(values)
    for lane in range(LANES):
        lanes[lane] = 0
    whole = values.size // LANES
    for k in range(whole):
        part = values[k * LANES : (k + 1) * LANES]
        for lane in range(LANES):
            lanes[lane] += part[lane]
    total = sum_of_lanes(lanes)
    for i in range(whole * LANES, values.size):
        total += values[i]
    return total


def _squares(x, factor):
    total = 0.0
    for i in range(x.size):
        scaled = factor * np.float64(x[i])
        total += scaled * scaled
    return total


_squares = device(_squares, reassociate=True)


@device
def block_norm(x):
    """Return the Euclidean norm of a block; it neither overflows nor underflows."""
    total, factor = _squares(x, 1.0), 1.0
    if not (SMALL < total < LARGE):
        factor = UP if total <= SMALL else DOWN
        total = _squares(x, factor)
    return np.sqrt(total) / factor


@loop(parallel_from=16, traffic="w r")
def read():
    """Sum blocks, which costs next to nothing compared with reading them; arguments: sums (one per block), x."""

    def body(start, stop, arguments):
        sums, x = arguments
        for block in range(start, stop):
            sums[block] = block_sum(x[block * NORM_BLOCK : (block + 1) * NORM_BLOCK])

    return body


def _lines_of_rows(size, sums, rows, X):
    return rows.size * X.shape[1]


@loop(parallel_from=32_768, traffic="w r -", work=_lines_of_rows)
def read_lines():
    """Read an element of each cache line of some rows, in their order; arguments: sums (one per block), rows, X."""

    def body(start, stop, arguments):
        sums, rows, X = arguments
        step, n, last = LINE // X.itemsize, -(-rows.size // sums.size), X.shape[1] - 1
        for block in range(start, stop):
            total = X.dtype.type(0)
            for i in range(block * n, min((block + 1) * n, rows.size)):
                row = row_at(X, rows[i])
                for j in range(0, row.size, step):
                    total += row[j]
                total += row[last]
            sums[block] = total

    return body


def _traffic(size, out, coefficients, *operands):
    """Count each array once: where the gradient alone is measured, it is also passed as p."""
    return out.nbytes + sum(each.nbytes for each in {id(each): each for each in operands}.values())


def _square(value, factor, total):
    scaled = factor * np.float64(value)
    return multiply_add(scaled, scaled, total)


_square = device(_square)
_plain = device(lambda value, factor, total: total + np.float64(value))


def _by_lanes(measured, stages, add):
    """Return the number of quantities of `measured`, and f(lanes, values, factor, coefficients, p, g, slots).

    The function writes running sums of a block, to which `add` adds each value.
    """
    scalars, prepared = unpack(measured), chained(stages)
    quantities = len(typing.get_type_hints(getattr(measured, "py_func", measured))["return"]._fields)
    rows = _first_rows(quantities)

    @device
    def pieces_of(p, g, slots, first, last):
        return p[first:last], g[first:last], part(slots, first, last)

    @device
    def add_values(n, lanes, values, factor, coefficients, p, g, slots):
        common, c = scalars(coefficients)
        for i in range(n):  # a loop of its own: the sums below, in float64, halve the width of the vectors
            gradient, parameter = prepared(common.scale * element(g, i, coefficients), p[i], common)
            store(values, i, measured(parameter, gradient, *load(slots, i), c))
        for k in range(quantities):
            for i in range(n):
                lanes[k][i] = add(values[k][i], factor, lanes[k][i])

    @device
    def sums_of(lanes, values, factor, coefficients, p, g, slots):
        for k in range(quantities):
            for lane in range(LANES):
                lanes[k, lane] = 0
        whole = p.size // LANES * LANES
        for first in range(0, whole, LANES):
            pieces = pieces_of(p, g, slots, first, first + LANES)
            add_values(LANES, rows(lanes), rows(values), factor, coefficients, *pieces)
        pieces = pieces_of(p, g, slots, whole, p.size)
        add_values(p.size - whole, rows(lanes), rows(values), factor, coefficients, *pieces)

    return quantities, sums_of


@loop(parallel_from=16, traffic=_traffic)
def norms(measured, *stages):
    """Items are blocks; arguments: out (quantities, blocks), coefficients, p, g, *slots; only out is written.

    Writes the Euclidean norm of every quantity that `measured` returns for an element. Squares are
    summed in float64; if they overflow or underflow, they are summed again, scaled by a power of two.
    """
    quantities, sums_of = _by_lanes(measured, stages, _square)
    room = local(quantities * LANES)

    def body(start, stop, arguments):
        out, coefficients, p, g = arguments[:4]
        rooms = room(out), room(out)
        lanes, again = (matrix_at(rooms[0], 0, quantities, LANES), matrix_at(rooms[1], 0, quantities, LANES))
        values = matrix_at(room(p), 0, quantities, LANES)
        for block in range(start, stop):
            first, last = block * NORM_BLOCK, min((block + 1) * NORM_BLOCK, p.size)
            operands = part(arguments[4:], first, last)
            sums_of(lanes, values, 1.0, coefficients, p[first:last], g[first:last], operands)
            for k in range(quantities):
                total, factor = sum_of_lanes(row_at(lanes, k)), 1.0
                if not (SMALL < total < LARGE):
                    factor = UP if total <= SMALL else DOWN
                    sums_of(again, values, factor, coefficients, p[first:last], g[first:last], operands)
                    total = sum_of_lanes(row_at(again, k))
                out[k, block] = np.sqrt(total) / factor

    return body


@loop(parallel_from=16, traffic=_traffic)
def sums(measured, *stages):
    """As `norms`, with the sum of every quantity in float64."""
    quantities, sums_of = _by_lanes(measured, stages, _plain)
    room = local(quantities * LANES)

    def body(start, stop, arguments):
        out, coefficients, p, g = arguments[:4]
        lanes = matrix_at(room(out), 0, quantities, LANES)
        values = matrix_at(room(p), 0, quantities, LANES)
        for block in range(start, stop):
            first, last = block * NORM_BLOCK, min((block + 1) * NORM_BLOCK, p.size)
            operands = part(arguments[4:], first, last)
            sums_of(lanes, values, 1.0, coefficients, p[first:last], g[first:last], operands)
            for k in range(quantities):
                out[k, block] = sum_of_lanes(row_at(lanes, k))

    return body


@loop(parallel_from=1_000_000, traffic="w r")
def combine():
    """Items are quantities; arguments: out, parts (quantities, n): out[k] is the norm of the norms parts[k]."""

    def body(start, stop, arguments):
        out, parts = arguments
        for k in range(start, stop):
            out[k] = _norm(row_at(parts, k))

    return body


@loop(parallel_from=16_384, traffic="w r -")
def combine_each():
    """Items are vectors; arguments: out, parts, starts: out[k] is the norm of parts[starts[k] : starts[k + 1]]."""

    def body(start, stop, arguments):
        out, parts, starts = arguments
        for k in range(start, stop):
            out[k] = _norm(vector_at(parts, starts[k], starts[k + 1] - starts[k]))

    return body


@device
def _norm(parts):
    """Return the norm of norms."""
    largest = 0.0
    for each in parts:
        if largest < each < np.inf:
            largest = each
    scale, total = largest if largest > 0 else 1.0, 0.0
    for each in parts:
        total += (each / scale) ** 2
    return scale * np.sqrt(total)


def _first_rows(n):
    """Return a function that returns the first n rows of a matrix as a tuple."""
    last = n - 1
    if n == 1:
        return device(lambda matrix: (row_at(matrix, 0),))
    before = _first_rows(last)
    return device(lambda matrix: (*before(matrix), row_at(matrix, last)))


@device
def block_dot(lanes, x, y):
    """Return the sum of the products of two blocks, in float64, by lanes."""
    for lane in range(LANES):
        lanes[lane] = 0
    whole = x.size // LANES
    for k in range(whole):
        xs, ys = x[k * LANES : (k + 1) * LANES], y[k * LANES : (k + 1) * LANES]
        for lane in range(LANES):
            lanes[lane] = multiply_add(np.float64(xs[lane]), np.float64(ys[lane]), lanes[lane])
    total = sum_of_lanes(lanes)
    for i in range(whole * LANES, x.size):
        total += np.float64(x[i]) * np.float64(y[i])
    return total


@loop(parallel_from=16, traffic="w r")
def dots():
    """Items are blocks; arguments: sums (one per block), x, y."""

    def body(start, stop, arguments):
        sums, x, y = arguments
        lanes = lanes_of(sums)
        for block in range(start, stop):
            first, last = block * NORM_BLOCK, min((block + 1) * NORM_BLOCK, x.size)
            sums[block] = block_dot(lanes, x[first:last], y[first:last])

    return body


@loop(parallel_from=16, traffic="w rw - r - r")
def add_then_dots():
    """Items are blocks; arguments: sums (one per block of q * y), q = scale * (q + factor * x), scale, x, factor, y."""

    def body(start, stop, arguments):
        sums, q, scale, x, factor, y = arguments
        lanes = lanes_of(sums)
        for block in range(start, stop):
            first, last = block * NORM_BLOCK, min((block + 1) * NORM_BLOCK, q.size)
            qs, xs = q[first:last], x[first:last]
            for i in range(qs.size):
                qs[i] = scale * multiply_add(factor, xs[i], qs[i])
            sums[block] = block_dot(lanes, qs, y[first:last])

    return body
