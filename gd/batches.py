"""Mini-batches: every example once an epoch, in an order that follows from (seed, epoch) alone."""

import numpy as np

from .checks import check_flag, check_integer, check_label_array, check_size


def shuffled(n, seed, epoch, stratify=None):
    """Return the numbers 0 to n - 1 in the order of an epoch: the same for the same (seed, epoch).

    With `stratify`, a label for each, the examples of every class are spread evenly over the order.
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


def shuffled_shard(n, seed, epoch, shard, shards):
    """Return the numbers of one of equal parts of the examples in the order of an epoch, whoever asks for them."""
    first, last = n * shard // shards, n * (shard + 1) // shards
    return first + np.random.default_rng([seed, epoch, shard]).permutation(last - first)


def emphasized(n, seed, epoch, losses, share):
    """Return the order of an epoch in which a share of the examples, those of the largest losses, comes twice.

    Where a loss is NaN, as all are at first, it counts as large: examples that are not known come first, at random.
    """
    rng = np.random.default_rng([seed, epoch])
    extra = int(share * n)
    order = rng.permutation(n)
    ranked = order[np.argsort(losses[order], kind="stable")]  # NaN last; equals in random order
    return rng.permutation(np.concatenate([order, ranked[n - extra :]]))


def held_out(n, seed, stratify=None):
    """Return the numbers of rows to train with, in order, and of a tenth of all, drawn at random, to judge by."""
    held = shuffled(n, seed, 0, stratify)[::10]
    return np.setdiff1d(np.arange(n), held), held


def batches(n, batch_size, seed, epoch, drop_last=False, stratify=None):
    """Yield the index arrays of an epoch's mini-batches, shuffled without replacement.

    Parameters
    ----------
    n : int
        The number of examples.
    batch_size : int
        Examples a batch.
    seed, epoch : int
        What the order follows from.
    drop_last : bool, default: False
        Leave out the last batch if it is shorter; otherwise every example comes once.
    stratify : ndarray of int, shape (n,), optional
        Class labels, of which the examples are spread evenly over the epoch: a batch holds a few classes in their
        proportions to within an example of each, many rare ones less exactly.

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


def cut(order, batch_size, drop_last=False):
    """Yield the pieces of an order of examples; the last may be shorter."""
    for start in range(0, order.size // batch_size * batch_size if drop_last else order.size, batch_size):
        yield order[start : start + batch_size]
