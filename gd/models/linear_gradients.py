"""Linear models: the loss of a mini-batch and its gradient in one pass over the rows, which are never copied."""

import numpy as np

from ..checks import (
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    REAL,
    check_array,
    check_choice,
    check_csr,
    check_indices,
    check_labels,
    check_places,
    check_real,
    check_reals,
    is_sparse,
    kernel_arguments,
    lent,
)
from ..kernels.blas import load_blas
from ..kernels.compiler import join
from ..kernels.loops import linear as loops
from ..kernels.loops import losses as row_losses
from ..kernels.rules import losses as rules
from ..kernels.traffic import of_rows
from ..runtime import single_threaded_blas

LOSSES = {  # name -> (rule, {parameter: (default, range)}); all but "softmax" are of each output by itself
    "squared": (rules.squared, {}),
    "logistic": (rules.logistic, {"positive_weight": (1.0, NON_NEGATIVE)}),
    "hinge": (rules.hinge, {}),
    "squared_hinge": (rules.squared_hinge, {}),
    "huber": (rules.huber, {"delta": (1.0, POSITIVE)}),
    "epsilon_insensitive": (rules.epsilon_insensitive, {"epsilon": (0.1, NON_NEGATIVE)}),
    "quantile": (rules.quantile, {"q": (0.5, OPEN_UNIT)}),
    "poisson": (rules.poisson, {}),
    "softmax": (None, {}),
}
NONE = np.empty(0, np.intp)  # in place of rows: all of them, in order


def linear_model_gradient(X, y, w, b, loss="squared", rows=None, out=None, sample_weight=None, **parameters):
    """Return the mean loss of the predictions X[rows] w + b, and its gradients with respect to w and b.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, features)
        float32 or float64; may be read-only or an np.memmap. Never copied as a whole. Sparse matrices are
        SciPy's, in CSR.
    y : ndarray of shape (n,) or (n, outputs)
        Targets; integers or of the dtype of X. Labels are 0 and 1 for "logistic", -1 and 1 for the hinge
        losses, and 0 to classes - 1 for "softmax".
    w : ndarray of shape (features,) or (features, outputs)
        Of the dtype of X.
    b : float or ndarray of shape (1,) or (outputs,)
        The intercept.
    loss : str, default: "squared"
        "squared" (the mean of the squares, no factor 1/2), "logistic" (positive_weight=1), "hinge",
        "squared_hinge", "huber" (delta=1), "epsilon_insensitive" (epsilon=0.1), "quantile" (q=0.5), "poisson"
        (of logarithms of rates) or "softmax".
    rows : ndarray of int, optional
        The rows of the mini-batch, which may repeat; by default all, in order.
    out : tuple of two ndarrays, optional
        Where to write the gradients: like w and b.
    sample_weight : ndarray of shape (n,), optional
        Multiplies the loss of each row, 0 or above. The mean stays over the number of rows.
    **parameters
        Of the loss.

    Returns
    -------
    loss : float
        Over rows, and over outputs but for "softmax". The same bits for any number of threads.
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
    return _gradient("linear_regression_gradient", X, y, w, b, "squared", rows, out, sample_weight, {})


def logistic_regression_gradient(X, y, w, b, rows=None, out=None, sample_weight=None):
    """Return the mean logistic loss of the logits X[rows] w + b and its gradients; see `linear_model_gradient`.

    Labels are 0 and 1, or probabilities of 1.
    """
    return _gradient("logistic_regression_gradient", X, y, w, b, "logistic", rows, out, sample_weight, {})


def softmax_regression_gradient(X, y, W, b, rows=None, out=None, sample_weight=None):
    """Return the mean cross-entropy of the softmax of X[rows] W + b and its gradients; see `linear_model_gradient`.

    W has shape (features, classes), labels are 0 to classes - 1.
    """
    return _gradient("softmax_regression_gradient", X, y, W, b, "softmax", rows, out, sample_weight, {}, "W")


def _gradient(where, X, y, w, b, loss, rows, out, sample_weight, parameters, matrix="w"):
    X = check_matrix(where, X)
    (n, features), dtype = X.shape, X.dtype
    own = ("X", dtype)
    check_choice(where, "loss", loss, LOSSES)
    w, b = check_array(where, matrix, w, dtype=own), lent(where, "b", b)
    if w.shape[0] != features or w.ndim > 2 or (loss == "softmax" and w.ndim != 2):
        expected = f"({features}, outputs)" if loss == "softmax" else f"({features},) or ({features}, outputs)"
        raise ValueError(f"{where}: {matrix} has shape {w.shape}, expected {expected}")
    bias = _checked_bias(where, b, w, own)
    rows = NONE if rows is None else check_indices(where, "rows", rows, n)
    y = check_targets(where, y, n, w.shape[1:], loss, own, "labels" if rows.size else "numbers")
    weights = np.empty(0, dtype)
    if sample_weight is not None:
        weights = check_array(where, "sample_weight", sample_weight, dtype=own, shape=("the rows of X", (n,)))
        lowest = (weights[rows] if rows.size else weights).min()  # NaN if there is one
        if not lowest >= 0:
            raise ValueError(f"{where}: sample_weight must be 0 or above, got {lowest}")
    numbers = check_reals(where, parameters, LOSSES[loss][1], dtype)
    data = X
    if is_sparse(X):
        check_places(where, "X", X, rows)
        data = X.data
    operands = [("X", data), ("y", y), (matrix, w)] + [("sample_weight", weights)] * (sample_weight is not None)
    out = _checked_out(where, out, w, b, own, operands)
    gradient = np.empty(w.size + bias.size, dtype)
    value = compute(X, y, w, bias, loss, numbers, rows, weights, gradient)
    dw, db = gradient[: w.size].reshape(w.shape), gradient[w.size :]
    if out is not None:
        out[0][...] = dw
        dw = out[0]
        if out[1] is not None:
            out[1][...] = db
            db = out[1]
    return value, dw, db if isinstance(b, np.ndarray) else float(db[0])


def compute(X, y, w, b, loss, numbers, rows, weights, gradient):
    """Write the gradient, of w and then b, and return the mean loss; arguments are those of kernels, not checked."""
    count, outputs = rows.size or X.shape[0], b.size
    size = loops.block_rows(count, gradient.size)
    blocks = -(-count // size)
    values = np.empty(blocks)
    parts = gradient.reshape(1, -1) if blocks == 1 else np.empty((blocks, gradient.size), w.dtype)
    scale = 1 / (count * outputs if per_output(loss) else count)
    bias = b if w.ndim == 2 else b[0]
    losses, of_target = bound_losses(loss, w, y, weights, numbers)
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


def bound_losses(loss, w, y, weights, numbers):
    """Return the losses of examples as kernels for these weights take them, and how many bytes they read of each."""
    rule = LOSSES[loss][0]
    if w.ndim == 1:
        kernel = join(loops.losses_of_numbers, rule)
    else:
        row = row_losses.softmax_cross_entropy_row if loss == "softmax" else row_losses.row_of(rule)
        kernel = join(loops.losses_of_vectors, row)
    return kernel.bind(w.dtype, y, weights, *numbers), of_rows(y, 1) + of_rows(weights, 1)


def per_output(loss):
    """Whether the loss is a mean over outputs, too."""
    return loss != "softmax"


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


def check_targets(where, y, n, outputs, loss, own, integers="numbers"):
    """Return the targets of n rows as kernels take them; `outputs` is () or (outputs,).

    Integers become numbers like the predictions, or stay integers as "labels": to read only some of them. Those of
    several outputs become numbers: kernels would compute with integers, and round otherwise.
    """
    if loss == "softmax":
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
