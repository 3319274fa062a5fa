"""Gradients of linear models: rows are gathered, predicted, differentiated and accumulated in one pass.

Blocks of rows have partial sums of their own, and how rows are cut into blocks follows from their number
alone, so the sums have the same bits for any number of threads.

All gradient loops take the same arguments: values (one a block), gradients (one row a block: of the weights, then
of the intercepts), X, y, w, b, rows, weights (of examples, or none), size (rows a block), scale (of gradients),
*parameters of the loss. For a sparse X in CSR there are data, indices, indptr in its place.
"""

import numpy as np
from numba.extending import register_jitable

from ..blas import product, transposed_product
from ..compiler import device, join, loop
from ..rules.common import CommonCoefficients, penalized
from ..traffic import of_rows
from .reductions import LANES
from .update import update_slices

BLOCKS, ROOM = 64, 4_000_000  # partial sums at most, and their elements in all, from where there are fewer: to 16
LEAST = 32  # rows a block at least
GROUP = 64  # rows whose products are one call of BLAS


@register_jitable
def block_rows(n, size):
    """Return how many of n rows a block has, for gradients of so many elements."""
    return max(LEAST, -(-n // max(16, min(BLOCKS, ROOM // size))))


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


def _example(rule):
    """Return the loss and its slope of the example at a place, for one output."""

    @device
    def example(prediction, place, y, weights, parameters):
        value, slope = rule(prediction, type(prediction)(y[place]), *parameters)
        if weights.size:
            return weights[place] * value, weights[place] * slope
        return value, slope

    return example


def _example_row(row):
    """Return the loss of the example at a place, for several outputs; it writes their slopes."""

    @device
    def example(slope, prediction, place, y, weights, scale, parameters, lanes):
        if weights.size:
            weight = weights[place]
            return weight * row(slope, prediction, y[place], scale * weight, parameters, lanes)
        return row(slope, prediction, y[place], scale, parameters, lanes)

    return example


def _of_examples(X, y, rows, weights):
    """Return the bytes of the examples, and of what names them; X is a tuple as kernels take it."""
    n = rows.size or len(y)
    if len(X) == 1:
        examples = of_rows(X[0], n)
    else:
        data, indices, indptr = X
        examples = _elements(indices, indptr, rows) * (data.itemsize + indices.itemsize) + of_rows(indptr, n)
    return examples + of_rows(y, n) + of_rows(weights, n) + rows.nbytes


def _elements(indices, indptr, rows):
    """Return how many elements sparse rows have."""
    return int(np.sum(indptr[rows + 1] - indptr[rows])) if rows.size else indices.size


def _traffic(size, values, gradients, X, y, w, b, rows, weights, *rest):
    return values.nbytes + gradients.nbytes + w.nbytes + _of_examples((X,), y, rows, weights)


def _sparse_traffic(size, values, gradients, data, indices, indptr, y, w, b, rows, weights, *rest):
    return values.nbytes + gradients.nbytes + w.nbytes + _of_examples((data, indices, indptr), y, rows, weights)


def _work(size, values, gradients, X, y, w, b, rows, *rest):
    """Return the number of products of one half: of predictions, or of gradients."""
    return (rows.size or len(y)) * w.size


def _sparse_work(size, values, gradients, data, indices, indptr, y, w, b, rows, *rest):
    n = indptr.size - 1
    return (rows.size or n) * (data.size // max(1, n)) * (w.size // len(w))


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_work)
def vector_gradient(rule):
    """Items are blocks of rows of X[rows], y[rows], for one output x w + b."""
    example = _example(rule)

    def body(start, stop, arguments):
        values, gradients, X, y, w, b, rows, weights, size, scale = arguments[:10]
        parameters = arguments[10:]
        n = rows.size if rows.size else len(X)
        gradient = np.empty(w.size, w.dtype)
        places, slopes = np.empty(4, np.intp), np.empty(4, w.dtype)
        for block in range(start, stop):
            first, last = block * size, min((block + 1) * size, n)
            total, bias = 0.0, 0.0
            for j in range(gradient.size):
                gradient[j] = 0
            for i in range(first, last, 4):
                for k in range(4):  # beyond the last row the first stands in, with a slope of 0
                    places[k] = _row(rows, i + k if i + k < last else i)
                x0, x1, x2, x3 = X[places[0]], X[places[1]], X[places[2]], X[places[3]]
                predictions = _dots(x0, x1, x2, x3, w)
                for k in range(4):
                    slopes[k] = 0
                    if i + k < last:
                        value, slope = example(predictions[k] + b, places[k], y, weights, parameters)
                        slopes[k] = scale * slope
                        total += value
                        bias += slopes[k]
                s0, s1, s2, s3 = slopes[0], slopes[1], slopes[2], slopes[3]
                for j in range(gradient.size):
                    gradient[j] += (s0 * x0[j] + s1 * x1[j]) + (s2 * x2[j] + s3 * x3[j])
            partial = gradients[block]
            for j in range(gradient.size):
                partial[j] = gradient[j]
            values[block], partial[gradient.size] = total, bias

    return body


@loop(parallel_from=32_768, flush=True, traffic=_traffic, work=_work)
def matrix_gradient(row):
    """The same for several outputs x W + b, and the loss of a row of them, by matrix products."""
    example = _example_row(row)

    def body(start, stop, arguments):
        values, gradients, X, y, W, b, rows, weights, size, scale = arguments[:10]
        parameters = arguments[10:]
        features, outputs = W.shape
        n = rows.size if rows.size else len(X)
        gathered = np.empty((GROUP if rows.size else 0, features), W.dtype)
        predictions, slopes = np.empty((GROUP, outputs), W.dtype), np.empty((GROUP, outputs), W.dtype)
        part, lanes = np.empty((features, outputs), W.dtype), np.empty(LANES, W.dtype)
        for block in range(start, stop):
            gradients[block].fill(0)
            gradient, bias, total = gradients[block][: W.size], gradients[block][W.size :], 0.0
            for first in range(block * size, min((block + 1) * size, n), GROUP):
                count = min(GROUP, (block + 1) * size - first, n - first)
                for i in range(gathered.shape[0] and count):
                    x, place = gathered[i], X[rows[first + i]]
                    for j in range(features):
                        x[j] = place[j]
                x = gathered[:count] if rows.size else X[first : first + count]
                product(x, W, False, predictions[:count])
                for i in range(count):
                    place, z, slope = _row(rows, first + i), predictions[i], slopes[i]
                    for j in range(outputs):
                        z[j] += b[j]
                    total += example(slope, z, place, y, weights, scale, parameters, lanes)
                    for j in range(outputs):
                        bias[j] += slope[j]
                transposed_product(x, 0, features, slopes[:count], part)
                flat = part.reshape(-1)
                for j in range(gradient.size):
                    gradient[j] += flat[j]
            values[block] = total

    return body


@loop(parallel_from=32_768, flush=True, traffic=_sparse_traffic, work=_sparse_work)
def sparse_vector_gradient(rule):
    """The same as `vector_gradient` for sparse rows."""
    example = _example(rule)

    def body(start, stop, arguments):
        values, gradients, data, indices, indptr, y, w, b, rows, weights, size, scale = arguments[:12]
        parameters = arguments[12:]
        n = rows.size if rows.size else indptr.size - 1
        for block in range(start, stop):
            gradient, total, bias = gradients[block], 0.0, 0.0
            gradient.fill(0)
            for i in range(block * size, min((block + 1) * size, n)):
                place = _row(rows, i)
                prediction = b
                for k in range(indptr[place], indptr[place + 1]):
                    prediction += data[k] * w[indices[k]]
                value, slope = example(prediction, place, y, weights, parameters)
                slope *= scale
                for k in range(indptr[place], indptr[place + 1]):
                    gradient[indices[k]] += slope * data[k]
                total += value
                bias += slope
            values[block], gradient[w.size] = total, bias

    return body


@loop(parallel_from=32_768, flush=True, traffic=_sparse_traffic, work=_sparse_work)
def sparse_matrix_gradient(row):
    """The same as `matrix_gradient` for sparse rows."""
    example = _example_row(row)

    def body(start, stop, arguments):
        values, gradients, data, indices, indptr, y, W, b, rows, weights, size, scale = arguments[:12]
        parameters = arguments[12:]
        n, outputs = rows.size if rows.size else indptr.size - 1, b.size
        prediction, slope, lanes = np.empty(outputs, W.dtype), np.empty(outputs, W.dtype), np.empty(LANES, W.dtype)
        for block in range(start, stop):
            gradients[block].fill(0)
            gradient, bias, total = gradients[block][: W.size].reshape(W.shape), gradients[block][W.size :], 0.0
            for i in range(block * size, min((block + 1) * size, n)):
                place = _row(rows, i)
                for j in range(outputs):
                    prediction[j] = b[j]
                for k in range(indptr[place], indptr[place + 1]):
                    x, w = data[k], W[indices[k]]
                    for j in range(outputs):
                        prediction[j] += x * w[j]
                total += example(slope, prediction, place, y, weights, scale, parameters, lanes)
                for k in range(indptr[place], indptr[place + 1]):
                    x, g = data[k], gradient[indices[k]]
                    for j in range(outputs):
                        g[j] += x * slope[j]
                for j in range(outputs):
                    bias[j] += slope[j]
            values[block] = total

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
        total, out, values, parts = arguments[0], arguments[1][start:stop], arguments[2], arguments[3]
        if start == 0:
            total[0] = 0
            for block in range(values.size):
                total[0] += values[block]
        for j in range(out.size):
            out[j] = 0
        for block in range(len(parts)):
            part = parts[block, start:stop]
            for j in range(out.size):
                out[j] += part[j]

    return body


@loop(parallel_from=16_384, flush=True, traffic="rw r")
def penalize():
    """Items are weights; arguments: gradient, w, l1, l2: adds the gradient of l1 |w| + l2 / 2 w**2."""
    stage = device(penalized)

    def body(start, stop, arguments):
        gradient, w, l1, l2 = arguments
        zero = l1 - l1
        common = CommonCoefficients(zero, zero, l1, l2, zero, zero, zero)
        for j in range(start, stop):
            gradient[j], _ = stage(gradient[j], w[j], common)

    return body


def _penalty(w, l1, l2):
    total = 0.0
    for j in range(w.size):
        total += l1 * abs(w[j]) + l2 / 2 * w[j] * w[j]
    return total


_penalty = device(_penalty, reassociate=True)


def _training_traffic(steps, work, taken, losses, arrays, X, y, order, *rest):
    """Of every step: the weights are read, the gradients of blocks and their sum written and read, the rest updated."""
    _, gradients, gradient = arrays
    weights, (p, *slots) = rest[3], rest[7:]
    of_step = p.nbytes + 2 * (gradients.nbytes + gradient.nbytes + p.nbytes + sum(each.nbytes for each in slots))
    return _of_examples(X, y, order, weights) + steps * of_step


def _training(gradient_loop, split):
    """Return the loop that trains by the gradients of another; see `_train`."""

    def train(loss, rule, *stages):
        kernel = join(gradient_loop, loss.py_func)  # the very code of a single gradient: the same bits
        serial, parallel = kernel.serial, kernel.parallel

        @device
        def blocks_of(parts, values, gradients, scale, X, y, p, outputs, rows, weights, parameters):
            w, b = split(p, outputs)
            first, last = (values, gradients), (y, w, b, rows, weights, block_rows(rows.size, p.size), scale)
            arguments = first + X + last + parameters
            if parts == 1:
                serial(0, values.size, arguments)
            else:
                parallel(min(parts, values.size), values.size, arguments)

        return _train(blocks_of, rule, stages)

    train.__name__ = train.__qualname__ = f"train_{gradient_loop.__name__}"
    return loop(parallel_from=32_768, ordered=True, flush=True, traffic=_training_traffic)(train)  # products of an item


@device
def _vector(p, outputs):
    """Return the weights and the intercept."""
    return p[: p.size - 1], p[p.size - 1]


@device
def _matrix(p, outputs):
    size = p.size - outputs
    return p[:size].reshape(size // outputs, outputs), p[size:]


def _train(blocks_of, rule, stages):
    """Items are steps: the gradient of a mini-batch, its penalty, the optimizer's rule; it ends at a loss not finite.

    Arguments: taken (counts the steps), losses (the sum of each step's, with penalties), work (values and gradients
    of blocks, gradient), X (a tuple), y, order (rows of all batches), batch (rows of each but the last), outputs,
    per_output (whether the loss is a mean over them), weights (of examples, or none), penalties (l1, l2), parameters
    of the loss, coefficients (of each step), p (weights and intercepts), *slots.
    """
    step = update_slices(rule, *stages)
    sums, penalty = join(add_blocks).serial, join(penalize).serial

    def body(start, stop, arguments):
        parts, taken, losses, work, X, y, order, batch, outputs, per_output = arguments[:10]
        weights, penalties, parameters, coefficients, p = arguments[10:15]
        values, gradients, gradient = work
        real, size = p.dtype.type, p.size - outputs
        l1, l2 = penalties
        for k in range(start, stop):
            rows = order[k * batch : (k + 1) * batch]
            blocks = -(-rows.size // block_rows(rows.size, p.size))
            terms = rows.size * outputs if per_output else rows.size
            scale = real(1 / terms)
            partial = values[:blocks], gradients[:blocks]
            blocks_of(parts, partial[0], partial[1], scale, X, y, p, outputs, rows, weights, parameters)
            sums(0, p.size, (losses[k : k + 1], gradient, partial[0], partial[1]))
            if not np.isfinite(losses[k]):
                break
            if l1 != 0 or l2 != 0:
                losses[k] += terms * _penalty(p[:size], l1, l2)
                penalty(0, size, (gradient[:size], p[:size], l1, l2))
            step(coefficients[k], p, gradient, arguments[15:])
            taken[0] += 1

    return body


TRAINING = {  # loop of gradients -> loop of steps
    vector_gradient: _training(vector_gradient, _vector),
    sparse_vector_gradient: _training(sparse_vector_gradient, _vector),
    matrix_gradient: _training(matrix_gradient, _matrix),
    sparse_matrix_gradient: _training(sparse_matrix_gradient, _matrix),
}
