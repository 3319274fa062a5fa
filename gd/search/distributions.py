"""Ranges of hyper-parameters: they draw values and narrow around the best ones."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log
from typing import Any, ClassVar, Self

import numpy as np

from ..checks import POSITIVE, REAL, Range, check_flag, check_generator, check_number


class RangeOfValues:
    """Base class of the ranges of hyper-parameters."""

    def sample(self, rng: np.random.Generator | np.random.RandomState) -> Any:
        """Return a value drawn with a NumPy generator."""
        raise NotImplementedError

    def narrowed(self, best: Iterable[Any], share: float) -> "RangeOfValues":
        """Return a smaller range around the best values, the very best first."""
        raise NotImplementedError

    def code(self, value: Any) -> Any:
        """Return a value as it is written in a journal and drawn in a plot."""
        raise NotImplementedError

    def rvs(self, random_state: int | np.random.Generator | np.random.RandomState | None = None) -> Any:
        """Return a value drawn at random, as scikit-learn's searches call it."""
        drawing = isinstance(random_state, (np.random.Generator, np.random.RandomState))
        where = f"{type(self).__name__}.rvs"
        return self.sample(random_state if drawing else check_generator(where, "random_state", random_state))


@dataclass(frozen=True)
class Uniform(RangeOfValues):
    """Numbers from low to high, all equally likely.

    Parameters
    ----------
    low, high : float
        The ends of the range; equal ends fix the hyper-parameter.
    integer : bool, default: False
        Whole numbers only, both ends included.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.search import Uniform
    >>> Uniform(0, 8).narrowed([1.0], share=0.5)
    Uniform(low=0.0, high=4.0, integer=False)
    """

    low: float
    high: float
    integer: bool = False

    _allowed: ClassVar[Range] = REAL

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_flag(name, "integer", self.integer)
        for end in ("low", "high"):
            value = check_number(name, end, getattr(self, end), self._allowed)
            if self.integer and not value.is_integer():
                raise ValueError(f"{name}: {end} must be a whole number with integer=True, got {value}")
            object.__setattr__(self, end, int(value) if self.integer else value)
        if not 0 <= self.high - self.low < inf:
            raise ValueError(f"{name}: low must not be above high, got {self.low} and {self.high}")

    def sample(self, rng: np.random.Generator | np.random.RandomState) -> float:
        """Return a value drawn with a NumPy generator."""
        (low, high), part = self._ends(), rng.random()
        return self._nearest(self._value(low * (1 - part) + high * part))

    def narrowed(self, best: Iterable[float], share: float) -> Self:
        """Return a range around the best values, the very best first; `share` is its width in parts of this one's.

        Its middle is their median, shifted where the range would miss the very best or leave this one.
        """
        best = [self._nearest(value) for value in best]
        (low, high), first = self._ends(), self._coordinate(best[0])
        width = share * (high - low)
        middle = min(max(np.median([self._coordinate(value) for value in best]), first - width / 2), first + width / 2)
        start = float(min(max(middle - width / 2, low), high - width))
        left = self._nearest(self._value(start) + self._margin)
        right = self._nearest(self._value(start + width) - self._margin)
        return replace(self, low=min(left, best[0]), high=max(right, best[0]))  # in spite of rounding

    @property
    def _margin(self) -> float:
        return 0.5 if self.integer else 0.0  # an integer stands for all numbers that round to it, also at the ends

    def _ends(self) -> tuple[float, float]:
        return self._coordinate(self.low - self._margin), self._coordinate(self.high + self._margin)

    def _nearest(self, value: float) -> float:
        return min(max(round(value) if self.integer else value, self.low), self.high)

    def _coordinate(self, value: float) -> float:
        return value

    def _value(self, coordinate: float) -> float:
        return coordinate

    def code(self, value: float) -> float:
        """Return a value as it is written in a journal and drawn in a plot."""
        return value

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


class LogUniform(Uniform):
    """Positive numbers from low to high, all orders of magnitude equally likely; parameters as in `Uniform`.

    Examples
    --------
    >>> from gd.search import LogUniform
    >>> print(LogUniform(1e-5, 1e-1).narrowed([1e-3], share=0.5))
    0.0001 to 0.01 (log)
    """

    _allowed = POSITIVE

    def _coordinate(self, value: float) -> float:
        return log(value)

    def _value(self, coordinate: float) -> float:
        return exp(coordinate)

    def __str__(self) -> str:
        return f"{super().__str__()} (log)"


@dataclass(frozen=True)
class Choice(RangeOfValues):
    """One of some options, all equally likely.

    Parameters
    ----------
    options : sequence
        The options, of any types; two of the same type must not be equal by ``==``.

    Raises
    ------
    TypeError, ValueError
        If there is no option, or two are equal.

    Examples
    --------
    >>> from gd.search import Choice
    >>> Choice(["relu", "tanh", "silu"]).narrowed(["silu", "relu", "silu"], share=0.5)
    Choice(options=('relu', 'silu'))
    """

    options: Sequence[Any]

    def __post_init__(self) -> None:
        if isinstance(self.options, (str, bytes)) or not isinstance(self.options, (Sequence, np.ndarray)):
            raise TypeError(f"Choice: options must be a list, got {self.options!r}")
        object.__setattr__(self, "options", tuple(self.options))
        try:
            differ = all(self.code(option) == k for k, option in enumerate(self.options))
        except ValueError:  # from comparing arrays
            differ = False
        if not self.options or not differ:
            raise ValueError(f"Choice: options must be at least one, none twice, got {list(self.options)!r}")

    def sample(self, rng: np.random.Generator | np.random.RandomState) -> Any:
        """Return an option drawn with a NumPy generator."""
        return self.options[int(rng.random() * len(self.options))]

    def narrowed(self, best: Iterable[Any], share: float) -> "Choice":
        """Return the options that are among the best values, in their order here; the share is not used."""
        return Choice([self.options[k] for k in sorted({self.code(value) for value in best})])

    def code(self, value: Any) -> int:
        """Return the index of an option, which stands for it in a journal and a plot."""
        alike = [option is value or (type(option) is type(value) and option == value) for option in self.options]
        return alike.index(True)

    def __str__(self) -> str:
        return ", ".join(map(shown, self.options))


def shown(value: Any) -> str:
    """Return a value as text without addresses, so that it is equal in each process."""
    if isinstance(value, (str, float)):
        return value if isinstance(value, str) else f"{value:.4g}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
