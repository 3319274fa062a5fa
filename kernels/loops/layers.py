"""A network whose weights do not fit into a cache, layer by layer: each weight matrix is read once in each direction.

A block of rows (`dense.forward_backward`) would read all weights, for every block again. Here a walk takes all rows of
the batch through one layer: `multiply` by tiles of columns, the rest by blocks of rows. Backward, `update_weights` and
`store_gradients` of `dense` multiply by a tile's weights before they change them. Arguments are those of `dense`, and
`k`, the number of the layer.
"""

from ..blas import COLUMNS as TILE_COLUMNS
from ..blas import column_product
from ..compiler import loop
from ..views import matrix_at, row_at, vector_at
from ..words import invoke, member
from .dense import BLOCK, Layer, add_bias, bias_of, drop_rows, layer_at, rows_of, slopes_of


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
            first = block * BLOCK
            n = min(BLOCK, len(x) - first)
            drop_rows(matrix_at(x, first * x.shape[1], n, x.shape[1]), first, rate, key, 0)

    return body


def _activation_traffic(size, activations, deltas, capacity, batch, vector, layout, k, *rest):
    """Most activations read z and write y."""
    layer = Layer(*layout[k].tolist())
    return batch * (layer.columns + layer.width) * vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_activation_traffic)
def activate_rows():
    """Write the output of a hidden layer, where z is x W; items are blocks of rows.

    Arguments: activations, deltas (z), capacity, batch, vector, layout, k, rate, key, activate (see `units`).
    """

    def body(start, stop, arguments):
        activations, deltas, capacity, batch, vector, layout, k, rate, key, activate = arguments
        layer = layer_at(layout, k)
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, batch - first)
            z = rows_of(deltas, capacity, layer.delta, first, n, layer.columns)
            y = rows_of(activations, capacity, layer.output, first, n, layer.width)
            invoke(activate, 0, n, (z, bias_of(vector, layer), y, slopes_of(vector, layer)))
            drop_rows(y, first, rate, key, k + 1)

    return body


def _derivative_traffic(size, dy, activations, deltas, dslopes, capacity, batch, vector, layout, k, *rest):
    """Most read dy and either y or z, and write z; gradients of slopes are written besides."""
    layer = Layer(*layout[k].tolist())
    return batch * (layer.width + layer.columns * (3 if dslopes.size else 2)) * vector.itemsize


@loop(parallel_from=8, flush=True, traffic=_derivative_traffic)
def differentiate_rows():
    """Write the gradient with respect to z over it; items are blocks of rows.

    Arguments: dy (with respect to the output), activations, deltas, dslopes, capacity, batch, vector, layout, k, rate,
    key, differentiate (see `units`).
    """

    def body(start, stop, arguments):
        gradient, activations, deltas, dslopes, capacity, batch, vector, layout, k, rate, key, differentiate = arguments
        layer = layer_at(layout, k)
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, batch - first)
            dy = rows_of(gradient, 0, 0, first, n, layer.width)
            z = rows_of(deltas, capacity, layer.delta, first, n, layer.columns)
            y = rows_of(activations, capacity, layer.output, first, n, layer.width)
            slopes = slopes_of(vector, layer)
            of_slopes = rows_of(dslopes, capacity, layer.delta, first, n, slopes.size)
            drop_rows(dy, first, rate, key, k + 1)
            invoke(differentiate, 0, n, (dy, z, y, slopes, of_slopes))

    return body


def _loss_traffic(size, values, activations, deltas, capacity, rows, vector, layout, hidden, scales, losses, of_target):
    """The bias is added to z in place, and dz written."""
    columns = sum(Layer(*row).columns for row in layout[hidden:].tolist())
    outputs = rows.size * 3 * columns * vector.itemsize
    return outputs + values.nbytes * rows.size // capacity + rows.nbytes + rows.size * of_target


@loop(parallel_from=8, flush=True, traffic=_loss_traffic)
def loss_rows():
    """Write the losses of all heads, whose outputs are x W, and their gradients; items are blocks of rows.

    Arguments: values, activations, deltas, capacity, rows, vector, layout, hidden, scales, losses (addresses of a
    `loss_of_rows` for each head), and how many bytes the targets of a row have.
    """

    def body(start, stop, arguments):
        values, activations, deltas, capacity, rows, vector, layout, hidden, scales, losses, _ = arguments
        for block in range(start, stop):
            first = block * BLOCK
            n = min(BLOCK, rows.size - first)
            for k in range(hidden, len(layout)):
                layer, head = layer_at(layout, k), k - hidden
                z = rows_of(activations, capacity, layer.output, first, n, layer.width)
                dz = rows_of(deltas, capacity, layer.delta, first, n, layer.columns)
                add_bias(vector, layer, z)
                written, these = vector_at(row_at(values, head), first, n), vector_at(rows, first, n)
                invoke(member(losses, head), 0, n, (written, dz, z, these, scales[head]))

    return body
