"""Preprocessing: `Normalizer` gives inputs unit variance, `one_hot` turns class labels into numeric targets."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .checks import (
    NON_NEGATIVE,
    REAL,
    check_array,
    check_dtype,
    check_flag,
    check_labels,
    check_number,
    check_real,
    check_size,
)
from .parameters import LARGEST
from .typing import Array, DTypeLike

MOMENT_ROWS = 4096  # rows whose moments are computed at once


class Normalizer:
    """Remove the mean of every feature and scale it to unit variance, or decorrelate the features (PCA whitening).

    ::

        y = (x - mean) / std                        constant features become 0
        y = (x - mean) U / sqrt(S + eps)            with whiten=True, where covariance = U diag(S) U^T

    Parameters
    ----------
    whiten : bool, default: False
        Decorrelate: the covariance of the result is the identity; components are ordered by decreasing variance.
    eps : float, default: 0
        Added to the variances; 0 or above.

    Attributes
    ----------
    count : int
        Number of rows seen.
    mean, variance : ndarray of shape (features,)
        Moments of the rows seen, in float64; the variance is the population variance (divided by count).
    deviation : ndarray of shape (features,)
        sqrt(variance + eps); infinite for constant features, which so become 0.

    Notes
    -----
    `partial_fit` makes one pass over its rows and merges their moments with the earlier ones (Chan, Golub & LeVeque
    1983), so data can come in pieces of any size. The mean is removed before squares are summed.

    References
    ----------
    LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998, section 4.3.

    Examples
    --------
    >>> import gd, numpy as np
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> gd.Normalizer().fit(X).transform(X).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, whiten: bool = False, eps: float = 0.0) -> None:
        self.whiten: bool = check_flag("Normalizer", "whiten", whiten)
        self.eps: float = check_number("Normalizer", "eps", eps, NON_NEGATIVE)
        self.count: int = 0
        self.mean: Any = None  # an array once rows were seen
        self._moments: Any = None

    @property
    def variance(self) -> NDArray[np.float64]:
        """The variance of every feature."""
        self._check_fitted("variance")
        moments = np.diagonal(self._moments) if self.whiten else self._moments
        return moments / self.count

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of every feature, infinite where all rows have the same value."""
        variance = self.variance
        return np.where(self._constant(variance), np.inf, np.sqrt(variance + self.eps))

    def fit(self, X: Array) -> Self:
        """Forget all rows seen before and learn the moments of these rows; return self."""
        X = self.check("fit", X)
        self.count, self.mean, self._moments = 0, None, None
        return self.partial_fit(X)

    def partial_fit(self, X: Array) -> Self:
        """Add the moments of these rows; return self."""
        X = self.check("partial_fit", X)
        for start in range(0, len(X), MOMENT_ROWS):
            block = np.asarray(X[start : start + MOMENT_ROWS], np.float64)
            mean = block.mean(axis=0)
            block = block - mean
            rest = block.mean(axis=0)  # the rounding error of a long sum
            block, mean = block - rest, mean + rest
            moments = block.T @ block if self.whiten else np.einsum("ij,ij->j", block, block)
            if self.count == 0:
                self.count, self.mean, self._moments = len(block), mean, moments
                continue
            total, shift = self.count + len(block), mean - self.mean
            between = np.outer(shift, shift) if self.whiten else shift * shift
            self._moments += moments + between * (self.count * len(block) / total)
            self.mean += shift * (len(block) / total)
            self.count = total
        return self

    def transform(self, X: Array) -> NDArray[Any]:
        """Return the normalized rows, in the dtype of X."""
        self._check_fitted("transform")
        X = self.check("transform", X)
        if self.whiten:
            return np.ascontiguousarray((X - self.mean) @ self._components(), X.dtype)
        return np.ascontiguousarray((X - self.mean) * (1 / self.deviation), X.dtype)

    def _components(self):
        """Return U / sqrt(S + eps); directions without variance become 0."""
        vectors, variances, _ = np.linalg.svd(self._moments / self.count, hermitian=True)
        factor = np.divide(
            1, np.sqrt(variances + self.eps), out=np.zeros_like(variances), where=~self._constant(variances)
        )
        return vectors * factor

    def _constant(self, variances):
        """Return a mask of the variances that are no larger than rounding errors."""
        eps = np.finfo(np.float64).eps
        if self.whiten:
            return variances <= max(variances.size * eps * variances.max(), (8 * eps * np.abs(self.mean).max()) ** 2)
        return variances <= (8 * eps * self.mean) ** 2

    def check(self, where: str, X: Array) -> NDArray[Any]:
        """Return X if it is a matrix with the features seen before, else raise."""
        where = f"Normalizer.{where}"
        X = check_array(where, "X", X, ndim=2, any_size=where != "Normalizer.fit")
        if self.mean is not None and where != "Normalizer.fit" and X.shape[1] != self.mean.size:
            raise ValueError(f"{where}: X has {X.shape[1]} columns, {self.mean.size} were seen before")
        if not np.isfinite(X).all():
            raise ValueError(f"{where}: X must be finite, it holds NaN or infinity")
        return X

    def _check_fitted(self, where):
        if self.count == 0:
            raise ValueError(f"Normalizer.{where}: no rows were seen; call fit first")

    def __repr__(self) -> str:
        return f"Normalizer(whiten={self.whiten}, eps={self.eps:g})"


def one_hot(
    labels: Array, classes: int, low: float = 0.0, high: float = 1.0, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Return a matrix with a row for each label: `high` in the column of its class, `low` in the others.

    Parameters
    ----------
    labels : ndarray of int, shape (rows,)
        0 to classes - 1.
    classes : int
    low, high : float, default: 0, 1
        The output should be able to exceed the targets: 0 and 1 suit a softmax or sigmoid trained by cross-entropy,
        -1 and 1 suit scaled_tanh (whose limits are +-1.7159) and the hinge losses.
    dtype : dtype, default: float32
        float32 or float64.

    Returns
    -------
    ndarray of shape (rows, classes)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998, section 4.5.

    Examples
    --------
    >>> import gd, numpy as np
    >>> gd.one_hot(np.array([1, 0]), 2, low=-1.0).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    where, dtype = "one_hot", check_dtype("one_hot", dtype)
    given: Any = labels
    rows = np.shape(given)[0] if np.ndim(given) else 1
    classes = check_size(where, "classes", classes, high=LARGEST // max(rows, 1))
    labels = check_labels(where, "labels", given, rows, classes)
    targets = np.full((rows, classes), check_real(where, "low", low, REAL, dtype))
    targets[np.arange(rows), labels] = check_real(where, "high", high, REAL, dtype)
    return targets
