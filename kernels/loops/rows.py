"""Rows: what needs the whole last axis, for any number of rows; a row is read from memory once."""

import numpy as np

from ..compiler import device, loop
from ..math import exp
from .operands import load
from .reductions import LANES

BLOCK = 256  # rows a partial sum of columns


@loop(parallel_from=64)
def map_rows(row):
    """Items are rows; arguments: out, *operands, matrices of one shape; out may be one of them."""

    def body(start, stop, arguments):
        out = arguments[0]
        scratch, lanes = np.empty(out.shape[1], out.dtype), np.empty(LANES, out.dtype)
        for i in range(start, stop):
            row(out[i], load(arguments[1:], i), scratch, lanes)

    return body


@loop(parallel_from=64)
def map_columns(rule):
    """Items are rows; arguments: out, w (one a column), *operands: out[i, j] = rule(operand[i, j], ..., w[j])."""

    def body(start, stop, arguments):
        out, w = arguments[:2]
        for i in range(start, stop):
            result, operands = out[i], load(arguments[2:], i)
            for j in range(w.size):
                result[j] = rule(*load(operands, j), w[j])

    return body


@device
def largest(x, lanes):
    """Return the largest element of a vector; whatever, if one is NaN."""
    whole = x.size // LANES * LANES
    highest = x[0]
    if whole:
        first = x[:LANES]
        for lane in range(LANES):
            lanes[lane] = first[lane]
        for begin in range(LANES, whole, LANES):
            part = x[begin : begin + LANES]
            for lane in range(LANES):
                lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
        for lane in range(LANES):
            highest = lanes[lane] if lanes[lane] > highest else highest
    for j in range(whole, x.size):
        highest = x[j] if x[j] > highest else highest
    return highest


@device
def exponentials(x, highest, out, lanes):
    """Write e**(x - highest) into out and return their sum, in float64 over the lanes."""
    whole = x.size // LANES * LANES
    total = 0.0
    if whole:
        for lane in range(LANES):
            lanes[lane] = 0
        for begin in range(0, whole, LANES):
            part, result = x[begin : begin + LANES], out[begin : begin + LANES]
            for lane in range(LANES):
                result[lane] = exp(part[lane] - highest)
                lanes[lane] += result[lane]
        for lane in range(LANES):
            total += lanes[lane]
    part, result = x[whole:], out[whole:]
    for j in range(part.size):
        result[j] = exp(part[j] - highest)
        total += result[j]
    return total


@device
def inner(x, y, lanes):
    """Return the sum of x * y, by lanes, then in float64."""
    whole = x.size // LANES * LANES
    total = 0.0
    if whole:
        for lane in range(LANES):
            lanes[lane] = 0
        for begin in range(0, whole, LANES):
            a, b = x[begin : begin + LANES], y[begin : begin + LANES]
            for lane in range(LANES):
                lanes[lane] += a[lane] * b[lane]
        for lane in range(LANES):
            total += lanes[lane]
    for j in range(whole, x.size):
        total += x[j] * y[j]
    return total


@device
def _scaled(x, factor, out):
    for j in range(out.size):
        out[j] = factor * x[j]


def softmax(out, operands, scratch, lanes):
    """e**(x - max x) / sum e**(x - max x)."""
    (x,) = operands
    total = exponentials(x, largest(x, lanes), scratch, lanes)
    _scaled(scratch, out.dtype.type(1 / total), out)


def softmax_backward(out, operands, scratch, lanes):
    dy, x = operands
    total = exponentials(x, largest(x, lanes), scratch, lanes)
    _scaled(scratch, out.dtype.type(1 / total), scratch)
    _softmax_gradient(out, dy, scratch, lanes)


def softmax_backward_from_output(out, operands, scratch, lanes):
    dy, y = operands
    for j in range(y.size):
        scratch[j] = y[j]
    _softmax_gradient(out, dy, scratch, lanes)


@device
def _softmax_gradient(out, dy, y, lanes):
    """Dx = y (dy - sum dy y); y is overwritten, as out may be dy."""
    mean = dy.dtype.type(inner(dy, y, lanes))
    for j in range(y.size):
        y[j] *= dy[j] - mean
    for j in range(y.size):
        out[j] = y[j]


def log_softmax(out, operands, scratch, lanes):
    """(x - max x) - log(sum e**(x - max x))."""
    (x,) = operands
    highest = largest(x, lanes)
    logarithm = out.dtype.type(np.log(exponentials(x, highest, scratch, lanes)))
    for j in range(x.size):
        scratch[j] = (x[j] - highest) - logarithm
    for j in range(x.size):
        out[j] = scratch[j]


def log_softmax_backward(out, operands, scratch, lanes):
    dy, x = operands
    total = exponentials(x, largest(x, lanes), scratch, lanes)
    _log_softmax_gradient(out, dy, scratch, 1 / total)


def log_softmax_backward_from_output(out, operands, scratch, lanes):
    dy, y = operands
    for j in range(y.size):
        scratch[j] = exp(y[j])
    _log_softmax_gradient(out, dy, scratch, 1.0)


@device
def _log_softmax_gradient(out, dy, e, factor):
    """Dx = dy - softmax sum dy; e is overwritten, as out may be dy."""
    total = 0.0
    for j in range(dy.size):
        total += dy[j]
    share = dy.dtype.type(total * factor)
    for j in range(e.size):
        e[j] = dy[j] - share * e[j]
    for j in range(e.size):
        out[j] = e[j]


@loop(parallel_from=64)
def prelu_weight_gradient():
    """Items are blocks of `BLOCK` rows; arguments: sums (blocks, columns) in float64, dy, x."""

    def body(start, stop, arguments):
        sums, dy, x = arguments
        for block in range(start, stop):
            total = sums[block]
            for j in range(total.size):
                total[j] = 0
            for i in range(block * BLOCK, min((block + 1) * BLOCK, len(x))):
                a, b = dy[i], x[i]
                for j in range(total.size):
                    total[j] += 0.0 if b[j] > 0 else a[j] * b[j]

    return body


@loop(parallel_from=16_384)
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


@loop(parallel_from=16_384)
def maxout_backward():
    """Items are units; arguments: out (units, pieces), dy, index."""

    def body(start, stop, arguments):
        out, dy, index = arguments
        for i in range(start, stop):
            for piece in range(out.shape[1]):
                out[i, piece] = dy[i] if piece == index[i] else 0

    return body
