"""What kernels do in a running program: calls, seconds and bytes of each; and a map that names them for perf."""

import functools
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from .checks import aligned_full
from .kernels import observation, symbols
from .kernels.compiler import join
from .kernels.loops.update import update
from .kernels.rules.stages import CommonCoefficients
from .kernels.rules.touch import touch
from .runtime import get_threads

WALKED = 512 * 2**20  # bytes of the arrays by which memory is measured: more than most caches hold
ROUNDS = 5
_LINE = "{:>10} {:>7} {:>10} {:>6} {:>13} {:>7} {:>9}  {}"
_NOTHING = ("",) * 5
_CGROUPS = ("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


@dataclass
class Row:
    """What one kernel did.

    Attributes
    ----------
    name : str
        Of its loop and its rules.
    calls : int
        How often it was called.
    seconds : float
        In these calls, without compiling.
    compiling : float
        Seconds in which they compiled it or loaded it from disk.
    items : int
        That it walked: elements, rows, blocks of rows ..., whatever its loop takes.
    bytes : int or None
        That it read and wrote; None where its loop cannot tell.
    split : int
        Calls that were split over threads.
    """

    name: str
    calls: int = 0
    seconds: float = 0.0
    compiling: float = 0.0
    items: int = 0
    bytes: int | None = None
    split: int = 0

    @property
    def bandwidth(self):
        """Bytes a second; None where there is nothing to tell it from."""
        return self.bytes / self.seconds if self.bytes is not None and self.seconds > 0 else None


class profile:
    """Count what kernels do, in all threads of this process, while the context lasts; ``print`` shows a table.

    Attributes
    ----------
    rows : list of Row
        Of each kernel that was called, longest first: name, calls, seconds, compiling, items, bytes, split, bandwidth.
    seconds : float
        That the context has lasted.
    inside : float
        Of these, the seconds in which some thread was in a kernel, or compiled one.

    Raises
    ------
    RuntimeError
        If the same profile is entered twice.

    Notes
    -----
    A call takes from Python to the kernel and back. Calls of several threads at once may add up to more than has
    passed. Compiling, or loading from disk, is part of the first call of a kernel and counted apart.

    Bytes are those that a kernel reads and those that it writes, each array once: Adam moves 28 n in a step on n
    elements of float32, as it reads the gradient, and reads and writes the parameters and two arrays of state. Some
    coefficients do not count, nor does it that an ordinary store reads the line that it overwrites. For networks and
    mini-batches these are estimates: what is read again is taken to be in a cache.

    The table compares with the bandwidth of memory, which is measured when the first table of a process is made: arrays
    that lie in a cache can be faster, so the share can be above 1.

    A call that is profiled takes some 5 us longer; while nothing is profiled, none does.

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

    def __init__(self):
        self._lock, self._rows = threading.Lock(), {}
        self._begin = self._end = None
        self._active, self._since, self._inside = 0, None, 0.0  # calls under way, and since when there is one

    def __enter__(self):
        if self._begin is not None:
            raise RuntimeError("profile: enter each profile once, and make another one for the next context")
        self._begin = perf_counter()
        observation.add(self)
        return self

    def __exit__(self, *error):
        observation.remove(self)
        with self._lock:
            self._end = perf_counter()
            if self._active:  # other threads are in a kernel
                self._inside += self._end - self._since

    def started(self):
        """Hear of a call that begins; see `kernels.observation`."""
        with self._lock:
            if not self._active:
                self._since = perf_counter()
            self._active += 1

    def ended(self, kernel, arguments, seconds, compiling, split):
        """Hear of its end."""
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
    def rows(self):
        """What each kernel did so far."""
        with self._lock:
            rows = [replace(row) for row in self._rows.values()]
        return sorted(rows, key=lambda row: -row.seconds)

    @property
    def seconds(self):
        """That the context has lasted, so far."""
        if self._begin is None:
            return 0.0
        return (perf_counter() if self._end is None else self._end) - self._begin

    @property
    def inside(self):
        """Seconds in which some thread was in a kernel."""
        return self._inside

    def table(self):
        """Return the rows as text, the bandwidth of each as a share of memory's, and the time spent elsewhere."""
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
            if row.bandwidth is not None:
                moved, rate = f"{row.bytes / 1e6:,.1f}", f"{row.bandwidth / 1e9:.1f}"
                of_memory = of_memory if memory is None else f"{row.bandwidth / memory:.2f}"
            add(row.seconds, f"{row.calls:,}", f"{row.split / row.calls:.0%}", moved, rate, of_memory, row.name)
        compiled = [row.compiling for row in rows if row.compiling]
        if compiled:
            add(sum(compiled), *_NOTHING, f"(compiling, or loading from disk: {len(compiled)})")
        add(total - self.inside, *_NOTHING, "(outside of kernels)")
        return "\n".join(lines)

    def __str__(self):
        return self.table()


@functools.cache
def memory_bandwidth():
    """Return the bytes a second that a kernel moves which reads two large arrays and writes one; None without room.

    It is measured once a process, in some tenths of a second, on 512 MiB or a quarter of what memory is free.
    """
    size = min(WALKED, _free_memory() // 4) // 8
    if size < WALKED // 64:
        return None
    p, g = aligned_full(size, np.float32, 1), aligned_full(size, np.float32, 1)
    kernel, arguments = join(update, touch), (np.array(CommonCoefficients(), np.float32), g, 0, p)
    seconds = []
    for _ in range(1 + ROUNDS):
        start = perf_counter()
        kernel._walk(True, size, arguments)  # no observer hears of this
        seconds.append(perf_counter() - start)
    return kernel.traffic(size, *arguments) / median(seconds[1:])


def _free_memory():
    """Return the bytes that this process may still take, as far as the system tells."""
    free = [4 * WALKED]
    with suppress(OSError, ValueError, IndexError):
        (available,) = (each for each in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in each)
        free.append(1024 * int(available.split()[1]))
    for limit, used in _CGROUPS:
        group = Path("/sys/fs/cgroup")
        with suppress(OSError, ValueError):
            free.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, min(free))


def perf_map(path=None):
    """Write the map by which Linux's perf names the kernels that are compiled by now; return its path.

    Parameters
    ----------
    path : path-like, optional
        By default where perf looks for it, /tmp/perf-PID.map. It is replaced, unless Python itself writes there
        (``python -X perf``).

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    RuntimeError
        Where there is no perf: outside of Linux.

    Notes
    -----
    perf reads the map when it reports, so write it at the end of the program, as ``gd profile --perf-map`` does. The
    threads of a parallel kernel may run the very code of its serial variant, and are then found under its name.
    NUMBA_ENABLE_PROFILING is not needed: it tells Intel's VTune of compiled code, not perf.
    """
    if not sys.platform.startswith("linux"):
        raise RuntimeError("perf_map: perf is a tool of Linux")
    path = Path(f"/tmp/perf-{os.getpid()}.map" if path is None else path)
    added = getattr(sys, "is_stack_trampoline_active", bool)()
    with open(path, "a" if added else "w", opener=_not_through_links) as file:
        file.writelines(f"{address:x} {size:x} gd::{name}\n" for address, size, name in symbols.functions())
    return path


def _not_through_links(path, flags):
    """Open a file in a folder where others may have put a link of that name."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
