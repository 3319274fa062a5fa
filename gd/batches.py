"""Mini-batches: every example comes once per epoch, in an order that depends only on (seed, epoch)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .checks import check_flag, check_integer, check_label_array, check_size
from .typing import Integers

Indices = NDArray[np.intp]


def shuffled(n: int, seed: int, epoch: int, stratify: Integers | None = None) -> Indices:
    """Return a permutation of 0 to n - 1 that is determined by (seed, epoch).

    With `stratify`, the labels of the examples, each class is spread evenly over the order.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(n)
    if stratify is None:
        return order
    _, classes, counts = np.unique(stratify[order], return_inverse=True, return_counts=True)
    places = np.empty(n)
    for k, count in enumerate(counts):
        places[classes == k] = (np.arange(count) + rng.random()) / count  # evenly over the epoch
    return order[np.argsort(places, kind="stable")]


def shuffled_shard(n: int, seed: int, epoch: int, shard: int, shards: int) -> Indices:
    """Return the examples of one of `shards` equal parts, in the order of an epoch; any rank gets the same order."""
    first, last = n * shard // shards, n * (shard + 1) // shards
    return first + np.random.default_rng([seed, epoch, shard]).permutation(last - first)


def emphasized(n: int, seed: int, epoch: int, losses: NDArray[np.floating], share: float) -> Indices:
    """Return the order of an epoch in which the share of examples with the largest losses comes twice.

    A NaN loss (unknown, as all are at first) counts as the largest; equal losses are ranked at random.
    """
    rng = np.random.default_rng([seed, epoch])
    extra = int(share * n)
    order = rng.permutation(n)
    ranked = order[np.argsort(losses[order], kind="stable")]  # NaN last; equals in random order
    return rng.permutation(np.concatenate([order, ranked[n - extra :]]))


def held_out(n: int, seed: int, stratify: Integers | None = None) -> tuple[Indices, Indices]:
    """Return the rows for training, in ascending order, and a random tenth of all rows for validation."""
    held = shuffled(n, seed, 0, stratify)[::10]
    return np.setdiff1d(np.arange(n), held), held


def batches(
    n: int, batch_size: int, seed: int, epoch: int, drop_last: bool = False, stratify: Integers | None = None
) -> Iterator[Indices]:
    """Yield the index arrays of an epoch's mini-batches, shuffled without replacement.

    Parameters
    ----------
    n : int
        The number of examples.
    batch_size : int
        Examples per batch.
    seed, epoch : int
        They determine the order.
    drop_last : bool, default: False
        Leave out the last batch if it is shorter; otherwise every example comes once.
    stratify : ndarray of int, shape (n,), optional
        Class labels: each class is spread evenly over the epoch. Every batch then has the proportions of a few classes
        to within one example of each; those of many rare classes are less exact.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.batches import batches
    >>> [sorted(rows.tolist()) for rows in batches(4, 4, seed=0, epoch=0)]
    [[0, 1, 2, 3]]
    >>> [rows.size for rows in batches(5, 2, seed=0, epoch=0, drop_last=True)]
    [2, 2]
    """
    n, batch_size = check_size("batches", "n", n), check_size("batches", "batch_size", batch_size)
    seed, epoch = check_integer("batches", "seed", seed, 0), check_integer("batches", "epoch", epoch, 0)
    if stratify is not None:
        stratify = check_label_array("batches", "stratify", stratify, n)
    drop_last = check_flag("batches", "drop_last", drop_last)
    return cut(shuffled(n, seed, epoch, stratify), batch_size, drop_last)


def cut(order: Indices, batch_size: int, drop_last: bool = False) -> Iterator[Indices]:
    """Yield consecutive pieces of an order of examples; the last may be shorter."""
    for start in range(0, order.size // batch_size * batch_size if drop_last else order.size, batch_size):
        yield order[start : start + batch_size]
