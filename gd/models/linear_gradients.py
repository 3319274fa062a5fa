"""Linear models: the loss of a mini-batch and its gradient in one pass over the rows, which are never copied."""

import numpy as np

from ..checks import (
    REAL,
    check_array,
    check_csr,
    check_indices,
    check_labels,
    check_places,
    check_real,
    is_sparse,
    kernel_arguments,
    lent,
)
from ..kernels.blas import load_blas
from ..kernels.compiler import join
from ..kernels.loops import linear as loops
from ..kernels.traffic import of_rows
from ..losses import LOSSES, check_loss
from ..runtime import single_threaded_blas

NONE = np.empty(0, np.intp)  # in place of rows: all of them, in order


def linear_model_gradient(X, y, w, b, loss="mse", rows=None, out=None, sample_weight=None, **parameters):
    """Return the mean loss of the predictions X[rows] w + b, and its gradients with respect to w and b.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, features)
        float32 or float64; may be read-only or an np.memmap. Never copied as a whole. Sparse matrices are
        SciPy's, in CSR.
    y : ndarray of shape (n,) or (n, outputs)
        Targets; integers or of the dtype of X. Labels are 0 and 1 for "binary_cross_entropy_with_logits", -1 and 1
        for the hinge losses, and 0 to classes - 1 for "softmax_cross_entropy".
    w : ndarray of shape (features,) or (features, outputs)
        Of the dtype of X.
    b : float or ndarray of shape (1,) or (outputs,)
        The intercept.
    loss : str, default: "mse"
        A name of `gd.losses.LOSSES`, such as "mse" (no factor 1/2), "huber" or "poisson" (of logarithms of rates); or
        "squared", "logistic" or "softmax", short for "mse", "binary_cross_entropy_with_logits" and
        "softmax_cross_entropy".
    rows : ndarray of int, optional
        The rows of the mini-batch, which may repeat; by default all, in order.
    out : tuple of two ndarrays, optional
        Where to write the gradients: like w and b.
    sample_weight : ndarray of shape (n,), optional
        Multiplies the loss of each row, 0 or above. The mean stays over the number of rows.
    **parameters
        Of the loss, such as ``delta=1.0``: those of its function, with the same defaults.

    Returns
    -------
    loss : float
        Over rows, and over outputs but for "softmax_cross_entropy". The same bits for any number of threads.
    dw, db : ndarray, and ndarray or float
        Like w and b.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; nothing is written then.

    Examples
    --------
    >>> import gd, numpy as np
    >>> X, y = np.array([[1.0], [2.0]]), np.array([1.0, 3.0])
    >>> gd.linear_model_gradient(X, y, np.zeros(1), 0.0)
    (5.0, array([-7.]), -4.0)
    """
    return _gradient("linear_model_gradient", X, y, w, b, loss, rows, out, sample_weight, parameters)


def linear_regression_gradient(X, y, w, b, rows=None, out=None, sample_weight=None):
    """Return the mean squared error of X[rows] w + b and its gradients; see `linear_model_gradient`.

    The gradient with respect to w is 2 / n X^T (X w + b - y).
    """
    return _gradient("linear_regression_gradient", X, y, w, b, "mse", rows, out, sample_weight, {})


def logistic_regression_gradient(X, y, w, b, rows=None, out=None, sample_weight=None):
    """Return the mean logistic loss of the logits X[rows] w + b and its gradients; see `linear_model_gradient`.

    Labels are 0 and 1, or probabilities of 1.
    """
    return _gradient(
        "logistic_regression_gradient", X, y, w, b, "binary_cross_entropy_with_logits", rows, out, sample_weight, {}
    )


def softmax_regression_gradient(X, y, W, b, rows=None, out=None, sample_weight=None):
    """Return the mean cross-entropy of the softmax of X[rows] W + b and its gradients; see `linear_model_gradient`.

    W has shape (features, classes), labels are 0 to classes - 1.
    """
    return _gradient(
        "softmax_regression_gradient", X, y, W, b, "softmax_cross_entropy", rows, out, sample_weight, {}, "W"
    )


def _gradient(where, X, y, w, b, loss, rows, out, sample_weight, parameters, matrix="w"):
    X = check_matrix(where, X)
    (n, features), dtype = X.shape, X.dtype
    own = ("X", dtype)
    labels = LOSSES[loss := check_loss(where, loss)].labels
    w, b = check_array(where, matrix, w, dtype=own), lent(where, "b", b)
    if w.shape[0] != features or w.ndim > 2 or (labels and w.ndim != 2):
        expected = f"({features}, outputs)" if labels else f"({features},) or ({features}, outputs)"
        raise ValueError(f"{where}: {matrix} has shape {w.shape}, expected {expected}")
    bias = _checked_bias(where, b, w, own)
    rows = NONE if rows is None else check_indices(where, "rows", rows, n)
    y = check_targets(where, y, n, w.shape[1:], labels, own, "labels" if rows.size else "numbers")
    weights = np.empty(0, dtype)
    if sample_weight is not None:
        weights = check_array(where, "sample_weight", sample_weight, dtype=own, shape=("the rows of X", (n,)))
        lowest = (weights[rows] if rows.size else weights).min()  # NaN if there is one
        if not lowest >= 0:
            raise ValueError(f"{where}: sample_weight must be 0 or above, got {lowest}")
    loss = OfLinear(where, loss, parameters, w.shape[1:], dtype)
    data = X
    if is_sparse(X):
        check_places(where, "X", X, rows)
        data = X.data
    operands = [("X", data), ("y", y), (matrix, w)] + [("sample_weight", weights)] * (sample_weight is not None)
    out = _checked_out(where, out, w, b, own, operands)
    gradient = np.empty(w.size + bias.size, dtype)
    value = compute(X, y, w, bias, loss, rows, weights, gradient)
    dw, db = gradient[: w.size].reshape(w.shape), gradient[w.size :]
    if out is not None:
        out[0][...] = dw
        dw = out[0]
        if out[1] is not None:
            out[1][...] = db
            db = out[1]
    return value, dw, db if isinstance(b, np.ndarray) else float(db[0])


class OfLinear:
    """The loss of a linear model, as kernels take it.

    Attributes
    ----------
    terms : int
        How many losses of an example are averaged: one for each output, but one where labels are classes.
    class_weights : ndarray or None
        By which the mean over examples is weighted.
    """

    def __init__(self, where, name, given, outputs, dtype):
        loss, width = LOSSES[name], outputs[0] if outputs else 1
        row, self._numbers = loss.of_row(where, given, width, dtype)
        self._kernel = join(loops.losses_of_vectors, row) if outputs else join(loops.losses_of_numbers, loss.rule)
        self._dtype, self.labels, self.terms = dtype, loss.labels, 1 if loss.labels else width
        self.class_weights = self._numbers[0] if loss.labels and self._numbers else None

    def bound(self, y, weights):
        """Return the losses of examples as kernels take them, and how many bytes they read of each."""
        return self._kernel.bind(self._dtype, y, weights, *self._numbers), of_rows(y, 1) + of_rows(weights, 1)

    def count(self, y, rows, examples):
        """Return by what the sum of the losses of some rows is divided."""
        if self.class_weights is None:
            return examples * self.terms
        return float(self.class_weights[y[rows] if rows.size else y].sum(dtype=np.float64))


def compute(X, y, w, b, loss, rows, weights, gradient):
    """Write the gradient, of w and then b, and return the mean loss; arguments are those of kernels, not checked."""
    count = rows.size or X.shape[0]
    size = loops.block_rows(count, gradient.size)
    blocks = -(-count // size)
    values = np.empty(blocks)
    parts = gradient.reshape(1, -1) if blocks == 1 else np.empty((blocks, gradient.size), w.dtype)
    divisor = loss.count(y, rows, count)
    scale = 1 / divisor if divisor else 0.0
    bias = b if w.ndim == 2 else b[0]
    losses, of_target = loss.bound(y, weights)
    common = (w, bias, rows, size, w.dtype.type(scale), *kernel_arguments(X), losses, of_target)
    kernel = join(gradient_loop(X, w.ndim))
    if w.ndim == 1:
        kernel(blocks, values, parts, *common)
    else:
        load_blas()
        with single_threaded_blas():
            kernel(blocks, values, parts, *common)
    if blocks > 1:
        sum_of_values = np.empty(1)
        join(loops.add_blocks)(gradient.size, sum_of_values, gradient, values, parts)
        values = sum_of_values
    return values.item() * scale


def gradient_loop(X, ndim):
    """Return the loop for this matrix and weights of so many dimensions."""
    if is_sparse(X):
        return loops.sparse_vector_gradient if ndim == 1 else loops.sparse_matrix_gradient
    return loops.vector_gradient if ndim == 1 else loops.matrix_gradient


def check_matrix(where, X, dtype=None):
    """Return X if it is a matrix that kernels can take, dense or sparse, else raise."""
    if is_sparse(X):
        check_csr(where, "X", X, dtype=dtype)
        return X
    return check_array(where, "X", X, dtype=dtype, ndim=2)


def _checked_bias(where, b, w, own):
    """Return the intercept as a vector."""
    outputs = 1 if w.ndim == 1 else w.shape[1]
    if isinstance(b, np.ndarray):
        return check_array(where, "b", b, dtype=own, shape=("the outputs", (outputs,)))
    if w.ndim == 2:
        raise TypeError(f"{where}: b must be an array of shape ({outputs},), got {b!r}")
    return np.array([check_real(where, "b", b, REAL, own[1])])


def check_targets(where, y, n, outputs, labels, own, integers="numbers"):
    """Return the targets of n rows as kernels take them; `outputs` is () or (outputs,).

    Integers become numbers like the predictions, or stay integers as "labels": to read only some of them. Those of
    several outputs become numbers: kernels would compute with integers, and round otherwise. With `labels` they are
    those of classes.
    """
    if labels:
        return check_labels(where, "y", y, n, *outputs)
    y = lent(where, "y", y)
    if isinstance(y, np.ndarray) and y.dtype.kind in "iub":
        if integers == "labels" and not outputs and np.can_cast(y.dtype, np.intp):
            own = "labels", np.dtype(np.intp)
        y = y.astype(own[1], order="C", copy=False)
    return check_array(where, "y", y, dtype=own, shape=("the predictions", (n, *outputs)))


def _checked_out(where, out, w, b, own, operands):
    """Return the arrays for the gradients, if there are any; raise unless they fit and lie apart from all others."""
    if out is None:
        return None
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"{where}: out must be a tuple of two arrays, got {out!r}")
    dw, db = out
    dw = check_array(where, "out[0]", dw, dtype=own, shape=(operands[2][0], w.shape), writeable=True)
    given = [("out[0]", dw)]
    if isinstance(b, np.ndarray):
        db = check_array(where, "out[1]", db, dtype=own, shape=("b", b.shape), writeable=True)
        given.append(("out[1]", db))
        operands = [*operands, ("b", b)]
    elif db is not None:
        raise TypeError(f"{where}: out[1] must be None where b is a number, got {type(db).__name__}")
    for name, array in given:
        for other, operand in operands:
            if np.may_share_memory(array, operand):
                raise ValueError(f"{where}: {name} overlaps {other} in memory")
    if len(given) == 2 and np.may_share_memory(dw, db):
        raise ValueError(f"{where}: out[1] overlaps out[0] in memory")
    return dw, db
