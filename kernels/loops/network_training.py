"""Epochs of networks in compiled code: for each mini-batch a walk forward and backward, then the optimizer's step."""

from typing import NamedTuple

import numpy as np

from ..compiler import device, loop
from ..views import matrix_at, row_at, vector_at
from ..words import invoke, split
from .dense import BATCH_BLOCK


class TrainingArguments(NamedTuple):
    """What the steps of a training take."""

    parts: int  # into which walks are split
    taken: np.ndarray  # counts the steps
    values: np.ndarray  # (steps * heads, batch): the loss of each row
    order: np.ndarray  # rows of all batches
    batch: int  # rows of each batch but the last
    scales: np.ndarray  # (steps, heads): of the heads' gradients
    keys: np.ndarray  # of dropout, of each step
    backpropagate: bytes  # a `dense.forward_backward`, bound to the data and the workspaces
    tiles: int  # how many
    update: bytes  # a `weight_tiles.update_weights`, bound to the workspaces and the weights
    of_step: int  # bytes, but those of the slots
    coefficients: np.ndarray  # of each step
    p: np.ndarray
    slots: int
    step: bytes  # an `update` of p


def _traffic(steps, *arguments):
    of = TrainingArguments(*arguments)
    return steps * (of.of_step + 2 * of.slots * of.p.nbytes)


@device
def _walk(body, parts, size, given):
    if parts == 1:
        invoke(body, 0, size, given)
    else:
        split(body, min(parts, size), size, given)


@loop(parallel_from=65_536, ordered=True, flush=True, traffic=_traffic, names=TrainingArguments)  # products of an item
def train_network():
    """Items are steps; a loss that is not finite ends the walk before its step.

    Threads stay awake from step to step. So splitting pays from half the work of a walk on its own.
    """

    def body(start, stop, of):
        heads = of.scales.shape[1]
        for k in range(start, stop):
            rows = vector_at(of.order, k * of.batch, min(of.batch, of.order.size - k * of.batch))
            values, scales = matrix_at(of.values, k * heads * of.batch, heads, of.batch), row_at(of.scales, k)
            blocks = -(-rows.size // BATCH_BLOCK)
            _walk(of.backpropagate, of.parts, blocks, (rows, rows, scales, of.keys[k], values))
            loss = np.float64(0)
            for head in range(heads):
                for i in range(rows.size):
                    loss += values[head, i] * scales[head]
            if not np.isfinite(loss):
                break
            _walk(of.update, of.parts, of.tiles, (row_at(of.coefficients, k), of.step, rows.size))
            of.taken[0] += 1

    return body
