"""Gradients of linear models: rows are gathered, predicted, differentiated and accumulated in one pass.

Blocks of rows have partial sums of their own, and how rows are cut into blocks follows from their number
alone, so the sums have the same bits for any number of threads.

All gradient loops take the arguments of `OfRows`, or of `OfSparseRows`.
"""

from typing import NamedTuple

import numpy as np

from ..blas import product, transposed_product
from ..compiler import NEVER, device, loop
from ..traffic import of_rows
from ..views import allocate, load, local, matrix_at, prefetch, release, row_at, vector_at
from ..words import invoke

BLOCKS, ROOM = 64, 4_000_000  # partial sums at most, and their elements in all, from where there are fewer: to 16
LEAST = 32  # rows a block at least
GROUP = 64  # rows whose products are one call of BLAS
CHUNK = 32  # examples whose losses are one call, for one output: a multiple of 4
AHEAD = 8  # rows are fetched so many rows before they are read, where they are shuffled: 4 to 16 are alike
_places, _chunk, _group = local(CHUNK), local(CHUNK), local(GROUP)
VECTOR, MATRIX = "float[:] x[:,:] x[:] x int[:] int x", "float[:] x[:,:] x[:,:] x[:] int[:] int x"


class OfRows(NamedTuple):
    """What the gradient of rows X[rows] takes."""

    values: np.ndarray  # the loss of each block
    gradients: np.ndarray  # a row for each block: of the weights, then of the intercepts
    w: np.ndarray
    b: np.ndarray
    rows: np.ndarray
    size: int  # rows of a block
    scale: float  # of the gradient
    X: np.ndarray
    losses: bytes  # `losses_of_numbers` or `losses_of_vectors`, called for a group of examples at a time
    of_target: int  # bytes of an example's target


class OfSparseRows(NamedTuple):
    """The same for a sparse X in CSR: data, indices and indptr are in its place."""

    values: np.ndarray
    gradients: np.ndarray
    w: np.ndarray
    b: np.ndarray
    rows: np.ndarray
    size: int
    scale: float
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    losses: bytes
    of_target: int


def block_rows(n, size):
    """Return how many of n rows a block has, for gradients of so many elements."""
    return max(LEAST, -(-n // max(16, min(BLOCKS, ROOM // size))))


rows_of_block = device(block_rows)


def _dots(x0, x1, x2, x3, w):
    """Return the inner products of four rows with w, each in whatever order is fast."""
    z0, z1, z2, z3 = w.dtype.type(0), w.dtype.type(0), w.dtype.type(0), w.dtype.type(0)
    for j in range(w.size):
        z0 += x0[j] * w[j]
        z1 += x1[j] * w[j]
        z2 += x2[j] * w[j]
        z3 += x3[j] * w[j]
    return z0, z1, z2, z3


_dots = device(_dots, reassociate=True)


@device
def _row(rows, i):
    """Return the number of the row at place i: all rows are meant, in order, where none are named."""
    return rows[i] if rows.size else i


@loop(NEVER, given="int[:] x[:] x[:] x[:]")
def losses_of_numbers(rule):
    """Items are examples of one output.

    Arguments: places (of the examples), predictions, values, slopes (both written), y, weights (of examples, or none),
    *parameters of the loss.
    """

    def body(start, stop, arguments):
        places, predictions, values, slopes, y, weights = arguments[:6]
        parameters, n = arguments[6:], stop - start
        predictions, values = vector_at(predictions, start, n), vector_at(values, start, n)
        places, slopes, targets = vector_at(places, start, n), vector_at(slopes, start, n), _chunk(predictions)
        for i in range(n):  # apart, so that the rule vectorizes
            targets[i] = load((y,), places[i])[0]
        for i in range(n):
            values[i], slopes[i] = rule(predictions[i], targets[i], *parameters)
        if weights.size:
            for i in range(n):
                (weight,) = load((weights,), places[i])
                values[i], slopes[i] = weight * values[i], weight * slopes[i]

    return body


@loop(NEVER, given="int[:] x[:,:] float[:] x[:,:] x")
def losses_of_vectors(row):
    """The same for several outputs, with the scale of the slopes after them."""

    def body(start, stop, arguments):
        places, predictions, values, slopes, scale, y, weights = arguments[:7]
        parameters = arguments[7:]
        for i in range(start, stop):
            place, slope, prediction = places[i], row_at(slopes, i), row_at(predictions, i)
            if weights.size:
                weight = weights[place]
                values[i] = weight * row(slope, prediction, y[place], scale * weight, parameters)
            else:
                values[i] = row(slope, prediction, y[place], scale, parameters)

    return body


def of_examples(X, rows):
    """Return the bytes of the rows of X, and of what names them; X is a tuple as kernels take it."""
    if len(X) == 1:
        n, examples = len(X[0]), 0
    else:
        data, indices, indptr = X
        n, examples = indptr.size - 1, _elements(indices, indptr, rows) * (data.itemsize + indices.itemsize)
    n = rows.size or n
    return examples + of_rows(X[0] if len(X) == 1 else X[2], n) + rows.nbytes


def _elements(indices, indptr, rows):
    """Return how many elements sparse rows have."""
    return int(np.sum(indptr[rows + 1] - indptr[rows])) if rows.size else indices.size


def _traffic(size, values, gradients, w, b, rows, of_block, scale, *rest):
    *X, _, of_target = rest
    n = rows.size or len(X[-1]) - (len(X) > 1)
    return values.nbytes + gradients.nbytes + w.nbytes + of_examples(X, rows) + n * of_target


def _work(size, values, gradients, w, b, rows, of_block, scale, X, *rest):
    """Return the number of products of one half: of predictions, or of gradients."""
    return (rows.size or len(X)) * w.size


def _sparse_work(size, values, gradients, w, b, rows, of_block, scale, data, indices, indptr, *rest):
    n = indptr.size - 1
    return (rows.size or n) * (data.size // max(1, n)) * (w.size // len(w))


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_work, given=VECTOR, names=OfRows)
def vector_gradient():
    """Items are blocks of rows of X[rows], for one output x w + b."""

    def body(start, stop, arguments):
        values, gradients, w, b, rows, size, scale, X, losses, _ = arguments
        n = rows.size if rows.size else len(X)
        gradient, places = allocate(w, w.size), _places(rows)
        predictions, of_each, slopes = _chunk(w), _chunk(w), _chunk(w)
        for block in range(start, stop):
            last, total, bias = min((block + 1) * size, n), np.float64(0), np.float64(0)
            for j in range(gradient.size):
                gradient[j] = 0
            for first in range(block * size, last, CHUNK):
                count = min(CHUNK, last - first)
                for i in range(0, count, 4):
                    for k in range(4):  # beyond the last row the first stands in, with a slope of 0
                        places[i + k] = _row(rows, first + i + k if i + k < count else first + i)
                        if rows.size:
                            prefetch(row_at(X, rows[min(first + i + k + AHEAD, n - 1)]))
                    x0, x1 = row_at(X, places[i]), row_at(X, places[i + 1])
                    x2, x3 = row_at(X, places[i + 2]), row_at(X, places[i + 3])
                    z0, z1, z2, z3 = _dots(x0, x1, x2, x3, w)
                    predictions[i], predictions[i + 1], predictions[i + 2], predictions[i + 3] = (
                        z0 + b,
                        z1 + b,
                        z2 + b,
                        z3 + b,
                    )
                invoke(losses, 0, count, (places, predictions, of_each, slopes))
                for i in range(count):
                    slopes[i] = scale * slopes[i]
                    total += of_each[i]
                    bias += slopes[i]
                for i in range(count, CHUNK):
                    slopes[i] = 0
                for i in range(0, count, 4):
                    x0, x1 = row_at(X, places[i]), row_at(X, places[i + 1])
                    x2, x3 = row_at(X, places[i + 2]), row_at(X, places[i + 3])
                    s0, s1, s2, s3 = slopes[i], slopes[i + 1], slopes[i + 2], slopes[i + 3]
                    for j in range(gradient.size):
                        gradient[j] += (s0 * x0[j] + s1 * x1[j]) + (s2 * x2[j] + s3 * x3[j])
            partial = row_at(gradients, block)
            for j in range(gradient.size):
                partial[j] = gradient[j]
            values[block], partial[gradient.size] = total, bias
        release(gradient)

    return body


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_work, given=MATRIX, names=OfRows)
def matrix_gradient():
    """The same for several outputs x W + b, by matrix products."""

    def body(start, stop, arguments):
        values, gradients, W, b, rows, size, scale, X, losses, _ = arguments
        features, outputs = W.shape
        n = rows.size if rows.size else len(X)
        gathered = allocate(W, (GROUP if rows.size else 0) * features)
        predictions, slopes, part = allocate(W, GROUP * outputs), allocate(W, GROUP * outputs), allocate(W, W.size)
        places, of_each = _group(rows), _group(values)
        for block in range(start, stop):
            sums = row_at(gradients, block)
            gradient, bias = vector_at(sums, 0, W.size), vector_at(sums, W.size, outputs)
            total = np.float64(0)
            for j in range(sums.size):
                sums[j] = 0
            for first in range(block * size, min((block + 1) * size, n), GROUP):
                count = min(GROUP, (block + 1) * size - first, n - first)
                x = (
                    matrix_at(gathered, 0, count, features)
                    if rows.size
                    else matrix_at(X, first * features, count, features)
                )
                for i in range(count):
                    places[i] = _row(rows, first + i)
                if rows.size:
                    for i in range(count):
                        prefetch(row_at(X, rows[min(first + i + AHEAD, n - 1)]))
                        to, place = row_at(x, i), row_at(X, places[i])
                        for j in range(features):
                            to[j] = place[j]
                z, slope = matrix_at(predictions, 0, count, outputs), matrix_at(slopes, 0, count, outputs)
                product(x, W, False, z)
                for i in range(count):
                    of_row = row_at(z, i)
                    for j in range(outputs):
                        of_row[j] += b[j]
                invoke(losses, 0, count, (places, z, of_each, slope, scale))
                for i in range(count):
                    of_row = row_at(slope, i)
                    total += of_each[i]
                    for j in range(outputs):
                        bias[j] += of_row[j]
                transposed_product(x, 0, features, slope, matrix_at(part, 0, features, outputs))
                for j in range(gradient.size):
                    gradient[j] += part[j]
            values[block] = total
        release(gathered)
        release(predictions)
        release(slopes)
        release(part)

    return body


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_sparse_work, given=VECTOR, names=OfSparseRows)
def sparse_vector_gradient():
    """The same as `vector_gradient` for sparse rows."""

    def body(start, stop, arguments):
        values, gradients, w, b, rows, size, scale, data, indices, indptr, losses, _ = arguments
        n = rows.size if rows.size else indptr.size - 1
        places, predictions, of_each, slopes = _places(rows), _chunk(w), _chunk(w), _chunk(w)
        for block in range(start, stop):
            gradient, last = row_at(gradients, block), min((block + 1) * size, n)
            total, bias = np.float64(0), np.float64(0)
            for j in range(gradient.size):
                gradient[j] = 0
            for first in range(block * size, last, CHUNK):
                count = min(CHUNK, last - first)
                for i in range(count):
                    place, prediction = _row(rows, first + i), b
                    for k in range(indptr[place], indptr[place + 1]):
                        prediction += data[k] * w[indices[k]]
                    places[i], predictions[i] = place, prediction
                invoke(losses, 0, count, (places, predictions, of_each, slopes))
                for i in range(count):
                    place, slope = places[i], scale * slopes[i]
                    for k in range(indptr[place], indptr[place + 1]):
                        gradient[indices[k]] += slope * data[k]
                    total += of_each[i]
                    bias += slope
            values[block], gradient[w.size] = total, bias

    return body


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_sparse_work, given=MATRIX, names=OfSparseRows)
def sparse_matrix_gradient():
    """The same as `matrix_gradient` for sparse rows."""

    def body(start, stop, arguments):
        values, gradients, W, b, rows, size, scale, data, indices, indptr, losses, _ = arguments
        n, outputs = rows.size if rows.size else indptr.size - 1, b.size
        predictions, slopes = allocate(W, CHUNK * outputs), allocate(W, CHUNK * outputs)
        z, slope, places, of_each = (
            matrix_at(predictions, 0, CHUNK, outputs),
            matrix_at(slopes, 0, CHUNK, outputs),
            _places(rows),
            _chunk(values),
        )
        for block in range(start, stop):
            sums = row_at(gradients, block)
            gradient, bias = matrix_at(sums, 0, len(W), outputs), vector_at(sums, W.size, outputs)
            total = np.float64(0)
            for j in range(sums.size):
                sums[j] = 0
            last = min((block + 1) * size, n)
            for first in range(block * size, last, CHUNK):
                count = min(CHUNK, last - first)
                for i in range(count):
                    place, prediction = _row(rows, first + i), row_at(z, i)
                    for j in range(outputs):
                        prediction[j] = b[j]
                    for k in range(indptr[place], indptr[place + 1]):
                        x, w = data[k], row_at(W, indices[k])
                        for j in range(outputs):
                            prediction[j] += x * w[j]
                    places[i] = place
                invoke(losses, 0, count, (places, z, of_each, slope, scale))
                for i in range(count):
                    place, of_row = places[i], row_at(slope, i)
                    for k in range(indptr[place], indptr[place + 1]):
                        x, g = data[k], row_at(gradient, indices[k])
                        for j in range(outputs):
                            g[j] += x * of_row[j]
                    for j in range(outputs):
                        bias[j] += of_row[j]
                    total += of_each[i]
            values[block] = total
        release(predictions)
        release(slopes)

    return body


def _traffic_of_places(size, out, indices, indptr, rows, columns):
    return out.nbytes + _elements(indices, indptr, rows) * indices.itemsize + of_rows(indptr, size) + rows.nbytes


@loop(parallel_from=2_048, traffic=_traffic_of_places)
def misplaced():
    """Items are sparse rows; arguments: wrong (whether elements lie outside), indices, indptr, rows, columns."""

    def body(start, stop, arguments):
        out, indices, indptr, rows, columns = arguments
        for i in range(start, stop):
            place = _row(rows, i)
            first, last = indptr[place], indptr[place + 1]
            wrong = not 0 <= first <= last <= indices.size
            for k in range(first, first if wrong else last):
                wrong |= indices[k] < 0 or indices[k] >= columns
            out[i] = wrong

    return body


@loop(parallel_from=65_536, flush=True, traffic="w w r")
def add_blocks():
    """Items are columns; arguments: total (one number), out, values, parts (a row a block), summed in order."""

    def body(start, stop, arguments):
        sum_of_blocks(start, stop, *arguments)

    return body


@device
def sum_of_blocks(start, stop, total, out, values, parts):
    """Sum columns start to stop of the parts into out, and the values into total."""
    out = vector_at(out, start, stop - start)
    if start == 0:
        total[0] = 0
        for block in range(values.size):
            total[0] += values[block]
    for j in range(out.size):
        out[j] = 0
    for block in range(len(parts)):
        part = vector_at(parts, block * parts.shape[1] + start, out.size)
        for j in range(out.size):
            out[j] += part[j]
