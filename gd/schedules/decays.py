"""Schedules that fall: by steps, exponentially, inversely, along a cosine or a polynomial."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

from ..checks import NON_NEGATIVE, POSITIVE
from .base import Schedule, _ascending, _cosine, _or_infinite


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiply by gamma every `steps` steps: ``lr * gamma**floor(step / steps)``.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        Number of steps with the same rate.
    gamma : float, default: 0.1
        Above 0; 0.5 halves.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.schedules import StepDecay
    >>> schedule = StepDecay(0.8, 10, gamma=0.5)
    >>> [schedule(step) for step in (0, 9, 10, 20)]
    [0.8, 0.8, 0.4, 0.2]
    """

    lr: float
    steps: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, steps=int, gamma=POSITIVE)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return self.lr * _or_infinite(pow, self.gamma, self._counted(step) // self.steps)


@dataclass(frozen=True)
class MultiStepDecay(Schedule):
    """Multiply by gamma at each milestone: ``lr * gamma**(milestones reached)``.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    milestones : sequence of int
        Ascending numbers of steps.
    gamma : float, default: 0.1
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, gamma=POSITIVE)
        object.__setattr__(self, "milestones", _ascending("MultiStepDecay", "milestones", self.milestones))

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return self.lr * _or_infinite(pow, self.gamma, bisect_right(self.milestones, self._counted(step)))


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Multiply by gamma at every step: ``lr * gamma**step``, or ``lr * exp(-rate * step)``.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    gamma : float, optional
        Above 0.
    rate : float, optional
        At least 0, in 1 / step; give one of the two.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    gamma: float | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if (self.gamma is None) == (self.rate is None):
            raise TypeError("ExponentialDecay: give one of gamma and rate")
        self._check(lr=NON_NEGATIVE)
        self._check(**({"gamma": POSITIVE} if self.rate is None else {"rate": NON_NEGATIVE}))

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        gamma: Any = self.gamma  # a number if rate is None
        exponent = self._counted(step) * (log(gamma) if self.rate is None else -self.rate)
        return self.lr * _or_infinite(exp, exponent)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """Fall as 1 / t: ``lr / (1 + rate * step)``, the rate of Robbins & Monro 1951.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    rate : float
        At least 0, in 1 / step.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    rate: float

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, rate=NON_NEGATIVE)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return self.lr / (1 + self.rate * self._counted(step))


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Fall along half a cosine: ``lr_min + (lr - lr_min) * (1 + cos(pi * step / steps)) / 2``, then lr_min.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        Number of steps until the end.
    lr_min : float, default: 0
        The rate at the end.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    steps: int
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, steps=int, lr_min=NON_NEGATIVE)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return _cosine(self.lr, self.lr_min, min(self._counted(step) / self.steps, 1))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Repeat cosine decays, each `multiplier` times as long as the one before.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    lr : float
        The rate at the beginning of each decay.
    steps : int
        Number of steps of the first decay.
    multiplier : int, default: 1
        At least 1.
    lr_min : float, default: 0
        The rate at the end of each decay.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    steps: int
    multiplier: int = 1
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, steps=int, multiplier=int, lr_min=NON_NEGATIVE)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        step, length = self._counted(step), self.steps
        if self.multiplier == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.multiplier
        return _cosine(self.lr, self.lr_min, step / length)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """Fall with a power of the part that is left: ``lr_min + (lr - lr_min) * (1 - step / steps)**power``, then lr_min.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        Number of steps until the end.
    power : float, default: 1
        Above 0; 1 is linear.
    lr_min : float, default: 0
        The rate at the end.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    steps: int
    power: float = 1.0
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        self._check(lr=NON_NEGATIVE, steps=int, power=POSITIVE, lr_min=NON_NEGATIVE)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        left = 1 - min(self._counted(step) / self.steps, 1)
        return self.lr_min + (self.lr - self.lr_min) * left**self.power
