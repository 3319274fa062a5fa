"""Profiles a running program: calls, seconds and bytes of each kernel; writes a map that names kernels for perf."""

import functools
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Self

import numpy as np

from .checks import aligned_full
from .kernels import observation, symbols
from .kernels.compiler import join
from .kernels.loops.update import update
from .kernels.rules.stages import CommonCoefficients
from .kernels.rules.touch import touch
from .kernels.settings import INTERPRETED
from .runtime import free_memory, get_threads
from .typing import FilePath

WALKED = 512 * 2**20  # bytes of the arrays that measure memory bandwidth: more than most caches hold
ROUNDS = 5
_LINE = "{:>10} {:>7} {:>10} {:>6} {:>13} {:>7} {:>9}  {}"
_NOTHING = ("",) * 5


@dataclass
class Row:
    """Totals of one kernel.

    Attributes
    ----------
    name : str
        The names of its loop and its rules.
    calls : int
        Number of calls.
    seconds : float
        Time in these calls, without compilation.
    compiling : float
        Seconds to compile it or load it from disk.
    items : int
        Items that it processed: elements, rows, blocks of rows or whatever its loop runs over.
    bytes : int or None
        Bytes that it read and wrote; None if its loop cannot tell.
    split : int
        Number of calls that were split over threads.
    """

    name: str
    calls: int = 0
    seconds: float = 0.0
    compiling: float = 0.0
    items: int = 0
    bytes: int | None = None
    split: int = 0

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second; None if bytes or seconds are unknown."""
        return self.bytes / self.seconds if self.bytes is not None and self.seconds > 0 else None


class profile:
    """Context that counts calls, seconds and bytes of kernels in all threads; ``print`` shows a table.

    Attributes
    ----------
    rows : list of Row
        One for each kernel that was called, longest first: name, calls, seconds, compiling, items, bytes, split,
        bandwidth.
    seconds : float
        How long the context has lasted.
    inside : float
        The seconds in which at least one thread ran or compiled a kernel.

    Raises
    ------
    RuntimeError
        If the same profile is entered twice.

    Notes
    -----
    A call lasts from Python to the kernel and back. Simultaneous calls of several threads may add up to more than the
    elapsed time. Compiling, or loading from disk, happens in a kernel's first call and is counted separately.

    Bytes count each array once for reading and once for writing: Adam moves 28 n in a step on n elements of float32,
    as it reads the gradient, and reads and writes the parameters and two arrays of state. Some coefficients do not
    count; neither do the cache lines that an ordinary store reads before it overwrites them. For networks and
    mini-batches these are estimates: what is read again is assumed to be in a cache.

    The table compares with the bandwidth of memory, which is measured for the first table of a process. Arrays in a
    cache can be faster, so the share can be above 1.

    A profiled call takes some 5 us longer; without a profile there is no cost.

    Examples
    --------
    >>> import gd, numpy as np
    >>> optimizer = gd.Adam(np.zeros(1000, np.float32))
    >>> with gd.profile() as p:
    ...     for _ in range(10):
    ...         applied = optimizer.step(np.ones(1000, np.float32))
    >>> [(row.name, row.calls, row.bytes) for row in p.rows]
    [('update-adam', 10, 280000)]
    """

    def __init__(self) -> None:
        self._lock, self._rows = threading.Lock(), {}
        self._begin: float | None = None
        self._end: float | None = None
        self._active, self._since, self._inside = 0, 0.0, 0.0  # calls in progress, and since when there are any

    def __enter__(self) -> Self:
        if self._begin is not None:
            raise RuntimeError("profile: enter each profile once, and make another one for the next context")
        self._begin = perf_counter()
        observation.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        observation.remove(self)
        with self._lock:
            self._end = perf_counter()
            if self._active:  # other threads are in a kernel
                self._inside += self._end - self._since

    def started(self) -> None:
        """Note that a call begins; see `kernels.observation`."""
        with self._lock:
            if not self._active:
                self._since = perf_counter()
            self._active += 1

    def ended(self, kernel: Any, arguments: tuple[Any, ...], seconds: float, compiling: float, split: bool) -> None:
        """Note that a call ended."""
        end, moved = perf_counter(), kernel.traffic and kernel.traffic(*arguments)
        with self._lock:
            if self._end is not None:
                return
            self._active -= 1
            if not self._active:
                self._inside += end - self._since
            name = kernel.name_with(arguments)
            row = self._rows.get(name)
            if row is None:
                row = self._rows[name] = Row(name)
            row.calls += 1
            row.seconds += seconds - compiling
            row.compiling += compiling
            row.items += arguments[0]
            row.split += split
            if moved is not None:
                row.bytes = (row.bytes or 0) + moved

    @property
    def rows(self) -> list[Row]:
        """Totals of each kernel so far, longest first."""
        with self._lock:
            rows = [replace(row) for row in self._rows.values()]
        return sorted(rows, key=lambda row: -row.seconds)

    @property
    def seconds(self) -> float:
        """How long the context has lasted so far."""
        if self._begin is None:
            return 0.0
        return (perf_counter() if self._end is None else self._end) - self._begin

    @property
    def inside(self) -> float:
        """Seconds in which at least one thread was in a kernel."""
        return self._inside

    def table(self) -> str:
        """Return the rows as text, with each bandwidth as a share of memory's, and the time outside of kernels."""
        rows, total = self.rows, self.seconds
        if not rows:
            return f"{total:.4f} s; no kernel was called"
        memory = memory_bandwidth()
        moves = "memory was not measured" if memory is None else f"memory moves {memory / 1e9:.1f} GB/s"
        lines = [
            f"{total:.4f} s, {get_threads()} threads; {moves}",
            _LINE.format("seconds", "share", "calls", "split", "MB", "GB/s", "of memory", "kernel"),
        ]

        def add(seconds, *rest):
            lines.append(_LINE.format(f"{seconds:.4f}", f"{seconds / total:.1%}", *rest))

        for row in rows:
            moved, rate, of_memory = "-", "-", "-"
            if row.bytes is not None and row.bandwidth is not None:
                moved, rate = f"{row.bytes / 1e6:,.1f}", f"{row.bandwidth / 1e9:.1f}"
                of_memory = of_memory if memory is None else f"{row.bandwidth / memory:.2f}"
            add(row.seconds, f"{row.calls:,}", f"{row.split / row.calls:.0%}", moved, rate, of_memory, row.name)
        compiled = [row.compiling for row in rows if row.compiling]
        if compiled:
            add(sum(compiled), *_NOTHING, f"(compiling, or loading from disk: {len(compiled)})")
        add(total - self.inside, *_NOTHING, "(outside of kernels)")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


@functools.cache
def memory_bandwidth() -> float | None:
    """Return the bytes per second of a kernel that reads two large arrays and writes one.

    Return None if memory is short, or if kernels are not compiled. It is measured once per process, in some tenths of a
    second, on 512 MiB or a quarter of the free memory if less.
    """
    size = min(WALKED, free_memory() // 4) // 8
    if size < WALKED // 64 or INTERPRETED:
        return None
    p, g = aligned_full(size, np.float32, 1), aligned_full(size, np.float32, 1)
    kernel, arguments = join(update, touch), (np.array(CommonCoefficients(), np.float32), g, 0, p)
    seconds = []
    for _ in range(1 + ROUNDS):
        start = perf_counter()
        kernel._walk(True, kernel.enter, (size, *arguments))  # not reported to observers
        seconds.append(perf_counter() - start)
    return kernel.traffic(size, *arguments) / median(seconds[1:])


def perf_map(path: FilePath | None = None) -> Path:
    """Write the map with which Linux's perf names the kernels that are compiled so far; return its path.

    Parameters
    ----------
    path : path-like, optional
        By default /tmp/perf-PID.map, where perf looks for it. The file is replaced; if Python itself writes there
        (``python -X perf``), lines are appended.

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    RuntimeError
        If the system is not Linux.

    Notes
    -----
    perf reads the map when it reports, so write it at the end of the program, as ``gd profile --perf-map`` does. The
    threads of a parallel kernel may run the code of its serial variant, and then appear under that name.
    NUMBA_ENABLE_PROFILING is not needed: it reports compiled code to Intel's VTune, not to perf.
    """
    if not sys.platform.startswith("linux"):
        raise RuntimeError("perf_map: perf is a tool of Linux")
    path = Path(f"/tmp/perf-{os.getpid()}.map" if path is None else path)
    added = getattr(sys, "is_stack_trampoline_active", bool)()
    with open(path, "a" if added else "w", opener=_not_through_links) as file:
        file.writelines(f"{address:x} {size:x} gd::{name}\n" for address, size, name in symbols.functions())
    return path


def _not_through_links(path: str, flags: int) -> int:
    """Open a file but follow no link: other users may have put one of this name into the folder."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
