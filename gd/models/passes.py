"""Passes: how a mini-batch goes through a network, forward and backward, and its arrays that stay for the next one."""

from typing import Any

import numpy as np

from ..batches import cut
from ..checks import aligned_empty, is_sparse
from ..kernels.compiler import join
from ..kernels.loops import dense, layers, weight_tiles
from ..kernels.loops.network_training import train_network
from ..losses import total

PRODUCTS = 2**28  # of the steps that are one call: some milliseconds, after which Python can be interrupted


def weighted(values, scales):
    """Return the loss of a mini-batch, from those of its rows, by head, and the scale of each head."""
    return sum(total(each) * scale for each, scale in zip(values, scales, strict=True))


def pass_for(plan, rows, before):
    """Return the pass that suits an `Architecture`, for batches of up to so many rows: `before` if it has the room."""
    if before is not None and before.capacity >= rows:
        return before
    return (_ByLayers if plan.by_layer else _ByBlocks)(plan, rows)


class _Pass:
    """The arrays: losses of rows, inputs of layers, and gradients with respect to what activations take."""

    def __init__(self, plan, capacity):
        self.plan, self.capacity = plan, capacity
        self.rows: Any = None  # of the last batch
        columns, slopes = sum(layer.columns for layer in plan.layers), any(layer.slopes >= 0 for layer in plan.layers)
        places = plan.layers[0].fan_in + sum(layer.width for layer in plan.layers)
        self.values = np.zeros((len(plan.outputs), capacity))
        self.activations, self.deltas = (aligned_empty(capacity * n, plan.dtype) for n in (places, columns))
        self.dslopes = aligned_empty(capacity * columns if slopes else 0, plan.dtype)
        self.nothing = np.empty((0, 0), plan.dtype)

    def _batch(self, X, losses, rows, vector, scales, key):
        """Return the arguments of the kernels that take a mini-batch; `losses` are bound to its targets."""
        plan, (_, addresses, of_target), places = self.plan, losses, rows
        if is_sparse(X):
            X, places = X[rows].toarray(), np.arange(rows.size)
        return dense.Batch(
            places=places,
            rows=rows,
            scales=scales,
            key=key,
            values=self.values,
            activations=self.activations,
            deltas=self.deltas,
            dslopes=self.dslopes,
            capacity=self.capacity,
            X=X,
            vector=vector,
            layout=plan.layout,
            hidden=len(plan.hidden),
            rates=plan.rates,
            activate=plan.bound_units[0],
            differentiate=plan.bound_units[1],
            losses=addresses,
            of_target=of_target,
        )

    def _piece(self, tiles, dx, add):
        """Return how many tiles there are, and what `weight_tiles.store_gradients` and `update_weights` take first."""
        work = weight_tiles.Tiles(
            batch=self.rows.size,
            tiles=tiles,
            layout=self.plan.layout,
            activations=self.activations,
            deltas=self.deltas,
            dslopes=self.dslopes,
            capacity=self.capacity,
            dx=dx,
            add=add,
        )
        return len(tiles), *work


class _ByBlocks(_Pass):
    """Blocks of rows go through all layers and back, each on one thread."""

    def run(self, X, losses, rows, vector, scales, key):
        """Write the loss of each row of X[rows] into `values`, by head; the gradients are then a product away."""
        self.rows = rows
        join(dense.forward_backward)(
            -(-rows.size // dense.BATCH_BLOCK), *self._batch(X, losses, rows, vector, scales, key)
        )

    def pieces(self, vector):
        """Yield the arguments that kernels take first, in the order in which the gradients can be had."""
        yield self._piece(self.plan.tiles, self.nothing, False)

    def train(self, X, y, bound, order, batch_size, vector, divisors_of, seed, optimizer):
        """Take a step for every mini-batch of `order`, several in one call; yield what `Model.descend` does.

        `bound` are the losses bound to y, and `divisors_of(rows)` turns sums of them into means. If the last loss is
        not finite, no step was taken for it.
        """
        batch_size = max(1, min(batch_size, order.size))
        first, again = len(dense.forward_backward.given), len(weight_tiles.update_weights.given)
        self.rows = order[:batch_size]
        batch = self._batch(X, bound, self.rows, vector, np.empty(0, vector.dtype), np.uint64(0))
        tiles, *update = *self._piece(self.plan.tiles, self.nothing, False), vector, 0
        of_blocks, of_tiles = dense.forward_backward.traffic, weight_tiles.update_weights.traffic
        fixed = {
            "batch": batch_size,
            "backpropagate": join(dense.forward_backward).bind(vector.dtype, *batch[first:]),
            "tiles": tiles,
            "update": join(weight_tiles.update_weights).bind(vector.dtype, *update[again - 2 :]),
            "of_step": of_blocks(0, *batch) + of_tiles(0, None, None, *update),
        }
        work = batch_size * vector.size
        for some in cut(order, batch_size * max(1, PRODUCTS // work)):
            batches = list(cut(some, batch_size))
            scales = [self.plan.scales(divisors_of(rows)) for rows in batches]
            keys = np.array([self.plan.key(seed, optimizer.steps + k) for k in range(len(batches))])
            values = np.empty((len(batches), len(self.values), batch_size))
            own = {"values": values.reshape(-1, batch_size), "order": some, "keys": keys}
            own["scales"] = np.array(scales, vector.dtype)
            taken = optimizer.inside.run(train_network, len(batches), work, **own, **fixed)
            for rows, each, scale in zip(batches[: taken + 1], values, scales, strict=False):
                yield weighted(each[:, : rows.size], scale), rows.size, y.weight(rows)
            if taken < len(batches):
                break


class _ByLayers(_Pass):
    """All rows go through one layer after the other, each on all threads; weights are read once in each direction."""

    def __init__(self, plan, capacity):
        super().__init__(plan, capacity)
        self.batch: Any = None  # the last one
        self.gradient = aligned_empty(capacity * max(plan.hidden, default=0), plan.dtype)  # of a layer's output
        self.tiles = [plan.tiles[plan.tiles[:, 0] == k] for k in range(len(plan.layers))]

    def run(self, X, losses, rows, vector, scales, key):
        """As that of `_ByBlocks`, but the gradients are known only as `pieces` gets to them."""
        self.rows, plan = rows, self.plan
        self.batch = batch = self._batch(self.nothing, losses, rows, vector, scales, key)  # the data are not kept
        hidden, blocks = len(plan.hidden), -(-rows.size // dense.BATCH_BLOCK)
        features = self._matrix(self.activations, 0, X.shape[1])
        if is_sparse(X):
            X[rows].toarray(out=features)
        else:
            np.take(X, rows, axis=0, out=features, mode="clip")  # which checks nothing twice
        if plan.rates[0] > 0:
            join(layers.drop_features)(blocks, features, plan.rates[0], key)
        for k, layer in enumerate(plan.layers):
            x = self._matrix(self.activations, layer.input, layer.fan_in)
            workspace, begin = (self.deltas, layer.delta) if k < hidden else (self.activations, layer.output)
            z = self._matrix(workspace, begin, layer.columns)
            end = layer.weights + layer.fan_in * layer.columns
            weights = vector[layer.weights : end].reshape(layer.fan_in, layer.columns)
            join(layers.multiply)(layers.column_tiles(layer.columns), x, weights, z)
            if k < hidden:
                join(layers.activate_rows)(blocks, k, self.gradient, *batch)
        join(layers.loss_rows)(blocks, *batch)

    def pieces(self, vector):
        """As that of `_ByBlocks`; between two of them the gradient goes through an activation. It can be run once."""
        plan, last = self.plan, len(self.plan.layers) - 1
        hidden, blocks = len(plan.hidden), -(-self.rows.size // dense.BATCH_BLOCK)
        for k in range(last, -1, -1):
            before = min(k, hidden) - 1  # the layer whose output this one takes
            if before < 0:
                yield self._piece(self.tiles[k], self.nothing, False)
                continue
            dx = self._matrix(self.gradient, 0, plan.hidden[before])
            yield self._piece(self.tiles[k], dx, hidden <= k < last)
            if k <= hidden:  # all that take that output have been here
                join(layers.differentiate_rows)(blocks, before, self.gradient, *self.batch._replace(vector=vector))

    def _matrix(self, workspace, begin, columns):
        """Return the rows of the batch in one layer's matrix."""
        start = self.capacity * begin
        return workspace[start : start + self.rows.size * columns].reshape(-1, columns)
