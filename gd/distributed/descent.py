"""An epoch on several ranks: each computes the gradients of its parts of every mini-batch."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..batches import shuffled_shard

if TYPE_CHECKING:
    from ..parameters import ParameterVector
    from .optimizer import Distributed


def descend(
    optimizer: "Distributed", model: Any, X: Any, y: Any, seed: int, epoch: int, batch_size: int
) -> Iterator[tuple[float, int, float]]:
    """See `Distributed.descend`."""
    parts = optimizer.logical_shards
    sizes = np.diff(np.arange(parts + 1) * X.shape[0] // parts)
    orders = [shuffled_shard(X.shape[0], seed, epoch, k, parts) for k in optimizer.shards]
    each, gradient = -(-batch_size // parts), model.parameters.zeros_like()
    if not optimizer._started:
        rows = np.concatenate(orders)[: each * len(orders)]
        with optimizer._ranks.in_turn():
            if rows.size:
                model.write_gradients(X, y, rows, 0, gradient)
        optimizer._started = True
    optimizer._clock.lap()  # the first lap begins here
    for first in range(0, sizes.max(), each):
        pieces = [order[first : first + each] for order in orders]
        if not optimizer._reproducible:
            pieces = [np.concatenate(pieces)]
        rows = int(np.clip(sizes - first, 0, each).sum())
        losses = np.zeros(parts)
        vectors = _gradients(optimizer, model, X, y, pieces, rows, gradient, losses)
        vector = optimizer._tree(vectors) if optimizer._reproducible else next(vectors)
        loss = float(optimizer._ranks.sum(losses).sum()) / rows
        if not isfinite(loss) and not optimizer.skip_nonfinite:
            yield loss, rows, rows
            return
        if optimizer._step(vector):
            model.constrain()
        yield loss, rows, rows


def _gradients(
    optimizer: "Distributed",
    model: Any,
    X: Any,
    y: Any,
    pieces: Sequence[NDArray[np.intp]],
    rows: int,
    gradient: "ParameterVector",
    losses: NDArray[np.float64],
) -> Iterator[NDArray[Any]]:
    """Yield the gradient of each piece of a batch, weighted by its rows; write the sums of losses into `losses`."""
    for k, piece in zip(optimizer.shards, pieces, strict=False):
        if piece.size:
            loss = model.write_gradients(X, y, piece, optimizer.logical_shards * optimizer.steps + k, gradient)
            losses[k], weight = piece.size * loss, piece.size * optimizer._addends / rows
        else:
            weight = 0.0
        if weight == 0:
            gradient.vector[:] = 0
        elif weight != 1:
            with np.errstate(over="ignore", under="ignore"):
                np.multiply(gradient.vector, weight, out=gradient.vector)
        yield gradient.vector
