"""Checks of SciPy's sparse CSR matrices, and access to their arrays."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.compiler import join
from ..kernels.loops.linear import misplaced
from .arrays import TypeOf, check_dtype_of


def is_sparse(X: Any) -> bool:
    """Return True if X is a sparse matrix or array of SciPy, which is imported then."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and module.issparse(X)


def check_csr(where: str, name: str, X: Any, *, dtype: TypeOf | None = None, least: int = 1) -> None:
    """Raise unless X is a sparse matrix that kernels can take; `dtype` is (what X must match, its dtype).

    It has at least so many rows.
    """
    if X.format != "csr" or X.ndim != 2:
        raise TypeError(f"{where}: {name} must be a dense matrix or sparse in CSR, got {X.format}; pass {name}.tocsr()")
    check_dtype_of(where, name, X, dtype)
    if X.shape[0] < least or not X.shape[1]:
        raise ValueError(f"{where}: {name} must have at least one row and one column, got shape {X.shape}")
    data, indices, indptr = parts = X.data, X.indices, X.indptr
    sound = all(isinstance(each, np.ndarray) and each.ndim == 1 and each.flags.c_contiguous for each in parts)
    sound = sound and all(each.flags.aligned for each in parts) and indices.dtype.kind == indptr.dtype.kind == "i"
    if not sound or data.size != indices.size or indptr.size != X.shape[0] + 1:
        raise ValueError(f"{where}: {name} is not a sound CSR matrix; pass a copy")


def check_places(where: str, name: str, X: Any, rows: NDArray[np.intp]) -> None:
    """Raise unless the elements of these rows of a sparse matrix lie inside it; an empty `rows` means all rows."""
    indices, indptr = X.indices, X.indptr
    count = rows.size or X.shape[0]
    wrong = np.empty(count, bool)
    join(misplaced)(count, wrong, indices, indptr, rows, X.shape[1])
    if wrong.any():
        at = int(wrong.argmax())
        row = int(rows[at]) if rows.size else at
        raise ValueError(f"{where}: {name} has elements outside its {X.shape[1]} columns, in row {row}")


def kernel_arguments(X: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays that kernels take of a matrix, by name: X itself, or the parts of a sparse one."""
    return {"data": X.data, "indices": X.indices, "indptr": X.indptr} if is_sparse(X) else {"X": X}
