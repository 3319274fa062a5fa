"""A network of dense layers: forward and backward of a mini-batch; its weights' gradients are in `weight_tiles`.

A training step is two walks. `forward_backward` takes blocks of rows of the batch through gather, all layers forward,
the loss, and all layers backward. `update_weights` takes tiles of weight rows: each tile's gradient is one small
product in cache, and the optimizer's rule is applied to it at once, so the gradient of a weight matrix never exists in
memory.

Hidden layers come first, each of which takes the output of the one before; then come the heads, each of which takes
that of the last hidden layer. Everything lies in flat vectors, so one compiled kernel serves any number of layers.
`layout` has a row for each layer: a `Layer`.
"""

from typing import NamedTuple

import numpy as np

from ..blas import product
from ..compiler import device, loop
from ..traffic import of_rows
from ..views import DOUBLE, allocate, local, matrix_at, numbers, prefetch, release, row_at, vector_at
from ..words import invoke, member
from .elementwise import bits, drop

BATCH_BLOCK = 32  # rows of the batch an item: fixed, so that results do not depend on threads
GROUP = 64  # columns whose norms are limited together


class Layer(NamedTuple):
    """A row of `layout`. Parameters begin at an element of their vector, rows at `capacity` times so many elements."""

    fan_in: int
    columns: int  # of the weights
    width: int  # of the output: the columns, or fewer for maxout
    weights: int  # where they begin in the parameter vector
    bias: int
    slopes: int  # -1 where there are none
    input: int  # where it begins in `activations`
    output: int
    delta: int  # where the gradient with respect to z = x W + b begins in `deltas`, to the slopes in `dslopes`


_layer = numbers(Layer, 0)


@device
def layer_at(layout, k):
    """Return a row of the layout."""
    return _layer(row_at(layout, k))


@device
def rows_of(workspace, capacity, begin, first, rows, columns):
    """Return some rows, the first of which is number `first` of the batch, of one layer's matrix."""
    return matrix_at(workspace, capacity * begin + first * columns, rows, columns)


@device
def copy_row(source, out):
    """out[:] = source; Numba's own takes a second longer to compile, for its error message."""
    for i in range(out.size):
        out[i] = source[i]


@device
def weights_of(vector, layer):
    """Return the weights of a layer, a row of the layout."""
    return matrix_at(vector, layer.weights, layer.fan_in, layer.columns)


@device
def bias_of(vector, layer):
    """Return its bias."""
    return vector_at(vector, layer.bias, layer.columns)


@device
def slopes_of(vector, layer):
    """Return its slopes; empty where it has none."""
    return vector_at(vector, max(0, layer.slopes), layer.width if layer.slopes >= 0 else 0)


@device
def _linear(x, vector, layer, out):
    """Compute out = x W + b."""
    product(x, weights_of(vector, layer), False, out)
    add_bias(vector, layer, out)


@device
def add_bias(vector, layer, z):
    """Add a layer's bias to every row of z."""
    b = bias_of(vector, layer)
    for i in range(len(z)):
        row = row_at(z, i)
        for j in range(row.size):
            row[j] += b[j]


@device
def _widest(layout):
    """Return how many elements the rows of a block have in the widest layer."""
    most = 0
    for k in range(len(layout)):
        most = max(most, layer_at(layout, k).columns)
    return BATCH_BLOCK * most


def _products_of_predictions(size, out, X, vector, *rest):
    return len(X) * vector.size


@loop(parallel_from=131_072, traffic="w r r -", work=_products_of_predictions)
def predict():
    """Items are blocks of rows; arguments: out, X, vector, layout, hidden (layers), activate (see `units`).

    `out` holds a matrix for each head, one after the other.
    """

    def body(start, stop, arguments):
        out, X, vector, layout, hidden, activate = arguments
        of_y, of_z = allocate(X, _widest(layout)), allocate(X, _widest(layout))
        for block in range(start, stop):
            first, end = block * BATCH_BLOCK, min((block + 1) * BATCH_BLOCK, len(X))
            x = matrix_at(X, first * X.shape[1], end - first, X.shape[1])
            for k in range(hidden):
                layer = layer_at(layout, k)
                z = matrix_at(of_z, 0, end - first, layer.columns)
                y = matrix_at(of_y, 0, end - first, layer.width)
                product(x, weights_of(vector, layer), False, z)
                invoke(activate, 0, end - first, (z, bias_of(vector, layer), y, slopes_of(vector, layer)))
                x = y
            for k in range(hidden, len(layout)):
                layer = layer_at(layout, k)
                begin = layer.output - layer_at(layout, hidden).output
                _linear(x, vector, layer, rows_of(out, len(X), begin, first, end - first, layer.width))
        release(of_y)
        release(of_z)

    return body


class Batch(NamedTuple):
    """A mini-batch on its way through a network: X[places], and the workspaces that hold what layers make of it."""

    places: np.ndarray  # of the mini-batch in X: `rows`, but where X is already the mini-batch
    rows: np.ndarray  # of the mini-batch in the data, and so in the targets
    scales: np.ndarray  # of the heads' gradients
    key: int  # of dropout
    values: np.ndarray  # a row for each head: the losses of the mini-batch, and more room
    activations: np.ndarray  # inputs of all layers, and the outputs
    deltas: np.ndarray
    dslopes: np.ndarray  # empty but for prelu
    capacity: int  # rows that there is room for
    X: np.ndarray
    vector: np.ndarray  # of all parameters
    layout: np.ndarray
    hidden: int  # layers
    rates: np.ndarray  # of dropout, of each layer's input
    activate: bytes  # see `units`
    differentiate: bytes
    losses: np.ndarray  # the address of a `loss_of_rows` for each head
    of_target: int  # bytes of the targets of a row


def _products(size, *arguments):
    batch = Batch(*arguments)
    return batch.rows.size * batch.vector.size


def _traffic(size, *arguments):
    """What a block of rows writes it finds in a cache, and so do the next blocks with the weights."""
    batch = Batch(*arguments)
    written = sum(each.nbytes for each in (batch.activations, batch.deltas, batch.dslopes))
    rows = batch.rows
    inputs = of_rows(batch.X, rows.size) + rows.nbytes + rows.size * batch.of_target
    outputs = written * rows.size // batch.capacity + len(batch.values) * rows.size * batch.values.itemsize
    return outputs + inputs + batch.vector.nbytes


GIVEN = "int[:] int[:] x[:] uint float[:,:]"


@loop(parallel_from=131_072, flush=True, traffic=_traffic, work=_products, given=GIVEN, names=Batch)
def forward_backward():
    """Items are blocks of rows of a `Batch`."""

    def body(start, stop, batch):
        layout = batch.layout
        total, more = allocate(batch.X, _widest(layout)), allocate(batch.X, _widest(layout))
        for block in range(start, stop):
            first, end = block * BATCH_BLOCK, min((block + 1) * BATCH_BLOCK, batch.rows.size)
            n = end - first
            x = rows_of(batch.activations, batch.capacity, 0, first, n, layer_at(layout, 0).fan_in)
            for i in range(n):
                prefetch(row_at(batch.X, batch.places[min(first + i + 4, end - 1)]))
                copy_row(row_at(batch.X, batch.places[first + i]), row_at(x, i))
            drop_rows(x, first, batch.rates[0], batch.key, 0)
            for k in range(batch.hidden):
                layer = layer_at(layout, k)
                z = rows_of(batch.deltas, batch.capacity, layer.delta, first, n, layer.columns)
                y = rows_of(batch.activations, batch.capacity, layer.output, first, n, layer.width)
                product(x, weights_of(batch.vector, layer), False, z)
                invoke(batch.activate, 0, n, (z, bias_of(batch.vector, layer), y, slopes_of(batch.vector, layer)))
                drop_rows(y, first, batch.rates[k + 1], batch.key, k + 1)
                x = y
            for k in range(batch.hidden, len(layout)):
                layer, head = layer_at(layout, k), k - batch.hidden
                z = rows_of(batch.activations, batch.capacity, layer.output, first, n, layer.width)
                dz = rows_of(batch.deltas, batch.capacity, layer.delta, first, n, layer.columns)
                _linear(x, batch.vector, layer, z)
                written, these = vector_at(row_at(batch.values, head), first, n), vector_at(batch.rows, first, n)
                invoke(member(batch.losses, head), 0, n, (written, dz, z, these, batch.scales[head]))
            for k in range(batch.hidden - 1, -1, -1):
                layer = layer_at(layout, k)
                dy = matrix_at(total, 0, n, layer.width)
                after = len(layout) if k == batch.hidden - 1 else k + 2
                for user in range(k + 1, after):
                    of_user = layer_at(layout, user)
                    dz = rows_of(batch.deltas, batch.capacity, of_user.delta, first, n, of_user.columns)
                    term = dy if user == k + 1 else matrix_at(more, 0, n, layer.width)
                    product(dz, weights_of(batch.vector, of_user), True, term)
                    if user > k + 1:
                        for i in range(dy.size):
                            total[i] += more[i]
                drop_rows(dy, first, batch.rates[k + 1], batch.key, k + 1)
                z = rows_of(batch.deltas, batch.capacity, layer.delta, first, n, layer.columns)
                y = rows_of(batch.activations, batch.capacity, layer.output, first, n, layer.width)
                slopes = slopes_of(batch.vector, layer)
                of_slopes = rows_of(batch.dslopes, batch.capacity, layer.delta, first, n, slopes.size)
                invoke(batch.differentiate, 0, n, (dy, z, y, slopes, of_slopes))
        release(total)
        release(more)

    return body


@device
def drop_rows(x, first, rate, key, layer):
    """Drop from rows of a layer's input, of which the first is number `first` of the batch."""
    if rate > 0:
        threshold, scale = np.uint64(rate * 2.0**64), x.dtype.type(1 / (1 - rate))
        drop(vector_at(x, 0, x.size), bits(key, layer), np.uint64(first * x.shape[1]), threshold, scale)


_group = local(GROUP)


@loop(parallel_from=4, traffic="r")  # but for longer columns, which are written, too
def limit_columns():
    """Items are groups of `GROUP` columns; arguments: w, limit (of their norms): longer ones are scaled down to it."""

    def body(start, stop, arguments):
        w, limit = arguments
        squares, factors = _group(DOUBLE), _group(w)
        for group in range(start, stop):
            first, end = group * GROUP, min((group + 1) * GROUP, w.shape[1])
            n = end - first
            for j in range(n):
                squares[j] = 0
            for i in range(len(w)):
                row = w[i, first:end]
                for j in range(n):
                    squares[j] += np.float64(row[j]) * np.float64(row[j])
            longer = False
            for j in range(n):
                longer |= squares[j] > limit * limit
                factors[j] = limit / np.sqrt(squares[j]) if squares[j] > limit * limit else 1.0
            if longer:
                for i in range(len(w)):
                    row = w[i, first:end]
                    for j in range(n):
                        row[j] *= factors[j]

    return body
