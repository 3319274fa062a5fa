"""Losses: value and gradient in one pass; sums by fixed blocks, whatever the number of threads."""

import numpy as np

from ..compiler import device, loop
from ..math import exp
from ..rules import losses
from .reductions import block_sum

BLOCK = 4096  # elements a partial sum


@loop(parallel_from=16)
def elementwise_loss(rule):
    """Items are blocks of `BLOCK` elements; arguments: sums (one a block), gradient, prediction, target, scale."""

    def body(start, stop, arguments):
        sums, gradient, prediction, target, scale = arguments
        values = np.empty(BLOCK, prediction.dtype)
        for block in range(start, stop):
            first, last = block * BLOCK, min((block + 1) * BLOCK, prediction.size)
            p, t, g = prediction[first:last], target[first:last], gradient[first:last]
            for i in range(p.size):
                value, derivative = rule(p[i], t[i])
                values[i] = value
                g[i] = scale * derivative
            sums[block] = block_sum(values[: p.size])

    return body


@loop(parallel_from=65_536)
def elementwise_loss_values(rule):
    """Items are elements, with a value for each; arguments: values, gradient, prediction, target."""

    def body(start, stop, arguments):
        values, gradient, prediction, target = arguments
        v, g, p, t = values[start:stop], gradient[start:stop], prediction[start:stop], target[start:stop]
        for i in range(p.size):
            v[i], g[i] = rule(p[i], t[i])

    return body


@loop(parallel_from=512)
def row_loss(row):
    """Items are rows; arguments: values (one a row), gradient, prediction, target, scale."""

    def body(start, stop, arguments):
        values, gradient, prediction, target, scale = arguments
        for i in range(start, stop):
            values[i] = row(gradient[i], prediction[i], target[i], scale)

    return body


def softmax_cross_entropy_row(gradient, logits, label, scale):
    """Value log(sum_j e**(z_j - max z)) - (z_label - max z); gradient scale (softmax(z) - one_hot(label))."""
    highest = logits[0]
    for j in range(1, logits.size):
        highest = max(highest, logits[j])
    for j in range(logits.size):
        gradient[j] = exp(logits[j] - highest)
    total = gradient[0]
    for j in range(1, logits.size):
        total += gradient[j]
    factor = scale / total
    for j in range(logits.size):
        gradient[j] *= factor
    gradient[label] -= scale
    return np.log(np.float64(total)) - np.float64(logits[label] - highest)


_squared = device(losses.squared)


def squared_row(gradient, prediction, target, scale):
    """The sum of the squared errors of a row."""
    total = 0.0
    for j in range(prediction.size):
        value, derivative = _squared(prediction[j], target[j])
        gradient[j] = scale * derivative
        total += value
    return total
