"""Loss: what models need to know of a loss."""

from typing import NamedTuple

import numpy as np

from ..checks import CLOSED_UNIT, check_array, check_number, check_reals
from ..kernels.loops import losses as loops


def total(values):
    """Return the sum of a float64 vector: NumPy's fixed tree, infinite where it overflows."""
    if values.size == 1:
        return values.item()  # in a tenth of the time
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.sum())


def r_squared(target, prediction):
    """Return the coefficient of determination 1 - (squared errors) / (squared distances from the mean).

    Over all outputs; where the targets are constant it is 1 for perfect predictions and 0 for others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sum((target.astype(np.float64) - prediction) ** 2)
        spread = np.sum((target - target.mean(axis=0, dtype=np.float64)) ** 2)
    return float(1 - errors / spread) if spread > 0 else float(errors == 0)


class Loss(NamedTuple):
    """What others need to know of a loss."""

    function: object  # (prediction, target, reduction="mean", **parameters) -> value, gradient
    rule: object = None  # of one element; None for softmax_cross_entropy
    parameters: dict = {}  # noqa: RUF012  (what the rule takes: name -> (default, Range))

    @property
    def labels(self):
        """Whether targets are class labels, and predictions logits."""
        return self.rule is None

    def of_row(self, where, given, width, dtype, optional=False):
        """Return the loss of a row for kernels, and its parameters; where `optional`, a label may be IGNORED."""
        if self.labels:
            return _cross_entropy_row(where, given, width, dtype, optional)
        return loops.row_of(self.rule), check_reals(where, given, self.parameters, dtype)


def _cross_entropy_row(where, given, width, dtype, optional):
    """Return the loss of a row and its parameters, as `softmax_cross_entropy` chooses them for labels."""
    for name in given.keys() - {"label_smoothing", "class_weights"}:
        raise TypeError(f"{where}: unexpected keyword {name!r}")
    smoothing = check_number(where, "label_smoothing", given.get("label_smoothing", 0.0), CLOSED_UNIT)
    weights = given.get("class_weights")
    if not smoothing and weights is None and not optional:
        return loops.softmax_cross_entropy_row, ()
    weights = check_class_weights(where, weights, width, ("the model", dtype))
    if smoothing:
        return loops.smoothed_cross_entropy_row, (weights, dtype.type(smoothing))
    return loops.weighted_cross_entropy_row, (weights,)


def check_class_weights(where, weights, classes, dtype):
    """Return the weights of classes, all 1 for None, if they are numbers of 0 or above, else raise."""
    weights = np.ones(classes, dtype[1]) if weights is None else weights
    weights = check_array(where, "class_weights", weights, dtype=dtype, shape=("a row of logits", (classes,)))
    if not (weights >= 0).all():
        raise ValueError(f"{where}: class_weights must be 0 or above, got {weights.min()}")
    if np.isinf(weights).any():
        raise ValueError(f"{where}: class_weights must be finite, got {weights.max()}")
    return weights
