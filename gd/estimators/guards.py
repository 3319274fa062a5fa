"""What the estimators' arguments and attributes must be, and what is undone if a method raises."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator

from ..checks import FLOATS
from ..schedules import Schedule

_Method = TypeVar("_Method", bound=Callable[..., Any])


def keep(estimator: BaseEstimator, arguments: Mapping[str, Any]) -> None:
    """Set every argument of a constructor as an attribute of the same name, as scikit-learn requires."""
    for name, value in arguments.items():
        if name != "self":
            setattr(estimator, name, value)


@contextmanager
def naming(estimator: BaseEstimator, *names: str) -> Iterator[None]:
    """Add the argument's name to errors that scikit-learn and NumPy raise in this context."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if any(re.search(rf"\b{name}\b", str(error)) for name in names):
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{type(estimator).__name__}: {' or '.join(names)} is not as expected: {error}") from error


def all_or_nothing(method: _Method) -> _Method:
    """Restore the estimator's attributes if the method raises."""

    @functools.wraps(method)
    def guarded(self, *arguments, **keywords):
        before = dict(vars(self))
        try:
            return method(self, *arguments, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast(_Method, guarded)


def snapshot(value: Any) -> Any:
    """Return a copy of an argument that equals another if the argument has not changed in between, nor in place."""
    if isinstance(value, Mapping):
        return {key: snapshot(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(each) for each in value]
    if isinstance(value, Schedule):
        return type(value), snapshot(vars(value))
    return value.tolist() if isinstance(value, np.ndarray) else value


def real_array(where: str, name: str, value: Any, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Return numbers as a float array, of a shape if one is given; a single number fits each shape of one element."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError
        array = array if array.dtype in FLOATS else array.astype(np.float64)
    except (TypeError, ValueError):
        kind = f"{type(value).__name__}{f' of {value.dtype}' if hasattr(value, 'dtype') else ''}"
        raise TypeError(f"{where}: {name} must be an array of real numbers, got {kind}") from None
    if shape is None or array.shape == shape:
        return array
    if array.size == np.prod(shape) == 1:
        return array.reshape(shape)
    raise ValueError(f"{where}: {name} must have shape {shape}, got {array.shape}")


def in_dtype(where: str, X: Any, dtype: Any) -> Any:
    """Return finite rows in a dtype, in which they must be finite, too."""
    with np.errstate(over="ignore"):
        rows = X.astype(dtype, copy=False)
    if rows.dtype != X.dtype and not np.isfinite(rows.data if issparse(rows) else rows).all():
        raise ValueError(f"{where}: X must be finite as {np.dtype(dtype)}, in which the estimator was fitted")
    return rows
