"""Atomic replacement of files: whenever a process is killed, the path holds the old file or the new one."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDEADLK, EINVAL
from itertools import takewhile
from pathlib import Path

from ..kernels.interruption import Interruption

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LOCK = ".gd-lock"  # the file in a folder that Windows locks
WORKSPACE = ".gd-save"  # ends the names of the folders in which files are written


@contextmanager
def replacement(path: Path, keep: int = 1) -> Iterator[Path]:
    """Yield the path of a file to write, which then replaces the one under `path` and is flushed to the disk.

    The old file becomes path.1, and so on to path.{keep - 1}. If the context raises, nothing has changed. Handlers of
    signals wait, as their exceptions could look like those of the file system.
    """
    with Interruption():
        with _workspace(path) as workspace:
            new = workspace / "new"
            yield new
            flush(new, os.O_RDWR)
            _rotate(path, keep, workspace)
            os.replace(new, path)
        if os.name == "posix":
            flush(path.parent, os.O_RDONLY)


def _rotate(path: Path, keep: int, workspace: Path) -> None:
    """Give the file under path the name path.1 as well, after path.1 became path.2, and so on up to the first gap.

    The file keeps the name path, so wherever this is interrupted, path is the newest file.
    """
    names = [path, *(path.with_name(f"{path.name}.{k}") for k in range(1, keep))]
    with suppress(FileNotFoundError):
        if keep == 1 or os.path.samefile(path, names[1]):  # the last save was killed between here and its last step
            return
    held = list(takewhile(Path.exists, names[:-1]))
    for k in reversed(range(1, len(held))):
        with suppress(FileNotFoundError):  # another process moved it
            os.replace(names[k], names[k + 1])
    if held:
        old = workspace / "old"
        try:
            os.link(path, old)
        except OSError:  # the file system has no hard links
            shutil.copyfile(path, old)
            flush(old, os.O_RDWR)
        os.replace(old, names[1])


@contextmanager
def _workspace(path: Path) -> Iterator[Path]:
    """Make a folder beside path for one save; remove it at the end, and before it those that killed saves left.

    A save keeps its folder locked, and a lock ends with its process.
    """
    leftover = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(WORKSPACE)}")
    for folder in filter(lambda each: leftover.fullmatch(each.name), list(path.parent.iterdir())):
        with suppress(OSError):  # in use
            _remove(folder, lock(folder))
    held = None
    while held is None:
        folder = Path(tempfile.mkdtemp(WORKSPACE, f".{path.name}.", path.parent))
        try:
            held = lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another save took it for a leftover
            continue
        except OSError:  # folders cannot be locked here
            break
    try:
        yield folder
    finally:
        _remove(folder, held)


def _remove(folder: Path, held: int | None) -> None:
    """Remove a folder, and then its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    if held is not None:
        os.close(held)
    if not fcntl:  # an open file cannot be removed, nor the folder around it
        with suppress(OSError):
            (folder / LOCK).unlink()
            folder.rmdir()


def lock(folder: Path) -> int:
    """Return a descriptor that keeps a folder locked while it is open, or raise BlockingIOError if it is locked.

    A lock ends with its process. Windows opens no folders, so there a file in the folder is locked. Other errors say
    that the folder is gone or cannot be locked.
    """
    descriptor = os.open(folder, os.O_RDONLY) if fcntl else os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        os.stat(folder)  # another save may have removed it
    except OSError as error:
        os.close(descriptor)
        if error.errno in (EACCES, EDEADLK):  # how Windows says it
            raise BlockingIOError(error.errno, error.strerror) from None
        raise
    return descriptor


def flush(path: Path, flags: int) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != EINVAL:  # network file systems raise it for folders
            raise
    finally:
        os.close(descriptor)
