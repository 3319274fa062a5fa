"""The ranges of hyper-parameters, declared once, and the message of a value outside."""

import os
from collections.abc import Iterable
from math import inf
from numbers import Real
from typing import NamedTuple

import numpy as np


class Range(NamedTuple):
    """An interval of real numbers."""

    low: float
    high: float
    includes_low: bool = True
    includes_high: bool = False

    def __contains__(self, value):
        above = self.low < value or (self.includes_low and value == self.low)
        return above and (value < self.high or (self.includes_high and value == self.high))

    def __str__(self):
        return f"{'[' if self.includes_low else '('}{self.low:g}, {self.high:g}{']' if self.includes_high else ')'}"

    def outside(self):
        """Return values that are not in the range, for tests."""
        ends = [(self.low, self.includes_low), (self.high, self.includes_high)]
        return [self.low - 1, np.nan] + [end for end, included in ends if not included]


POSITIVE = Range(0.0, inf, includes_low=False)
NON_NEGATIVE = Range(0.0, inf)
UNIT = Range(0.0, 1.0)  # decay rates
CLOSED_UNIT = Range(0.0, 1.0, includes_high=True)
OPEN_UNIT = Range(0.0, 1.0, includes_low=False)
REAL = Range(-inf, inf, includes_low=False)

LARGE = float(np.finfo(np.float32).max)  # what is not beyond it no dtype makes infinite, of which NumPy would warn


def shown(value, text=repr):
    """Return the text of a value; Python writes no integers of more than 4300 digits."""
    try:
        return text(value)
    except ValueError:
        return "an integer of thousands of digits" if isinstance(value, int) else f"a {type(value).__name__}"


def check_number(where, name, value, allowed):
    """Return value as a float if it is a number in the range, else raise TypeError or ValueError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{where}: {name} must be a number in {allowed}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # of a huge integer
        number = inf if value > 0 else -inf
    if number not in allowed:
        raise ValueError(f"{where}: {name} must be in {allowed}, got {shown(value, str)}")
    return number


def check_real(where, name, value, allowed, dtype):
    """Return value as a scalar of a dtype, in which it must be in the range, too."""
    number = check_number(where, name, value, allowed)
    if abs(number) <= LARGE:
        real = dtype.type(number)
    else:
        with np.errstate(over="ignore"):  # takes as long as all the rest
            real = dtype.type(number)
    if float(real) not in allowed:
        raise ValueError(f"{where}: {name} must be in {allowed} as {dtype}, got {shown(value, str)}")
    return real


def check_reals(where, given, allowed, dtype):
    """Return the parameters {name: (default, Range)} in order, as given or by default, as scalars of a dtype."""
    for name in given.keys() - allowed.keys():
        raise TypeError(f"{where}: unexpected keyword {name!r}")
    return tuple(check_real(where, k, given.get(k, default), r, dtype) for k, (default, r) in allowed.items())


def check_numbers(where, name, values, allowed):
    """Return a tuple of floats, each in its range."""
    if not isinstance(values, (tuple, list)) or len(values) != len(allowed):
        raise TypeError(f"{where}: {name} must be a tuple of {len(allowed)} numbers, got {shown(values)}")
    pairs = enumerate(zip(values, allowed, strict=True))
    return tuple(check_number(where, f"{name}[{k}]", value, each) for k, (value, each) in pairs)


def check_integer(where, name, value, low):
    """Return value as an int if it is a whole number, low at least."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{where}: {name} must be an integer, {low} at least, got {shown(value)}")
    if value < low:
        raise ValueError(f"{where}: {name} must be {low} at least, got {shown(value, str)}")
    return int(value)


def is_size(value):
    """Whether a value is a positive integer."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0


def check_size(where, name, value, low=1, high=2**63 - 1):
    """Return value as an int if it is a whole number that counts what could be in memory, low to high."""
    if check_integer(where, name, value, low) > high:
        raise ValueError(f"{where}: {name} must be {high} at most, got {shown(value, str)}")
    return int(value)


def check_functions(where, name, functions):
    """Return a tuple of functions, of one or of a sequence of them."""
    functions = tuple(functions) if isinstance(functions, Iterable) else (functions,)
    for function in functions:
        if not callable(function):
            raise TypeError(f"{where}: {name} must be a sequence of functions, got {type(function).__name__}")
    return functions


def check_path(where, name, path):
    """Return a path as a str; nothing need be there."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{where}: {name} must be a path, got {shown(path)}")
    if "\0" in os.fspath(path):
        raise ValueError(f"{where}: {name} must be a path, got {os.fspath(path)!r}")
    return os.fspath(path)


def check_generator(where, name, rng):
    """Return a generator of random numbers, or the one that a seed stands for, or for None one of fresh entropy."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        expected = "a NumPy Generator, an integer, 0 or above, or None"
        raise type(error)(f"{where}: {name} must be {expected}, got {shown(rng)}") from None


def check_flag(where, name, value):
    """Return value if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: {name} must be True or False, got {shown(value)}")
    return bool(value)


def check_choice(where, name, value, choices):
    """Return value if it is one of the choices, else raise ValueError that lists them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{where}: {name} must be one of {', '.join(sorted(choices))}, got {shown(value)}")
    return value


def renamed(old, new, function):
    """Call a function; what it raises says `new` where it says `old`."""
    try:
        return function()
    except (KeyError, TypeError, ValueError) as error:
        raise type(error)(str(error.args[0]).replace(old, new, 1)) from None
