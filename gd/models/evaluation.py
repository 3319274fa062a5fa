"""Evaluation: the loss and the score of a model on data; Targets: what it is trained and judged by."""

from collections.abc import Mapping
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_array, lent

NONE = np.empty(0)  # as weights


class Targets(NamedTuple):
    """Targets as kernels take them, with the weights of their rows: what `Model.check_data` returns."""

    arrays: Any  # an array; of a network a tuple, one for each head
    weights: NDArray[Any]  # in the dtype of the model, or empty
    means: tuple[float, ...] = ()  # the mean weight in a training, by output: the sum of a mini-batch is divided by it

    @property
    def dividing(self) -> NDArray[Any]:
        """The weights whose sum divides that of the losses: those of the rows, unless their mean is given."""
        return self.weights[:0] if self.means else self.weights

    def weight(self, rows: NDArray[np.intp]) -> float:
        """Return what some rows count in the mean of several mini-batches."""
        weights = self.dividing
        return float(weights[rows].sum(dtype=np.float64)) if weights.size else rows.size

    def absolute(self) -> "Targets":
        """Return these with weights that are not divided by their mean."""
        outputs = len(self.arrays) if isinstance(self.arrays, tuple) else 1
        return self._replace(means=(1.0,) * outputs) if self.weights.size else self

    @classmethod
    def of(cls, where: str, arrays: Any, weights: Any, rows: int, dtype: np.dtype[Any]) -> "Targets":
        """Return checked targets with `sample_weight`, which may be None."""
        if weights is None:
            return cls(arrays, NONE.astype(dtype))
        weights = lent(where, "sample_weight", weights)
        if isinstance(weights, np.ndarray) and weights.dtype.kind in "biu":
            weights = weights.astype(dtype)
        shape = ("the rows of X", (rows,))
        weights = check_array(where, "sample_weight", weights, dtype=("the model", dtype), shape=shape)
        if not (weights >= 0).all() or not np.isfinite(weights).all():
            raise ValueError(
                f"{where}: sample_weight must be finite and 0 or above, got {weights.min()} to {weights.max()}"
            )
        if not weights.any():
            raise ValueError(f"{where}: sample_weight must be above 0 for some row, got 0 for all")
        return cls(arrays, weights)

    @property
    def counted(self) -> NDArray[np.intp] | None:
        """The rows whose weight is above 0; None if all of them are."""
        return np.flatnonzero(self.weights) if self.weights.size and not self.weights.all() else None


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
