"""What is done to data before training: inputs of unit variance, and class labels as targets of real outputs."""

import numpy as np

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

BLOCK = 4096  # rows whose moments are taken at once


class Normalizer:
    """Remove the mean of every feature and scale it to unit variance, or decorrelate all of them (PCA whitening).

    ::

        y = (x - mean) / std                        constant features become 0
        y = (x - mean) U / sqrt(S + eps)            with whiten=True, where covariance = U diag(S) U^T

    Parameters
    ----------
    whiten : bool, default: False
        Decorrelate: the covariance of the result is the identity, components come by decreasing variance.
    eps : float, default: 0
        Added to the variances; 0 or above.

    Attributes
    ----------
    count : int
        Rows seen.
    mean, variance : ndarray of shape (features,)
        Of the rows seen, in float64; the variance is that of the population (divided by count).

    Notes
    -----
    `partial_fit` takes one pass over its rows and merges their moments with those seen before (Chan, Golub & LeVeque
    1983), so data can come in pieces of any size; no sum of squares is taken without the mean removed.

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

    def __init__(self, whiten=False, eps=0.0):
        self.whiten = check_flag("Normalizer", "whiten", whiten)
        self.eps = check_number("Normalizer", "eps", eps, NON_NEGATIVE)
        self.count, self.mean, self._moments = 0, None, None

    @property
    def variance(self):
        """The variance of every feature."""
        self._check_fitted("variance")
        moments = np.diagonal(self._moments) if self.whiten else self._moments
        return moments / self.count

    def fit(self, X):
        """Forget what was seen, and see these rows; return self."""
        X = self.check("fit", X)
        self.count, self.mean, self._moments = 0, None, None
        return self.partial_fit(X)

    def partial_fit(self, X):
        """See these rows, too; return self."""
        X = self.check("partial_fit", X)
        for start in range(0, len(X), BLOCK):
            block = np.asarray(X[start : start + BLOCK], np.float64)
            mean = block.mean(axis=0)
            block = block - mean
            rest = block.mean(axis=0)  # what the rounding of a long sum left
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

    def transform(self, X):
        """Return the normalized rows, in the dtype of X."""
        self._check_fitted("transform")
        X = self.check("transform", X)
        if self.whiten:
            return np.ascontiguousarray((X - self.mean) @ self._components(), X.dtype)
        deviation = np.sqrt(self.variance + self.eps)
        factor = np.divide(1, deviation, out=np.zeros_like(deviation), where=~self._constant(self.variance))
        return np.ascontiguousarray((X - self.mean) * factor, X.dtype)

    def _components(self):
        """Return U / sqrt(S + eps); directions without variance become 0."""
        vectors, variances, _ = np.linalg.svd(self._moments / self.count, hermitian=True)
        factor = np.divide(
            1, np.sqrt(variances + self.eps), out=np.zeros_like(variances), where=~self._constant(variances)
        )
        return vectors * factor

    def _constant(self, variances):
        """Return where there is no variance but that of rounding."""
        eps = np.finfo(np.float64).eps
        if self.whiten:
            return variances <= max(variances.size * eps * variances.max(), (8 * eps * np.abs(self.mean).max()) ** 2)
        return variances <= (8 * eps * self.mean) ** 2

    def check(self, where, X):
        """Return X if it is a matrix with the features seen before, else raise."""
        where = f"Normalizer.{where}"
        X = check_array(where, "X", X, ndim=2)
        if self.mean is not None and where != "Normalizer.fit" and X.shape[1] != self.mean.size:
            raise ValueError(f"{where}: X has {X.shape[1]} columns, {self.mean.size} were seen before")
        if not np.isfinite(X).all():
            raise ValueError(f"{where}: X must be finite, it holds NaN or infinity")
        return X

    def _check_fitted(self, where):
        if self.count == 0:
            raise ValueError(f"Normalizer.{where}: no rows were seen; call fit first")

    def __repr__(self):
        return f"Normalizer(whiten={self.whiten}, eps={self.eps:g})"


def one_hot(labels, classes, low=0.0, high=1.0, dtype=np.float32):
    """Return a matrix with a row for each label: `high` in the column of its class, `low` in the others.

    Parameters
    ----------
    labels : ndarray of int, shape (rows,)
        0 to classes - 1.
    classes : int
    low, high : float, default: 0, 1
        Targets should lie where the output can reach them with room to spare: 0 and 1 for a softmax or sigmoid that
        is trained by cross-entropy, -1 and 1 for scaled_tanh (whose limits are +-1.7159) and the hinge losses.
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
    rows = np.shape(labels)[0] if np.ndim(labels) else 1
    classes = check_size(where, "classes", classes, high=LARGEST // max(rows, 1))
    labels = check_labels(where, "labels", labels, rows, classes)
    targets = np.full((rows, classes), check_real(where, "low", low, REAL, dtype))
    targets[np.arange(rows), labels] = check_real(where, "high", high, REAL, dtype)
    return targets
