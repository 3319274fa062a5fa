"""Walk: the base of updates that step whole arrays by their shape, where an element's step needs its row and column."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.storage import CODE_BLOCK
from ..parameters import ParameterArray
from .coefficients import COMMON
from .update import QUANTITIES, Update, combined


class Walk(Update, ABC):
    """Steps arrays, each by its shape; the `walk` of an optimizer is a subclass."""

    by_shape = True

    @abstractmethod
    def walk(self, vector: NDArray[Any], p: NDArray[Any], g: NDArray[Any], *slots: NDArray[Any]) -> None:
        """Step an array by coefficients and its gradient; all arrays are in C order, g is read only."""

    def step(self, array: ParameterArray, vector: NDArray[Any], g: NDArray[Any], t: int) -> NDArray[np.float64] | None:
        owner, before = self.owner, array.p.copy() if self.owner.track_norms else None
        vectors = array.p, g, *array.slots  # but for state of a shape of its own
        shaped = [array.shaped(each) if each.ndim == 1 else each for each in vectors]
        arrays = [np.ascontiguousarray(each) for each in shaped]
        self.walk(vector, *arrays)
        for k, (own, copy) in enumerate(zip(shaped, arrays, strict=True)):
            if own is not copy and k != 1:
                own[...] = copy
        norms = None
        if before is not None:
            norms = np.zeros((QUANTITIES, -(-array.size // CODE_BLOCK)))
            norms[:, 0] = [self.norm(each) for each in (g, array.p - before, array.p)]
        if owner.zero_grads:
            g[...] = 0
        array.clear_unread()
        return norms

    def norm(self, x: NDArray[Any]) -> float:
        """Return the Euclidean norm of a contiguous array."""
        return combined(self.gradient_norms(x.reshape(-1), 1.0))[0]

    def own(self, vector: NDArray[Any]) -> list[float]:
        """Return the rule's own coefficients."""
        return vector[COMMON:].tolist()
