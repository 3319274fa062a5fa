"""Epochs of linear models in compiled code: for each mini-batch its gradient, the penalty and the optimizer's step."""

import numpy as np

from ..compiler import device, loop
from ..views import matrix_at, row_at, vector_at
from ..words import invoke, split
from .linear import (
    add_penalty,
    matrix_gradient,
    rows_of_block,
    sparse_matrix_gradient,
    sparse_vector_gradient,
    sum_of_blocks,
    vector_gradient,
)


def _penalty(w, l1, l2):
    total = 0.0
    for j in range(w.size):
        total += l1 * abs(w[j]) + l2 / 2 * w[j] * w[j]
    return total


_penalty = device(_penalty, reassociate=True)


def _training_traffic(steps, work, taken, losses, values, gradients, gradient, order, batch, of_example, *rest):
    """Of every step: the weights are read, the gradients of blocks and their sum written and read, the rest updated."""
    p, slots = rest[-3], rest[-2]
    of_step = p.nbytes + 2 * (gradients.nbytes + gradient.nbytes + (1 + slots) * p.nbytes)
    return order.size * of_example + order.nbytes + steps * of_step


def _train(parameters_of):
    """Return the body that trains, where `parameters_of(p, outputs)` are the weights and the intercepts."""

    def body(start, stop, arguments):
        parts, taken, losses, values, gradients, gradient, order, batch, _, outputs = arguments[:10]
        per_output, l1, l2, of_blocks, coefficients, p, _, step = arguments[10:]
        real, size = p.dtype.type, p.size - outputs
        for k in range(start, stop):
            rows = vector_at(order, k * batch, min(batch, order.size - k * batch))
            of_block = rows_of_block(rows.size, p.size)
            blocks = -(-rows.size // of_block)
            terms = rows.size * outputs if per_output else rows.size
            partial = vector_at(values, 0, blocks), matrix_at(gradients, 0, blocks, p.size)
            w, b = parameters_of(p, outputs)
            given = (partial[0], partial[1], w, b, rows, of_block, real(1 / terms))
            if parts == 1:
                invoke(of_blocks, 0, blocks, given)
            else:
                split(of_blocks, min(parts, blocks), blocks, given)
            sum_of_blocks(0, p.size, vector_at(losses, k, 1), gradient, partial[0], partial[1])
            if not np.isfinite(losses[k]):
                break
            if l1 != 0 or l2 != 0:
                weights = vector_at(p, 0, size)
                losses[k] += terms * _penalty(weights, l1, l2)
                add_penalty(vector_at(gradient, 0, size), weights, l1, l2)
            invoke(step, 0, p.size, (row_at(coefficients, k), gradient, 0))
            taken[0] += 1

    return body


@device
def _vector(p, outputs):
    return vector_at(p, 0, p.size - 1), p[p.size - 1]


@device
def _matrix(p, outputs):
    size = p.size - outputs
    return matrix_at(p, 0, size // outputs, outputs), vector_at(p, size, outputs)


@loop(parallel_from=32_768, ordered=True, flush=True, traffic=_training_traffic)  # products of an item
def train_vector():
    """Items are steps: the gradient of a mini-batch, its penalty, the optimizer's rule; it ends at a loss not finite.

    Arguments: taken (counts the steps), losses (the sum of each step's, with penalties), values and gradients (of
    blocks), gradient, order (rows of all batches), batch (rows of each but the last), bytes of an example, outputs,
    per_output (whether the loss is a mean over them), l1, l2 (penalties), of_blocks (a gradient loop bound to the
    data), coefficients (of each step), p (weights and intercepts), slots (how many), step (an `update` of p).
    """
    return _train(_vector)


@loop(parallel_from=32_768, ordered=True, flush=True, traffic=_training_traffic)
def train_matrix():
    """The same for several outputs."""
    return _train(_matrix)


TRAINING = {  # loop of gradients -> loop of steps
    vector_gradient: train_vector,
    sparse_vector_gradient: train_vector,
    matrix_gradient: train_matrix,
    sparse_matrix_gradient: train_matrix,
}
