"""The on-disk cache of machine code: a file for each body and the types of its arguments.

A file is named after the body and a hash of everything that shapes its code: its functions (see `identity`), the types,
the options, the processor, and the versions of everything that compiles; if something cannot be identified, nothing is
kept. A file is written under a temporary name and renamed, and begins with a checksum of its name and its content: a
missing, torn, foreign or unreadable file causes a recompile, never a wrong result.

Files hold machine code. So each user writes a folder of their own, and reads root's, too: a file is read only if nobody
but root and the user can write it, and its folder. Both are judged once they are open, because others may be able to
put something else in their place.
"""

import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from . import identity
from .machine_code import Code, versions
from .settings import DEBUG, INTERPRETED

KEPT_FOLDERS = 4  # this version's folder and the last used of other versions; older ones are removed
KEPT_DAYS = 60  # days that a file is kept without being loaded
CHECKSUM = 32  # bytes of SHA-256 at the beginning of a file
ROOT = 0  # root's user id, and that of everybody on Windows
_DAY = 86_400  # seconds
_ADVICE = "set GD_CACHE_DIR to a folder of your own"


class _DistrustError(Exception):
    """Another user could have written the code."""


def code(name, functions, details, make):
    """Return the code of some functions, and True if it was in the cache; else `make(symbol)` makes it, to be kept.

    `details` are everything that it depends on, except the functions.
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
    name = f"{symbol}.kernel"
    for path in dict.fromkeys((folder(), _folder_in(folder().parent, ROOT))):
        try:
            content = _read(path, name)
            checksum, payload = content[:CHECKSUM], content[CHECKSUM:]
            if _checksum(path / name, payload) != checksum:
                raise ValueError(f"{path / name} is damaged")
            needs, _, code = payload.partition(b"\n")
            return Code(symbol, code, tuple(json.loads(needs)))
        except (FileNotFoundError, PermissionError):  # root may keep its kernels to itself
            continue
        except Exception as error:
            _warn("read", error)
    return None


def _read(path, name):
    with _opened(path) as (inside, base), open(base + name, "rb", opener=partial(os.open, dir_fd=inside)) as file:
        status = os.fstat(file.fileno())
        _refuse_if_open_to_others(path / name, status)
        identity.refuse_if_changed()  # else an older gd that still runs would find code that a newer one stored
        if time.time() - status.st_mtime > _DAY:
            with suppress(OSError):  # reading works in a folder that is not writable
                os.utime(base + name, dir_fd=inside)
        return file.read()


def _keep(code):
    """Store code for other processes."""
    path = folder()
    if path is None:
        return
    name, temporary = f"{code.symbol}.kernel", f"{secrets.token_hex(8)}.tmp"
    payload = json.dumps(code.needs).encode() + b"\n" + code.object
    try:
        identity.refuse_if_changed()
        path.mkdir(mode=_mode(), parents=True, exist_ok=True)
        with _opened(path) as (inside, base):
            try:
                opener = partial(os.open, mode=_mode() & 0o666, dir_fd=inside)
                with open(base + temporary, "xb", opener=opener) as file:
                    file.write(_checksum(path / name, payload) + payload)
                os.replace(base + temporary, base + name, src_dir_fd=inside, dst_dir_fd=inside)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(base + temporary, dir_fd=inside)
                raise
        _prune_files(path)
    except Exception as error:
        _warn("written", error, path)


# --- The folder


def folder():
    """Return this user's folder of this version's kernels, created if necessary; None if there is no cache.

    If it cannot be created, it is root's, to read.
    """
    return _folder(_user())


@functools.cache
def _folder(user):
    path = None
    try:
        root = cache_root()
        if root is None or DEBUG or INTERPRETED:
            return None
        path, roots = _folder_in(root, user), _folder_in(root, ROOT)
        new = not os.path.exists(path)
        try:
            path.mkdir(mode=_mode(), parents=True, exist_ok=True)
        except OSError:
            if not os.path.exists(roots):
                raise
            path, new = roots, False
        with _opened(path), suppress(OSError):  # reading works without write permission
            os.utime(path)  # the least recently used folders are the ones to go
        if new:
            _prune(root, path)
        return path
    except RuntimeError:
        _warn("used", f"there is no home folder; {_ADVICE}")
    except (OSError, _DistrustError) as error:
        _warn("used", error, path)
    return None


def cache_root():
    """Return the folder of all versions: GD_CACHE_DIR, else the platform's; None for GD_CACHE_DIR=off."""
    chosen = os.environ.get("GD_CACHE_DIR")
    if chosen:
        return None if chosen.lower() == "off" else Path(chosen).expanduser().absolute()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "gd" / "cache"
    home = Path("~").expanduser()
    if _user() == ROOT and home.exists() and home.stat().st_uid != ROOT:  # by sudo, or in a container
        home = Path("~root").expanduser()  # a user could not write beside what root leaves in their home
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "gd"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache").expanduser() / "gd"


def _folder_in(root, user):
    """Return the folder of a user's kernels, of these versions of everything that compiles."""
    compilers = repr((versions(), sys.version, platform.machine()))
    return root / f"kernels-{hashlib.sha256(compilers.encode()).hexdigest()[:16]}-{user}"


def _checksum(path, payload):
    """Return a hash of a file's content and of the names of its folder and itself, which identify the code."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode() + payload).digest()


def _prune(root, current):
    """Remove the least recently used of this user's folders of other versions, if named and filled like ours."""
    others = []
    for path in root.glob("kernels-*"):
        if re.fullmatch("kernels-[0-9a-f]{16}(-[0-9]+)?", path.name) and path != current and not path.is_symlink():
            with suppress(OSError):  # another process may be pruning too
                own = path.stat().st_uid == _user()
                if own and all(file.suffix in (".kernel", ".tmp") for file in path.iterdir()):
                    others.append((path.stat().st_mtime, path))
    for _, path in sorted(others, reverse=True)[KEPT_FOLDERS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


@functools.cache
def _prune_files(path):
    """Remove files that have not been loaded for `KEPT_DAYS`; once per process."""
    with _opened(path) as (inside, base):
        for name in os.listdir(path if inside is None else inside):
            with suppress(OSError):
                age = time.time() - os.stat(base + name, dir_fd=inside).st_mtime
                if name.endswith((".kernel", ".tmp")) and age > KEPT_DAYS * _DAY:
                    os.unlink(base + name, dir_fd=inside)


# --- Owners


def _user():
    return os.geteuid() if hasattr(os, "geteuid") else ROOT


def _mode():
    """Return the mode of a folder: a user's is closed to others; root's can be read, if the umask lets it."""
    return 0o755 if _user() == ROOT else 0o700


@contextmanager
def _opened(path):
    """Open a folder that nobody but root and this user can write to; yield its `dir_fd` and where names in it begin."""
    if os.name == "nt":
        yield None, f"{path}{os.sep}"
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _refuse_if_open_to_others(path, os.fstat(handle))
        yield handle, ""
    finally:
        os.close(handle)


def _refuse_if_open_to_others(path, status):
    if os.name == "nt":
        return
    if status.st_uid not in (ROOT, _user()):
        raise _DistrustError(f"{path} belongs to {_name(status.st_uid)}, not to {_name(_user())}; {_ADVICE}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _DistrustError(f"{path} of {_name(status.st_uid)} can be written by others; remove it, or {_ADVICE}")


def _name(user):
    """Return a user's name and number."""
    with suppress(ImportError, KeyError):  # Windows has no names, and some users in containers have none
        import pwd

        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    return f"uid {user}"


def _warn(done, error, path=None):
    reason = error
    if isinstance(error, OSError) and path is not None:
        above = next(each for each in (path, *path.parents) if os.path.exists(each))
        owner, user = above.stat().st_uid, _user()
        whose = f"{above} belongs to {_name(owner)}, this process to {_name(user)}; " if owner != user else ""
        reason = f"{error.strerror}: {path}; {whose}{_ADVICE}"
    warnings.warn(f"gd: the kernel cache was not {done} ({reason}); compiling instead", RuntimeWarning, stacklevel=2)
