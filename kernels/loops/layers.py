"""A network whose weights do not fit into a cache, layer by layer: each weight matrix is read once in each direction.

A block of rows (`dense.forward_backward`) would read all weights, for every block again. Here a walk takes all rows of
the batch through one layer: `multiply` by tiles of columns, the rest by blocks of rows. Backward, `update_weights` and
`store_gradients` of `weight_tiles` multiply by a tile's weights before they change them. Most loops take a `Batch`, as
`dense.forward_backward` does, and which layer it is at.
"""

from typing import NamedTuple

import numpy as np

from ..blas import COLUMNS as TILE_COLUMNS
from ..blas import column_product
from ..compiler import loop
from ..views import matrix_at, row_at, vector_at
from ..words import invoke, member
from .dense import BATCH_BLOCK, Batch, Layer, add_bias, bias_of, drop_rows, layer_at, rows_of, slopes_of


def column_tiles(columns):
    """Return the number of items of `multiply`."""
    return -(-int(columns) // TILE_COLUMNS)


def _products(size, x, weights, out):
    return len(x) * weights.size


@loop(parallel_from=131_072, flush=True, traffic="r r w", work=_products)
def multiply():
    """Compute out = x W; items are tiles of columns; arguments: x, weights, out."""

    def body(start, stop, arguments):
        x, weights, out = arguments
        for tile in range(start, stop):
            first = tile * TILE_COLUMNS
            column_product(x, weights, first, min(first + TILE_COLUMNS, out.shape[1]), out)

    return body


@loop(parallel_from=8, flush=True, traffic="rw -")
def drop_features():
    """Drop from the first layer's input; items are blocks of rows; arguments: x, rate, key."""

    def body(start, stop, arguments):
        x, rate, key = arguments
        for block in range(start, stop):
            first = block * BATCH_BLOCK
            n = min(BATCH_BLOCK, len(x) - first)
            drop_rows(matrix_at(x, first * x.shape[1], n, x.shape[1]), first, rate, key, 0)

    return body


OfLayer = NamedTuple(
    "OfLayer",
    [
        ("k", int),  # the number of the layer
        ("gradient", np.ndarray),  # with respect to the output of a layer
        *Batch.__annotations__.items(),
    ],
)


def _activation_traffic(size, *arguments):
    """Most activations read z and write y."""
    of = OfLayer(*arguments)
    layer = Layer(*of.layout[of.k].tolist())
    return of.rows.size * (layer.columns + layer.width) * of.vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_activation_traffic, names=OfLayer)
def activate_rows():
    """Write the output of a hidden layer, where z is x W; items are blocks of rows."""

    def body(start, stop, of):
        layer = layer_at(of.layout, of.k)
        for block in range(start, stop):
            first = block * BATCH_BLOCK
            n = min(BATCH_BLOCK, of.rows.size - first)
            z = rows_of(of.deltas, of.capacity, layer.delta, first, n, layer.columns)
            y = rows_of(of.activations, of.capacity, layer.output, first, n, layer.width)
            invoke(of.activate, 0, n, (z, bias_of(of.vector, layer), y, slopes_of(of.vector, layer)))
            drop_rows(y, first, of.rates[of.k + 1], of.key, of.k + 1)

    return body


def _derivative_traffic(size, *arguments):
    """Most read dy and either y or z, and write z; gradients of slopes are written, too."""
    of = OfLayer(*arguments)
    layer = Layer(*of.layout[of.k].tolist())
    return of.rows.size * (layer.width + layer.columns * (3 if of.dslopes.size else 2)) * of.vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_derivative_traffic, names=OfLayer)
def differentiate_rows():
    """Write the gradient with respect to z over it; items are blocks of rows."""

    def body(start, stop, of):
        layer = layer_at(of.layout, of.k)
        for block in range(start, stop):
            first = block * BATCH_BLOCK
            n = min(BATCH_BLOCK, of.rows.size - first)
            dy = rows_of(of.gradient, 0, 0, first, n, layer.width)
            z = rows_of(of.deltas, of.capacity, layer.delta, first, n, layer.columns)
            y = rows_of(of.activations, of.capacity, layer.output, first, n, layer.width)
            slopes = slopes_of(of.vector, layer)
            of_slopes = rows_of(of.dslopes, of.capacity, layer.delta, first, n, slopes.size)
            drop_rows(dy, first, of.rates[of.k + 1], of.key, of.k + 1)
            invoke(of.differentiate, 0, n, (dy, z, y, slopes, of_slopes))

    return body


def _loss_traffic(size, *arguments):
    """The bias is added to z in place, and dz written."""
    batch = Batch(*arguments)
    columns, rows = sum(Layer(*row).columns for row in batch.layout[batch.hidden :].tolist()), batch.rows
    outputs = rows.size * 3 * columns * batch.vector.itemsize
    return outputs + batch.values.nbytes * rows.size // batch.capacity + rows.nbytes + rows.size * batch.of_target


@loop(parallel_from=8, flush=True, traffic=_loss_traffic, names=Batch)
def loss_rows():
    """Write the losses of all heads, whose outputs are x W, and their gradients; items are blocks of rows."""

    def body(start, stop, batch):
        for block in range(start, stop):
            first = block * BATCH_BLOCK
            n = min(BATCH_BLOCK, batch.rows.size - first)
            for k in range(batch.hidden, len(batch.layout)):
                layer, head = layer_at(batch.layout, k), k - batch.hidden
                z = rows_of(batch.activations, batch.capacity, layer.output, first, n, layer.width)
                dz = rows_of(batch.deltas, batch.capacity, layer.delta, first, n, layer.columns)
                add_bias(batch.vector, layer, z)
                written, these = vector_at(row_at(batch.values, head), first, n), vector_at(batch.rows, first, n)
                invoke(member(batch.losses, head), 0, n, (written, dz, z, these, batch.scales[head]))

    return body
