"""ParameterVector: all parameters of a model in one flat vector, with named views."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import aligned_full, check_array, check_dtype, is_size, lent, shown

LARGEST = 2**60  # elements of an array: with 8 bytes each, below what NumPy can address


class ParameterVector(Mapping[str, NDArray[Any]]):
    """A mapping of names to arrays, which are contiguous views of one aligned vector.

    An optimizer steps the whole vector in one pass; the model sees the named arrays.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        The names and shapes, in order; () is a single number, and a size of 0 an array without elements.
    dtype : dtype, default: float32
        float32 or float64.

    Attributes
    ----------
    vector : ndarray of shape (size,)
        All parameters, initially 0.
    shapes : dict of str to tuple of int
        As given.

    Raises
    ------
    TypeError, ValueError
        If a shape is not of integers of at least 0, or the dtype is not float32 or float64.

    Examples
    --------
    >>> import gd
    >>> parameters = gd.ParameterVector({"W": (2, 3), "b": (3,)})
    >>> parameters["b"][:] = 1
    >>> parameters.vector.tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, shapes: Mapping[str, int | tuple[int, ...]], dtype: DTypeLike = np.float32) -> None:
        if not isinstance(shapes, Mapping):
            raise TypeError(f"ParameterVector: shapes must be a dict of names and shapes, got {type(shapes).__name__}")
        self._shapes = {name: _shape(name, shape) for name, shape in shapes.items()}
        if not self._shapes:
            raise ValueError("ParameterVector: shapes must name at least one array, got none")
        sizes = {name: prod(shape) for name, shape in self._shapes.items()}
        self._vector = aligned_full(sum(sizes.values()), check_dtype("ParameterVector", dtype), 0)
        self._views, start = {}, 0
        for name, size in sizes.items():
            self._views[name] = self._vector[start : start + size].reshape(self.shapes[name])
            start += size

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """Return a ParameterVector with copies of the arrays of a dict, which must have one dtype."""
        if not isinstance(arrays, Mapping):
            raise TypeError(f"ParameterVector: arrays must be a dict of arrays, got {type(arrays).__name__}")
        if not arrays:
            raise ValueError("ParameterVector: arrays must hold at least one array, got none")
        first: Any = None
        copies = {}
        for name, array in arrays.items():
            label = f"arrays[{name!r}]"
            array = lent("ParameterVector", label, array)
            array = array.copy(order="C") if isinstance(array, np.ndarray) else array
            first = first or (label, check_array("ParameterVector", label, array, any_layout=True).dtype)
            copies[name] = check_array("ParameterVector", label, array, dtype=first, any_layout=True)
        parameters = cls({name: array.shape for name, array in copies.items()}, first[1])
        for name, array in copies.items():
            parameters[name][...] = array
        return parameters

    @property
    def vector(self) -> NDArray[Any]:
        """All parameters as one array; assign to ``vector[:]``, not to ``vector``."""
        return self._vector

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array, by name."""
        return dict(self._shapes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all arrays."""
        return self._vector.dtype

    def copy(self) -> "ParameterVector":
        """Return a ParameterVector with the same values in its own memory."""
        copy = ParameterVector(self.shapes, self.dtype)
        copy.vector[:] = self.vector
        return copy

    def zeros_like(self) -> "ParameterVector":
        """Return a ParameterVector of the same names and shapes, all 0."""
        return ParameterVector(self.shapes, self.dtype)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.shapes, self.dtype, np.array(self.vector))

    def __deepcopy__(self, memo: Any) -> "ParameterVector":
        return self.copy()

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name}: {shape}" for name, shape in self.shapes.items())
        return f"ParameterVector({arrays}; {self.vector.size} x {self.dtype})"


def _restore(shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike, vector: NDArray[Any]) -> ParameterVector:
    parameters = ParameterVector(shapes, dtype)
    parameters.vector[:] = vector
    return parameters


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of int if it is valid, else raise."""
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not all(is_size(size, 0) for size in sizes) or prod(sizes) > LARGEST:
        raise ValueError(f"ParameterVector: shapes[{name!r}] must be integers, 0 or above, got {shown(shape, str)}")
    return tuple(map(int, sizes))
