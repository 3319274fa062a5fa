"""Checks of numbers, names and other values, and the ranges that hyper-parameters declare."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from numbers import Real
from typing import Any, NamedTuple, TypeGuard, TypeVar

import numpy as np

Result = TypeVar("Result")


class Range(NamedTuple):
    """An interval of real numbers."""

    low: float
    high: float
    includes_low: bool = True
    includes_high: bool = False

    def __contains__(self, value: Any) -> bool:
        above = self.low < value or (self.includes_low and value == self.low)
        return above and (value < self.high or (self.includes_high and value == self.high))

    def __str__(self) -> str:
        return f"{'[' if self.includes_low else '('}{self.low:g}, {self.high:g}{']' if self.includes_high else ')'}"

    def outside(self) -> list[float]:
        """Return values that are not in the range, for tests."""
        ends = [(self.low, self.includes_low), (self.high, self.includes_high)]
        return [self.low - 1, np.nan] + [end for end, included in ends if not included]


POSITIVE = Range(0.0, inf, includes_low=False)
NON_NEGATIVE = Range(0.0, inf)
UNIT = Range(0.0, 1.0)  # decay rates
CLOSED_UNIT = Range(0.0, 1.0, includes_high=True)
OPEN_UNIT = Range(0.0, 1.0, includes_low=False)
REAL = Range(-inf, inf, includes_low=False)

LARGE = float(np.finfo(np.float32).max)  # no dtype makes a number up to this infinite, with a warning of NumPy


def shown(value: Any, text: Callable[[Any], str] = repr) -> str:
    """Return the text of a value; Python does not format integers of more than 4300 digits."""
    try:
        return text(value)
    except ValueError:
        return "an integer of thousands of digits" if isinstance(value, int) else f"a {type(value).__name__}"


def check_number(where: str, name: str, value: Any, allowed: Range) -> float:
    """Return value as a float if it is a number in the range, else raise TypeError or ValueError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{where}: {name} must be a number in {allowed}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # of a huge integer
        number = inf if value > 0 else -inf  # pyright: ignore[reportOperatorIssue]  # only an int overflows
    if number not in allowed:
        raise ValueError(f"{where}: {name} must be in {allowed}, got {shown(value, str)}")
    return number


def check_real(where: str, name: str, value: Any, allowed: Range, dtype: np.dtype[Any]) -> Any:
    """Return value as a scalar of a dtype; it must be in the range before and after rounding."""
    number = check_number(where, name, value, allowed)
    if abs(number) <= LARGE:
        real = dtype.type(number)
    else:
        with np.errstate(over="ignore"):  # entered only here, as it takes as long as all the rest
            real = dtype.type(number)
    if float(real) not in allowed:
        raise ValueError(f"{where}: {name} must be in {allowed} as {dtype}, got {shown(value, str)}")
    return real


def check_reals(
    where: str, given: Mapping[str, Any], allowed: Mapping[str, tuple[float, Range]], dtype: np.dtype[Any]
) -> tuple[Any, ...]:
    """Return the given or default values of parameters {name: (default, Range)}, in order, as scalars of a dtype."""
    for name in given.keys() - allowed.keys():
        raise TypeError(f"{where}: unexpected keyword {name!r}")
    return tuple(check_real(where, k, given.get(k, default), r, dtype) for k, (default, r) in allowed.items())


def check_numbers(where: str, name: str, values: Any, allowed: Sequence[Range]) -> tuple[float, ...]:
    """Return a tuple of floats, each in its range."""
    if not isinstance(values, (tuple, list)) or len(values) != len(allowed):
        raise TypeError(f"{where}: {name} must be a tuple of {len(allowed)} numbers, got {shown(values)}")
    pairs = enumerate(zip(values, allowed, strict=True))
    return tuple(check_number(where, f"{name}[{k}]", value, each) for k, (value, each) in pairs)


def check_range(where: str, given: Any) -> Range:
    """Return a range if it is one, or a pair (low, high) that includes low, else raise."""
    if isinstance(given, Range):
        return given
    pair = isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(each, Real) for each in given)
    if not pair or not given[0] < given[1]:
        raise ValueError(f"{where} must be a pair (low, high) of numbers with low < high, got {shown(given)}")
    return Range(float(given[0]), float(given[1]), includes_low=given[0] > -inf)


def declared_parameters(where: str, given: Mapping[str, Any]) -> dict[str, tuple[float, Range]]:
    """Return {name: (default, Range)} of parameters that are declared as a number, or as (number, (low, high))."""
    found = {}
    for name, value in given.items():
        default, allowed = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, REAL)
        allowed = check_range(f"{where}: the range of {name}", allowed)
        found[name] = check_number(where, name, default, allowed), allowed
    return found


def check_integer(where: str, name: str, value: Any, low: int) -> int:
    """Return value as an int if it is an integer of at least `low`, else raise."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{where}: {name} must be an integer, at least {low}, got {shown(value)}")
    if value < low:
        raise ValueError(f"{where}: {name} must be at least {low}, got {shown(value, str)}")
    return int(value)


def is_size(value: Any, least: int = 1) -> TypeGuard[int]:
    """Return True if a value is an integer of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def check_size(where: str, name: str, value: Any, low: int = 1, high: int = 2**63 - 1) -> int:
    """Return value as an int if it is an integer from low to high, by default a size that memory can have."""
    if check_integer(where, name, value, low) > high:
        raise ValueError(f"{where}: {name} must be {high} at most, got {shown(value, str)}")
    return int(value)


def check_functions(where: str, name: str, functions: Any) -> tuple[Callable[..., Any], ...]:
    """Return a tuple of functions, from one function or a sequence of them."""
    functions = tuple(functions) if isinstance(functions, Iterable) else (functions,)
    for function in functions:
        if not callable(function):
            raise TypeError(f"{where}: {name} must be a sequence of functions, got {type(function).__name__}")
    return functions


def check_path(where: str, name: str, path: Any) -> str:
    """Return a path as a str; it may not exist."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{where}: {name} must be a path, got {shown(path)}")
    if "\0" in os.fspath(path):
        raise ValueError(f"{where}: {name} must be a path, got {os.fspath(path)!r}")
    return os.fspath(path)


def check_generator(where: str, name: str, rng: Any) -> np.random.Generator:
    """Return a generator of random numbers: the given one, or one from a seed, or for None from fresh entropy."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        expected = "a NumPy Generator, an integer, 0 or above, or None"
        raise type(error)(f"{where}: {name} must be {expected}, got {shown(rng)}") from None


def check_flag(where: str, name: str, value: Any) -> bool:
    """Return value if it is True or False, else raise."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: {name} must be True or False, got {shown(value)}")
    return bool(value)


def check_choice(where: str, name: str, value: Any, choices: Collection[str]) -> Any:
    """Return value if it is one of the choices, else raise ValueError that lists them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{where}: {name} must be one of {', '.join(sorted(choices))}, got {shown(value)}")
    return value


def renamed(old: str, new: str, function: Callable[[], Result]) -> Result:
    """Return function(); in the message of an error that it raises, replace `old` by `new`."""
    try:
        return function()
    except (KeyError, TypeError, ValueError) as error:
        error.args = (str(error.args[0]).replace(old, new, 1), *error.args[1:])
        raise


def check_monitor(where: str, monitor: Any) -> None:
    """Raise unless what a rule of training watches is a name, a function or None."""
    if monitor is not None and not isinstance(monitor, str) and not callable(monitor):
        raise TypeError(f"{where}: monitor must be a name or a function of History, got {shown(monitor)}")
