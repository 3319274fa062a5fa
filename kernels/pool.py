"""The one thread pool, Numba's: how many threads work, who may enter, how idle threads wait.

Numba's pool must not be entered by two Python threads at once (its workqueue layer aborts the
process), nor by a forked child of a process that used it (its OpenMP layer aborts it). So it has a lock
that nobody waits for: a thread that finds it taken, or runs in such a child, works serially.

Idle OpenMP threads spin for milliseconds by default. That ruins every other pool of the process:
`np.matmul` (0.3 ms) and a kernel in alternation took 8.9 ms on 2 cores. Threads that sleep at once
(OMP_WAIT_POLICY=passive) need 50 to 150 us to wake, which triples the time of small kernels. Spinning
for some 50 us and then sleeping avoids both: the alternation stays near the sum of its parts, and
kernels that follow each other closely find the threads awake. libgomp reads both settings once, when it
is loaded.

Others share OpenMP and Numba: what gd's first use of the pool or a later one changes there is set back at once.
"""

import os
import sys
import threading
import warnings
from collections import deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from ctypes import CDLL
from math import ceil
from pathlib import Path

import numba

from .entry import connect_pool
from .interruption import Interruption
from .machine_code import pool_has_started

SPINNING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5000"}
BOUNDS = "OMP_NUM_THREADS", "OMP_THREAD_LIMIT"  # which libraries that start workers, such as Dask, set for all pools

# Calls of `gd.threads` are kept rather than a number to restore: another thread may call or leave in between.
calls: deque = deque(maxlen=100)  # those that did not become a block, in order; the last one's `n` holds
blocks: ContextVar[tuple] = ContextVar("blocks", default=())  # those that this context is in, the innermost last
_default = None
_lock = threading.RLock()  # reentrant: its thread can take it again if Ctrl-C came before it was released
_launched = False
_closed = False  # in a forked child of a process that launched the pool
_waiting = "not started"


def enter():
    """Take the pool; return the number of threads to use, or 1 if it was not taken (then do not call `leave`)."""
    threads = get_threads()
    if threads == 1 or _closed:
        return 1
    try:
        if not _lock.acquire(blocking=False):
            return 1
        if not _launched:
            with Interruption():  # else the exception of a signal would look like one of the pool
                _start()
        if not _closed:
            return threads
    except BaseException:
        with suppress(RuntimeError):  # a signal can come before the lock is taken
            _lock.release()
        raise
    _lock.release()
    return 1


def leave():
    """Give the pool back after `enter` returned more than 1."""
    _lock.release()


def get_threads():
    """Return the number of threads that kernels use in this context."""
    global _default
    asked = blocks.get() or tuple(calls)
    if asked:
        return asked[-1].n
    if _default is None:
        _default = default_threads()
    return _default


def max_threads():
    """Return the size of Numba's pool: NUMBA_NUM_THREADS, by default the cores that this process may run on."""
    return numba.config.NUMBA_NUM_THREADS


def default_threads():
    """Return the smallest of the pool's size, a container's CPU quota and the variables of OpenMP."""
    return min(filter(None, (max_threads(), _cpu_quota(), *map(_bound, BOUNDS))))


def waiting():
    """Return in words how idle threads wait, for `gd info`."""
    return _waiting


def _start():
    """Launch the pool; if it cannot be, work serially from now on."""
    try:
        _launch()
    except Exception as error:
        _close(error)


def _launch():
    global _launched
    with _settings_of_others():
        numba.get_num_threads()  # launches the pool
        connect_pool()
        _launched = True


@contextmanager
def _settings_of_others():
    """Keep what Numba's launch sets: OpenMP's counts in this Python thread, and multiprocessing's start method."""
    import multiprocessing

    method = multiprocessing.get_start_method(allow_none=True)
    counts = _load_openmp()
    try:
        yield
    finally:
        for library, threads, levels in counts:
            library.omp_set_num_threads(threads)
            library.omp_set_max_active_levels(levels)
        if method is None:
            multiprocessing.set_start_method(None, force=True)


def _load_openmp():
    """Load what Numba's OpenMP layer calls, unless the user chose another; return each library with its counts."""
    global _waiting
    layer = str(numba.config.THREADING_LAYER).lower()
    if layer in ("tbb", "workqueue"):
        _waiting = f"as {layer} does it"
        return []
    chosen = [f"{name}={os.environ[name]}" for name in SPINNING if name in os.environ]
    if chosen:
        _waiting = "as the user set: " + ", ".join(chosen)
    elif _openmp_is_loaded():
        _waiting = "as OpenMP was loaded, before gd could set it"
    else:
        _waiting = "spin for some 50 us, then sleep"
    own = {} if chosen else SPINNING
    try:
        os.environ.update(own)
        from numba.np.ufunc import omppool  # loads OpenMP, which reads the environment

        # On Linux its calls reach an OpenMP that is loaded for the whole process, as torch's is, rather than its own.
        names = (None, omppool.__file__) if sys.platform.startswith("linux") else (omppool.__file__,)
        found = [each for each in map(CDLL, names) if hasattr(each, "omp_get_max_active_levels")]
        return [(each, each.omp_get_max_threads(), each.omp_get_max_active_levels()) for each in found]
    except ImportError:
        return []
    finally:
        for name in own:
            os.environ.pop(name, None)


def _close(error):
    global _closed, _waiting
    _closed, _waiting = True, f"none: {error}"
    warnings.warn(f"gd: no pool of threads, working serially ({error})", RuntimeWarning, stacklevel=2)


def _openmp_is_loaded():
    if not sys.platform.startswith("linux"):
        return False
    try:
        return "/libgomp.so.1" in Path("/proc/self/maps").read_text()
    except OSError:
        return False


def _bound(name):
    """Return the number that a variable of OpenMP holds, or None."""
    number = os.environ.get(name, "").partition(",")[0].strip()  # a list has a number for each level of nesting
    return int(number) if number.isdecimal() else None


def _cpu_quota(root=Path("/")):
    """Return the cores that this process's Linux control groups (version 2 or 1) allow, rounded up, or None."""
    quotas = []
    for folder in _control_groups(root):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))  # ValueError: it is max
        with suppress(OSError, ValueError):
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            quotas += [quota / int((folder / "cpu.cfs_period_us").read_text())] if quota > 0 else []
    return ceil(min(quotas)) if quotas else None


def _control_groups(root):
    """Yield the folders of the groups that this process is in, and of all groups around them."""
    mounted, lines = root / "sys/fs/cgroup", ["0::/", "1:cpu:/"]  # the outermost groups, if nothing else is known
    with suppress(OSError):
        lines += (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            path, top = Path(group.lstrip("/")), mounted / "cpu" if controllers else mounted
            yield from (top / each for each in (path, *path.parents))


def _in_child():
    global _lock, _closed, leave
    _lock = threading.RLock()  # another thread of the parent may have held it
    leave = _lock.release
    _closed = _launched or pool_has_started()  # for parallel functions that are not gd's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
