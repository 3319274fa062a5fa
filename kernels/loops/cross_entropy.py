"""Cross-entropy of the softmax of logits, with its gradient, for many rows at once or for one.

Each class j of a row has a share s_j of its target. The value is sum_j s_j (log(sum e**(z - max z)) - (z_j - max z)),
the gradient scale * (softmax(z) sum_j s_j - s). For each kind of targets there are two functions, before and after the
exponentials e = e**(z - max z), which are taken of many rows in one loop:

    begin(z, highest, target, parameters)                   returns sum_j s_j (z_j - max z)
    end(gradient, e, sums, target, scale, parameters)       writes the gradient, which may be e; returns the value

`sums` are what `begin` returned, the sum of e and its logarithm.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler import device, loop
from ..math import log
from ..vectors import largest, mapped, summed, unless_zero
from ..views import DOUBLE, address_of, allocate, load, matrix_at, release, row_at, vector_at
from .rows import exponentials, exponentials_of_rows, rows_of_tile, scaled, total

IGNORED = -1  # as a label: the row is ignored


class Kind(NamedTuple):
    """A kind of targets: the functions for rows at once, and the loss of one row, as bodies of models take it."""

    begin: Callable[..., Any]
    end: Callable[..., Any]
    row: Callable[..., Any]


def _predictions(size, values, gradient, logits, *rest):
    return logits.size


@loop(parallel_from=8_192, traffic="w w r", work=_predictions)
def cross_entropy(begin, end):
    """Items are rows; arguments: values (one per row), gradient, logits, target, scale, *parameters of the kind.

    The gradient may be the logits.
    """

    def body(start, stop, arguments):
        values, gradient, logits, target, scale = arguments[:5]
        parameters, columns = arguments[5:], logits.shape[1]
        rows = rows_of_tile(columns, stop - start)
        apart = rows > 1 or address_of(gradient) == address_of(logits)
        scratch, sums = allocate(logits, rows * columns if apart else 0), allocate(DOUBLE, 3 * rows)
        for i in range(start, stop, rows):
            n = min(rows, stop - i)
            z, g = matrix_at(logits, i * columns, n, columns), matrix_at(gradient, i * columns, n, columns)
            e = matrix_at(scratch, 0, n, columns) if apart else g
            begun, highest, more = vector_at(sums, 0, n), vector_at(sums, rows, n), vector_at(sums, 2 * rows, n)
            for k in range(n):
                (each,) = load((target,), i + k)
                highest[k] = largest(row_at(z, k))
                begun[k] = begin(row_at(z, k), z.dtype.type(highest[k]), each, parameters)
            exponentials_of_rows(z, highest, e)
            totals = highest
            for k in range(n):
                totals[k] = total(row_at(e, k))
            for k in range(n):
                more[k] = log(totals[k])
            for k in range(n):
                (each,) = load((target,), i + k)
                values[i + k] = end(row_at(g, k), row_at(e, k), (begun[k], totals[k], more[k]), each, scale, parameters)
        release(scratch)
        release(sums)

    return body


def _kind(begin, end):
    first, last = device(begin), device(end)

    def row(gradient, z, target, scale, parameters):
        highest = largest(z)
        begun = first(z, highest, target, parameters)
        exponentials(z, highest, gradient)
        everything = total(gradient)
        return last(gradient, gradient, (begun, everything, log(everything)), target, scale, parameters)

    row.__name__ = row.__qualname__ = end.__name__.replace("end_of", "cross_entropy_of")
    return Kind(begin, end, row)


def begin_of_labels(z, highest, label, parameters):
    """The label has the whole share."""
    return np.float64(z[label] - highest)


def end_of_labels(gradient, e, sums, label, scale, parameters):
    """The label has the whole share."""
    own, everything, logarithm = sums
    factor = e.dtype.type(scale / everything)
    of_label = e[label] * factor - scale
    scaled(gradient, (e,), (factor,))
    gradient[label] = of_label
    return logarithm - own


_begin_of_labels, _end_of_labels = device(begin_of_labels), device(end_of_labels)


def end_of_weighted_labels(gradient, e, sums, label, scale, parameters):
    """The label has the share weights[label]; the row counts for nothing if the label is ignored."""
    (weights,) = parameters
    if label == IGNORED:
        _clear(gradient)
        return 0.0
    return weights[label] * _end_of_labels(gradient, e, sums, label, scale * weights[label], ())


@device
def _clear(gradient):
    for j in range(gradient.size):
        gradient[j] = 0


_weighed = summed(lambda z, weight, highest: unless_zero(z - highest, weight) * weight)
_smoothed = mapped(lambda e, weight, factor, spread, scale: (e * factor - weight * spread) * scale)


@device
def _shares(weights, smoothing):
    """Szegedy et al. 2016: the target keeps a share, and the rest is spread over all classes."""
    return weights.dtype.type(1) - smoothing, smoothing / weights.dtype.type(weights.size)


def begin_of_smoothed_labels(z, highest, label, parameters):
    """Each class has the share weights[j] * spread, and the label has weights[label] * kept in addition."""
    weights, smoothing = parameters
    kept, spread = _shares(weights, smoothing)
    own = np.float64(weights[label] * kept)
    return spread * _weighed((z, weights), (highest,)) + (own * (z[label] - highest) if own != 0 else 0.0)


def end_of_smoothed_labels(gradient, e, sums, label, scale, parameters):
    """As `begin_of_smoothed_labels` says; the row counts for nothing if the label is ignored."""
    weights, smoothing = parameters
    if label == IGNORED:
        _clear(gradient)
        return 0.0
    kept, spread = _shares(weights, smoothing)
    number, everything, logarithm = sums
    own = weights[label] * kept
    weight = spread * total(weights) + own
    factor = e.dtype.type(weight / everything)
    of_label = scale * (e[label] * factor - (weights[label] * spread + own))
    _smoothed(gradient, (e, weights), (factor, spread, scale))
    gradient[label] = of_label
    return weight * logarithm - number


def _share(target, weight, kept, spread):
    return weight * (target * kept + spread)


def _share_of(z, target, weight, kept, spread, highest):
    share = _share(target, weight, kept, spread)
    return unless_zero(z - highest, share) * share


_sum_of_shares, _shared = summed(_share), summed(_share_of)
_of_shares = mapped(lambda e, t, w, kept, spread, factor, scale: (e * factor - _share(t, w, kept, spread)) * scale)


def begin_of_probabilities(z, highest, target, parameters):
    """Each class has the share weights[j] * (target[j] * kept + spread)."""
    weights, smoothing = parameters
    kept, spread = _shares(weights, smoothing)
    return _shared((z, target, weights), (kept, spread, highest))


def end_of_probabilities(gradient, e, sums, target, scale, parameters):
    """As `begin_of_probabilities` says."""
    weights, smoothing = parameters
    kept, spread = _shares(weights, smoothing)
    number, everything, logarithm = sums
    weight = _sum_of_shares((target, weights), (kept, spread))
    _of_shares(gradient, (e, target, weights), (kept, spread, weight / everything, scale))
    return weight * logarithm - number


LABELS = _kind(begin_of_labels, end_of_labels)
WEIGHTED_LABELS = _kind(begin_of_labels, end_of_weighted_labels)
SMOOTHED_LABELS = _kind(begin_of_smoothed_labels, end_of_smoothed_labels)
PROBABILITIES = _kind(begin_of_probabilities, end_of_probabilities)
