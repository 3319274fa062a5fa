"""The on-disk cache of machine code: a file for each body and the types of its arguments.

A file is named after the body and a hash of everything that shapes its code: its functions (see `identity`), the types,
the options, the processor, and the versions of everything that compiles; if something cannot be identified, nothing is
kept. A file is written under a temporary name and renamed, and begins with a checksum of its name and its content: a
missing, torn, foreign or unreadable file causes a recompile, never a wrong result. Files
hold machine code, so the folder must belong to the user alone.
"""

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

from . import identity
from .machine_code import Code, versions
from .settings import DEBUG, INTERPRETED

KEPT_FOLDERS = 4  # this version's folder and the last used of other versions; older ones are removed
KEPT_DAYS = 60  # days that a file is kept without being loaded
CHECKSUM = 32  # bytes of SHA-256 at the beginning of a file
_DAY = 86_400  # seconds
_FOLDER = "kernels-"


def code(name, functions, details, make):
    """Return the code of some functions, and True if it was in the cache; else `make(symbol)` makes it, to be kept.

    `details` are everything that it depends on, except the functions' sources.
    """
    symbol = re.sub(r"[^0-9A-Za-z_]", "_", f"gd_{name}")[:100]
    try:
        identities = [identity.of(each) for each in functions]
    except Exception:  # of any kind: it inspects objects of others
        return make(symbol), False
    symbol += "_" + hashlib.sha256(repr((identities, details)).encode()).hexdigest()[:24]
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
        identity.refuse_if_changed()  # else an older gd that still runs would find code that a newer one stored
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
        identity.refuse_if_changed()
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


# --- The folder


@functools.cache
def folder():
    """Return the folder of this version's kernels, created if necessary; None if there is no cache."""
    try:
        root = cache_root()
        if root is None or DEBUG or INTERPRETED:
            return None
        identity.refuse_if_changed()
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
