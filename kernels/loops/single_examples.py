"""Stochastic gradient descent by single examples, for one output x w + b: each is predicted, and w steps at once.

The weights are `scale` times those in memory, so that the penalty l2 of a sparse example touches no other weight
(Bottou 2012, "Stochastic Gradient Descent Tricks", which has the average, too). The penalty l1 is that of Tsuruoka,
Tsujii & Ananiadou 2009: each weight that an example touches takes all that it missed, and stops at 0.
"""

from typing import NamedTuple

import numpy as np

from ..compiler import NEVER, device, loop
from ..views import local, prefetch, row_at, vector_at
from ..words import invoke

STEEPEST = 1e12  # slopes are clipped to it
AHEAD = 4  # rows are fetched so many rows before they are read
# Places in the state. Norms are of the last example's weights, MISSED is the l1 of all steps, and the average is
# (average + FACTOR * w) / DIVISOR
B, AVERAGE_B, SCALE, SQUARES, SIZES, MISSED, FACTOR, DIVISOR, LOSS, PENALTY = range(10)
STATE = 10
_place, _one = local(1), local(1)


class OfExamples(NamedTuple):
    """What the steps of single examples take."""

    order: np.ndarray  # rows
    rates: np.ndarray  # the learning rate of each step
    averaged: int  # steps in the average before the first of `order`; below 0 so many more are left out
    state: np.ndarray  # float64, by the places above
    w: np.ndarray
    average: np.ndarray  # of w, or empty
    missed: np.ndarray  # the l1 that each weight took, or empty without l1
    weights: np.ndarray  # of examples, in the order of X
    l1: float
    l2: float
    decay: float  # of the intercept's rate; 0 leaves it as it is
    pull: float  # beside the slope of the intercept
    passive: int  # 1 or 2 for the step lengths PA-I and PA-II, else 0
    smallest: float  # scale, from which it goes into the weights
    losses: bytes  # `losses_of_numbers`
    X: np.ndarray


class OfSparseExamples(NamedTuple):
    """The same for a sparse X in CSR: data, indices and indptr are in its place."""

    order: np.ndarray
    rates: np.ndarray
    averaged: int
    state: np.ndarray
    w: np.ndarray
    average: np.ndarray
    missed: np.ndarray
    weights: np.ndarray
    l1: float
    l2: float
    decay: float
    pull: float
    passive: int
    smallest: float
    losses: bytes
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def _steps(row_of, dot, add, shrink):
    """Return the body that steps; the functions are of rows as `row_of` returns them."""

    def body(start, stop, of):
        state, w, real = of.state, of.w, of.w.dtype.type
        place, prediction, value, slope = _place(of.order), _one(w), _one(w), _one(w)
        for i in range(start, stop):
            place[0] = of.order[i]
            row, rate = row_of(of, place[0]), of.rates[i]
            prefetch(row_of(of, of.order[min(i + AHEAD, stop - 1)])[0])
            prediction[0] = real(state[SCALE] * dot(row, w) + state[B])
            invoke(of.losses, 0, 1, (place, prediction, value, slope))
            state[LOSS] += value[0]
            state[PENALTY] += of.l2 / 2 * state[SQUARES] + of.l1 * state[SIZES] + of.pull * state[B]
            if of.passive:
                squares = _squares(row[0])
                if of.passive == 1 and squares == 0:
                    continue
                length = value[0] / (squares + 0.5 / rate) if of.passive == 2 else min(rate, value[0] / squares)
                step = -length * np.sign(slope[0])
            else:
                step = -rate * min(max(np.float64(slope[0]), -STEEPEST), STEEPEST)
            step *= of.weights[place[0]]
            if of.l2 != 0:
                kept = max(0.0, 1 - rate * of.l2)
                state[SCALE] *= kept
                state[SQUARES] *= kept * kept
                state[SIZES] *= kept
                if state[SCALE] < of.smallest:
                    fold(state, w, of.average)
            scale = state[SCALE]
            if step != 0:
                squares, sizes = add(row, w, real(step / scale))
                state[SQUARES], state[SIZES] = squares * scale * scale, sizes * scale
            state[B] += (step - of.pull * rate) * of.decay
            count = of.averaged + i + 1
            if of.average.size and count > 0:
                if step != 0:
                    add(row, of.average, real(-state[FACTOR] * step / scale))
                if count > 1:
                    state[DIVISOR] /= 1 - 1 / count
                state[FACTOR] += state[DIVISOR] * scale / count
                state[AVERAGE_B] += (state[B] - state[AVERAGE_B]) / count
            if of.l1 != 0:
                state[MISSED] += of.l1 * rate
                shrink(row, w, of.missed, real(state[MISSED]), real(scale))

    return body


@device
def fold(state, w, average):
    """Bring the scale into the weights, and with it what the average takes of them."""
    real = w.dtype.type
    for j in range(average.size):
        average[j] = (average[j] + real(state[FACTOR]) * w[j]) / real(state[DIVISOR])
    for j in range(w.size):
        w[j] *= real(state[SCALE])
    state[SCALE], state[FACTOR], state[DIVISOR] = 1, 0, 1


@device
def _shrunk(w, taken, missed, scale):
    """Return a weight of this scale and what it took, after it took all of the penalty so far but for its sign."""
    zero = w - w
    after = w
    if w > 0:
        after = max(zero, w - (missed + taken) / scale)
    elif w < 0:
        after = min(zero, w + (missed - taken) / scale)
    return after, taken + scale * (after - w)


def _squares(x):
    total = x.dtype.type(0)
    for j in range(x.size):
        total += x[j] * x[j]
    return total


_squares = device(_squares, reassociate=True)


@device
def _row(of, place):
    return (row_at(of.X, place),)


def _dot(row, w):
    (x,) = row
    total = w.dtype.type(0)
    for j in range(w.size):
        total += x[j] * w[j]
    return total


def _add(row, w, factor):
    (x,) = row
    squares, sizes = w.dtype.type(0), w.dtype.type(0)
    for j in range(w.size):
        after = w[j] + factor * x[j]
        w[j] = after
        squares += after * after
        sizes += abs(after)
    return squares, sizes


_dot, _add = device(_dot, reassociate=True), device(_add, reassociate=True)


@device
def _shrink(row, w, taken, missed, scale):
    for j in range(w.size):
        w[j], taken[j] = _shrunk(w[j], taken[j], missed, scale)


@device
def _sparse_row(of, place):
    first, count = of.indptr[place], of.indptr[place + 1] - of.indptr[place]
    return vector_at(of.data, first, count), vector_at(of.indices, first, count)


def _sparse_dot(row, w):
    x, columns = row
    total = w.dtype.type(0)
    for j in range(x.size):
        total += x[j] * w[columns[j]]
    return total


def _sparse_add(row, w, factor):
    x, columns = row
    squares, sizes = w.dtype.type(0), w.dtype.type(0)
    for j in range(x.size):
        after = w[columns[j]] + factor * x[j]
        w[columns[j]] = after
        squares += after * after
        sizes += abs(after)
    return squares, sizes


_sparse_dot, _sparse_add = device(_sparse_dot, reassociate=True), device(_sparse_add, reassociate=True)


@device
def _sparse_shrink(row, w, taken, missed, scale):
    for j in range(row[0].size):
        k = row[1][j]
        w[k], taken[k] = _shrunk(w[k], taken[k], missed, scale)


@loop(NEVER, flush=True, traffic="r r - rw rw rw rw", names=OfExamples)
def step_by_examples():
    """Items are places in the order; the norms of the penalty are those of all weights."""
    return _steps(_row, _dot, _add, _shrink)


@loop(NEVER, flush=True, traffic="r r - rw rw rw rw", names=OfSparseExamples)
def step_by_sparse_examples():
    """The same for sparse rows; the norms are those of the weights that the last example touched."""
    return _steps(_sparse_row, _sparse_dot, _sparse_add, _sparse_shrink)


@loop(NEVER, traffic="w")
def permute():
    """Items are places of a permutation; arguments: the permutation, at first 0, 1, ..., and a seed above 0.

    Fisher & Yates, by the generator xorshift32 of Marsaglia 2003 without its highest bit.
    """

    def body(start, stop, arguments):
        order, seed = arguments
        draw = np.uint32(seed)
        for i in range(start, stop - 1):
            draw ^= np.uint32(draw << np.uint32(13))
            draw ^= np.uint32(draw >> np.uint32(17))
            draw ^= np.uint32(draw << np.uint32(5))
            j = i + np.int64(draw & np.uint32(0x7FFFFFFF)) % (stop - i)
            order[i], order[j] = order[j], order[i]

    return body
