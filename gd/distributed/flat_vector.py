"""Arrays in any structure as one vector, for what goes between processes."""

import numpy as np

from ..checks import aligned_empty
from ..parameters import Structure


class FlatVector:
    """The parameters that an optimizer takes as one vector, and gradients that match them as another.

    One array, or a ParameterVector, is that vector; several are copied into it and back.
    """

    def __init__(self, where, params):
        self._structure = Structure(where, params)
        whole, arrays = self._structure.vector, list(self._structure.arrays.values())
        self._arrays = [array.p for array in ([whole] if whole is not None else arrays)]
        dtypes = {array.dtype for array in self._arrays}
        if len(dtypes) > 1:
            raise ValueError(f"{where}: params must be of one dtype, got {' and '.join(sorted(map(str, dtypes)))}")
        self.params, self.dtype = self._structure.params, dtypes.pop()
        self.size = sum(array.size for array in self._arrays)
        self._is_one = len(self._arrays) == 1
        self._ends = np.cumsum([array.size for array in arrays])[:-1]
        self.vector = self._arrays[0] if self._is_one else aligned_empty(self.size, self.dtype)
        self._gradient = None

    def take(self):
        """Return the vector, brought up to date with params."""
        if not self._is_one:
            np.concatenate(self._arrays, out=self.vector)
        return self.vector

    def give(self):
        """Bring params up to date with the vector."""
        if not self._is_one:
            for array, piece in zip(self._arrays, np.split(self.vector, self._ends), strict=True):
                array[:] = piece

    def gradient(self, where, label, grads):
        """Return a gradient like params as one vector, which the next call may overwrite, else raise."""
        if grads is None:
            raise TypeError(f"{where}: {label} must be like params, got None")
        pairs = self._structure.pairs(where, grads, whole=True, name=label)
        pieces = [g for _, g in sorted(pairs, key=lambda pair: pair[0].number)]
        if sum(piece.size for piece in pieces) < self.size:
            raise ValueError(f"{where}: {label} must have one for each array, got None")
        if len(pieces) == 1:
            return pieces[0]
        if self._gradient is None:
            self._gradient = aligned_empty(self.size, self.dtype)
        return np.concatenate(pieces, out=self._gradient)

    def like_params(self, vector):
        """Return a vector in the structure of params."""
        return self._structure.like(dict(zip(self._structure.arrays, np.split(vector, self._ends), strict=True)))
