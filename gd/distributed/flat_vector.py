"""FlatVector: arrays in any structure as one vector, for messages between processes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import aligned_empty, check_choice
from ..parameters import Structure


class FlatVector:
    """The parameters of an optimizer as one vector, and matching gradients as another.

    One array in C order or a ParameterVector is used as that vector; other arrays are copied into it and back, in C
    order, so that all ranks and checkpoints agree.
    """

    params: Any
    dtype: np.dtype[Any]
    size: int
    vector: NDArray[Any]

    def __init__(self, where: str, params: Any, grad_dtype: str | None = None) -> None:
        if grad_dtype is not None:
            check_choice(where, "grad_dtype", grad_dtype, ("float32", "float64"))
        self._structure = Structure(where, params, grad_dtype=grad_dtype)
        whole, arrays = self._structure.vector, list(self._structure.arrays.values())
        self._arrays = [whole] if whole is not None else arrays
        dtypes = {array.dtype for array in self._arrays}
        if len(dtypes) > 1:
            raise ValueError(f"{where}: params must be of one dtype, got {' and '.join(sorted(map(str, dtypes)))}")
        self.params, self.dtype = self._structure.params, dtypes.pop()
        self.size = sum(array.size for array in self._arrays)
        self._is_one = len(self._arrays) == 1 and self._arrays[0].order is None
        self._ends = np.cumsum([array.size for array in arrays])[:-1]
        self.vector = self._arrays[0].p if self._is_one else aligned_empty(self.size, self.dtype)
        self._gradient = None

    def take(self) -> NDArray[Any]:
        """Copy params into the vector, unless they are it, and return the vector."""
        if not self._is_one:
            np.concatenate([array.given.reshape(-1) for array in self._arrays], out=self.vector)
        return self.vector

    def give(self) -> None:
        """Copy the vector into params, unless they are it."""
        if not self._is_one:
            for array, piece in zip(self._arrays, np.split(self.vector, self._ends), strict=True):
                array.given[...] = piece.reshape(array.shape)

    def gradient(self, where: str, label: str, grads: Any) -> NDArray[Any]:
        """Return a gradient as one vector, which the next call may overwrite; raise if it does not match params."""
        if grads is None:
            raise TypeError(f"{where}: {label} must be like params, got None")
        pairs = self._structure.pairs(where, grads, whole=True, name=label)
        pieces = [array.shaped(g).reshape(-1) for array, g in sorted(pairs, key=lambda pair: pair[0].number)]
        if sum(piece.size for piece in pieces) < self.size:
            raise ValueError(f"{where}: {label} must have one for each array, got None")
        with np.errstate(over="ignore"):
            if len(pieces) == 1:
                return pieces[0].astype(self.dtype, copy=False)
            if self._gradient is None:
                self._gradient = aligned_empty(self.size, self.dtype)
            return np.concatenate(pieces, out=self._gradient)

    def like_params(self, vector: NDArray[Any]) -> Any:
        """Return a vector in the structure of params."""
        pieces = zip(self._structure.arrays.items(), np.split(vector, self._ends), strict=True)
        return self._structure.like({key: array.flat(piece.reshape(array.shape)) for (key, array), piece in pieces})
