"""Losses: value and gradient in one pass; sums are taken by fixed blocks, so they do not depend on threads."""

import functools
import inspect

import numpy as np

from ..break_even import faster
from ..compiler import NEVER, device, join, loop
from ..streaming import STREAM_FROM, before_line, finish, stream_lines
from ..views import allocate, release, row_at, vector_at
from .elementwise import CHUNK, chunk_of
from .reductions import LANES, lanes_of, sum_of_lanes
from .rows import exponentials, largest

LOSS_BLOCK = 4096  # elements of a partial sum
IGNORED = -1  # as a label: the row is ignored


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

    @device
    def any_wrong(t):
        bad = False
        for i in range(t.size):
            bad |= not allowed(t[i])
        return bad

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


def loss_into(gradient, rule, allowed):
    """Return the kernel for a gradient of this size: `elementwise_loss`, or the faster one for large gradients."""
    plain = join(elementwise_loss, rule, allowed)
    if gradient.nbytes < STREAM_FROM:
        return plain
    return faster(join(elementwise_loss_streaming, rule, allowed), plain)


@loop(parallel_from=32_768, traffic="w w r r -")
def elementwise_loss_values(rule):
    """Items are elements, each with its value; arguments: values, gradient, prediction, target, *parameters."""

    def body(start, stop, arguments):
        values, gradient, prediction, target = arguments[:4]
        parameters = arguments[4:]
        v, g, p, t = values[start:stop], gradient[start:stop], prediction[start:stop], target[start:stop]
        for i in range(p.size):
            v[i], g[i] = rule(p[i], t[i], *parameters)

    return body


def _predictions(size, values, gradient, prediction, *rest):
    return prediction.size


@loop(parallel_from=8_192, traffic="w w r", work=_predictions)
def row_loss(row):
    """Items are rows; arguments: values (one per row), gradient, prediction, target, scale, *parameters of the row."""

    def body(start, stop, arguments):
        values, gradient, prediction, target, scale = arguments[:5]
        parameters = arguments[5:]
        lanes = lanes_of(prediction)
        for i in range(start, stop):
            values[i] = row(row_at(gradient, i), row_at(prediction, i), target[i], scale, parameters, lanes)

    return body


@loop(NEVER, given="float[:] x[:,:] x[:,:] int[:] x")
def loss_of_rows(row):
    """Items are rows of predictions, their targets any rows of a matrix; for bodies that have computed the predictions.

    Arguments: values, gradient, prediction, rows (of the targets), scale, targets, weights (of their rows, or none),
    *parameters of the row.
    """

    def body(start, stop, arguments):
        values, gradient, prediction, rows, scale, target, weights = arguments[:7]
        parameters, lanes = arguments[7:], lanes_of(prediction)
        for i in range(start, stop):
            own, z, place = row_at(gradient, i), row_at(prediction, i), rows[i]
            if weights.size:
                weight = weights[place]
                values[i] = weight * row(own, z, target[place], scale * weight, parameters, lanes)
            else:
                values[i] = row(own, z, target[place], scale, parameters, lanes)

    return body


@functools.cache
def row_of(rule):
    """Return the loss of a row: the sum of an elementwise rule."""
    compiled = device(rule)

    def row(gradient, prediction, target, scale, parameters, lanes):
        total = np.float64(0)
        for j in range(prediction.size):
            value, derivative = compiled(prediction[j], target[j], *parameters)
            gradient[j] = scale * derivative
            total += value
        return total

    return _declared(row, f"{rule.__name__}_row", len(inspect.signature(rule).parameters) - 2)


@functools.cache
def present_row_of(row):
    """Return the loss of a row that is 0, with a gradient of 0, if the target begins with NaN."""
    compiled = device(row)

    def present(gradient, prediction, target, scale, parameters, lanes):
        if target[0] != target[0]:
            for j in range(gradient.size):
                gradient[j] = 0
            return 0.0
        return compiled(gradient, prediction, target, scale, parameters, lanes)

    return _declared(present, f"present_{row.__name__}", row.parameters)


@functools.cache
def through(forward, backward_from_output, row):
    """Return the loss of a row of activation(z); an elementwise activation writes over z."""
    f, df, compiled = device(forward), device(backward_from_output), device(row)

    def composed(gradient, z, target, scale, parameters, lanes):
        for j in range(z.size):
            z[j] = f(z[j])
        value = compiled(gradient, z, target, scale, parameters, lanes)
        for j in range(z.size):
            gradient[j] = df(gradient[j], z[j])
        return value

    return _declared(composed, f"{row.__name__}_through_{forward.__name__}", row.parameters)


@functools.cache
def through_rows(forward, backward_from_output, row):
    """Return the loss of a row of activation(z), for an activation that needs the whole row."""
    f, df, compiled = device(forward), device(backward_from_output), device(row)

    def composed(gradient, z, target, scale, parameters, lanes):
        scratch = allocate(z, 3 * z.size)
        y, dy, more = (
            vector_at(scratch, 0, z.size),
            vector_at(scratch, z.size, z.size),
            vector_at(scratch, 2 * z.size, z.size),
        )
        f(y, (z,), more, lanes)
        value = compiled(dy, y, target, scale, parameters, lanes)
        df(gradient, (dy, y), more, lanes)
        release(scratch)
        return value

    return _declared(composed, f"{row.__name__}_through_{forward.__name__}", row.parameters)


def _declared(row, name, parameters):
    """Name the loss of a row, and note how many parameters it takes."""
    row.__name__ = row.__qualname__ = name
    row.parameters = parameters
    return row


def softmax_cross_entropy_row(gradient, logits, label, scale, parameters, lanes):
    """Return log(sum_j e**(z_j - max z)) - (z_label - max z); the gradient is scale (softmax(z) - one_hot(label))."""
    highest = largest(logits)
    total = exponentials(logits, highest, gradient, lanes)
    factor = gradient.dtype.type(scale / total)
    for j in range(gradient.size):
        gradient[j] *= factor
    gradient[label] -= scale
    return np.log(total) - np.float64(logits[label] - highest)


_plain = device(softmax_cross_entropy_row)


def weighted_cross_entropy_row(gradient, logits, label, scale, parameters, lanes):
    """Return softmax cross-entropy times weights[label]; 0 for an ignored label."""
    (weights,) = parameters
    if label == IGNORED:
        for j in range(gradient.size):
            gradient[j] = 0
        return 0.0
    weight = weights[label]
    return weight * _plain(gradient, logits, label, scale * weight, (), lanes)


def smoothed_cross_entropy_row(gradient, logits, label, scale, parameters, lanes):
    """Szegedy et al. 2016: the label gets the share 1 - smoothing, and all classes get equal shares of smoothing."""
    weights, smoothing = parameters
    if label == IGNORED:
        for j in range(gradient.size):
            gradient[j] = 0
        return 0.0
    spread = smoothing / weights.dtype.type(weights.size)
    own = allocate(weights, weights.size)
    for j in range(weights.size):
        own[j] = weights[j] * spread
    own[label] += weights[label] * (weights.dtype.type(1) - smoothing)
    value = _shared(gradient, logits, own, scale, lanes)
    release(own)
    return value


def probability_cross_entropy_row(gradient, logits, target, scale, parameters, lanes):
    """Return cross-entropy for targets that are probabilities, smoothed as in `smoothed_cross_entropy_row`."""
    weights, smoothing = parameters
    spread = smoothing / weights.dtype.type(weights.size)
    own = allocate(weights, weights.size)
    for j in range(weights.size):
        own[j] = weights[j] * (target[j] * (weights.dtype.type(1) - smoothing) + spread)
    value = _shared(gradient, logits, own, scale, lanes)
    release(own)
    return value


@device
def _shared(gradient, logits, shares, scale, lanes):
    """Return sum_j shares_j (log(sum e**(z - max z)) - (z_j - max z)), and write its gradient."""
    highest = largest(logits)
    total = exponentials(logits, highest, gradient, lanes)
    logarithm = np.log(total)
    weight, value = np.float64(0), np.float64(0)
    for j in range(shares.size):
        weight += shares[j]
        value += shares[j] * (logarithm - (logits[j] - highest)) if shares[j] != 0 else 0.0
    factor = gradient.dtype.type(weight / total)
    for j in range(gradient.size):
        gradient[j] = scale * (gradient[j] * factor - shares[j])
    return value


for _row, _parameters in (
    (softmax_cross_entropy_row, 0),
    (weighted_cross_entropy_row, 1),
    (smoothed_cross_entropy_row, 2),
    (probability_cross_entropy_row, 2),
):
    _row.parameters = _parameters
