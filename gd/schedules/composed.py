"""Schedules of several parts: a warm-up before another schedule, one cycle, one schedule after another."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..checks import NON_NEGATIVE, POSITIVE, UNIT, check_choice, check_flag, check_number, check_size, shown
from ..typing import Rate
from .base import _FRACTION, Schedule, _ascending, _at, _cosine, _rate


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """Rise linearly to where another schedule begins, then follow it: its step 0 is the end of the warm-up.

    ``after(0) * (start_factor + (1 - start_factor) * step / steps)``, then ``after(step - steps)``.

    Parameters
    ----------
    after : float or callable
        A rate, or a schedule.
    steps : int
        Length of the warm-up.
    start_factor : float, default: 1/3
        First rate of the warm-up, as a part of ``after(0)``, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.schedules import CosineDecay, LinearWarmup
    >>> schedule = LinearWarmup(CosineDecay(0.1, 1000), 100, start_factor=0.01)
    >>> [round(schedule(step), 4) for step in (0, 50, 100, 600, 1100)]
    [0.001, 0.0505, 0.1, 0.05, 0.0]
    """

    after: Rate
    steps: int
    start_factor: float = 1 / 3

    def __post_init__(self) -> None:
        self._check(steps=int, start_factor=_FRACTION)
        object.__setattr__(self, "after", _rate("LinearWarmup", "after", self.after))

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        step = self._counted(step)
        if step >= self.steps:
            return _at(self.after, step - self.steps)
        return _at(self.after, 0) * (self.start_factor + (1 - self.start_factor) * step / self.steps)

    def _followed(self, step):
        if step is None:
            return super()._followed(step)
        return {"after": (self.after, step - self.steps)} if step >= self.steps else {}


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise to lr_max and fall far below where it began, while the momentum falls and rises.

    The rate goes from lr_max / div_factor to lr_max in the first `pct_start` of the steps, then to
    lr_max / div_factor / final_div_factor. Smith & Topin, "Super-convergence", 2018.

    Parameters
    ----------
    lr_max : float
        The largest rate.
    steps : int
        Length of the cycle, at least 2.
    pct_start : float, default: 0.3
        The part of the steps in which the rate rises, in [0, 1).
    anneal : {"cos", "linear"}, default: "cos"
    momenta : (float, float), default: (0.85, 0.95)
        The momentum at the largest rate, and at both ends.
    div_factor, final_div_factor : float, default: 25, 1e4
        Above 0.
    three_phase : bool, default: False
        Fall to the first rate in as many steps as the rate rose, then to the last.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    Pass the momentum to the optimizer, too; in Adam and its variants it is the first of the betas.

    >>> import gd, numpy as np
    >>> cycle = gd.schedules.OneCycle(0.1, 1000)
    >>> optimizer = gd.SGD(np.ones(3), lr=cycle, momentum=cycle.momentum)
    >>> another = gd.Adam(np.ones(3), lr=cycle, betas=(cycle.momentum, 0.999))
    >>> round(cycle(299), 6), round(cycle.momentum(299), 6)
    (0.1, 0.85)
    """

    lr_max: float
    steps: int
    pct_start: float = 0.3
    anneal: Literal["cos", "linear"] = "cos"
    momenta: tuple[float, float] = (0.85, 0.95)
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        self._check(lr_max=NON_NEGATIVE, pct_start=UNIT, div_factor=POSITIVE, final_div_factor=POSITIVE)
        check_size("OneCycle", "steps", self.steps, 2)
        check_choice("OneCycle", "anneal", self.anneal, ("cos", "linear"))
        check_flag("OneCycle", "three_phase", self.three_phase)
        if not isinstance(self.momenta, (tuple, list)) or len(self.momenta) != 2:
            raise TypeError(f"OneCycle: momenta must be a tuple of 2 numbers, got {shown(self.momenta)}")
        for k, each in enumerate(self.momenta):
            check_number("OneCycle", f"momenta[{k}]", each, UNIT)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        first = self.lr_max / self.div_factor
        return self._cycle(step, first, self.lr_max, first / self.final_div_factor, first)

    def momentum(self, step: int) -> float:
        """Return the momentum."""
        low, high = self.momenta
        return self._cycle(step, high, low, high, high)

    def _cycle(self, step: int, first: float, turn: float, last: float, between: float) -> float:
        """Return the value at a step, on the way first, turn (then between, in three phases), last."""
        step, rise = self._counted(step), self.pct_start * self.steps - 1
        knots = [(0, first), (rise, turn), (self.steps - 1, last)]
        if self.three_phase:
            knots.insert(2, (2 * self.pct_start * self.steps - 2, between))
        step = min(step, self.steps - 1)
        for k in range(1, len(knots)):
            (start, before), (end, after) = knots[k - 1], knots[k]
            if step <= end or k == len(knots) - 1:
                part = (step - start) / (end - start) if end != start else 1.0
                return _cosine(before, after, part) if self.anneal == "cos" else before + (after - before) * part
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Follow one rate or schedule after another; each schedule begins with its step 0.

    Parameters
    ----------
    boundaries : sequence of int
        Ascending numbers of steps, at which the next piece begins.
    pieces : sequence of float or callable
        Rates or schedules, one more than boundaries.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.schedules import Piecewise
    >>> schedule = Piecewise([100, 200], [0.1, 0.01, lambda step: 0.01 / (1 + step)])
    >>> [schedule(step) for step in (0, 99, 100, 200, 201)]
    [0.1, 0.1, 0.01, 0.01, 0.005]
    """

    boundaries: Sequence[int]
    pieces: Sequence[Rate]

    def __post_init__(self) -> None:
        boundaries = _ascending("Piecewise", "boundaries", self.boundaries)
        if not isinstance(self.pieces, (list, tuple)) or len(self.pieces) != len(boundaries) + 1:
            raise ValueError(f"Piecewise: pieces must be a list of {len(boundaries) + 1}, one more than boundaries")
        pieces = tuple(_rate("Piecewise", f"pieces[{k}]", each) for k, each in enumerate(self.pieces))
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "pieces", pieces)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        k, step = self._piece(self._counted(step))
        return _at(self.pieces[k], step)

    def _piece(self, step: int) -> tuple[int, int]:
        """Return the number of the piece of a step, and the step within this piece."""
        k = bisect_right(self.boundaries, step)
        return k, step - (self.boundaries[k - 1] if k else 0)

    def _followed(self, step):
        if step is None:
            return super()._followed(step)
        k, own = self._piece(step)
        return {f"pieces[{k}]": (self.pieces[k], own)}
