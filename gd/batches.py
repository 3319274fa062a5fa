"""Mini-batches: every example once an epoch, in an order that follows from (seed, epoch) alone."""

import numpy as np

from .ranges import check_integer


def shuffled(n, seed, epoch):
    """Return the numbers 0 to n - 1 in the order of an epoch: the same for the same (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def batches(n, batch_size, seed, epoch):
    """Yield the index arrays of an epoch's mini-batches, shuffled without replacement; the last may be shorter.

    Parameters
    ----------
    n : int
        The number of examples.
    batch_size : int
        Examples a batch.
    seed, epoch : int
        What the order follows from.
    """
    batch_size = check_integer("batches", "batch_size", batch_size, 1)
    order = shuffled(check_integer("batches", "n", n, 1), seed, epoch)
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]
