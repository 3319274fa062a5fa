"""Weight gradients of dense layers by tiles: each is one small product in cache, and is stored or stepped at once."""

from typing import NamedTuple

import numpy as np

from ..blas import back_product, transposed_product
from ..compiler import device, loop
from ..views import allocate, matrix_at, release, row_at, vector_at
from ..words import invoke
from .dense import Layer, copy_row, layer_at, rows_of, weights_of

BIAS_TILE, SLOPES_TILE = -1, -2  # in place of a tile's first row
STEP = 12  # weight rows: of multiples of it, BLAS is fastest
TILE_ELEMENTS = 6144  # of a weight gradient: it, the parameters and two slots take 96 KiB of a second-level cache


def weight_tiles(layout):
    """Return the tiles of all layers: rows of layer, first and last weight row.

    A tile has `TILE_ELEMENTS`, but `STEP` rows at least. The layers' tiles are interleaved, so that threads that
    take equal numbers of them get equal work.
    """
    placed = []
    for k, row in enumerate(layout.tolist()):
        layer = Layer(*row)
        most = max(STEP, TILE_ELEMENTS // layer.columns // STEP * STEP)
        edges = [*range(0, layer.fan_in, most), layer.fan_in]
        pieces = len(edges) - 1
        placed += [((piece + 0.5) / pieces, k, edges[piece], edges[piece + 1]) for piece in range(pieces)]
        kinds = (BIAS_TILE,) if layer.slopes < 0 else (BIAS_TILE, SLOPES_TILE)
        placed += [(k / len(layout), k, kind, kind) for kind in kinds]
    return np.array([tile for _, *tile in sorted(placed)])


@device
def _place(tile, layout):
    """Return where a tile begins and ends in the parameter vector."""
    layer = layer_at(layout, tile[0])
    if tile[1] == BIAS_TILE:
        return layer.bias, layer.bias + layer.columns
    if tile[1] == SLOPES_TILE:
        return layer.slopes, layer.slopes + layer.width
    return layer.weights + tile[1] * layer.columns, layer.weights + tile[2] * layer.columns


@device
def _tile_gradient(tile, layout, activations, deltas, dslopes, capacity, batch, out):
    """Write the gradient of a tile into out."""
    layer = layer_at(layout, tile[0])
    delta = rows_of(deltas, capacity, layer.delta, 0, batch, layer.columns)
    if tile[1] == BIAS_TILE:
        _sum_rows(delta, out)
    elif tile[1] == SLOPES_TILE:
        _sum_rows(rows_of(dslopes, capacity, layer.delta, 0, batch, layer.columns), out)
    else:
        inputs = rows_of(activations, capacity, layer.input, 0, batch, layer.fan_in)
        transposed_product(inputs, tile[1], tile[2], delta, matrix_at(out, 0, tile[2] - tile[1], layer.columns))


@device
def _multiply_back(tile, layout, vector, deltas, capacity, dx, add):
    """Write the columns of dx that belong to a tile, or add to them."""
    if len(dx) and tile[1] >= 0:
        layer = layer_at(layout, tile[0])
        delta = rows_of(deltas, capacity, layer.delta, 0, len(dx), layer.columns)
        back_product(delta, weights_of(vector, layer), tile[1], tile[2], dx, add)


@device
def _sum_rows(rows, out):
    copy_row(row_at(rows, 0), out)
    for i in range(1, len(rows)):
        row = row_at(rows, i)
        for j in range(out.size):
            out[j] += row[j]


@device
def _largest(tiles, layout):
    largest = 0
    for i in range(len(tiles)):
        begin, end = _place(row_at(tiles, i), layout)
        largest = max(largest, end - begin)
    return largest


class Tiles(NamedTuple):
    """Tiles whose gradients are products of a batch's workspaces: what `update_weights` and `store_gradients` share."""

    batch: int  # rows
    tiles: np.ndarray
    layout: np.ndarray
    activations: np.ndarray
    deltas: np.ndarray
    dslopes: np.ndarray
    capacity: int
    dx: np.ndarray  # where it has rows, the gradient with respect to the layer's input goes there
    add: bool  # or is added there


UpdateWeights = NamedTuple(
    "UpdateWeights",
    [
        ("coefficients", np.ndarray),
        ("step", bytes),  # an `update` of p
        *Tiles.__annotations__.items(),
        ("p", np.ndarray),
        ("slots", int),  # how many
    ],
)
StoreGradients = NamedTuple("StoreGradients", [*Tiles.__annotations__.items(), ("p", np.ndarray), ("out", np.ndarray)])


def _operands(work):
    """Return (elements that the products of these tiles' layers read, parameters of the layers, bytes of dx moved)."""
    read, parameters = 0, 0
    for row in work.layout[np.unique(work.tiles[:, 0])].tolist():
        layer = Layer(*row)
        slopes = layer.width if layer.slopes >= 0 else 0
        read += work.batch * (layer.fan_in + layer.columns + slopes)
        parameters += (layer.fan_in + 1) * layer.columns + slopes
    return read, parameters, work.dx.nbytes * (2 if work.add else 1)


def _update_traffic(size, *arguments):
    work = UpdateWeights(*arguments)
    read, parameters, of_dx = _operands(work)
    return (read + 2 * parameters * (1 + work.slots)) * work.p.itemsize + of_dx


def _store_traffic(size, *arguments):
    work = StoreGradients(*arguments)
    read, parameters, of_dx = _operands(work)
    return (read + parameters * (2 if len(work.dx) else 1)) * work.p.itemsize + of_dx  # dx takes the weights


@loop(parallel_from=2, flush=True, traffic=_update_traffic, given="x[:] body int", names=UpdateWeights)
def update_weights():
    """Items are tiles: take the optimizer's step of each."""

    def body(start, stop, work):
        gradient = allocate(work.p, _largest(work.tiles, work.layout))
        for i in range(start, stop):
            tile = row_at(work.tiles, i)
            begin, end = _place(tile, work.layout)
            g = vector_at(gradient, 0, end - begin)
            _multiply_back(tile, work.layout, work.p, work.deltas, work.capacity, work.dx, work.add)
            _tile_gradient(tile, work.layout, work.activations, work.deltas, work.dslopes, work.capacity, work.batch, g)
            invoke(work.step, begin, end, (work.coefficients, g, begin))
        release(gradient)

    return body


@loop(parallel_from=2, flush=True, traffic=_store_traffic, names=StoreGradients)
def store_gradients():
    """Items are tiles: write the gradient of each into `out`, which is like the parameters p."""

    def body(start, stop, work):
        for i in range(start, stop):
            tile = row_at(work.tiles, i)
            begin, end = _place(tile, work.layout)
            _multiply_back(tile, work.layout, work.p, work.deltas, work.capacity, work.dx, work.add)
            g = vector_at(work.out, begin, end - begin)
            _tile_gradient(tile, work.layout, work.activations, work.deltas, work.dslopes, work.capacity, work.batch, g)

    return body
