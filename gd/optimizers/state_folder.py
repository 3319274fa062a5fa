"""StateFolder: the state of an optimizer in files, for states larger than memory."""

import json
import mmap
import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import address, check_path
from ..files import LOCK, flush, lock, replacement
from ..kernels.interruption import Interruption
from ..typing import FilePath

CHUNK = 2**20  # elements that are stepped at a time
MANIFEST = "state.json"
FORMAT, VERSION = "gd state", 1
OPEN, CLOSED = "in use", "closed"


class StateFolder:
    """A folder with one file per state array, and a manifest that tells what they are and if they are consistent.

    The files are consistent between two steps only. So the folder is marked as in use before its first change, and as
    closed when all is on the disk. If it is still marked as in use, its process may have ended within a step.

    Parameters
    ----------
    where : str
        The optimizer's name, for messages.
    path : str or path-like
        Created if it does not exist.

    Raises
    ------
    ValueError
        If the folder is in use, was not closed, or holds something else.
    """

    path: Path
    torn: bool  # True if a step has begun and not ended
    _arrays: dict[str, list[Any]]  # file name -> [label, slot, dtype, size]
    _mapped: list[Any] | None  # the np.memmap of each file; None if closed

    def __init__(self, where: str, path: FilePath) -> None:
        path = check_path(where, "state_dir", path)
        self._where, self.path = where, Path(os.path.abspath(path))
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{where}: state_dir must be a folder, {path} is a file")
        self._made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        self._arrays, self._mapped, self._process, self.torn = {}, [], os.getpid(), False
        self._unlock: Callable[[], Any] = lambda: None
        with Interruption():  # else the exception of a signal could look like one of the file system
            try:
                self._unlock = weakref.finalize(self, os.close, lock(self.path))
            except BlockingIOError:
                raise ValueError(f"{where}: state_dir {path} is in use by another optimizer") from None
            except OSError:  # folders cannot be locked here
                pass
        try:
            self._before = self._read()
        except BaseException:
            self._unlock()
            raise

    def _read(self) -> dict[str, Any] | None:
        """Return the content of the manifest, None for an empty folder."""
        path = self.path / MANIFEST
        if not path.exists():
            if any(each.name != LOCK for each in self.path.iterdir()):
                raise ValueError(f"{self._where}: state_dir {self.path} holds files, but no state of an optimizer")
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if (found["format"], found["version"]) != (FORMAT, VERSION):
                raise ValueError("it is of another format")
            if found["status"] not in (OPEN, CLOSED) or not isinstance(found["numbers"], dict):
                raise ValueError("it is damaged")
            dict(found["arrays"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._where}: state_dir {path} cannot be read: {error}") from None
        if found["status"] == OPEN:
            raise ValueError(
                f"{self._where}: state_dir {self.path} was not closed, so its arrays can be of several steps; "
                "go on from a copy that save_state made, or begin with another folder"
            )
        if found["optimizer"] != self._where:
            raise ValueError(f"{self._where}: state_dir {self.path} holds the state of {found['optimizer']}")
        return found

    def vector(
        self, label: str, slot: str, p: NDArray[Any], initial: Callable[[], float | NDArray[Any]]
    ) -> NDArray[Any]:
        """Return the vector of a slot of p, mapped from its file; a new file is filled with `initial()`."""
        name = f"{len(self._arrays)}-{slot}.bin"
        entry = self._arrays[name] = [label, slot, str(p.dtype), p.size]
        path = self.path / name
        if self._before is None:
            _reserve(path, p.nbytes)
        elif self._before["arrays"].get(name) != entry:
            raise ValueError(
                f"{self._where}: state_dir {self.path} does not hold {slot} of {label}, {p.size} x {p.dtype}"
            )
        elif not path.is_file() or path.stat().st_size != p.nbytes:
            raise ValueError(f"{self._where}: state_dir {self.path} is damaged: {name} must have {p.nbytes:,} bytes")
        if not p.size:  # nothing can be mapped
            return np.empty(0, p.dtype)
        mapped = np.memmap(path, p.dtype, "r+", shape=p.shape)
        if self._mapped is not None:
            self._mapped.append(mapped)
        vector = np.asarray(mapped)
        if self._before is None:
            value = initial()
            for chunk in chunks(p.size):
                vector[chunk] = value[chunk] if isinstance(value, np.ndarray) else value
                release(vector[chunk])
        return vector

    def begin(self, restore: Callable[[Mapping[str, Any]], None], numbers: Callable[[], dict[str, Any]]) -> None:
        """Restore the numbers of an old state, or write those of a new one, and mark the folder as in use."""
        if self._before is not None:
            for name in self._before["arrays"].keys() - self._arrays.keys():
                label, slot, *_ = self._before["arrays"][name]
                raise ValueError(f"{self._where}: state_dir {self.path} holds {slot} of {label}, too")
            restore(self._before["numbers"])
        self._write(self.path, OPEN, numbers())
        self._before = None

    def check(self) -> None:
        """Raise unless this process may step."""
        if self._process != os.getpid():
            raise ValueError(f"{self._where}: the state in {self.path} is that of the process that made the optimizer")
        if self.torn:
            raise ValueError(f"{self._where}: a step was interrupted, so the state in {self.path} is of two steps")
        if self._mapped is None:
            raise ValueError(f"{self._where}: the optimizer was closed; make another with state_dir={str(self.path)!r}")

    @contextmanager
    def change(self) -> Iterator[None]:
        """Set `torn` while the context runs; it stays set if the context raises."""
        self.torn = True
        yield
        self.torn = False

    def close(self, numbers: dict[str, Any]) -> None:
        """Write all to the disk, and mark the folder as closed unless a step did not end."""
        if self._mapped is None or self._process != os.getpid():
            return
        if not self.torn:
            for mapped in self._mapped:
                mapped.flush()
            self._write(self.path, CLOSED, numbers)
        self._mapped = None
        self._unlock()

    def copy(self, path: FilePath, numbers: dict[str, Any]) -> None:
        """Copy the state into a new folder, which is marked as closed when it is complete."""
        target = Path(os.path.abspath(check_path(f"{self._where}.save_state", "path", path)))
        if os.path.lexists(target):
            raise FileExistsError(f"{self._where}.save_state: path must be that of a new folder, {path} is there")
        target.mkdir(parents=True)
        self._write(target, OPEN, numbers)
        for name in self._arrays:
            shutil.copyfile(self.path / name, target / name)
            flush(target / name, os.O_RDWR)
        self._write(target, CLOSED, numbers)

    def abandon(self) -> None:
        """Restore the folder as it was found, as the optimizer could not be made."""
        if self._before is None:
            with suppress(OSError):
                for name in (*self._arrays, MANIFEST):
                    (self.path / name).unlink(missing_ok=True)
        self._unlock()
        if self._before is None and self._made:
            with suppress(OSError):
                (self.path / LOCK).unlink(missing_ok=True)
                self.path.rmdir()

    def _write(self, folder: Path, status: str, numbers: dict[str, Any]) -> None:
        """Write the manifest."""
        found = {"format": FORMAT, "version": VERSION, "status": status, "optimizer": self._where}
        with replacement(folder / MANIFEST) as new:
            new.write_text(json.dumps(found | {"numbers": numbers, "arrays": self._arrays}), encoding="utf-8")


class Streamed:
    """A kernel of `update` that is called chunk by chunk: it reads the next one ahead and releases the last one."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        self._kernel = kernel

    def __call__(self, size: int, vector: NDArray[Any], g: NDArray[Any], first: int, *others: NDArray[Any]) -> None:
        """Walk items 0 to size."""
        arrays = g, *others
        for chunk in chunks(size):
            for array in arrays:
                advise(array[chunk.stop : chunk.stop + CHUNK], "MADV_WILLNEED")
            pieces = [array[chunk] for array in arrays]
            self._kernel(pieces[0].size, vector, pieces[0], first, *pieces[1:])
            for piece in pieces:
                release(piece)


def chunks(size: int) -> list[slice]:
    """Return slices of `CHUNK` elements, the last of which may be shorter."""
    return [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]


def release(piece: NDArray[Any]) -> None:
    """Let the pages of a piece of a mapped file leave memory; the file keeps what was written to them."""
    advise(piece, "MADV_DONTNEED")


def advise(piece: NDArray[Any], what: str) -> None:
    """Give the advice of a name to `mmap.madvise`, for a piece of a file that is mapped and shared; else do nothing."""
    base: Any = piece
    mode = None
    while isinstance(base, np.ndarray):
        mode = base.mode if isinstance(base, np.memmap) else mode
        base = base.base
    shared = isinstance(base, mmap.mmap) and mode in ("r", "r+", "w+")  # else changes would be lost
    if not shared or not piece.size or not hasattr(mmap, what):
        return
    start = address(piece) - address(np.frombuffer(base, np.uint8))
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(getattr(mmap, what), first, min(start + piece.nbytes, len(base)) - first)


def _reserve(path: Path, size: int) -> None:
    """Make a file of zeros and reserve its disk space: without space, a write to a mapped page kills the process."""
    with open(path, "xb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
