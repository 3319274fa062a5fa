"""Gradients: those of one step, each with its array; steps array by array."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import repeat
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..parameters import ParameterArray
from .storage import widened
from .update import combined

Pair = tuple[ParameterArray, NDArray[Any]]  # an array and its gradient as a vector
Scales = float | NDArray[np.float64]  # that multiply the gradients: one for all, or one for each


class Gradients(ABC):
    """The gradients of some arrays.

    Attributes
    ----------
    arrays : list of ParameterArray
        Those that have a gradient.
    """

    arrays: Sequence[ParameterArray]

    @abstractmethod
    def block_norms(self, scales: Scales) -> NDArray[np.float64]:
        """Return the norms of the blocks of all scaled gradients, as a matrix of one row."""

    @abstractmethod
    def norms(self, scales: Scales) -> NDArray[np.float64]:
        """Return the norm of each scaled gradient."""

    @abstractmethod
    def limits(self) -> NDArray[np.float64]:
        """Return the clip_norm_each of each array, infinity for None."""

    @abstractmethod
    def only(self, k: int) -> "Pairs":
        """Return the gradient of one of the arrays."""

    @abstractmethod
    def prepare(self, scales: Scales, steps: int | None) -> None:
        """Compute the coefficients of a step after so many; None if arrays differ in the number of steps they took."""

    @abstractmethod
    def sums(self) -> NDArray[np.float64]:
        """Return the sums of blocks of what the optimizer measures, a row for each quantity; to call when prepared."""

    @abstractmethod
    def step(self) -> NDArray[np.float64] | None:
        """Take the step that was prepared, and count it where arrays differ; return the norms of blocks, if tracked.

        Those are of gradient, update and parameters, in the rows of a matrix.
        """

    @abstractmethod
    def accumulate(self, grad_scale: float, totals: Mapping[int, NDArray[Any]], begun: set[int]) -> None:
        """Add the gradients to totals, by the number of the array; overwrite those totals that have not begun."""

    @abstractmethod
    def originals(self) -> list[NDArray[Any]]:
        """Return the gradients as they were given, before they are added to totals."""

    @abstractmethod
    def are_finite(self, scales: Scales) -> bool:
        """Return True if all scaled gradients are finite, even if their norms are not."""


class Pairs(Gradients):
    """Gradients that are looked at and stepped one after the other."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs, self.arrays, self._work = pairs, [array for array, _ in pairs], []

    def _scaled(self, scales: Scales) -> "zip[tuple[Pair, float]]":
        return zip(self._pairs, scales.tolist() if isinstance(scales, np.ndarray) else repeat(scales), strict=False)

    def _block_norms(self, scales: Scales) -> list[NDArray[np.float64]]:
        return [array.update.gradient_norms(g, scale) for (array, g), scale in self._scaled(scales)]

    def block_norms(self, scales: Scales) -> NDArray[np.float64]:
        return _joined(self._block_norms(scales))

    def norms(self, scales: Scales) -> NDArray[np.float64]:
        return np.array([combined(each)[0] for each in self._block_norms(scales)])

    def limits(self) -> NDArray[np.float64]:
        return limits_of(self.arrays)

    def only(self, k: int) -> "Pairs":
        return Pairs([self._pairs[k]])

    def are_finite(self, scales: Scales) -> bool:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = self._scaled(scales)
            return all(
                np.isfinite(array.real.type(scale) * widened(g, array.real)).all() for (array, g), scale in scaled
            )

    def prepare(self, scales: Scales, steps: int | None) -> None:
        found: dict[Any, NDArray[Any]] = {}
        self._steps, self._work = steps, []
        reuse = steps is not None and not isinstance(scales, np.ndarray)  # each Update needs one vector
        for (array, g), scale in self._scaled(scales):
            t = array.steps if steps is None else steps
            key = array.update if reuse else (array.update, t, scale)
            vector = found.get(key)
            if vector is None:
                vector = found[key] = array.update.coefficients.vector(t, scale, reuse)
            self._work.append((array, g, vector, t))

    def sums(self) -> NDArray[np.float64]:
        return _joined([array.update.measured(array, g, vector) for array, g, vector, _ in self._work])

    def step(self) -> NDArray[np.float64] | None:
        parts = []
        for array, g, vector, t in self._work:
            parts.append(array.update.step(array, vector, g, t))
            array.steps += self._steps is None  # at once: what comes next may raise
        return None if parts[0] is None else _joined(parts)

    def accumulate(self, grad_scale: float, totals: Mapping[int, NDArray[Any]], begun: set[int]) -> None:
        for array, g in self._pairs:
            array.unread = None
            array.update.accumulate(array.number not in begun, grad_scale, totals[array.number], g)
            begun.add(array.number)

    def originals(self) -> list[NDArray[Any]]:
        return [g if array.unread is None else array.unread for array, g in self._pairs]


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def limits_of(arrays: Sequence[ParameterArray]) -> NDArray[np.float64]:
    """Return the clip_norm_each of each array, infinity for None."""
    limits = [array.update.owner.clip_norm_each for array in arrays]
    return np.array([inf if limit is None else limit for limit in limits])
