"""Rows: functions of the whole last axis, such as softmax, for any number of rows; a row is read from memory once."""

import numpy as np

from ..bits import ordered, unordered
from ..compiler import device, loop
from ..math import exp, exp_minus
from ..views import allocate, load, release, row_at, vector_at
from .reductions import LANES, lanes_of

ROW_BLOCK = 256  # rows of a partial sum of columns


def _elements(size, out, *operands):
    return out.size


@loop(parallel_from=8_192, traffic="w r", work=_elements)
def map_rows(row):
    """Items are rows; arguments: out, *operands. All are matrices of one shape; operands share no memory with out."""

    def body(start, stop, arguments):
        out = arguments[0]
        scratch, lanes = allocate(out, out.shape[1]), lanes_of(out)
        for i in range(start, stop):
            row(row_at(out, i), load(arguments[1:], i), scratch, lanes)
        release(scratch)

    return body


@loop(parallel_from=8_192, traffic="w r", work=_elements)
def map_rows_over(row):
    """Do as `map_rows` where out is one of the operands."""

    def body(start, stop, arguments):
        out = arguments[0]
        columns, lanes = out.shape[1], lanes_of(out)
        scratch = allocate(out, 2 * columns)
        result, more = vector_at(scratch, 0, columns), vector_at(scratch, columns, columns)
        for i in range(start, stop):
            row(result, load(arguments[1:], i), more, lanes)
            for j in range(columns):
                out[i, j] = result[j]
        release(scratch)

    return body


@loop(parallel_from=8_192, traffic="w r", work=_elements)
def map_columns(rule):
    """Items are rows; arguments: out, w (one per column), *operands: out[i, j] = rule(operand[i, j], ..., w[j])."""

    def body(start, stop, arguments):
        out, w = arguments[:2]
        for i in range(start, stop):
            result, operands = row_at(out, i), load(arguments[2:], i)
            for j in range(w.size):
                result[j] = rule(*load(operands, j), w[j])

    return body


# Lane k is the running sum of elements k, k + LANES, ... Loops over lanes end with the current piece: LLVM unrolls a
# constant number of turns completely, and does not vectorize that as well.


@device
def largest(x):
    """Return the largest element of a vector; any value if one is NaN."""
    highest = ordered(x[0])  # integers in the order of the floats: a maximum of those vectorizes
    for j in range(1, x.size):
        key = ordered(x[j])
        highest = key if key > highest else highest
    return unordered(highest)


@device
def exponentials(x, highest, out, lanes):
    """Write e**(x - highest) into out, for x <= highest, and return their sum, in float64 over the lanes."""
    for j in range(x.size):
        out[j] = exp_minus(x[j] - highest)
    return _sum(out, lanes)


@device
def _sum(x, lanes):
    used, total = min(LANES, x.size), np.float64(0)
    for lane in range(used):
        lanes[lane] = x[lane]
    for begin in range(LANES, x.size, LANES):
        part = x[begin : begin + LANES]
        for lane in range(part.size):
            lanes[lane] += part[lane]
    if used == LANES:
        used = LANES // 4
        for lane in range(used):
            lanes[lane] += lanes[lane + used] + (lanes[lane + 2 * used] + lanes[lane + 3 * used])
    for lane in range(used):
        total += lanes[lane]
    return total


@device
def _scale(x, factor):
    for j in range(x.size):
        x[j] *= factor


def softmax(out, operands, scratch, lanes):
    """Write e**(x - max x) / sum e**(x - max x) into out."""
    (x,) = operands
    total = exponentials(x, largest(x), out, lanes)
    _scale(out, out.dtype.type(1 / total))


def softmax_backward(out, operands, scratch, lanes):
    """Write the gradient of `softmax` into out, from dy and x."""
    dy, x = operands
    total = exponentials(x, largest(x), scratch, lanes)
    _scale(scratch, out.dtype.type(1 / total))
    _softmax_gradient(out, dy, scratch, lanes)


def softmax_backward_from_output(out, operands, scratch, lanes):
    """Write the gradient of `softmax` into out, from dy and y."""
    dy, y = operands
    _softmax_gradient(out, dy, y, lanes)


@device
def _softmax_gradient(out, dy, y, lanes):
    """Write dx = y (dy - sum y dy) into out."""
    for j in range(y.size):
        out[j] = y[j] * dy[j]
    mean = dy.dtype.type(_sum(out, lanes))
    for j in range(y.size):
        out[j] = y[j] * (dy[j] - mean)


def log_softmax(out, operands, scratch, lanes):
    """Write (x - max x) - log(sum e**(x - max x)) into out."""
    (x,) = operands
    highest = largest(x)
    logarithm = out.dtype.type(np.log(exponentials(x, highest, scratch, lanes)))
    for j in range(x.size):
        out[j] = (x[j] - highest) - logarithm


def log_softmax_backward(out, operands, scratch, lanes):
    """Write the gradient of `log_softmax` into out, from dy and x."""
    dy, x = operands
    total = exponentials(x, largest(x), scratch, lanes)
    _log_softmax_gradient(out, dy, scratch, 1 / total, lanes)


def log_softmax_backward_from_output(out, operands, scratch, lanes):
    """Write the gradient of `log_softmax` into out, from dy and y."""
    dy, y = operands
    for j in range(y.size):
        scratch[j] = exp(y[j])
    _log_softmax_gradient(out, dy, scratch, 1.0, lanes)


@device
def _log_softmax_gradient(out, dy, e, factor, lanes):
    """Write dx = dy - softmax sum dy into out, with softmax = factor e."""
    share = dy.dtype.type(_sum(dy, lanes) * factor)
    for j in range(e.size):
        out[j] = dy[j] - share * e[j]


@loop(parallel_from=64, traffic="w r")
def prelu_weight_gradient():
    """Items are blocks of `ROW_BLOCK` rows; arguments: sums (blocks, columns) in float64, dy, x."""

    def body(start, stop, arguments):
        sums, dy, x = arguments
        for block in range(start, stop):
            total = row_at(sums, block)
            for j in range(total.size):
                total[j] = 0
            for i in range(block * ROW_BLOCK, min((block + 1) * ROW_BLOCK, len(x))):
                a, b = row_at(dy, i), row_at(x, i)
                for j in range(total.size):
                    total[j] += 0.0 if b[j] > 0 else a[j] * b[j]

    return body


@loop(parallel_from=16_384, traffic="w w r")
def maxout():
    """Items are units; arguments: out, index, x (units, pieces)."""

    def body(start, stop, arguments):
        out, index, x = arguments
        for i in range(start, stop):
            highest, best = x[i, 0], 0
            for piece in range(1, x.shape[1]):
                if x[i, piece] > highest or x[i, piece] != x[i, piece]:
                    highest, best = x[i, piece], piece
            out[i], index[i] = highest, best

    return body


@loop(parallel_from=16_384, traffic="w r")
def maxout_backward():
    """Items are units; arguments: out (units, pieces), dy, index."""

    def body(start, stop, arguments):
        out, dy, index = arguments
        for i in range(start, stop):
            for piece in range(out.shape[1]):
                out[i, piece] = dy[i] if piece == index[i] else 0

    return body
