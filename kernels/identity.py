"""What compiled code depends on: the cache keeps code under a name that differs once any of it differs.

A function of this package is identified by the byte code of its module and of the modules that this one imports. Byte
code, because it is what runs: there may be no sources, or others than those that were imported. A function from outside
is identified by its byte code and everything that it refers to. What cannot be identified raises.
"""

import functools
import hashlib
import sys
import types
import typing
import weakref
from pathlib import Path

import numpy as np

_SOURCES = Path(__file__).parent
_PACKAGE = __name__.rpartition(".")[0]
_INSIDE = f"{_PACKAGE}."
# Modules that code does not depend on: they act before and after it runs
_OUTSIDE = {
    f"{_INSIDE}{name}"
    for name in ("cache", "break_even", "identity", "interruption", "observation", "pool", "traffic", "user_rules")
}
_first = weakref.WeakKeyDictionary()  # function that Numba compiles -> hash of what identified it before


class UnknownError(Exception):
    """Something that code depends on cannot be identified, so a change of it would go unnoticed."""


def of(function):
    """Return a function's name and everything that its code depends on."""
    return function.__qualname__, (_function if isinstance(function, types.FunctionType) else _described)(function, ())


def _hash(described):
    return hashlib.sha256(repr(described).encode()).hexdigest()


# --- Modules of this package


@functools.cache
def _closure(module):
    """Return a hash of the code of a module of this package and of all that it imports, directly or not."""
    found, left = {}, [module]
    while left:
        name = left.pop()
        if name not in found and name not in _OUTSIDE:
            found[name], imported = _module(name)
            left += imported
    return _hash(sorted(found.items()))


@functools.cache
def _module(module):
    """Return a hash of a module's code, and the modules of this package that it imports, or that share their names."""
    code = sys.modules[module].__spec__.loader.get_code(module)  # from a source, a .pyc file or a zip file
    if not isinstance(code, types.CodeType):
        raise UnknownError(f"{module} has no byte code")
    names = set(_names(code))
    ours = [each for each in sys.modules if each.startswith(_INSIDE)]
    return _hash(_described(code)), [
        each for each in ours if {each.removeprefix(_INSIDE), each.rpartition(".")[2]} & names
    ]


def _stamp():
    """Return times, sizes and inodes of the files that this package is imported from: one differs after a change."""
    files = [path for path in _SOURCES.rglob("*.py*") if path.parent.name != "__pycache__"]  # .pyc without sources, too
    files = files or [next(path for path in _SOURCES.parents if path.exists())]  # a zip file
    stats = {path: path.stat() for path in files}
    return {path: (status.st_mtime_ns, status.st_size, status.st_ino) for path, status in stats.items()}


_IMPORTED = _stamp()


def refuse_if_changed():
    """Raise if a file has changed since its import, such as by an upgrade: its hash would not fit the code."""
    if _stamp() != _IMPORTED:
        raise RuntimeError("the sources have changed since they were imported")


# --- Functions, and what they refer to


def _described(value, seen=(), names=()):
    """Return what identifies a value that code outside this package refers to; raise if nothing does.

    Of a module, only the attributes in `names` count; `seen` are the functions that are being described.
    """
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic, type(...), slice)):
        return repr(value)
    if type(value) in (tuple, frozenset):
        members = value if type(value) is tuple else sorted(value, key=repr)
        return type(value).__name__, [_described(each, seen, names) for each in members]
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        return "array", str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, types.CodeType):
        takes = value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags
        looks_up = value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
        does = value.co_code, value.co_exceptiontable
        return "code", takes, looks_up, does, [_described(each, seen) for each in value.co_consts]
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    named = isinstance(value, types.ModuleType) or getattr(sys.modules.get(module), name or "", None) is value
    if module.startswith(_INSIDE) and named:
        return "gd", name, _closure(module)
    if module.partition(".")[0] in ("numpy", "numba", "math", "builtins", "typing") and named:
        return "known", module, name
    if hasattr(value, "py_func"):
        return _compiled(value, seen)
    if isinstance(value, types.ModuleType):
        found = [each for each in names if hasattr(value, each)]
        return "module", [(each, _described(getattr(value, each), seen, names)) for each in found]
    if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        return "tuple", name, value._fields
    raise UnknownError(f"{value!r} cannot be told from what it was before")  # such as a function with an overload


def _compiled(dispatcher, seen):
    """Return what identifies a function that Numba compiles; raise if it may have been compiled from something else.

    Numba keeps the globals, and the functions that are called, as they were when it compiled a function: in a notebook
    they can be others now.
    """
    kinds = list(map(str, dispatcher.nopython_signatures))
    options = sorted(map(str, dispatcher.targetoptions.items())), kinds if not dispatcher._can_compile else None
    own, refers_to = _function(dispatcher.py_func, seen)
    can_change = any(each[0] not in ("gd", "known") for _, each in refers_to)
    if can_change and kinds and dispatcher not in _first:
        raise UnknownError(f"{dispatcher} was compiled before, perhaps with other globals")
    described = "compiled", options, own, refers_to
    if _first.setdefault(dispatcher, _hash(described)) != _hash(described):
        raise UnknownError(f"{dispatcher} refers to something else than before")
    return described


def _function(function, seen):
    """Return what identifies a function by itself, and what it refers to: [(name, what identifies it)]."""
    if function in seen:
        return ("seen", seen.index(function)), []
    seen, names, home = (*seen, function), tuple(_names(function.__code__)), function.__globals__
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    refers_to = [(each, _described(cell.cell_contents, seen, names)) for each, cell in cells]
    module = home.get("__name__") or ""  # not `__module__`, which functools.wraps copies from another function
    if module.startswith(_INSIDE) and home is vars(sys.modules[module]):
        more = _closure(module)
    else:
        refers_to += [(each, _described(home[each], seen, names)) for each in names if each in home]
        more = [(each, _described(kind, seen)) for each, kind in typing.get_type_hints(function).items()]
    defaults = function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items()))
    return (function.__qualname__, _described((function.__code__, *defaults), seen), more), refers_to


def _names(code):
    """Yield the names that a function and the functions within it look up."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)
