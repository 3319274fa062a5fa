"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from typing import NamedTuple

import numpy as np

from .arrays import aligned_empty, check_array, check_labels
from .kernels.compiler import join
from .kernels.loops import losses as loops
from .kernels.rules import losses as rules
from .ranges import check_choice

REDUCTIONS = ("mean", "sum", "none")


def mse(prediction, target, reduction="mean"):
    """Mean squared error: mean (prediction - target)**2, without a factor 1/2.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    reduction : {"mean", "sum", "none"}, default: "mean"
        Over all elements; "none" returns a value for each.

    Returns
    -------
    value : float, or ndarray for reduction="none"
        The loss. Sums are taken by fixed blocks: the same bits for any number of threads.
    gradient : ndarray
        The derivative of the value with respect to prediction: 2 (prediction - target) / size for "mean".

    Raises
    ------
    TypeError, ValueError
        If an array does not fit or the reduction is unknown.

    Examples
    --------
    >>> import gd, numpy as np
    >>> gd.mse(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    (2.0, array([0., 2.]))
    """
    check_array("mse", "prediction", prediction)
    check_array("mse", "target", target, dtype=("prediction", prediction.dtype), shape=("prediction", prediction.shape))
    check_choice("mse", "reduction", reduction, REDUCTIONS)
    gradient = aligned_empty(prediction.size, prediction.dtype)
    flat = gradient, prediction.reshape(-1), target.reshape(-1)
    if reduction == "none":
        values = aligned_empty(prediction.size, prediction.dtype)
        join(loops.elementwise_loss_values, rules.squared)(prediction.size, values, *flat)
        return values.reshape(prediction.shape), gradient.reshape(prediction.shape)
    scale = 1 / prediction.size if reduction == "mean" else 1.0
    sums = np.empty(-(-prediction.size // loops.BLOCK))
    join(loops.elementwise_loss, rules.squared)(len(sums), sums, *flat, prediction.dtype.type(scale))
    return total(sums) * scale, gradient.reshape(prediction.shape)


def softmax_cross_entropy(logits, labels, reduction="mean"):
    """Cross-entropy of the softmax of logits: -log softmax(logits)[label], averaged over the rows.

    Parameters
    ----------
    logits : ndarray of shape (rows, classes)
        float32 or float64. Any size of logits is safe: their maximum is subtracted first.
    labels : ndarray of int, shape (rows,)
        The class of each row, 0 to classes - 1.
    reduction : {"mean", "sum", "none"}, default: "mean"
        Over the rows; "none" returns a value for each.

    Returns
    -------
    value : float, or ndarray of shape (rows,) for reduction="none"
        The loss.
    gradient : ndarray of shape (rows, classes)
        With respect to logits: (softmax(logits) - one_hot(labels)) / rows for "mean".

    Raises
    ------
    TypeError, ValueError
        If an array does not fit, a label is out of range or the reduction is unknown.

    References
    ----------
    Bridle, "Training stochastic model recognition algorithms as networks", NeurIPS 1989.
    """
    where = "softmax_cross_entropy"
    check_array(where, "logits", logits, ndim=2)
    rows, classes = logits.shape
    labels = check_labels(where, "labels", labels, rows, classes)
    check_choice(where, "reduction", reduction, REDUCTIONS)
    gradient = aligned_empty(logits.size, logits.dtype).reshape(logits.shape)
    scale = 1 / rows if reduction == "mean" else 1.0
    values = np.empty(rows)
    kernel = join(loops.row_loss, loops.softmax_cross_entropy_row)
    kernel(rows, values, gradient, logits, labels, logits.dtype.type(scale))
    return (values.astype(logits.dtype) if reduction == "none" else total(values) * scale), gradient


def total(values):
    """Return the sum of a float64 vector: NumPy's fixed tree, infinite where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.sum())


class Loss(NamedTuple):
    """What others need to know of a loss."""

    function: object  # (prediction, target, reduction="mean") -> value, gradient
    row: object  # the kernel's loss of one row of a network's output
    labels: bool  # whether targets are class labels, and predictions logits


LOSSES = {
    "softmax_cross_entropy": Loss(softmax_cross_entropy, loops.softmax_cross_entropy_row, labels=True),
    "mse": Loss(mse, loops.squared_row, labels=False),
}
