"""A network whose weights do not fit into a cache, layer by layer: each weight matrix is read once in each direction.

A block of rows (`dense.forward_backward`) would read all weights, for every block again. Here a walk takes all rows of
the batch through one layer: `multiply` by tiles of columns, the rest by blocks of rows. Backward, `update_weights` and
`store_gradients` of `dense` multiply by a tile's weights before they change them. Arguments are those of `dense`, and
`k`, the number of the layer.
"""

import numpy as np

from ..blas import COLUMNS as TILE_COLUMNS
from ..blas import column_product
from ..compiler import loop
from .dense import (
    BLOCK,
    COLUMNS,
    DELTA,
    FAN_IN,
    OUTPUT,
    WIDTH,
    add_bias,
    bias_of,
    of_targets,
    rows_of,
    slopes_of,
    string,
    weights_of,
)
from .reductions import LANES


def column_tiles(columns):
    """Return the number of items of `multiply`."""
    return -(-int(columns) // TILE_COLUMNS)


def _product_traffic(size, x, out, vector, shape):
    return x.nbytes + out.nbytes + int(shape[FAN_IN] * shape[COLUMNS]) * vector.itemsize


def _products(size, x, out, vector, shape):
    return out.size * x.shape[1]


@loop(parallel_from=131_072, flush=True, traffic=_product_traffic, work=_products)
def multiply():
    """Compute out = x W; items are tiles of columns; arguments: x, out, vector, shape (a row of the layout)."""

    def body(start, stop, arguments):
        x, out, vector, shape = arguments
        weights = weights_of(vector, shape)
        for tile in range(start, stop):
            first = tile * TILE_COLUMNS
            column_product(x, weights, first, min(first + TILE_COLUMNS, out.shape[1]), out)

    return body


@loop(parallel_from=8, flush=True, traffic="rw -")
def drop_rows(drop):
    """Drop from a layer's input; items are blocks of rows; arguments: x, rate, key, k."""

    def body(start, stop, arguments):
        x, rate, key, k = arguments
        for block in range(start, stop):
            first = block * BLOCK
            drop(x[first : first + BLOCK], first, rate, key, k)

    return body


def _activation_traffic(size, activations, deltas, capacity, batch, vector, layout, k, *rest):
    """Most activations read z and write y."""
    return batch * int(layout[k, COLUMNS] + layout[k, WIDTH]) * vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_activation_traffic)
def activate_rows(activate, drop):
    """Write the output of a hidden layer, where z is x W; items are blocks of rows.

    Arguments: activations, deltas (z), capacity, batch, vector, layout, k, rate, key, *parameters of the activation.
    """

    def body(start, stop, arguments):
        activations, deltas, capacity, batch, vector, layout, k, rate, key = arguments[:9]
        shape = layout[k]
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, batch - first)
            z = rows_of(deltas, capacity, shape[DELTA], first, n, shape[COLUMNS])
            y = rows_of(activations, capacity, shape[OUTPUT], first, n, shape[WIDTH])
            activate(z, bias_of(vector, shape), y, slopes_of(vector, shape), arguments[9:])
            drop(y, first, rate, key, k + 1)

    return body


def _derivative_traffic(size, dy, activations, deltas, dslopes, capacity, batch, vector, layout, k, *rest):
    """Most read dy and either y or z, and write z; gradients of slopes are written besides."""
    return batch * int(layout[k, WIDTH] + layout[k, COLUMNS] * (3 if dslopes.size else 2)) * vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_derivative_traffic)
def differentiate_rows(differentiate, drop):
    """Write the gradient with respect to z over it; items are blocks of rows.

    Arguments: dy (with respect to the output), activations, deltas, dslopes, capacity, batch, vector, layout, k, rate,
    key, *parameters of the activation.
    """

    def body(start, stop, arguments):
        gradient, activations, deltas, dslopes, capacity, batch, vector, layout, k, rate, key = arguments[:11]
        shape = layout[k]
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, batch - first)
            dy = rows_of(gradient, 0, 0, first, n, shape[WIDTH])
            z = rows_of(deltas, capacity, shape[DELTA], first, n, shape[COLUMNS])
            y = rows_of(activations, capacity, shape[OUTPUT], first, n, shape[WIDTH])
            slopes = slopes_of(vector, shape)
            of_slopes = rows_of(dslopes, capacity, shape[DELTA], first, n, slopes.size)
            drop(dy, first, rate, key, k + 1)
            differentiate(dy, z, y, slopes, of_slopes, arguments[11:])

    return body


def _loss_traffic(size, values, activations, deltas, capacity, rows, vector, layout, hidden, scales, *heads):
    """The bias is added to z in place, and dz written."""
    outputs = rows.size * 3 * int(layout[hidden:, COLUMNS].sum()) * vector.itemsize
    return outputs + values.nbytes * rows.size // capacity + rows.nbytes + of_targets(heads, rows)


@loop(parallel_from=8, flush=True, traffic=_loss_traffic)
def loss_rows(*losses):
    """Write the losses of all heads, whose outputs are x W, and their gradients; items are blocks of rows.

    Arguments: values, activations, deltas, capacity, rows, vector, layout, hidden, scales, and of each head: targets,
    *parameters of its loss.
    """
    loss_of_row = string(losses, 0)

    def body(start, stop, arguments):
        values, activations, deltas, capacity, rows, vector, layout, hidden, scales = arguments[:9]
        lanes = np.empty(LANES, vector.dtype)
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, rows.size - first)
            for k in range(hidden, len(layout)):
                shape, head = layout[k], k - hidden
                z = rows_of(activations, capacity, shape[OUTPUT], first, n, shape[WIDTH])
                dz = rows_of(deltas, capacity, shape[DELTA], first, n, shape[COLUMNS])
                add_bias(vector, shape, z)
                for i in range(n):
                    row, scale = rows[first + i], scales[head]
                    values[head, first + i] = loss_of_row(head, dz[i], z[i], row, scale, arguments[9:], lanes)

    return body
