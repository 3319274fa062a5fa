"""Learning-rate schedules: functions of the number of steps taken before, for the `lr` of any optimizer.

They are given where a number would stand, ``gd.Adam(p, lr=gd.schedules.CosineDecay(1e-3, 10_000))``, and the
optimizer calls them at every step, so a step is a mini-batch. For PyTorch's schedulers, which are told of
epochs, multiply what counts steps by the number of batches in an epoch. All are PyTorch's in closed form:

==================  ==========================================  =============================================
here                PyTorch                                     Keras
==================  ==========================================  =============================================
StepDecay           StepLR                                      ExponentialDecay(staircase=True)
MultiStepDecay      MultiStepLR                                 PiecewiseConstantDecay changes one step later
ExponentialDecay    ExponentialLR                               ExponentialDecay(decay_steps=1)
InverseTimeDecay    LambdaLR                                    InverseTimeDecay(decay_steps=1)
CosineDecay         CosineAnnealingLR, which rises again after  CosineDecay, where alpha is lr_min / lr
CosineRestarts      CosineAnnealingWarmRestarts                 CosineDecayRestarts, t_mul=2 by default
PolynomialDecay     PolynomialLR, which ends at 0               PolynomialDecay, ends at 1e-4 by default
LinearWarmup        SequentialLR with LinearLR                  CosineDecay(warmup_target=...), from its initial
                                                                rate, the decay then begins
OneCycle            OneCycleLR                                  none
Piecewise           SequentialLR                                PiecewiseConstantDecay changes one step later
ReduceOnPlateau     ReduceLROnPlateau                           callback, reduces one update earlier
==================  ==========================================  =============================================
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from math import cos, exp, inf, isfinite, log, pi, sqrt
from numbers import Real

from .ranges import (
    NON_NEGATIVE,
    POSITIVE,
    UNIT,
    Range,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_size,
    shown,
)

_FRACTION = Range(0.0, 1.0, False, True)
LONGEST = 2**53  # steps, that floats can count


class Schedule(ABC):
    """A learning rate that depends on the number of steps taken before."""

    @abstractmethod
    def __call__(self, step):
        """Return the learning rate of the step after `step` steps (0, 1, ...)."""

    def _counted(self, step):
        """Return step if it is a number of steps, else raise."""
        if type(step) is int and 0 <= step < LONGEST:
            return step
        name = type(self).__name__
        if check_integer(name, "step", step, 0) >= LONGEST:
            raise ValueError(f"{name}: step must be below 2**53, got {shown(step, str)}")
        return int(step)

    def _check(self, **ranges):
        """Raise unless the named arguments are numbers in their ranges."""
        for name, allowed in ranges.items():
            value = getattr(self, name)
            if allowed is int:
                check_size(type(self).__name__, name, value)
            else:
                check_number(type(self).__name__, name, value, allowed)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiply by gamma every `steps` steps: ``lr * gamma**floor(step / steps)``.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        How long a rate lasts.
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

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, steps=int, gamma=POSITIVE)

    def __call__(self, step):
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
        Numbers of steps, ascending.
    gamma : float, default: 0.1
        Above 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    milestones: tuple
    gamma: float = 0.1

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, gamma=POSITIVE)
        object.__setattr__(self, "milestones", _ascending("MultiStepDecay", "milestones", self.milestones))

    def __call__(self, step):
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

    def __post_init__(self):
        if (self.gamma is None) == (self.rate is None):
            raise TypeError("ExponentialDecay: give one of gamma and rate")
        self._check(lr=NON_NEGATIVE)
        self._check(**({"gamma": POSITIVE} if self.rate is None else {"rate": NON_NEGATIVE}))

    def __call__(self, step):
        """Return the learning rate."""
        exponent = self._counted(step) * (log(self.gamma) if self.rate is None else -self.rate)
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

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, rate=NON_NEGATIVE)

    def __call__(self, step):
        """Return the learning rate."""
        return self.lr / (1 + self.rate * self._counted(step))


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a cosine from lr to lr_min: ``lr_min + (lr - lr_min) * (1 + cos(pi * step / steps)) / 2``, then lr_min.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        How long it falls.
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

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, steps=int, lr_min=NON_NEGATIVE)

    def __call__(self, step):
        """Return the learning rate."""
        return _cosine(self.lr, self.lr_min, min(self._counted(step) / self.steps, 1))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Cosine decays one after the other, each `multiplier` times as long as the one before.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.

    Parameters
    ----------
    lr : float
        The rate at the beginning of each.
    steps : int
        Length of the first.
    multiplier : int, default: 1
        1 at least.
    lr_min : float, default: 0
        What each falls to.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    lr: float
    steps: int
    multiplier: int = 1
    lr_min: float = 0.0

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, steps=int, multiplier=int, lr_min=NON_NEGATIVE)

    def __call__(self, step):
        """Return the learning rate."""
        step, length = self._counted(step), self.steps
        if self.multiplier == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.multiplier
        return _cosine(self.lr, self.lr_min, step / length)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """A power of the way left: ``lr_min + (lr - lr_min) * (1 - step / steps)**power``, then lr_min.

    Parameters
    ----------
    lr : float
        The rate at the beginning.
    steps : int
        How long it falls.
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

    def __post_init__(self):
        self._check(lr=NON_NEGATIVE, steps=int, power=POSITIVE, lr_min=NON_NEGATIVE)

    def __call__(self, step):
        """Return the learning rate."""
        left = 1 - min(self._counted(step) / self.steps, 1)
        return self.lr_min + (self.lr - self.lr_min) * left**self.power


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
        Where it begins, in (0, 1].

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

    after: object
    steps: int
    start_factor: float = 1 / 3

    def __post_init__(self):
        self._check(steps=int, start_factor=_FRACTION)
        object.__setattr__(self, "after", _rate("LinearWarmup", "after", self.after))

    def __call__(self, step):
        """Return the learning rate."""
        step = self._counted(step)
        if step >= self.steps:
            return _at(self.after, step - self.steps)
        return _at(self.after, 0) * (self.start_factor + (1 - self.start_factor) * step / self.steps)


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
        Length of the cycle, 2 at least.
    pct_start : float, default: 0.3
        The part of the steps in which the rate rises, in [0, 1).
    anneal : {"cos", "linear"}, default: "cos"
    momenta : (float, float), default: (0.85, 0.95)
        The momentum at the largest rate, and at both ends.
    div_factor, final_div_factor : float, default: 25, 1e4
        Above 0.
    three_phase : bool, default: False
        Fall to the first rate in as many steps as it rose, then to the last.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    The momentum goes to the optimizer by itself; in Adam and its kin it is the first of the betas.

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
    anneal: str = "cos"
    momenta: tuple = (0.85, 0.95)
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self):
        self._check(lr_max=NON_NEGATIVE, pct_start=UNIT, div_factor=POSITIVE, final_div_factor=POSITIVE)
        check_size("OneCycle", "steps", self.steps, 2)
        check_choice("OneCycle", "anneal", self.anneal, ("cos", "linear"))
        check_flag("OneCycle", "three_phase", self.three_phase)
        if not isinstance(self.momenta, (tuple, list)) or len(self.momenta) != 2:
            raise TypeError(f"OneCycle: momenta must be a tuple of 2 numbers, got {shown(self.momenta)}")
        for k, each in enumerate(self.momenta):
            check_number("OneCycle", f"momenta[{k}]", each, UNIT)

    def __call__(self, step):
        """Return the learning rate."""
        first = self.lr_max / self.div_factor
        return self._cycle(step, first, self.lr_max, first / self.final_div_factor, first)

    def momentum(self, step):
        """Return the momentum."""
        low, high = self.momenta
        return self._cycle(step, high, low, high, high)

    def _cycle(self, step, first, turn, last, between):
        """Return the value on the way from first over turn (and between, in three phases) to last."""
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
    """One rate or schedule after the other; each schedule begins with its step 0.

    Parameters
    ----------
    boundaries : sequence of int
        Numbers of steps, ascending, at which the next one begins.
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

    boundaries: tuple
    pieces: tuple

    def __post_init__(self):
        boundaries = _ascending("Piecewise", "boundaries", self.boundaries)
        if not isinstance(self.pieces, (list, tuple)) or len(self.pieces) != len(boundaries) + 1:
            raise ValueError(f"Piecewise: pieces must be a list of {len(boundaries) + 1}, one more than boundaries")
        pieces = tuple(_rate("Piecewise", f"pieces[{k}]", each) for k, each in enumerate(self.pieces))
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "pieces", pieces)

    def __call__(self, step):
        """Return the learning rate."""
        step = self._counted(step)
        k = bisect_right(self.boundaries, step)
        return _at(self.pieces[k], step - (self.boundaries[k - 1] if k else 0))


class ReduceOnPlateau(Schedule):
    """Multiply the rate by a factor where a metric has stopped improving.

    Parameters
    ----------
    lr : float or callable
        The rate, or a schedule, which is multiplied.
    factor : float, default: 0.1
        In (0, 1).
    patience : int, default: 10
        How many updates without improvement are put up with; the one after reduces the rate.
    threshold : float, default: 1e-4
        What counts as an improvement, in parts of the best metric, or with threshold_mode="abs" of itself.
    cooldown : int, default: 0
        Updates after a reduction that do not count.
    lr_min : float, default: 0
        The smallest rate.
    mode : {"min", "max"}, default: "min"
        Whether the metric, such as a loss or an accuracy, is to fall or to rise.
    threshold_mode : {"rel", "abs"}, default: "rel"

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import gd, numpy as np
    >>> plateau = gd.schedules.ReduceOnPlateau(0.1, factor=0.5, patience=1)
    >>> optimizer = gd.SGD(np.ones(3), lr=plateau)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     reduced = plateau.update(loss)
    >>> reduced, optimizer.lr
    (True, 0.05)
    """

    def __init__(
        self,
        lr,
        factor=0.1,
        patience=10,
        threshold=1e-4,
        cooldown=0,
        lr_min=0.0,
        mode="min",
        threshold_mode="rel",
    ):
        name = "ReduceOnPlateau"
        self.lr = _rate(name, "lr", lr)
        self.factor = check_number(name, "factor", factor, Range(0.0, 1.0, False))
        self.patience = check_integer(name, "patience", patience, 0)
        self.threshold = check_number(name, "threshold", threshold, NON_NEGATIVE)
        self.cooldown = check_integer(name, "cooldown", cooldown, 0)
        self.lr_min = check_number(name, "lr_min", lr_min, NON_NEGATIVE)
        self.mode = check_choice(name, "mode", mode, ("min", "max"))
        self.threshold_mode = check_choice(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.best = inf if mode == "min" else -inf
        self.reductions = self.bad = self.cooling = 0

    def __call__(self, step):
        """Return the learning rate."""
        lr = _at(self.lr, self._counted(step))
        return max(lr * self.factor**self.reductions, min(lr, self.lr_min))

    def update(self, metric):
        """Take note of a metric, once an epoch for example; return whether the rate was reduced."""
        if isinstance(metric, bool) or not isinstance(metric, Real):
            raise TypeError(f"ReduceOnPlateau.update: metric must be a number, got {shown(metric)}")
        if self._improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad <= self.patience:
            return False
        self.reductions, self.cooling, self.bad = self.reductions + 1, self.cooldown, 0
        return True

    def _improves(self, metric):
        """Whether a metric is better than the best by the threshold; NaN never is."""
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin = margin * abs(self.best) if isfinite(self.best) else 0.0
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def state_dict(self):
        """Return what `update` has counted, as numbers."""
        return {name: getattr(self, name) for name in ("best", "reductions", "bad", "cooling")}

    def load_state_dict(self, state):
        """Restore what `state_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the state is not of this kind; nothing has changed then.
        """
        where = "ReduceOnPlateau.load_state_dict"
        if not isinstance(state, dict) or state.keys() != self.state_dict().keys():
            raise KeyError(f"{where}: state must have {', '.join(self.state_dict())}")
        best = check_number(where, "state['best']", state["best"], Range(-inf, inf, True, True))
        counts = {
            name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in ("reductions", "bad", "cooling")
        }
        vars(self).update(counts, best=best)

    def __repr__(self):
        return f"ReduceOnPlateau({self.lr}, factor={self.factor:g}, patience={self.patience})"


def scale_lr_for_batch(lr, batch, base_batch, rule="linear"):
    """Return the learning rate for another batch size.

    Parameters
    ----------
    lr : float
        What is right for batches of `base_batch`.
    batch, base_batch : int
        Examples in a batch.
    rule : {"linear", "sqrt"}, default: "linear"
        ``lr * batch / base_batch`` (Goyal et al. 2017, for SGD), or its root in the place of the ratio
        (Krizhevsky 2014; for Adam and its kin Malladi et al. 2022).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.schedules import scale_lr_for_batch
    >>> scale_lr_for_batch(0.1, 1024, 256), scale_lr_for_batch(1e-3, 1024, 256, rule="sqrt")
    (0.4, 0.002)
    """
    where = "scale_lr_for_batch"
    ratio = check_size(where, "batch", batch) / check_size(where, "base_batch", base_batch)
    check_choice(where, "rule", rule, ("linear", "sqrt"))
    return check_number(where, "lr", lr, NON_NEGATIVE) * (ratio if rule == "linear" else sqrt(ratio))


def _cosine(start, end, part):
    return end + (start - end) * (1 + cos(pi * part)) / 2


def _or_infinite(function, *arguments):
    """Return the value of a function, infinite where it is too large for a float."""
    try:
        return function(*arguments)
    except OverflowError:
        return inf


def _at(rate, step):
    """Return the value of a schedule or of a number."""
    return rate(step) if callable(rate) else rate


def _rate(where, name, value):
    return value if callable(value) else check_number(where, name, value, NON_NEGATIVE)


def _ascending(where, name, values):
    """Return a tuple of integers if they ascend."""
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError(f"{where}: {name} must be a list of integers, got {shown(values)}")
    values = tuple(check_size(where, f"{name}[{k}]", value) for k, value in enumerate(values))
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{where}: {name} must ascend, got {values}")
    return values
