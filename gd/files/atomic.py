"""Files that are replaced as a whole: whenever a process is killed, what is there is the old one or the new one."""

import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from errno import EINVAL
from itertools import takewhile
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows, where folders cannot be locked
    fcntl = None

WORKSPACE = ".gd-save"  # ends the names of the folders in which files are written


@contextmanager
def replacement(path, keep=1):
    """Yield the path of a file to write, which then takes the place of the one under `path`, on the disk, too.

    The one before becomes path.1, and so on to path.{keep - 1}. Where the context raises, nothing has changed.
    """
    with _workspace(path) as workspace:
        new = workspace / "new"
        yield new
        flush(new, os.O_RDWR)
        _rotate(path, keep, workspace)
        os.replace(new, path)
    if os.name == "posix":
        flush(path.parent, os.O_RDONLY)


def _rotate(path, keep, workspace):
    """Let the file under path be path.1, too, after path.1 became path.2, and so on up to the first gap.

    It never loses the name path, so wherever this ends, that is the newest file.
    """
    names = [path, *(path.with_name(f"{path.name}.{k}") for k in range(1, keep))]
    with suppress(FileNotFoundError):
        if keep == 1 or os.path.samefile(path, names[1]):  # the last save ended between here and its last step
            return
    held = list(takewhile(Path.exists, names[:-1]))
    for k in reversed(range(1, len(held))):
        with suppress(FileNotFoundError):  # another process was here
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
def _workspace(path):
    """Make a folder beside path for one save, and remove it and those that killed saves left.

    A save has its folder locked, and a lock ends with its process.
    """
    leftover = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(WORKSPACE)}")
    for folder in filter(lambda each: leftover.fullmatch(each.name), list(path.parent.iterdir())):
        with suppress(OSError):  # in use
            held = lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)
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
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def lock(folder):
    """Return a descriptor that keeps a folder locked while it is open, or raise OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # another save may have removed it
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def flush(path, flags):
    """Have a file or a folder written to the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != EINVAL:  # which network file systems say of folders
            raise
    finally:
        os.close(descriptor)
