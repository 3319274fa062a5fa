"""A network of dense layers: forward and backward of a mini-batch, and its weights' gradient by tiles.

A training step is two walks. `forward_backward` takes blocks of rows of the batch through gather,
all layers forward, the loss, and all layers backward. `update_weights` takes tiles of weight rows:
each tile's gradient is one small product in cache, and the optimizer's rule is applied to it at
once, so the gradient of a weight matrix never exists in memory.

Everything lies in flat vectors, so one compiled kernel serves any number of layers. `layout` has a
row for each layer: fan_in, fan_out, where its weights (fan_in, fan_out) and its bias begin in the
parameter vector, and the sum of the widths before it. A workspace holds, for every width, a matrix
of `capacity` rows; the input of a layer begins at capacity * (the sum of the widths before it).
"""

import inspect

import numpy as np

from ..blas import TILE, product, transposed_product
from ..compiler import device, loop
from .operands import part
from .reductions import LANES
from .update import update_slices

BLOCK = 32  # rows of the batch an item: fixed, so that results do not depend on threads
BIAS = -1  # in place of a tile's first row
TILE_ELEMENTS = 2048  # of a weight gradient: it, the parameters and two slots fill a first-level cache of 32 KiB


@device
def _matrix(vector, start, rows, columns):
    return vector[start : start + rows * columns].reshape(rows, columns)


@device
def _copy(source, out):
    """out[:] = source; Numba's own takes a second longer to compile, for its error message."""
    for i in range(out.size):
        out[i] = source[i]


def _layer(activation):
    """Return a function that writes activation(x W + b), or x W + b, into out; x W + b into before."""

    @device
    def forward(x, vector, shape, activate, out, before, parameters):
        fan_in, fan_out, weights, bias = shape[0], shape[1], shape[2], shape[3]
        product(x, _matrix(vector, weights, fan_in, fan_out), False, out)
        b = vector[bias : bias + fan_out]
        for i in range(out.shape[0]):
            z = out[i]
            if not activate:
                for j in range(z.size):
                    z[j] += b[j]
            elif before.size:
                kept = before[i]
                for j in range(z.size):
                    kept[j] = z[j] + b[j]
                    z[j] = activation(kept[j], *parameters)
            else:
                for j in range(z.size):
                    z[j] = activation(z[j] + b[j], *parameters)

    return forward


@loop(parallel_from=2)
def predict(activation):
    """Items are blocks of rows; arguments: out, X, vector, layout, *parameters of the activation."""
    forward = _layer(activation)

    def body(start, stop, arguments):
        out, X, vector, layout = arguments[:4]
        parameters = arguments[4:]
        widest = layout[:, 1].max()
        scratch = np.empty((2, BLOCK * widest), X.dtype)
        nowhere, last = scratch[:, :0], len(layout) - 1
        for block in range(start, stop):
            first, end = block * BLOCK, min((block + 1) * BLOCK, len(X))
            x = X[first:end]
            for k in range(last):
                y = _matrix(scratch[k % 2], 0, end - first, layout[k, 1])
                forward(x, vector, layout[k], True, y, nowhere, parameters)
                x = y
            forward(x, vector, layout[last], False, out[first:end], nowhere, parameters)

    return body


@loop(parallel_from=2)
def forward_backward(activation, activation_backward, row_loss):
    """Items are blocks of rows of the batch X[rows], targets[rows].

    `activation_backward` takes the output of the activation where its name says so, else the input, which
    then waits where the gradient with respect to it will be.

    Arguments: values (the loss of each row), activations, deltas (workspaces; the gradient with
    respect to each layer's output before its activation), capacity, X, targets, rows, vector,
    layout, scale (of the gradient), *parameters of the activation, *parameters of the loss.
    """
    forward, split = _layer(activation), 10 + len(inspect.signature(activation.py_func).parameters) - 1
    from_output = activation_backward.py_func.__name__.endswith("_from_output")

    def body(start, stop, arguments):
        values, activations, deltas, capacity, X, targets, rows, vector, layout, scale = arguments[:10]
        parameters, of_loss = arguments[10:split], arguments[split:]
        last = len(layout) - 1
        lanes = np.empty(LANES, X.dtype)
        scratch = np.empty(0 if from_output else BLOCK * layout[:, 0].max(), X.dtype)
        nowhere = _matrix(deltas, 0, BLOCK, 0)
        for block in range(start, stop):
            first, end = block * BLOCK, min((block + 1) * BLOCK, rows.size)
            n = end - first
            x = _matrix(activations, first * layout[0, 0], n, layout[0, 0])
            for i in range(n):
                _copy(X[rows[first + i]], x[i])
            for k in range(last + 1):
                begin = capacity * (layout[k, 4] + layout[k, 0]) + first * layout[k, 1]
                y = _matrix(activations, begin, n, layout[k, 1])
                z = nowhere if from_output else _matrix(deltas, begin, n, layout[k, 1])
                forward(x, vector, layout[k], k < last, y, z, parameters)
                x = y
            begin = capacity * (layout[last, 4] + layout[last, 0]) + first * layout[last, 1]
            delta = _matrix(deltas, begin, n, layout[last, 1])
            for i in range(n):
                values[first + i] = row_loss(delta[i], x[i], targets[rows[first + i]], scale, of_loss, lanes)
            for k in range(last, 0, -1):
                fan_in = layout[k, 0]
                begin = capacity * layout[k, 4] + first * fan_in
                weights = _matrix(vector, layout[k, 2], fan_in, layout[k, 1])
                flat = deltas[begin : begin + n * fan_in]
                if from_output:
                    outputs = activations[begin : begin + n * fan_in]
                    product(delta, weights, True, _matrix(deltas, begin, n, fan_in))
                    for i in range(flat.size):
                        flat[i] = activation_backward(flat[i], outputs[i], *parameters)
                else:
                    product(delta, weights, True, _matrix(scratch, 0, n, fan_in))
                    for i in range(flat.size):
                        flat[i] = activation_backward(scratch[i], flat[i], *parameters)
                delta = _matrix(deltas, begin, n, fan_in)

    return body


def weight_tiles(layout, batch):
    """Return the tiles of all layers for a batch of this size: rows of layer, first and last weight row.

    A tile has 8 rows at least, else `TILE_ELEMENTS`, and a product within BLAS's `TILE`. The layers'
    tiles are interleaved, so that threads that take equal numbers of them get equal work.
    """
    placed = []
    for layer, (fan_in, fan_out, *_) in enumerate(layout.tolist()):
        most = max(8, min(TILE_ELEMENTS, TILE // batch) // fan_out)
        pieces = -(-fan_in // most)
        edges = [fan_in * piece // pieces for piece in range(pieces + 1)]
        for piece in range(pieces):
            placed.append(((piece + 0.5) / pieces, layer, edges[piece], edges[piece + 1]))
        placed.append((layer / len(layout), layer, BIAS, BIAS))
    return np.array([tile for _, *tile in sorted(placed)])


@device
def _place(tile, layout):
    """Return where a tile begins and ends in the parameter vector."""
    _, fan_out, weights, bias, _ = layout[tile[0]]
    if tile[1] == BIAS:
        return bias, bias + fan_out
    return weights + tile[1] * fan_out, weights + tile[2] * fan_out


@device
def _tile_gradient(tile, layout, activations, deltas, capacity, batch, out):
    """Write the gradient of a tile into out."""
    fan_in, fan_out, _, _, before = layout[tile[0]]
    delta = _matrix(deltas, capacity * (before + fan_in), batch, fan_out)
    if tile[1] == BIAS:
        _copy(delta[0], out)
        for i in range(1, batch):
            row = delta[i]
            for j in range(fan_out):
                out[j] += row[j]
    else:
        inputs = _matrix(activations, capacity * before, batch, fan_in)
        transposed_product(inputs, tile[1], tile[2], delta, out.reshape(tile[2] - tile[1], fan_out))


@device
def _largest(tiles, layout):
    largest = 0
    for i in range(len(tiles)):
        fan_out = layout[tiles[i, 0], 1]
        largest = max(largest, max(1, tiles[i, 2] - tiles[i, 1]) * fan_out)
    return largest


@loop(parallel_from=2)
def update_weights(rule, *stages):
    """Items are tiles; arguments: tiles, layout, activations, deltas, capacity, batch, coefficients, p, *slots."""
    step = update_slices(rule, *stages)

    def body(start, stop, arguments):
        tiles, layout, activations, deltas, capacity, batch, coefficients, p = arguments[:8]
        gradient = np.empty(_largest(tiles, layout), p.dtype)
        for i in range(start, stop):
            begin, end = _place(tiles[i], layout)
            g = gradient[: end - begin]
            _tile_gradient(tiles[i], layout, activations, deltas, capacity, batch, g)
            step(coefficients, p[begin:end], g, part(arguments[8:], begin, end))

    return body


@loop(parallel_from=2)
def store_gradients():
    """Items are tiles; arguments: tiles, layout, activations, deltas, capacity, batch, out (as the parameters)."""

    def body(start, stop, arguments):
        tiles, layout, activations, deltas, capacity, batch, out = arguments
        for i in range(start, stop):
            begin, end = _place(tiles[i], layout)
            _tile_gradient(tiles[i], layout, activations, deltas, capacity, batch, out[begin:end])

    return body
