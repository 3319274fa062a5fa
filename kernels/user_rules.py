"""Rules of users: what they must take and return, and one sentence that says where one cannot be compiled, and why."""

import inspect
import linecache
import re
import weakref
from os.path import basename
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from .machine_code import njit

_KNOWN = weakref.WeakKeyDictionary()  # rule -> _Known
_NOT_OF_USERS = str(Path(numba.__file__).parent), str(Path(__file__).parent)
_REASONS = (  # what Numba says -> what is the matter; the first that matches
    (r"NRT required", "it makes an array, a list or a text, and rules compute numbers from numbers"),
    (r"NameError: (name '\w+' is not defined)", r"\1"),
    (r"Unknown attribute '(\w+)' of type \w+\(float", r"the coefficients have no \1"),
    (
        r"global name '(\w+)': Cannot determine Numba type of <class 'function'>",
        r"\1 is a plain Python function: write @numba.njit above it",
    ),
    (r"global name '(\w+)': Cannot determine Numba type of <class '(\w+)'>", r"the global \1 is a \2"),
    (r"TypingError: (.+)", r"\1"),
    (r">>> (.+)", r"there is no compiled \1"),
)


class _Known(NamedTuple):
    title: str
    returns: int  # 0 for a number, else the length of a tuple
    coefficients: type | None  # the named tuple that it takes as its last argument
    globals: dict[str, Any]  # the numbers that it reads, as compiled code keeps them
    checked: set[Any]  # types of floats


def copied(function, title, name, annotations=None):
    """Return a copy of a user's function under another name, so that it can be annotated and told apart."""
    function = getattr(function, "py_func", function)  # of numba.njit
    if not isinstance(function, FunctionType):
        raise TypeError(f"{title} must be a Python function, got {type(function).__name__}")
    copy = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    copy.__doc__, copy.__module__, copy.__annotations__ = function.__doc__, function.__module__, annotations or {}
    return copy


def declare(rule, title, takes, returns, coefficients=None, where=""):
    """Note what a rule is, or raise if it takes other arguments."""
    given = inspect.signature(rule).parameters
    if len(given) != len(takes) or any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in given.values()):
        raise TypeError(
            f"{where}{': ' * bool(where)}{title} must take the arguments ({', '.join(takes)}), got ({', '.join(given)})"
        )
    _KNOWN.setdefault(rule, _Known(title, returns, coefficients, {}, set()))


def check_globals(rule):
    """Raise if a number that a user's rule reads has changed since the rule was first used."""
    known = _KNOWN.get(rule)
    if known is None:
        return
    for name in rule.__code__.co_names:
        value = rule.__globals__.get(name)
        if isinstance(value, (int, float, np.number)) and known.globals.setdefault(name, value) != value:
            raise TypeError(
                f"{known.title}: the global {name} was {known.globals[name]} when the rule was first used and is "
                f"{value} now, but compiled code keeps the first: make it an argument, or define the rule again"
            )


def check(rule, kinds):
    """Raise TypeError if a rule of a user cannot be compiled for the floats among some types of arrays."""
    known = _KNOWN.get(rule)
    real = next((each.dtype for each in kinds if isinstance(getattr(each, "dtype", None), types.Float)), types.float32)
    if known is None or real in known.checked:
        return
    arguments = [real] * len(inspect.signature(rule).parameters)
    if known.coefficients:
        zero = np.dtype(str(real)).type(0)
        arguments[-1] = numba.typeof(known.coefficients(*[zero] * len(known.coefficients._fields)))
    dispatcher = njit(rule)
    try:
        dispatcher.compile(tuple(arguments))
    except Exception as error:  # of any kind: Numba also raises what a user's code makes it raise
        sentence = _sentence(known.title, rule, str(error) or type(error).__name__)
        if "the coefficients have no" in sentence and known.coefficients:
            sentence += f", but {', '.join(known.coefficients._fields)}"
        raise TypeError(sentence) from error
    found = next(iter(dispatcher.overloads.values())).signature.return_type
    is_tuple = isinstance(found, types.BaseTuple)
    values = list(found) if is_tuple else [found]
    numbers = all(isinstance(each, (types.Number, types.Boolean)) for each in values)
    if is_tuple != bool(known.returns) or len(values) != max(1, known.returns) or not numbers:
        expected = f"a tuple of {known.returns} number{'s' * (known.returns > 1)}" if known.returns else "a number"
        got = f"({', '.join(_kind(each) for each in values)}{',' * (len(values) == 1)})" if is_tuple else _kind(found)
        place = f"{basename(rule.__code__.co_filename)}, line {rule.__code__.co_firstlineno}"
        raise TypeError(f"{known.title} ({place}) must return {expected}, got {got}")
    known.checked.add(real)


def _kind(found):
    """Return what a user calls a type of Numba."""
    names = {types.Number: "a number", types.Array: "an array", types.StringLiteral: "a text", types.NoneType: "None"}
    return next((name for kind, name in names.items() if isinstance(found, kind)), str(found))


def _sentence(title, rule, text):
    places = [(path, int(line)) for path, line in re.findall(r"at (\S.*?) \((\d+)\)$", text, re.MULTILINE)]
    places = [each for each in places if not each[0].startswith(_NOT_OF_USERS)]
    reason = next((found.expand(told) for said, told in _REASONS if (found := re.search(said, text))), None)
    if reason is None:
        lines = [line.strip() for line in text.splitlines() if not line.startswith("Failed in nopython")]
        reason = next(filter(None, lines), "Numba does not say why")
    path, first = rule.__code__.co_filename, rule.__code__.co_firstlineno
    if not places and (name := re.search(r"\b(\w+)'? (?:is not defined|is a )", reason)):
        lines = enumerate(linecache.getlines(path)[first - 1 :], first)
        places = [(path, k) for k, line in lines if k > first and re.search(rf"\b{name[1]}\b", line)]
    path, line = places[0] if places else (path, first)
    source = linecache.getline(path, line).strip()
    source = f"`{source}`" if source else "it"  # there is none for code of `exec`
    return f"{title}, {basename(path)}, line {line}: {source} cannot be compiled: {reason.strip().rstrip('.')}"
