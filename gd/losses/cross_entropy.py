"""The cross-entropy of the softmax of logits, for labels and for probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    CLOSED_UNIT,
    check_array,
    check_choice,
    check_label_array,
    check_labels,
    check_number,
    lent,
)
from ..kernels.compiler import join
from ..kernels.gates import LABELS, Gate
from ..kernels.loops import cross_entropy as loops
from ..typing import Array, Integers, Reduction
from .base import check_class_weights, check_distributions, check_gradient, total

REDUCTIONS = ("mean", "sum", "none")
ValueAndGradient = tuple[Any, NDArray[Any]]  # a float, or for reduction="none" an array of values


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    reduction: Reduction = "mean",
    *,
    label_smoothing: float = 0.0,
    class_weights: Array | None = None,
    ignore_index: int | None = None,
    out: Array | None = None,
) -> ValueAndGradient:
    """Cross-entropy of the softmax of logits: -log softmax(logits)[label], averaged over the rows.

    Parameters
    ----------
    logits : ndarray of shape (rows, classes)
        float32 or float64. Large logits are safe: their maximum is subtracted first.
    labels : ndarray of int, shape (rows,), or ndarray of shape (rows, classes)
        The class of each row, 0 to classes - 1; or probabilities of all classes, in the dtype of logits.
    reduction : {"mean", "sum", "none"}, default: "mean"
        Over the rows; "none" returns a value for each. As in PyTorch, with labels the mean is weighted by
        class_weights[label], and ignored rows do not count; with probabilities it is over all rows.
    label_smoothing : float, default: 0
        In [0, 1]: this share of each target is spread equally over all classes.
    class_weights : ndarray of shape (classes,), optional
        Factors of the terms of each class; 0 or above, in the dtype of logits.
    ignore_index : int, optional
        Rows with this label have loss 0 and gradient 0. (PyTorch's default is -100.)
    out : ndarray, optional
        Where to write the gradient: like logits, or logits themselves.

    Returns
    -------
    value : float, or ndarray of shape (rows,) for reduction="none"
        The loss; NaN if it is a mean over no rows.
    gradient : ndarray of shape (rows, classes)
        With respect to logits: (softmax(logits) - one_hot(labels)) / rows for "mean"; `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit, a label is out of range or the reduction is unknown; then nothing is written.

    References
    ----------
    Bridle, "Training stochastic model recognition algorithms as networks", NeurIPS 1989. Smoothing: Szegedy
    et al., CVPR 2016.
    """
    where = "softmax_cross_entropy"
    is_plain = type(reduction) is str and reduction == "mean" and class_weights is None and ignore_index is None
    is_plain = is_plain and type(label_smoothing) is float and label_smoothing == 0.0
    if is_plain:
        result = _gate.enter(0, out, logits, labels)
        if result is None:
            result = _gate.split(out, logits, labels)
        if result is not None:
            return result
    logits = check_array(where, "logits", logits, ndim=2, any_size=True)
    if not logits.shape[1]:
        raise ValueError(f"{where}: logits must have at least one column, got shape {logits.shape}")
    targets: Any = lent(where, "labels", labels)
    (rows, classes), real = logits.shape, logits.dtype.type
    smoothing = check_number(where, "label_smoothing", label_smoothing, CLOSED_UNIT)
    check_choice(where, "reduction", reduction, REDUCTIONS)
    probabilities = isinstance(targets, np.ndarray) and targets.ndim == 2 and targets.dtype.kind == "f"
    weights = check_class_weights(where, class_weights, classes, ("logits", logits.dtype))
    count = rows
    if probabilities:
        like = {"dtype": ("logits", logits.dtype), "shape": ("logits", logits.shape)}
        check_array(where, "labels", targets, **like, any_size=True)
        if ignore_index is not None:
            raise ValueError(f"{where}: ignore_index needs labels that are classes, got probabilities")
        check_distributions(where, "labels", targets)
        kind, parameters = loops.PROBABILITIES, (weights, real(smoothing))
    else:
        ignored = _ignored(where, check_label_array(where, "labels", targets, rows), ignore_index)
        if ignored is not None:
            targets = np.where(ignored, 0, targets)
        targets = check_labels(where, "labels", targets, rows, classes)
        if class_weights is not None or ignored is not None:
            each = weights[targets].astype(np.float64)
            count = float(np.sum(each if ignored is None else each[~ignored]))
        if ignored is not None:
            targets = np.where(ignored, loops.IGNORED, targets)
        kind, parameters = loops.LABELS, ()
        if smoothing > 0:
            kind, parameters = loops.SMOOTHED_LABELS, (weights, real(smoothing))
        elif class_weights is not None or ignored is not None:
            kind, parameters = loops.WEIGHTED_LABELS, (weights,)
    gradient, _ = check_gradient(where, out, ("logits", logits), ("labels", targets), ("class_weights", weights))
    scale = 1.0 if reduction != "mean" else 1 / count if count else 0.0
    values = np.empty(rows)
    kernel = join(loops.cross_entropy, kind.begin, kind.end)
    arguments = values, gradient, logits, targets, real(scale), *parameters
    kernel(rows, *arguments)
    if is_plain and kind is loops.LABELS and rows:
        for over in (None, 0):
            _gate.admit(kernel, arguments, logits.dtype, over)
    if reduction == "none":
        return values.astype(logits.dtype), gradient
    return total(values) * (scale if count else np.nan if reduction == "mean" else 1.0), gradient


_gate = Gate(1, rows=True, form=LABELS)  # of labels without weights, for the mean


def _ignored(where: str, labels: Integers, ignore_index: int | None) -> NDArray[np.bool_] | None:
    """Return a mask of the rows to ignore, or None if there are none."""
    if ignore_index is None:
        return None
    if isinstance(ignore_index, (bool, np.bool_)) or not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"{where}: ignore_index must be an integer, got {ignore_index!r}")
    ignored = labels == int(ignore_index)
    return ignored if ignored.any() else None
