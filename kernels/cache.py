"""The on-disk cache of machine code: a file for each body and the types of its arguments.

A file is named after the body and a hash of everything that shapes its code: the sources of the modules of its loop and
its rules and of the modules that these import, the types, the options, the processor, and the versions of everything
that compiles. A rule from outside this package is identified by its byte code and everything that it refers to; if that
cannot be identified, nothing is kept. A file is written under a temporary name and renamed, and begins with a checksum
of its name and its content: a missing, torn, foreign or unreadable file causes a recompile, never a wrong result. Files
hold machine code, so the folder must belong to the user alone.
"""

import functools
import hashlib
import inspect
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
import types
import typing
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from .machine_code import Code, versions
from .settings import DEBUG, INTERPRETED

KEPT_FOLDERS = 4  # this version's folder and the last used of other versions; older ones are removed
KEPT_DAYS = 60  # days that a file is kept without being loaded
CHECKSUM = 32  # bytes of SHA-256 at the beginning of a file
_DAY = 86_400  # seconds
_FOLDER = "kernels-"
_SOURCES = Path(__file__).parent
_PACKAGE = __name__.rpartition(".")[0]
# Modules that code does not depend on: they act before and after it runs
_OUTSIDE = {f"{_PACKAGE}.{name}" for name in ("cache", "break_even", "interruption", "observation", "pool", "traffic")}
_IMPORT = re.compile(r"^\s*from (\.+)([\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)


class _UnknownError(Exception):
    """Something that code depends on cannot be identified, so a change of it would go unnoticed."""


def code(name, functions, details, make):
    """Return the code of some functions, and True if it was in the cache; else `make(symbol)` makes it, to be kept.

    `details` are everything that it depends on, except the functions' sources.
    """
    symbol = re.sub(r"[^0-9A-Za-z_]", "_", f"gd_{name}")[:100]
    try:
        identity = [_identity(each) for each in functions]
    except Exception:  # of any kind: it inspects objects of others
        return make(symbol), False
    symbol += "_" + hashlib.sha256(repr((identity, details)).encode()).hexdigest()[:24]
    found = _find(symbol)
    if found:
        return found, True
    made = make(symbol)
    if made.lasting:
        _keep(made)
    return made, False


def _find(symbol):
    """Return the code of a symbol, or None."""
    if folder() is None:
        return None
    path = folder() / f"{symbol}.kernel"
    try:
        if not path.exists():
            return None
        _refuse_if_changed()  # else an older gd that still runs would find code that a newer one stored
        content = path.read_bytes()
        checksum, payload = content[:CHECKSUM], content[CHECKSUM:]
        if _checksum(path, payload) != checksum:
            raise ValueError(f"{path} is damaged")
        if time.time() - path.stat().st_mtime > _DAY:
            with suppress(OSError):  # reading works in a folder that is not writable
                os.utime(path)
        needs, _, code = payload.partition(b"\n")
        return Code(symbol, code, tuple(json.loads(needs)))
    except Exception as error:
        _warn("read", error)
        return None


def _keep(code):
    """Store code for other processes."""
    if folder() is None:
        return
    try:
        _refuse_if_changed()
        path = folder() / f"{code.symbol}.kernel"
        payload = json.dumps(code.needs).encode() + b"\n" + code.object
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_checksum(path, payload) + payload)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        _prune_files()
    except Exception as error:
        _warn("written", f"{error.strerror}: {folder()}" if isinstance(error, OSError) else error)


# --- What code depends on


def _identity(function):
    """Return a function's name and a hash of everything that its code depends on."""
    return function.__qualname__, (_function if isinstance(function, types.FunctionType) else _described)(function, ())


@functools.cache
def _closure(module):
    """Return a hash of the sources of a module of this package and of all that it imports, directly or not."""
    found, left = {}, [module]
    while left:
        name = left.pop()
        if name not in found and name not in _OUTSIDE:
            source = _source(name)
            found[name] = hashlib.sha256(source.encode()).hexdigest()
            left += _imported(name, source)
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


@functools.cache
def _source(module):
    source = inspect.getsource(sys.modules[module])
    if not source:
        raise _UnknownError(f"{module} has no source")
    return source


def _imported(module, source):
    """Yield the modules of this package that another imports."""
    package = module if hasattr(sys.modules[module], "__path__") else module.rpartition(".")[0]
    for dots, name, members in _IMPORT.findall(source):
        base = package.rsplit(".", len(dots) - 1)[0] + (f".{name}" if name else "")
        for each in (base, *(f"{base}.{member}" for member in re.findall(r"\w+", members))):
            if each in sys.modules and each.startswith(f"{_PACKAGE}."):
                yield each


def _described(value, seen, names=()):
    """Return what identifies a value that code outside this package refers to; raise if nothing does.

    Of a module, only the attributes in `names` count; `seen` are the functions that are being described.
    """
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return repr(value)
    if type(value) in (tuple, frozenset):
        members = value if type(value) is tuple else sorted(value, key=repr)
        return type(value).__name__, [_described(each, seen, names) for each in members]
    if type(value) is np.ndarray and value.dtype.kind in "biufc":
        return "array", str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, types.CodeType):
        plain = value.co_code, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
        return "code", repr(plain), [_described(each, seen) for each in value.co_consts]
    if hasattr(value, "py_func"):  # a function that Numba compiles
        options, kinds = sorted(map(str, value.targetoptions.items())), list(map(str, value.nopython_signatures))
        own = options, kinds if not value._can_compile else None
        return "compiled", own, _function(value.py_func, seen)
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    named = isinstance(value, types.ModuleType) or getattr(sys.modules.get(module), name or "", None) is value
    if module.startswith(f"{_PACKAGE}.") and named:
        return "gd", name, _closure(module)
    if module.partition(".")[0] in ("numpy", "numba", "math", "builtins", "typing") and named:
        return "known", module, name
    if isinstance(value, types.ModuleType):
        found = [each for each in names if hasattr(value, each)]
        return "module", [(each, _described(getattr(value, each), seen, names)) for each in found]
    if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        return "tuple", name, value._fields
    raise _UnknownError(f"{value!r} cannot be told from what it was before")  # such as a function with an overload


def _function(function, seen):
    """Return what identifies a function that is compiled; for one of this package its sources and closure variables."""
    if function in seen:
        return "seen", seen.index(function)
    seen, names = (*seen, function), tuple(_names(function.__code__))
    cells = [_described(cell.cell_contents, seen, names) for cell in function.__closure__ or ()]
    if function.__module__.startswith(f"{_PACKAGE}."):
        return "gd", function.__qualname__, _closure(function.__module__), cells
    found = [(each, function.__globals__[each]) for each in names if each in function.__globals__]
    globals_ = [(each, _described(value, seen, names)) for each, value in found]
    annotated = typing.get_type_hints(function).values()
    more = [_described(each, seen) for each in (function.__defaults__, *annotated)]
    return "function", _described(function.__code__, seen), globals_, cells, more


def _names(code):
    """Yield the names that a function and the functions within it look up."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)


# --- The folder


@functools.cache
def folder():
    """Return the folder of this version's kernels, created if necessary; None if there is no cache."""
    try:
        root = cache_root()
        if root is None or DEBUG or INTERPRETED:
            return None
        _refuse_if_changed()
        path = root / f"{_FOLDER}{_fingerprint()}"
        new = not path.exists()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_if_open_to_others(root, path)
        with suppress(OSError):  # reading works without write permission
            os.utime(path)  # the least recently used folders are the ones to go
        if new:
            _prune(root, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        _warn("used", error)
        return None
    return path


def cache_root():
    """Return the folder of all versions: GD_CACHE_DIR, else the platform's; None for GD_CACHE_DIR=off."""
    chosen = os.environ.get("GD_CACHE_DIR")
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/gd").expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "gd" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gd"


def _fingerprint():
    """Return a hash of the versions of everything that compiles."""
    return hashlib.sha256(repr((versions(), sys.version, platform.machine())).encode()).hexdigest()[:16]


def _checksum(path, payload):
    """Return a hash of a file's content and of the names of its folder and itself, which identify the code."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode() + payload).digest()


def _stamp():
    """Return times and sizes of all sources, which differ once a source has changed."""
    zipped = (path for path in _SOURCES.parents if path.is_file())
    stats = {path: path.stat() for path in (*_SOURCES.rglob("*.py"), *zipped)}
    return {path: (status.st_mtime_ns, status.st_size) for path, status in stats.items()}


_IMPORTED = _stamp()


def _refuse_if_changed():
    """Raise if a source has changed since its import, such as by an upgrade: its hash would not fit the code."""
    if _stamp() != _IMPORTED:
        raise RuntimeError("the sources have changed since they were imported")


def _refuse_if_open_to_others(root, path):
    if hasattr(os, "getuid"):
        status, outer = path.stat(), root.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} can be written by others")
        if outer.st_uid not in (0, os.getuid()) or (outer.st_mode & (stat.S_IWOTH | stat.S_ISVTX)) == stat.S_IWOTH:
            raise PermissionError(f"{root} is another user's, or all can replace what is in it")


def _prune(root, current):
    """Remove the least recently used folders of other versions, but only folders named and filled like ours."""
    others = []
    for path in root.iterdir():
        if re.fullmatch(f"{_FOLDER}[0-9a-f]{{16}}", path.name) and path != current and not path.is_symlink():
            with suppress(OSError):  # another process may be pruning too
                if all(file.suffix in (".kernel", ".tmp") for file in path.iterdir()):
                    others.append((path.stat().st_mtime, path))
    for _, path in sorted(others, reverse=True)[KEPT_FOLDERS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


@functools.cache
def _prune_files():
    """Remove files that have not been loaded for `KEPT_DAYS`; once per process."""
    for path in folder().iterdir():
        with suppress(OSError):
            if path.suffix in (".kernel", ".tmp") and time.time() - path.stat().st_mtime > KEPT_DAYS * _DAY:
                path.unlink()


def _warn(done, error):
    warnings.warn(f"gd: the kernel cache was not {done} ({error}); compiling instead", RuntimeWarning, stacklevel=2)
