"""Gradients of mini-batches of linear models; `what` names the loss, the features, and how rows are taken.

Where rows are shuffled, NumPy and PyTorch copy them, then read the copy twice.
"""

import functools

import numpy as np

import gd
from gd import reference

from .. import ceilings
from ..cases import Family, Side, normal

CLASSES = 10
UNCACHED = 50_000_000  # elements of rows that no cache holds
WHATS = {  # name -> (loss, features, rows of X per row of a batch; None for a batch of all rows, in order)
    "squared, 100 features, in order": ("mse", 100, None),
    "squared, 100 features, shuffled": ("mse", 100, 1),
    "softmax, 784 features, in order": ("softmax_cross_entropy", 784, None),
    "softmax, 784 features, shuffled": ("softmax_cross_entropy", 784, 1),
    "softmax, 784 features, a batch of many": ("softmax_cross_entropy", 784, 400),
    "logistic, 100 features, a batch of many": ("binary_cross_entropy_with_logits", 100, 400),
}


class Gradients(Family):
    """Loss and gradients of a linear model; the size is that of the batch in rows."""

    name = "gradients"
    sizes = (128, 1_024, 10_000, 100_000, 1_000_000)
    quick = (128, 20_000)
    odd = (1, 7, 129)
    headline = tuple(WHATS)
    whats = tuple(WHATS)
    settle = 0.1
    largest = 100_000_000  # elements of X

    def fits(self, case):
        """Return True if X has at most `largest` elements."""
        _, features, many = WHATS[case.what]
        return case.size * (many or 1) * features <= self.largest

    def makers(self, case):
        """Return a maker for each library."""
        libraries = {"gd": self._gd, "numpy": self._numpy, "torch": self._torch}
        data = functools.cache(lambda: self._data(case))  # shared by all libraries: X is large, and only read
        return {name: lambda maker=maker: maker(case, *data()) for name, maker in libraries.items()}

    def ceiling(self, case):
        """Return a read of the rows in their order, for one output and rows that no cache holds."""
        loss, features, many = WHATS[case.what]
        if loss == "softmax_cross_entropy" or case.size * features < UNCACHED:
            return None, None
        X = np.ones((case.size * (many or 1), features), case.dtype)
        if many is None:
            return "1r", Side(ceilings.walk("1r", [X.reshape(-1)]))
        return "1r by rows", Side(ceilings.walk_rows(X, np.random.default_rng(0).permutation(len(X))[: case.size]))

    def flops(self, case):
        """Return the flops of two products with X, without the gradient's scaling."""
        loss, features, _ = WHATS[case.what]
        return 4 * case.size * features * (CLASSES if loss == "softmax_cross_entropy" else 1)

    def arrays(self, case):
        """Return the size of X and its copies, in arrays of the case's size."""
        _, features, many = WHATS[case.what]
        return features * ((many or 1) + 3)

    def _data(self, case):
        loss, features, many = WHATS[case.what]
        rng = np.random.default_rng(0)
        n = case.size * (many or 1)
        X = normal((n, features), case.dtype, rng)
        rows = None if many is None else rng.permutation(n)[: case.size]
        shape = (CLASSES,) if loss == "softmax_cross_entropy" else ()
        w, b = rng.standard_normal((features, *shape)), np.zeros(shape or 1)
        if loss == "mse":
            y = rng.standard_normal(n).astype(X.dtype)
        else:
            y = rng.integers(0, CLASSES if loss == "softmax_cross_entropy" else 2, n)
        return loss, X, y, (0.01 * w).astype(X.dtype), b.astype(X.dtype), rows

    def _gd(self, case, loss, X, y, w, b, rows):
        out, found = (np.empty_like(w), np.empty_like(b)), []

        def call():
            found[:] = gd.linear_model_gradient(X, y, w, b, loss, rows, out)

        return Side(call, lambda: [np.asarray(each) for each in found])

    def _numpy(self, case, loss, X, y, w, b, rows):
        found = []

        def call():
            batch = (X, y) if rows is None else (X[rows], y[rows])
            found[:] = reference.linear_model_gradient(*batch, w, b, loss)

        return Side(call, lambda: [found[0], found[1], np.reshape(found[2], b.shape)])

    def _torch(self, case, loss, X, y, w, b, rows):
        import torch

        functional = torch.nn.functional
        function = {
            "mse": functional.mse_loss,
            "binary_cross_entropy_with_logits": functional.binary_cross_entropy_with_logits,
            "softmax_cross_entropy": functional.cross_entropy,
        }[loss]
        X, w, b = (torch.from_numpy(each) for each in (X, w.copy(), b.copy()))
        y = torch.from_numpy(y if loss != "binary_cross_entropy_with_logits" else y.astype(case.dtype))
        w.requires_grad_()
        b.requires_grad_()
        index, found = None if rows is None else torch.from_numpy(rows), []

        def call():
            w.grad = b.grad = None
            batch_X, batch_y = (X, y) if index is None else (X[index], y[index])
            value = function(batch_X @ w + b, batch_y)
            value.backward()
            found[:] = value.detach(), w.grad, b.grad

        return Side(call, lambda: [each.numpy() for each in found])
