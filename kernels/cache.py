"""The on-disk cache of compiled kernels: one file for each kernel and signature.

Numba's own cache knows neither the options nor the helpers of a kernel, so it can return stale
code. Here every file lies in a folder named after a hash of ALL kernel sources and of the versions
of everything that compiles them, and its name holds a hash of the kernel, its rules, the options,
the argument types and the processor. A file is written beside its place and renamed, and begins
with a checksum of its names and its content: whatever is missing, torn, foreign or unreadable is a
recompile, never a wrong result. Cache files are pickles, so the folder must belong to the user and
to nobody else.

Numba tells the symbols of closures apart by a number that it counts up, from 1 in each process. Code of several
processes meets here, and of two functions under one symbol the one that was loaded first may be called for both: so
the count goes on from a random number for each kernel.

This rests on names that Numba does not promise to keep (`Dispatcher._cache`, `CompileResult._reduce`
and `._rebuild`, `CodeLibrary._reload_init`, `FunctionIdentity._unique_ids`); where they are gone, kernels
compile in every process and everything else works.
"""

import functools
import hashlib
import itertools
import os
import pickle
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import bytecode, compiler, config, serialize

KEPT_FOLDERS = 4  # this version's and the last used of others; older ones are removed
CHECKSUM = 32  # bytes of SHA-256 at the beginning of a file
_FOLDER = "kernels-"
_SOURCES = Path(__file__).parent


class KernelCache:
    """What a dispatcher asks for compiled code before it compiles, and hands compiled code to."""

    @classmethod
    def attach(cls, dispatcher, name, functions, options):
        """Give a dispatcher a cache, unless its loop or a rule lives outside this package, where no hash covers it."""
        package = __name__.rpartition(".")[0] + "."
        if hasattr(dispatcher, "_cache") and all(each.__module__.startswith(package) for each in functions):
            dispatcher._cache = cls(name, ([f"{each.__module__}.{each.__qualname__}" for each in functions], options))

    def __init__(self, name, key):
        self._name, self._key = name, key

    @property
    def cache_path(self):
        """The folder, as Numba's statistics ask for it."""
        return str(folder())

    def load_overload(self, signature, context):
        """Return the compiled code of a signature, or None."""
        context.refresh()
        bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))
        try:
            reduced = self._read(signature, context.codegen())
            if reduced is None:
                return None
            result = compiler.CompileResult._rebuild(context, *reduced)
            result.library._reload_init.update(result.reload_init)  # for what is compiled from this, and then stored
            return result
        except Exception as error:
            _warn("read", error)
            return None

    def object_code(self, signature, codegen):
        """Return the machine code of a signature as it was loaded, an object file; None where it is gone."""
        with suppress(Exception):
            (_, _, (code, _)), *_ = self._read(signature, codegen)
            return code

    def _read(self, signature, codegen):
        """Return what a compiled signature was reduced to, or None."""
        path = self._path(signature, codegen)
        if path is None or not path.exists():
            return None
        content = path.read_bytes()
        checksum, payload = content[:CHECKSUM], content[CHECKSUM:]
        if _checksum(path, payload) != checksum:
            raise ValueError(f"{path} is damaged")
        return pickle.loads(payload)

    def save_overload(self, signature, result):
        """Store the compiled code of a signature."""
        try:
            path = self._path(signature, result.library.codegen)
            if path is None or result.lifted or result.library.has_dynamic_globals:
                return
            _refuse_if_changed()
            payload = serialize.dumps(result._reduce())
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_checksum(path, payload) + payload)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except Exception as error:
            _warn("written", f"{error.strerror}: {folder()}" if isinstance(error, OSError) else error)

    def flush(self):
        """Forget nothing: the folder is shared by all kernels (Numba calls this on recompile)."""

    def _path(self, signature, codegen):
        if folder() is None:
            return None
        key = repr((self._key, str(signature), codegen.magic_tuple()))
        return folder() / f"{self._name[:100]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.kernel"


@functools.cache
def folder():
    """The folder of this version's kernels, made if need be; None where there is to be no cache."""
    try:
        root = cache_root()
        if root is None:
            return None
        _refuse_if_changed()
        path = root / f"{_FOLDER}{_fingerprint()}"
        new = not path.exists()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_if_open_to_others(root, path)
        with suppress(OSError):  # to read from, it need not be writable
            os.utime(path)  # the least recently used folders are the ones to go
        if new:
            _prune(root, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        _warn("used", error)
        return None
    return path


def cache_root():
    """The folder of all versions: GD_CACHE_DIR, else the platform's; None for GD_CACHE_DIR=off."""
    chosen = os.environ.get("GD_CACHE_DIR")
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/gd").expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "gd" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gd"


def _fingerprint():
    """A hash of every source a kernel can come from and of everything that compiles it."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(f"{path.relative_to(_SOURCES)}\0".encode() + path.read_bytes() + b"\0")
    versions = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, platform.machine())
    settings = (config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT)
    digest.update(repr((versions, settings)).encode())
    return digest.hexdigest()[:16]


def _checksum(path, payload):
    """Return a hash of what a file says, and of its names, which say what it is of."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode() + payload).digest()


def _stamp():
    """Return what is different when a source has changed."""
    stats = {path: path.stat() for path in _SOURCES.rglob("*.py")}
    return {path: (status.st_mtime_ns, status.st_size) for path, status in stats.items()}


_IMPORTED = _stamp()


def _refuse_if_changed():
    """Raise if code from before would meet the hash of sources that came after, as when gd is upgraded meanwhile."""
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
    """Remove the least recently used folders of other versions: only those that are named and filled like ours."""
    others = []
    for path in root.iterdir():
        if re.fullmatch(f"{_FOLDER}[0-9a-f]{{16}}", path.name) and path != current and not path.is_symlink():
            with suppress(OSError):  # another process may be pruning too
                if all(file.suffix in (".kernel", ".tmp") for file in path.iterdir()):
                    others.append((path.stat().st_mtime, path))
    for _, path in sorted(others, reverse=True)[KEPT_FOLDERS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def _warn(done, error):
    warnings.warn(f"gd: the kernel cache was not {done} ({error}); compiling instead", RuntimeWarning, stacklevel=2)
