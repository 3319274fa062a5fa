"""Losses: value and gradient in one pass; sums are taken by fixed blocks, so they do not depend on threads."""

import functools

import numpy as np

from ..break_even import faster
from ..compiler import NEVER, device, join, loop
from ..streaming import STREAM_FROM, before_line, finish, stream_lines
from ..views import DOUBLE, allocate, local, matrix_at, release, row_at, vector_at
from .elementwise import CHUNK, chunk_of
from .reductions import LANES, lanes_of, sum_of_lanes

LOSS_BLOCK = 4096  # elements of a partial sum
_two = local(2)


def _tiles(rule, allowed):
    """Return the two steps of a block: its whole tiles of `LANES` elements, and the rest of it.

    Each value is added to its lane at once, in loops of a constant number of turns: the same sums as `block_sum` takes.
    """

    @device
    def add_tile(lanes, p, t, g, scale, parameters):
        for i in range(LANES):
            value, derivative = rule(p[i], t[i], *parameters)
            lanes[i] += value
            g[i] = scale * derivative

    any_wrong = _any_wrong(allowed)

    @device
    def add_tiles(lanes, p, t, g, scale, parameters):
        bad = False
        for k in range(0, p.size // LANES * LANES, LANES):
            tile = vector_at(t, k, LANES)
            bad |= any_wrong(tile)
            add_tile(lanes, vector_at(p, k, LANES), tile, vector_at(g, k, LANES), scale, parameters)
        return bad

    @device
    def finish_block(lanes, p, t, g, scale, parameters, bad):
        total, whole = sum_of_lanes(lanes), p.size // LANES * LANES
        p, t, g = p[whole:], t[whole:], g[whole:]
        for i in range(p.size):
            lanes[i], derivative = rule(p[i], t[i], *parameters)
            g[i] = scale * derivative
        for i in range(p.size):
            total += lanes[i]
        return total, bad | any_wrong(t)

    return add_tiles, finish_block


def _any_wrong(allowed):
    @device
    def any_wrong(targets):
        found = False
        for i in range(targets.size):
            found |= not allowed(targets[i])
        return found

    return any_wrong


@device
def _clear(lanes):
    for lane in range(LANES):
        lanes[lane] = 0


@loop(parallel_from=16, traffic="w w w r r -")
def elementwise_loss(rule, allowed):
    """Items are blocks of `LOSS_BLOCK` elements.

    Arguments: sums (one per block), wrong (whether a target of the block is not `allowed`), gradient, prediction,
    target, scale, *parameters of the rule. The gradient shares no memory with prediction and target.
    """
    add_tiles, finish_block = _tiles(rule, allowed)

    def body(start, stop, arguments):
        sums, wrong, gradient, prediction, target, scale = arguments[:6]
        parameters, lanes = arguments[6:], lanes_of(prediction)
        for block in range(start, stop):
            first, last = block * LOSS_BLOCK, min((block + 1) * LOSS_BLOCK, prediction.size)
            p, t, g = prediction[first:last], target[first:last], gradient[first:last]
            _clear(lanes)
            bad = add_tiles(lanes, p, t, g, scale, parameters)
            sums[block], wrong[block] = finish_block(lanes, p, t, g, scale, parameters, bad)

    return body


@loop(parallel_from=16, traffic="w w w r r -")
def elementwise_loss_streaming(rule, allowed):
    """Do as `elementwise_loss`, but write the gradient past the caches."""
    add_tiles, finish_block = _tiles(rule, allowed)

    def body(start, stop, arguments):
        sums, wrong, gradient, prediction, target, scale = arguments[:6]
        parameters, lanes, chunk = arguments[6:], lanes_of(prediction), chunk_of(prediction)
        skipped = before_line(gradient)
        for block in range(start, stop):
            first, last = block * LOSS_BLOCK, min((block + 1) * LOSS_BLOCK, prediction.size)
            p, t, g = prediction[first:last], target[first:last], gradient[first:last]
            whole, bad = p.size // CHUNK * CHUNK, False
            _clear(lanes)
            for k in range(0, whole, CHUNK):
                bad |= add_tiles(lanes, vector_at(p, k, CHUNK), vector_at(t, k, CHUNK), chunk, scale, parameters)
                stream_lines(chunk, vector_at(g, k, CHUNK), skipped)
            p, t, g = p[whole:], t[whole:], g[whole:]
            bad |= add_tiles(lanes, p, t, g, scale, parameters)
            sums[block], wrong[block] = finish_block(lanes, p, t, g, scale, parameters, bad)
        finish()

    return body


@loop(parallel_from=16, traffic="w w rw r -")
def elementwise_loss_over(rule, allowed):
    """Do as `elementwise_loss` where the gradient is written over the prediction, which is named once.

    Arguments: sums, wrong, prediction, target, scale, *parameters of the rule.
    """
    add_tiles, finish_block = _tiles(rule, allowed)

    def body(start, stop, arguments):
        sums, wrong, prediction, target, scale = arguments[:5]
        parameters, lanes = arguments[5:], lanes_of(prediction)
        for block in range(start, stop):
            first, last = block * LOSS_BLOCK, min((block + 1) * LOSS_BLOCK, prediction.size)
            p, t = prediction[first:last], target[first:last]
            _clear(lanes)
            bad = add_tiles(lanes, p, t, p, scale, parameters)
            sums[block], wrong[block] = finish_block(lanes, p, t, p, scale, parameters, bad)

    return body


def blocks_of(size):
    """Return the number of blocks of so many elements."""
    return -(-size // LOSS_BLOCK)


def loss_into(gradient, rule, allowed):
    """Return the kernel for a gradient of this size: `elementwise_loss`, or the faster one for large gradients."""
    plain = join(elementwise_loss, rule, allowed)
    if gradient.nbytes < STREAM_FROM:
        return plain
    return faster(join(elementwise_loss_streaming, rule, allowed), plain)


@loop(parallel_from=32_768, traffic="w w r r -")
def elementwise_loss_values(rule):
    """Items are elements, each with its value; arguments: values, gradient, prediction, target, *parameters.

    The gradient may be the prediction: it is written from a copy, as a loop with two names for it would not vectorize.
    """

    def body(start, stop, arguments):
        values, gradient, prediction, target = arguments[:4]
        parameters, chunk = arguments[4:], chunk_of(prediction)
        for begin in range(start, stop, CHUNK):
            n = min(CHUNK, stop - begin)
            v, g = vector_at(values, begin, n), vector_at(gradient, begin, n)
            p, t = vector_at(prediction, begin, n), vector_at(target, begin, n)
            for i in range(n):
                v[i], chunk[i] = rule(p[i], t[i], *parameters)
            for i in range(n):
                g[i] = chunk[i]

    return body


@loop(parallel_from=16, traffic="w r")
def wrong_targets(allowed):
    """Items are blocks; arguments: wrong (whether a target of the block is not `allowed`), target."""
    any_wrong = _any_wrong(allowed)

    def body(start, stop, arguments):
        wrong, target = arguments
        for block in range(start, stop):
            wrong[block] = any_wrong(target[block * LOSS_BLOCK : (block + 1) * LOSS_BLOCK])

    return body


@loop(NEVER, given="float[:] x[:,:] x[:,:] int[:] x")
def loss_of_rows(row):
    """Items are rows of predictions, their targets any rows of a matrix; for bodies that have computed the predictions.

    Arguments: values, gradient, prediction, rows (of the targets), scale, targets, weights (of their rows, or none),
    *parameters of the row.
    """

    def body(start, stop, arguments):
        values, gradient, prediction, rows, scale, target, weights = arguments[:7]
        parameters = arguments[7:]
        for i in range(start, stop):
            own, z, place = row_at(gradient, i), row_at(prediction, i), rows[i]
            if weights.size:
                weight = weights[place]
                values[i] = weight * row(own, z, target[place], scale * weight, parameters)
            else:
                values[i] = row(own, z, target[place], scale, parameters)

    return body


@functools.cache
def row_of(rule):
    """Return the loss of a row: the sum of an elementwise rule."""
    compiled = device(rule)

    def row(gradient, prediction, target, scale, parameters):
        total = np.float64(0)
        for j in range(prediction.size):
            value, derivative = compiled(prediction[j], target[j], *parameters)
            gradient[j] = scale * derivative
            total += value
        return total

    return _named(row, f"{rule.__name__}_row")


@functools.cache
def present_row_of(row):
    """Return the loss of a row that is 0, with a gradient of 0, if the target begins with NaN."""
    compiled = device(row)

    def present(gradient, prediction, target, scale, parameters):
        if target[0] != target[0]:
            for j in range(gradient.size):
                gradient[j] = 0
            return 0.0
        return compiled(gradient, prediction, target, scale, parameters)

    return _named(present, f"present_{row.__name__}")


@functools.cache
def through(forward, backward_from_output, row):
    """Return the loss of a row of activation(z); an elementwise activation writes over z."""
    f, df, compiled = device(forward), device(backward_from_output), device(row)

    def composed(gradient, z, target, scale, parameters):
        for j in range(z.size):
            z[j] = f(z[j])
        value = compiled(gradient, z, target, scale, parameters)
        for j in range(z.size):
            gradient[j] = df(gradient[j], z[j])
        return value

    return _named(composed, f"{row.__name__}_through_{forward.__name__}")


@functools.cache
def through_rows(forward, backward_from_output, row):
    """Return the loss of a row of activation(z), for an activation that needs the whole row."""
    f, df, compiled = device(forward), device(backward_from_output), device(row)

    def composed(gradient, z, target, scale, parameters):
        n, numbers = z.size, matrix_at(_two(DOUBLE), 0, 2, 1)
        scratch = allocate(z, 3 * n)
        y, dy, e = matrix_at(scratch, 0, 1, n), matrix_at(scratch, n, 1, n), matrix_at(scratch, 2 * n, 1, n)
        f(y, (matrix_at(z, 0, 1, n),), e, numbers)
        value = compiled(row_at(dy, 0), row_at(y, 0), target, scale, parameters)
        df(matrix_at(gradient, 0, 1, n), (dy, y), e, numbers)
        release(scratch)
        return value

    return _named(composed, f"{row.__name__}_through_{forward.__name__}")


def _named(row, name):
    row.__name__ = row.__qualname__ = name
    return row
