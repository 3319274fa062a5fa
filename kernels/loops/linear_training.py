"""Epochs of linear models in compiled code: for each mini-batch its gradient, the penalty and the optimizer's step."""

from typing import NamedTuple

import numpy as np

from ..compiler import device, loop
from ..rules.stages import CommonCoefficients, penalized
from ..views import matrix_at, row_at, vector_at
from ..words import invoke, split
from .linear import (
    matrix_gradient,
    rows_of_block,
    sparse_matrix_gradient,
    sparse_vector_gradient,
    sum_of_blocks,
    vector_gradient,
)


@loop(parallel_from=16_384, flush=True, traffic="rw r")
def penalize():
    """Items are weights; arguments: gradient, w, l1, l2: adds the gradient of l1 |w| + l2 / 2 w**2."""

    def body(start, stop, arguments):
        gradient, w, l1, l2 = arguments
        add_penalty(vector_at(gradient, start, stop - start), vector_at(w, start, stop - start), l1, l2)

    return body


_penalized = device(penalized)


@device
def add_penalty(gradient, w, l1, l2):
    """Add the gradient of l1 |w| + l2 / 2 w**2."""
    zero = l1 - l1
    common = CommonCoefficients(zero, zero, l1, l2, zero, zero, zero, zero)
    for j in range(w.size):
        gradient[j], _ = _penalized(gradient[j], w[j], common)


def _penalty(w, l1, l2):
    total = np.float64(0)
    for j in range(w.size):
        total += l1 * abs(w[j]) + l2 / 2 * w[j] * w[j]
    return total


_penalty = device(_penalty, reassociate=True)


class TrainingArguments(NamedTuple):
    """What the steps of a training take."""

    parts: int  # into which a step's blocks are split
    taken: np.ndarray  # counts the steps
    losses: np.ndarray  # the sum of each step's, with penalties
    values: np.ndarray  # of blocks
    gradients: np.ndarray  # of blocks
    gradient: np.ndarray
    order: np.ndarray  # rows of all batches
    batch: int  # rows of each batch but the last
    of_example: int  # bytes
    outputs: int
    fit_intercept: bool  # else the intercepts stay as they are
    divisors: np.ndarray  # of each step: it turns the sum of losses into a mean
    l1: float
    l2: float
    of_blocks: bytes  # a gradient loop bound to the data
    coefficients: np.ndarray  # of each step
    p: np.ndarray  # weights and intercepts
    slots: int  # how many
    step: bytes  # an `update` of p


def _training_traffic(steps, *arguments):
    """Return the bytes of all steps: each reads and updates the weights, and writes and reads the gradients."""
    of = TrainingArguments(*arguments)
    of_step = of.p.nbytes + 2 * (of.gradients.nbytes + of.gradient.nbytes + (1 + of.slots) * of.p.nbytes)
    return of.order.size * of.of_example + of.order.nbytes + steps * of_step


def _train(parameters_of):
    """Return the body that trains, where `parameters_of(p, outputs)` are the weights and the intercepts."""

    def body(start, stop, of):
        p, outputs, gradient = of.p, of.outputs, of.gradient
        real, size = p.dtype.type, p.size - outputs
        for k in range(start, stop):
            rows = vector_at(of.order, k * of.batch, min(of.batch, of.order.size - k * of.batch))
            of_block = rows_of_block(rows.size, p.size)
            blocks = -(-rows.size // of_block)
            divisor = of.divisors[k]
            partial = vector_at(of.values, 0, blocks), matrix_at(of.gradients, 0, blocks, p.size)
            w, b = parameters_of(p, outputs)
            given = (partial[0], partial[1], w, b, rows, of_block, real(1 / divisor if divisor != 0 else 0.0))
            if of.parts == 1:
                invoke(of.of_blocks, 0, blocks, given)
            else:
                split(of.of_blocks, min(of.parts, blocks), blocks, given)
            sum_of_blocks(0, p.size, vector_at(of.losses, k, 1), gradient, partial[0], partial[1])
            if not np.isfinite(of.losses[k]):
                break
            if of.l1 != 0 or of.l2 != 0:
                weights = vector_at(p, 0, size)
                of.losses[k] += divisor * _penalty(weights, of.l1, of.l2)
                add_penalty(vector_at(gradient, 0, size), weights, of.l1, of.l2)
            if not of.fit_intercept:
                for j in range(size, p.size):
                    gradient[j] = 0
            invoke(of.step, 0, p.size, (row_at(of.coefficients, k), gradient, 0))
            of.taken[0] += 1

    return body


@device
def _vector(p, outputs):
    return vector_at(p, 0, p.size - 1), p[p.size - 1]


@device
def _matrix(p, outputs):
    size = p.size - outputs
    return matrix_at(p, 0, size // outputs, outputs), vector_at(p, size, outputs)


@loop(
    parallel_from=32_768, ordered=True, flush=True, traffic=_training_traffic, names=TrainingArguments
)  # products of an item
def train_vector():
    """Items are steps: the gradient of a mini-batch, its penalty, the optimizer's rule; a loss not finite ends it."""
    return _train(_vector)


@loop(parallel_from=32_768, ordered=True, flush=True, traffic=_training_traffic, names=TrainingArguments)
def train_matrix():
    """The same for several outputs."""
    return _train(_matrix)


TRAINING = {  # loop of gradients -> loop of steps
    vector_gradient: train_vector,
    sparse_vector_gradient: train_vector,
    matrix_gradient: train_matrix,
    sparse_matrix_gradient: train_matrix,
}
