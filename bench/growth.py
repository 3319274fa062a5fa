"""What it costs to grow: the time per element, array, class or feature as their number grows.

Each call takes turns with its ceiling: a walk over as much data that computes next to nothing, or the making of as many
objects. What the caches explain, and Python's garbage collector, the ceiling shows, too.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import gd
from gd.checks import aligned_full
from gd.runtime import free_memory

from . import ceilings
from .measure import interleaved

NAME = "growth"
LENGTH, ROWS = 100, 16  # elements of an array of a list; rows of logits and of linear models
QUICK = 1_000_000  # elements of the largest size in a quick run
ROUNDS, PATIENCE = 7, 3  # turns; seconds of a size above which there are only three
ROOM = 0.8  # part of the free memory that a size may take


class Sweep(NamedTuple):
    """One call at growing sizes.

    Attributes
    ----------
    what, unit : str
        The call, and what its size counts.
    sizes : tuple of int
    elements : int
        Elements of each unit in the arrays that the call reads and writes.
    make : callable
        Takes a size; returns the call and that of its ceiling.
    """

    what: str
    unit: str
    sizes: tuple
    elements: int
    make: Callable


def _vector(size):
    p, g = _filled(2, size)
    return _step(gd.SGD(p), g), ceilings.walk(ceilings.in_place(0), (p, g))


def _list(size):
    arrays = _filled(4, size * LENGTH)
    params, grads = (list(each.reshape(size, LENGTH)) for each in arrays[:2])
    return _step(gd.Adam(params), grads), ceilings.walk(ceilings.in_place(2), arrays)


def _optimizer(size):
    params = list(_filled(1, size * LENGTH)[0].reshape(size, LENGTH))
    return lambda: gd.SGD(params), lambda: [_Holder(each) for each in params]


class _Holder:
    """An object of Python that holds an array: an optimizer needs one of each."""

    def __init__(self, array):
        self.array = array.reshape(-1)


def _logits(size):
    arrays, labels = _filled(2, size * ROWS), np.arange(ROWS) % size
    logits = arrays[0].reshape(ROWS, size)
    return lambda: gd.softmax_cross_entropy(logits, labels), ceilings.walk("1r1w", arrays)


def _gradient(size):
    (x,), (w,) = _filled(1, size * ROWS), _filled(1, size)
    X, y, b = x.reshape(ROWS, size), np.ones(ROWS, x.dtype), np.zeros(1, x.dtype)
    out = np.empty_like(w), np.empty_like(b)
    return lambda: gd.linear_model_gradient(X, y, w, b, out=out), ceilings.walk("1r", (x,))


def _epoch(size):
    (x,) = _filled(1, size * ROWS)
    X, y, model = x.reshape(ROWS, size), np.ones(ROWS, x.dtype), gd.LinearModel(size)
    optimizer = gd.Adam(model.parameters, lr=1e-6)

    def call():
        gd.fit(model, X, y, optimizer, batch_size=ROWS, epochs=1, progress=False)

    return call, ceilings.walk("1r", (x,))


def _step(optimizer, grads):
    return lambda: optimizer.step(grads)


def _filled(count, size):
    """Return arrays of small numbers: steps by them stay far from 0, subnormal numbers and infinity."""
    return [aligned_full(size, np.float32, 1e-3 * (k + 1)) for k in range(count)]


def _decades(last):
    return tuple(10**k for k in range(3, last + 1))


SWEEPS = (
    Sweep("SGD.step", "element", _decades(9), 2, _vector),
    Sweep(f"Adam.step, a list of arrays of {LENGTH}", "array", _decades(5), 8 * LENGTH, _list),
    Sweep(f"SGD(...), a list of arrays of {LENGTH}", "array", _decades(5), 8 * LENGTH, _optimizer),
    Sweep(f"softmax_cross_entropy, {ROWS} rows", "class", _decades(6), 3 * ROWS, _logits),
    Sweep(f"linear_model_gradient, {ROWS} rows", "feature", _decades(6), ROWS + 3, _gradient),
    Sweep(f"LinearModel with Adam, an epoch of {ROWS} rows", "feature", _decades(6), ROWS + 4, _epoch),
)


def cases(quick=False, sizes=()):
    """Return the (sweep, size) pairs of a run; `sizes` replace each sweep's own."""
    pairs = [(sweep, size) for sweep in SWEEPS for size in sizes or sweep.sizes]
    return [(sweep, size) for sweep, size in pairs if not quick or size * sweep.elements <= QUICK]


def growth(pairs, progress):
    """Return the records of (sweep, size) pairs.

    Parameters
    ----------
    pairs : list
        As from `cases`.
    progress : callable
        Called with a text before each.

    Returns
    -------
    list of dict
        As the records of cases, with the "unit" that the size counts. A size that does not fit into memory is not
        timed, and "failed" says so.
    """
    records = []
    for sweep, size in pairs:
        progress(f"{sweep.what}, {size:,}")
        record = {"family": NAME, "what": sweep.what, "unit": sweep.unit, "size": size, "dtype": "float32"}
        needed, free, seconds, failed = 4 * sweep.elements * size, free_memory(), {}, {}
        if needed <= ROOM * free:
            calls = dict(zip(("gd", "ceiling"), sweep.make(size), strict=True))
            seconds = interleaved(calls, ROUNDS, patience=PATIENCE)
            del calls  # with their arrays, before the next size needs the memory
        else:
            failed["gd"] = f"it takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        records.append(record | {"threads": gd.get_threads(), "libraries": seconds, "failed": failed})
    return records
