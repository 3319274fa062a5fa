"""Checks, freezes and schedules the hyper-parameters of an optimizer."""

from math import inf
from typing import TYPE_CHECKING, Any

from ..checks import NON_NEGATIVE, UNIT, Range, check_flag, check_number, check_numbers
from .storage import OPTIONS, check_options

if TYPE_CHECKING:
    from .base import Optimizer

SHARED = (
    *("l1", "l2", "weight_decay", "proximal", "maximize", "clip_value", "clip_norm_each"),
    *("clip_norm", "skip_nonfinite", "ema"),
    *OPTIONS,
)
LIMIT = Range(0.0, inf, includes_low=False, includes_high=True)  # infinite where a schedule sets no limit
RANGES = {  # of those that may be schedules; some are None by default
    **dict.fromkeys(("l1", "l2", "weight_decay"), NON_NEGATIVE),
    **dict.fromkeys(("clip_value", "clip_norm_each", "clip_norm"), LIMIT),
    "ema": UNIT,
}
OF_GROUPS = SHARED[: SHARED.index("clip_norm")]  # that a group may have; the others look at all arrays


def set_own(optimizer: "Optimizer", given: dict[str, Any]) -> None:
    """Check the hyper-parameters of the rule and make them attributes of the optimizer; note which are schedules."""
    optimizer._hyperparameters, optimizer._schedules = tuple(given), {}
    for name, value in given.items():
        setattr(optimizer, name, _checked(optimizer, name, value, optimizer.ranges[name]))


def _checked(optimizer: "Optimizer", name: str, value: Any, allowed: Any) -> Any:
    where = optimizer._name
    if allowed is not bool and not isinstance(allowed, (Range, tuple)):
        return allowed(where, name, value)
    several = isinstance(allowed, tuple) and isinstance(value, (tuple, list))
    if callable(value) or (several and any(map(callable, value))):
        optimizer._schedules[name] = value
        value = _at(value, 0)
    return check_value(where, name, value, allowed)


def check_value(where: str, name: str, value: Any, allowed: Any) -> Any:
    """Return a number, or a tuple of them, if it is in its range, else raise."""
    if allowed is bool:
        return check_flag(where, name, value)
    check: Any = check_number if isinstance(allowed, Range) else check_numbers
    return check(where, name, value, allowed)


def set_shared(optimizer: "Optimizer", given: dict[str, Any]) -> None:
    """Check the hyper-parameters that all optimizers take, and make them attributes of the optimizer."""
    where = optimizer._name
    for name, allowed in RANGES.items():
        is_off = given[name] is None and allowed is not NON_NEGATIVE
        setattr(optimizer, name, None if is_off else _checked(optimizer, name, given[name], allowed))
    for name in ("proximal", "maximize", "skip_nonfinite"):
        setattr(optimizer, name, check_flag(where, name, given[name]))
    if optimizer.proximal and not optimizer.has_rate:
        raise ValueError(f"{where}: proximal must be False, got True; lr alone does not tell how far {where} moves")
    for name, value in check_options(where, {name: given[name] for name in OPTIONS}).items():
        setattr(optimizer, name, value)


def scheduled(optimizer: "Optimizer") -> float:
    """Return the learning rate of the next step; set the hyper-parameters that are schedules."""
    where, lr, steps = f"{optimizer._name}.step", optimizer._lr, optimizer.steps
    if callable(lr):
        lr = check_number(where, f"lr({steps})", lr(steps), NON_NEGATIVE)
    for name, schedule in optimizer._schedules.items():
        value, allowed = _at(schedule, steps), optimizer.ranges.get(name) or RANGES[name]
        vars(optimizer)[name] = check_value(where, f"{name}({steps})", value, allowed)
    return lr


def _at(schedule: Any, step: int) -> Any:
    """Return the value of a schedule, or of a tuple of schedules and numbers."""
    if isinstance(schedule, (tuple, list)):
        return tuple(_at(each, step) for each in schedule)
    return schedule(step) if callable(schedule) else schedule
