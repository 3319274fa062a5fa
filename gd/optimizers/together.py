"""Together: norms, sums and conditions over all arrays of an optimizer."""

from math import fsum, isfinite, nan

import numpy as np
from numpy.typing import NDArray

from .update import combined


class Together:
    """Combines norms and conditions of all arrays; a subclass may include the arrays of other processes."""

    def norm(self, parts: NDArray[np.float64]) -> list[float]:
        """Return the norm of each row of `parts`, which are norms themselves."""
        return combined(parts)

    def sum(self, parts: NDArray[np.float64]) -> list[float]:
        """Return the sum of each row of `parts`, rounded once, so that their order does not matter."""
        return [fsum(row) if isfinite(row.sum()) else nan for row in parts]

    def is_true(self, found: bool) -> bool:
        """Return True if a condition, which is `found` here, holds for all arrays."""
        return found
