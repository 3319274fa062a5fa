"""Rows: functions of the whole last axis, such as softmax, for any number of rows; a row is read from memory once.

A function of rows is ``f(out, operands, e, numbers)`` for matrices of some rows. For its own use it gets one more
matrix, `e`, which is `out` if there is one row, and two numbers for each row in float64. Exponentials of all elements
of these rows are taken in one loop; what belongs to a row is done by `vectors`.
"""

from ..compiler import device, loop
from ..math import exp_minus, log
from ..vectors import largest, mapped, summed
from ..views import DOUBLE, allocate, load, matrix_at, part, release, row_at, vector_at

ROW_BLOCK = 256  # rows of a partial sum of columns
TILE = 1024  # elements of the rows that are computed together: they stay in the L1 cache


def _elements(size, out, *operands):
    return out.size


@device
def rows_of_tile(columns, rows):
    """Return how many of so many rows are computed together, at least 1."""
    return max(1, min(TILE // columns, rows))


@loop(parallel_from=8_192, traffic="w r", work=_elements)
def map_rows(f):
    """Items are rows; arguments: out, *operands. All are matrices of one shape; operands share no memory with out."""

    def body(start, stop, arguments):
        out, columns = arguments[0], arguments[0].shape[1]
        rows = rows_of_tile(columns, stop - start)
        scratch, numbers = allocate(out, rows * columns if rows > 1 else 0), allocate(DOUBLE, 2 * rows)
        for i in range(start, stop, rows):
            n = min(rows, stop - i)
            tile = matrix_at(out, i * columns, n, columns)
            e = matrix_at(scratch, 0, n, columns) if rows > 1 else tile
            f(tile, part(arguments[1:], i, i + n), e, matrix_at(numbers, 0, 2, n))
        release(scratch)
        release(numbers)

    return body


@loop(parallel_from=8_192, traffic="w r", work=_elements)
def map_rows_over(f):
    """Do as `map_rows` where out is one of the operands."""

    def body(start, stop, arguments):
        out, columns = arguments[0], arguments[0].shape[1]
        rows = rows_of_tile(columns, stop - start)
        room = rows * columns
        scratch, numbers = allocate(out, 2 * room), allocate(DOUBLE, 2 * rows)
        for i in range(start, stop, rows):
            n = min(rows, stop - i)
            tile, result = vector_at(out, i * columns, n * columns), vector_at(scratch, 0, n * columns)
            e = matrix_at(scratch, room if rows > 1 else 0, n, columns)
            f(matrix_at(scratch, 0, n, columns), part(arguments[1:], i, i + n), e, matrix_at(numbers, 0, 2, n))
            for k in range(tile.size):
                tile[k] = result[k]
        release(scratch)
        release(numbers)

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


_total = summed(lambda x: x)
_dot = summed(lambda x, y: x * y)
_lowered = mapped(lambda x, highest: x - highest)
scaled = mapped(lambda x, factor: x * factor)
_lowered_twice = mapped(lambda x, highest, logarithm: x - highest - logarithm)
_softmax_gradient = mapped(lambda dy, e, factor, mean: e * factor * (dy - mean))
_log_softmax_gradient = mapped(lambda dy, e, share: dy - share * e)


@device
def total(x):
    """Return the sum of a vector in float64."""
    return _total((x,), ())


@device
def _exponentials_of(e):
    for k in range(e.size):
        e[k] = exp_minus(e[k])


@device
def exponentials(x, highest, e):
    """Write e**(x - highest) into e, for vectors and their highest element."""
    for k in range(x.size):
        e[k] = exp_minus(x[k] - x.dtype.type(highest))


@device
def exponentials_of_rows(x, highest, e):
    """Do as `exponentials` for matrices and the highest element of each row."""
    if len(x) == 1:
        exponentials(row_at(x, 0), highest[0], row_at(e, 0))
    else:
        for i in range(len(x)):
            _lowered(row_at(e, i), (row_at(x, i),), (highest[i],))
        _exponentials_of(vector_at(e, 0, e.size))


@device
def _exponentials(x, e, numbers):
    highest = row_at(numbers, 0)
    for i in range(len(x)):
        highest[i] = largest(row_at(x, i))
    exponentials_of_rows(x, highest, e)
    return highest, row_at(numbers, 1)


def softmax(out, operands, e, numbers):
    """Write e**(x - max x) / sum e**(x - max x) into out."""
    (x,) = operands
    _exponentials(x, e, numbers)
    for i in range(len(x)):
        scaled(row_at(out, i), (row_at(e, i),), (1 / total(row_at(e, i)),))


def softmax_backward(out, operands, e, numbers):
    """Write the gradient of `softmax` into out, from dy and x."""
    dy, x = operands
    _, sums = _exponentials(x, e, numbers)
    for i in range(len(x)):
        sums[i] = total(row_at(e, i))
    for i in range(len(x)):
        _write_softmax_gradient(row_at(out, i), row_at(dy, i), row_at(e, i), 1 / sums[i])


def softmax_backward_from_output(out, operands, e, numbers):
    """Write the gradient of `softmax` into out, from dy and y."""
    dy, y = operands
    for i in range(len(y)):
        _write_softmax_gradient(row_at(out, i), row_at(dy, i), row_at(y, i), 1.0)


@device
def _write_softmax_gradient(out, dy, e, factor):
    """Write dx = y (dy - sum y dy) into out, with y = factor e."""
    _softmax_gradient(out, (dy, e), (factor, factor * _dot((dy, e), ())))


def log_softmax(out, operands, e, numbers):
    """Write (x - max x) - log(sum e**(x - max x)) into out."""
    (x,) = operands
    highest, sums = _exponentials(x, e, numbers)
    for i in range(len(x)):
        sums[i] = total(row_at(e, i))
    for i in range(len(x)):
        sums[i] = log(sums[i])
    for i in range(len(x)):
        _lowered_twice(row_at(out, i), (row_at(x, i),), (highest[i], sums[i]))


def log_softmax_backward(out, operands, e, numbers):
    """Write the gradient of `log_softmax` into out, from dy and x."""
    dy, x = operands
    _, shares = _exponentials(x, e, numbers)
    for i in range(len(x)):
        shares[i] = total(row_at(dy, i)) / total(row_at(e, i))
    for i in range(len(x)):
        _log_softmax_gradient(row_at(out, i), (row_at(dy, i), row_at(e, i)), (shares[i],))


def log_softmax_backward_from_output(out, operands, e, numbers):
    """Write the gradient of `log_softmax` into out, from dy and y, which is nowhere above 0."""
    dy, y = operands
    exponentials(vector_at(y, 0, y.size), 0, vector_at(e, 0, e.size))
    for i in range(len(y)):
        _log_softmax_gradient(row_at(out, i), (row_at(dy, i), row_at(e, i)), (total(row_at(dy, i)),))


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
