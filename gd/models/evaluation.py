"""Evaluation: the loss and the score of a model on data; Targets: what it is trained and judged by."""

from collections.abc import Mapping
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_array, lent


class Targets(NamedTuple):
    """Targets as kernels take them, with the weights of their rows: what `Model.check_data` returns."""

    arrays: Any  # an array; of a network a tuple, one for each head
    weights: NDArray[Any]  # in the dtype of the model, or empty
    means: tuple[float, ...] = ()  # the mean weight in a training, by output: the sum of a mini-batch is divided by it

    @property
    def divisor_weights(self) -> NDArray[Any]:
        """The weights that the divisor of a batch sums up; empty if `means` is given, as it is then rows * mean."""
        return self.weights[:0] if self.means else self.weights

    def weight(self, rows: NDArray[np.intp]) -> float:
        """Return what some rows count in the mean of several mini-batches."""
        if self.means or not self.weights.size:
            return rows.size
        return float(self.weights[rows].sum(dtype=np.float64))

    def relative(self) -> "Targets":
        """Return these, with very large or small weights scaled by a power of two: only their ratios count."""
        exponent = int(np.frexp(self.weights.max())[1]) if self.weights.size else 0
        return self._replace(weights=np.ldexp(self.weights, -exponent)) if abs(exponent) > 60 else self

    def absolute(self) -> "Targets":
        """Return these with weights that are not divided by their mean."""
        outputs = len(self.arrays) if isinstance(self.arrays, tuple) else 1
        return self._replace(means=(1.0,) * outputs) if self.weights.size else self

    @property
    def counted(self) -> NDArray[np.intp] | None:
        """The rows whose weight is above 0; None if all of them are."""
        return np.flatnonzero(self.weights) if self.weights.size and not self.weights.all() else None

    def some(self, rows: NDArray[np.intp]) -> "Targets":
        """Return those of some rows."""
        arrays = tuple(each[rows] for each in self.arrays) if isinstance(self.arrays, tuple) else self.arrays[rows]
        return self._replace(arrays=arrays, weights=self.weights[rows])


def check_weights(
    where: str, weights: Any, n: int, own: tuple[str, np.dtype[Any]], rows: Any = slice(None)
) -> NDArray[Any]:
    """Return `sample_weight` of n rows, of which some are read, as kernels take it, or raise; empty for None."""
    if weights is None:
        return np.empty(0, own[1])
    weights = lent(where, "sample_weight", weights)
    if isinstance(weights, np.ndarray) and weights.dtype.kind in "biu":
        weights = weights.astype(own[1])
    weights = check_array(where, "sample_weight", weights, dtype=own, shape=("the rows of X", (n,)), any_size=not n)
    read = weights[rows]
    wrong = read[~((read >= 0) & np.isfinite(read))]
    if wrong.size:
        raise ValueError(f"{where}: sample_weight must be finite and 0 or above, got {wrong[0]}")
    return weights


def uncounted(where: str, y: Any, weights: NDArray[Any]) -> Any:
    """Return targets in which the rows of weight 0 have that of another row: theirs may be anything."""
    if not weights.size or weights.all():
        return y
    if isinstance(y, Mapping):
        return {name: uncounted(where, each, weights) for name, each in y.items()}
    y = None if y is None else lent(where, "y", y)
    if not isinstance(y, np.ndarray) or y.shape[:1] != weights.shape:
        return y
    y = y.copy()
    y[weights == 0] = y[np.argmax(weights)]
    return y


class Evaluation(NamedTuple):
    """How good a model's outputs are on data, without dropout and penalties.

    Attributes
    ----------
    loss : float
        The mean loss; with heads, the sum of their weighted losses. NaN if no row has a target.
    score : float
        The loss's own figure, higher for better outputs: the accuracy of cross-entropy and hinge losses, D**2 of
        quantile, mae and poisson, else R**2. With heads, the mean of their scores, weighted as their losses are.
    losses, scores : dict of str to float or None
        Those of each head, not weighted; None if no row has a target for it.
    """

    loss: float
    score: float
    losses: dict[str, float | None]
    scores: dict[str, float | None]


def combined(losses: Mapping[str, float | None], scores: Mapping[str, float | None], weights: Mapping[str, float]):
    """Return the evaluation of several heads."""
    present = {name: loss for name, loss in losses.items() if loss is not None}
    if not present:
        return Evaluation(nan, nan, dict(losses), dict(scores))
    total = sum(weights[name] for name in present)
    shares = {name: weights[name] / total if total else 1 / len(present) for name in present}
    score = sum(shares[name] * (scores[name] or 0.0) for name in present)
    return Evaluation(sum(weights[name] * present[name] for name in present), score, dict(losses), dict(scores))
