"""Gradients of linear models: one pass over the rows of a mini-batch, which are not copied, gives loss and gradient."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

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
from ..kernels.compiler import join
from ..kernels.interruption import Interruption
from ..kernels.loops import linear as loops
from ..kernels.traffic import of_rows
from ..losses import ANY, LOSSES, Loss, check_distributions, check_loss, is_distribution
from ..runtime import single_threaded_blas
from ..typing import Array, Integers, LossParameters
from .evaluation import check_weights, uncounted

ALL_ROWS = np.empty(0, np.intp)  # as `rows` it means all rows, in order
Matrix = Array | Any  # or a matrix of SciPy in CSR
Bias = float | Array
Out = tuple[NDArray[Any], NDArray[Any] | None]
Gradients = tuple[float, NDArray[Any], NDArray[Any] | Any]  # the last is a float if b is one


def linear_model_gradient(
    X: Matrix,
    y: Array,
    w: Array,
    b: Bias,
    loss: str | Loss = "mse",
    rows: Array | None = None,
    out: Out | None = None,
    sample_weight: Array | None = None,
    **parameters: Unpack[LossParameters],
) -> Gradients:
    """Return the mean loss of the predictions X[rows] w + b, and its gradients with respect to w and b.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, features)
        float32 or float64; may be read-only or an np.memmap. Never copied as a whole. Sparse matrices are
        SciPy's, in CSR.
    y : ndarray of shape (n,) or (n, outputs)
        Targets: integers, or floats in the dtype of X. Labels are 0 and 1 for "binary_cross_entropy_with_logits",
        -1 and 1 for the hinge losses, and 0 to classes - 1 for "softmax_cross_entropy", which also takes probabilities
        of all classes.
    w : ndarray of shape (features,) or (features, outputs)
        The weights, in the dtype of X.
    b : float or ndarray of shape (1,) or (outputs,)
        The intercept.
    loss : str, default: "mse"
        What `gd.loss` returned, or a name of `gd.losses.LOSSES`, such as "mse" (no factor 1/2), "huber" or "poisson"
        (predicts logarithms of
        rates); or "squared", "logistic" or "softmax", short for "mse", "binary_cross_entropy_with_logits" and
        "softmax_cross_entropy".
    rows : ndarray of int, optional
        The rows of the mini-batch, which may repeat; by default all rows, in order.
    out : tuple of two ndarrays, optional
        Where to write the gradients: like w and b.
    sample_weight : ndarray of shape (n,), optional
        Multiplies the loss of each row, 0 or above. The sum is still divided by the number of rows.
    **parameters
        Parameters of the loss function, such as ``delta=1.0``, with the same defaults.

    Returns
    -------
    loss : float
        The mean over rows, and over outputs except with "softmax_cross_entropy". Any number of threads gives the same
        bits.
    dw, db : ndarray, and ndarray or float
        Like w and b.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; then nothing is written.

    Examples
    --------
    >>> import gd, numpy as np
    >>> X, y = np.array([[1.0], [2.0]]), np.array([1.0, 3.0])
    >>> gd.linear_model_gradient(X, y, np.zeros(1), 0.0)
    (5.0, array([-7.]), -4.0)
    """
    return _gradient("linear_model_gradient", X, y, w, b, loss, rows, out, sample_weight, parameters)


def linear_regression_gradient(
    X: Matrix,
    y: Array,
    w: Array,
    b: Bias,
    rows: Array | None = None,
    out: Out | None = None,
    sample_weight: Array | None = None,
) -> Gradients:
    """Return the mean squared error of X[rows] w + b and its gradients; see `linear_model_gradient`.

    The gradient with respect to w is 2 / n X^T (X w + b - y).
    """
    return _gradient("linear_regression_gradient", X, y, w, b, "mse", rows, out, sample_weight, {})


def logistic_regression_gradient(
    X: Matrix,
    y: Array,
    w: Array,
    b: Bias,
    rows: Array | None = None,
    out: Out | None = None,
    sample_weight: Array | None = None,
) -> Gradients:
    """Return the mean logistic loss of the logits X[rows] w + b and its gradients; see `linear_model_gradient`.

    Labels are 0 and 1, or probabilities of 1.
    """
    return _gradient(
        "logistic_regression_gradient", X, y, w, b, "binary_cross_entropy_with_logits", rows, out, sample_weight, {}
    )


def softmax_regression_gradient(
    X: Matrix,
    y: Array,
    W: Array,
    b: Array,
    rows: Array | None = None,
    out: Out | None = None,
    sample_weight: Array | None = None,
) -> Gradients:
    """Return the mean cross-entropy of the softmax of X[rows] W + b and its gradients; see `linear_model_gradient`.

    W has shape (features, classes), labels are 0 to classes - 1.
    """
    return _gradient(
        "softmax_regression_gradient", X, y, W, b, "softmax_cross_entropy", rows, out, sample_weight, {}, "W"
    )


def _gradient(where, X, y, w, b, loss, rows, out, sample_weight, parameters, matrix="w"):
    X = check_matrix(where, X, least=0)
    (n, features), dtype = X.shape, X.dtype
    own = ("X", dtype)
    labels = LOSSES[loss := check_loss(where, loss)].labels
    w, b = check_array(where, matrix, w, dtype=own), lent(where, "b", b)
    if w.shape[0] != features or w.ndim > 2 or (labels and w.ndim != 2):
        expected = f"({features}, outputs)" if labels else f"({features},) or ({features}, outputs)"
        raise ValueError(f"{where}: {matrix} has shape {w.shape}, expected {expected}")
    bias = _checked_bias(where, b, w, own)
    given = rows is not None
    rows = check_indices(where, "rows", rows, n, 0) if given else ALL_ROWS
    count = rows.size if given else n
    weights = check_weights(where, sample_weight, n, own, rows if given else slice(None))
    y = check_targets(where, uncounted(where, y, weights), n, w.shape[1:], LOSSES[loss], own, rows)
    counted = rows
    if weights.size:  # the rows of weight 0 may hold anything
        read = rows if given else np.arange(n)
        counted = read[weights[read] > 0]
    of = OfLinear(where, loss, parameters, w.shape[1:], dtype) if parameters else _plain(loss, w.shape[1:], dtype)
    data = X
    if is_sparse(X):
        check_places(where, "X", X, rows)
        data = X.data
    operands = [("X", data), ("y", y), (matrix, w)] + [("sample_weight", weights)] * (sample_weight is not None)
    out = _checked_out(where, out, w, b, own, operands)
    gradient = np.empty(w.size + bias.size, dtype)
    value = 0.0
    if count and (counted.size or counted is ALL_ROWS):
        value = compute(X, y, w, bias, of, counted, weights, gradient, of.divisor(y, rows, count))
    else:
        gradient[:] = 0
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
    labels : bool
        True if targets are class labels.
    terms : int
        The number of losses per example: 1 if targets are class labels, else one for each output.
    class_weights : ndarray or None
        The weights in the mean over examples.
    """

    labels: bool
    terms: int
    class_weights: NDArray[Any] | None

    def __init__(
        self, where: str, name: Any, given: Mapping[str, Any], outputs: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        loss, width = LOSSES[name], outputs[0] if outputs else 1
        row, numbers = loss.of_row(where, given, width, dtype)
        kernel = join(loops.losses_of_vectors, row) if outputs else join(loops.losses_of_numbers, loss.rule)
        self._losses = kernel, numbers
        self._soft: Any = loss.of_row(where, given, width, dtype, soft=True) if loss.labels else None
        self._dtype, self.labels, self.terms = dtype, loss.labels, 1 if loss.labels else width
        self.class_weights = numbers[0] if given.get("class_weights") is not None else None

    def bound(self, y: NDArray[Any], weights: NDArray[Any]) -> tuple[Any, int]:
        """Return the losses of examples as kernels take them, and the bytes that they read for one example."""
        kernel, numbers = self._losses
        if self.labels and y.ndim == 2:
            row, numbers = self._soft
            kernel = join(loops.losses_of_vectors, row)
        return kernel.bind(self._dtype, y, weights, *numbers), of_rows(y, 1) + of_rows(weights, 1)

    def shares(self, y: NDArray[Any], rows: NDArray[np.intp], weights: NDArray[Any]) -> NDArray[Any] | None:
        """Return what each of some rows counts in the mean of their losses; None if each counts as `terms`."""
        each = weights[rows] if weights.size and rows.size else weights
        if self.class_weights is not None and y.ndim == 1:
            of_class = self.class_weights[y[rows] if rows.size else y]
            each = of_class * each if each.size else of_class
        return each.astype(np.float64) * self.terms if each.size else None

    def divisor(
        self, y: NDArray[Any], rows: NDArray[np.intp], examples: int, weights: NDArray[Any] = ALL_ROWS
    ) -> float:
        """Return the divisor that turns the sum of the losses of some rows into their mean."""
        shares = self.shares(y, rows, weights)
        return examples * self.terms if shares is None else float(shares.sum())


@functools.lru_cache(maxsize=64)
def _plain(name: Any, outputs: tuple[int, ...], dtype: np.dtype[Any]) -> OfLinear:
    """Return a loss with its default parameters, made once."""
    return OfLinear(str(name), name, {}, outputs, dtype)


def compute(
    X: Any,
    y: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any],
    loss: OfLinear,
    rows: NDArray[np.intp],
    weights: NDArray[Any],
    gradient: NDArray[Any],
    divisor: float,
) -> float:
    """Write the gradients of w and then b into one vector, and return the loss, where `divisor` makes a sum a mean.

    Arguments are not checked.
    """
    count = rows.size or X.shape[0]
    size = loops.block_rows(count, gradient.size)
    blocks = -(-count // size)
    values = np.empty(blocks)
    parts = gradient.reshape(1, -1) if blocks == 1 else np.empty((blocks, gradient.size), w.dtype)
    scale = 1 / divisor if divisor else 0.0
    losses, of_target = loss.bound(y, weights)
    loop = gradient_loop(X, w.ndim)
    bias = b if w.ndim == 2 else b[0]  # all of them in the order of `OfRows`, which is what `loop.names` is
    common = w, bias, rows, size, w.dtype.type(scale), *kernel_arguments(X).values(), losses, of_target
    arguments = (values, parts, *common)
    if w.ndim == 1:
        join(loop)(blocks, *arguments)
    else:
        with Interruption(), single_threaded_blas():  # whose own Interruptions cost less then
            join(loop)(blocks, *arguments)
    if blocks > 1:
        sum_of_values = np.empty(1)
        join(loops.add_blocks)(gradient.size, sum_of_values, gradient, values, parts)
        values = sum_of_values
    return values.item() * scale


def gradient_loop(X: Any, ndim: int) -> Callable[..., Any]:
    """Return the loop for this kind of matrix and weights of `ndim` dimensions."""
    if is_sparse(X):
        return loops.sparse_vector_gradient if ndim == 1 else loops.sparse_matrix_gradient
    return loops.vector_gradient if ndim == 1 else loops.matrix_gradient


def check_matrix(where: str, X: Any, dtype: tuple[str, np.dtype[Any]] | None = None, least: int = 1) -> Any:
    """Return X if it is a dense or sparse matrix of at least so many rows that kernels can take, else raise."""
    if is_sparse(X):
        check_csr(where, "X", X, dtype=dtype, least=least)
        return X
    return check_array(where, "X", X, dtype=dtype, ndim=2, any_size=not least)


def check_features(where: str, X: Any, dtype: np.dtype[Any], features: int, least: int) -> Any:
    """Return X if it is a matrix, dense or sparse, of a model's dtype and number of features, else raise.

    It has at least so many rows.
    """
    X = check_matrix(where, X, ("the model", dtype), least)
    if X.shape[1] != features:
        raise ValueError(f"{where}: X has {X.shape[1]} columns, the model has {features} features")
    if is_sparse(X) and X.shape[0]:
        check_places(where, "X", X, ALL_ROWS)
    return X


def _checked_bias(where, b, w, own):
    """Return the intercept as a vector."""
    outputs = 1 if w.ndim == 1 else w.shape[1]
    if isinstance(b, np.ndarray):
        return check_array(where, "b", b, dtype=own, shape=("the outputs", (outputs,)))
    if w.ndim == 2:
        raise TypeError(f"{where}: b must be an array of shape ({outputs},), got {b!r}")
    return np.array([check_real(where, "b", b, REAL, own[1])])


def check_targets(
    where: str,
    y: Any,
    n: int,
    outputs: tuple[int, ...],
    loss: Loss,
    own: tuple[str, np.dtype[Any]],
    rows: Integers = ALL_ROWS,
) -> NDArray[Any]:
    """Return the targets of n rows as kernels take them; `outputs` is () or (outputs,).

    Targets are class labels if the loss takes them. Otherwise integers are converted to the dtype of the predictions,
    unless only some rows are read: then they stay integers. With several outputs they are always converted: kernels
    would compute with integers, and round differently.
    """
    y = lent(where, "y", y)
    if loss.labels:
        if not is_distribution(y, *outputs):
            return check_labels(where, "y", y, n, *outputs)
        y = y.astype(own[1]) if y.dtype.kind != "f" else y
        y = check_array(where, "y", y, dtype=own, shape=("the predictions", (n, *outputs)), any_size=not n)
        check_distributions(where, "y", y[rows] if rows.size else y)
        return y
    if isinstance(y, np.ndarray) and y.dtype.kind in "iub":
        if rows.size and not outputs and np.can_cast(y.dtype, np.intp):
            own = "labels", np.dtype(np.intp)
        y = y.astype(own[1], order="C", copy=False)
    y = check_array(where, "y", y, dtype=own, shape=("the predictions", (n, *outputs)), any_size=not n)
    if loss.targets is not ANY:
        loss.targets.check(where, "y", y[rows] if rows.size else y)
    return y


def _checked_out(where, out, w, b, own, operands):
    """Return the arrays for the gradients, or None; raise unless they fit and overlap no other array."""
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
