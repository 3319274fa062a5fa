"""Schedule, the base class of learning-rate schedules, and scale_lr_for_batch, the rate for another batch size."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import getclosurevars
from itertools import pairwise
from math import cos, inf, pi, sqrt
from types import FunctionType, MethodType
from typing import Any, Literal

from ..checks import NON_NEGATIVE, Range, check_choice, check_integer, check_number, check_size, shown
from ..typing import Rate

_FRACTION = Range(0.0, 1.0, False, True)
LONGEST = 2**53  # steps: floats represent all integers up to here


class Schedule(ABC):
    """A learning rate that depends on the number of steps taken before."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the learning rate of the step after `step` steps (0, 1, ...)."""

    def _followed(self, step: int | None) -> dict[str, tuple[Any, int | None]]:
        """Return {name: (part, its own step)} of what this is made of and follows at a step; all of it for None."""
        return {name: (part, step) for name, part in vars(self).items()}

    def _counted(self, step: int) -> int:
        """Return step if it is a number of steps, else raise."""
        if type(step) is int and 0 <= step < LONGEST:
            return step
        name = type(self).__name__
        if check_integer(name, "step", step, 0) >= LONGEST:
            raise ValueError(f"{name}: step must be below 2**53, got {shown(step, str)}")
        return int(step)

    def _check(self, **ranges: Any) -> None:
        """Raise unless the named arguments are numbers in their ranges."""
        for name, allowed in ranges.items():
            value = getattr(self, name)
            if allowed is int:
                check_size(type(self).__name__, name, value)
            else:
                check_number(type(self).__name__, name, value, allowed)


def scale_lr_for_batch(lr: float, batch: int, base_batch: int, rule: Literal["linear", "sqrt"] = "linear") -> float:
    """Return the learning rate for another batch size.

    Parameters
    ----------
    lr : float
        The learning rate for batches of `base_batch`.
    batch, base_batch : int
        Examples in a batch.
    rule : {"linear", "sqrt"}, default: "linear"
        ``lr * batch / base_batch`` (Goyal et al. 2017, for SGD), or with the square root of the ratio
        (Krizhevsky 2014; for Adam and its variants Malladi et al. 2022).

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


def _cosine(start: float, end: float, part: float) -> float:
    """Return the value at a part of the way from start to end, along half a cosine."""
    return end + (start - end) * (1 + cos(pi * part)) / 2


def _or_infinite(function: Callable[..., float], *arguments: float) -> float:
    """Return function(*arguments), or infinity if that is too large for a float."""
    try:
        return function(*arguments)
    except OverflowError:
        return inf


def _at(rate: Rate, step: int) -> float:
    """Return the value of a schedule or of a number."""
    return rate(step) if callable(rate) else rate


def _rate(where: str, name: str, value: Any) -> Any:
    """Return a schedule, or a number if it can be a rate, else raise."""
    return value if callable(value) else check_number(where, name, value, NON_NEGATIVE)


def _ascending(where: str, name: str, values: Any) -> tuple[int, ...]:
    """Return a tuple of integers if they ascend, else raise."""
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError(f"{where}: {name} must be a list of integers, got {shown(values)}")
    values = tuple(check_size(where, f"{name}[{k}]", value) for k, value in enumerate(values))
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{where}: {name} must ascend, got {values}")
    return values


def nested(
    name: str, schedule: Any, step: int | None = None, seen: set[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (name, schedule) of a schedule, or of those in a tuple or a dict, and of all that they are made of.

    With a step, only of those that are followed at this step. Functions are made of the schedules that they refer to.
    Each is visited once: `seen` holds the ids of those before.
    """
    seen = set() if seen is None else seen
    if id(schedule) in seen:
        return
    seen.add(id(schedule))
    if isinstance(schedule, (Mapping, tuple, list)):
        items = schedule.items() if isinstance(schedule, Mapping) else enumerate(schedule)
        for key, each in items:
            if callable(each) or isinstance(each, (Mapping, tuple, list)):
                yield from nested(f"{name}[{key!r}]", each, step, seen)
    elif callable(schedule):
        yield name, schedule
        for part, (each, own) in _parts(schedule, step).items():
            of_schedule = callable(each) and isinstance(schedule, (Schedule, partial))
            if of_schedule or isinstance(each, (Schedule, Mapping, tuple, list)):
                yield from nested(f"{name}.{part}", each, own, seen)


def _parts(schedule: Any, step: int | None) -> dict[str, tuple[Any, int | None]]:
    """Return {name: (part, its own step)} of what a callable is made of."""
    if isinstance(schedule, Schedule):
        return schedule._followed(step)
    if isinstance(schedule, partial):
        found = {"func": schedule.func, "args": schedule.args, "keywords": schedule.keywords}
    elif isinstance(schedule, MethodType):
        found = {"self": schedule.__self__}
    elif isinstance(schedule, FunctionType):
        variables = getclosurevars(schedule)
        found = {**variables.globals, **variables.nonlocals}
    else:
        found = getattr(schedule, "__dict__", {})
    return {name: (part, step) for name, part in found.items()}
