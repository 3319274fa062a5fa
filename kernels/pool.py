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
"""

import os
import sys
import threading
import warnings
from contextlib import suppress
from math import ceil
from pathlib import Path

import numba

from .entry import connect_pool
from .interruption import Interruption
from .machine_code import pool_has_started

SPINNING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5000"}

_lock = threading.RLock()
leave = _lock.release  # gives the pool back after `enter` returned more than 1
_local = threading.local()  # .threads: the number that this Python thread last set in Numba, which keeps it per thread
_threads = None
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
        if getattr(_local, "threads", None) != threads:
            with Interruption():  # else the exception of a signal would look like one of the pool
                _start(threads)
        if not _closed:
            return threads
    except BaseException:
        with suppress(RuntimeError):  # a signal can come before the lock is taken
            _lock.release()
        raise
    _lock.release()
    return 1


def get_threads():
    """Return the number of threads that kernels use."""
    global _threads
    if _threads is None:
        _threads = default_threads()
    return _threads


def set_threads(threads):
    """Set the number of threads that kernels use, 1 to `max_threads()`."""
    global _threads
    _threads = threads


def max_threads():
    """Return the size of Numba's pool: NUMBA_NUM_THREADS, by default the cores that this process may run on."""
    return numba.config.NUMBA_NUM_THREADS


def default_threads():
    """Return the pool's size, or a container's CPU quota if that is smaller."""
    return max(1, min(max_threads(), _cpu_quota() or max_threads()))


def waiting():
    """Return in words how idle threads wait, for `gd info`."""
    return _waiting


def _start(threads):
    """Have the pool use so many threads; if it cannot, work serially from now on."""
    try:
        if not _launched:
            _launch()
        numba.set_num_threads(threads)
        _local.threads = threads
    except Exception as error:
        _close(error)


def _launch():
    global _launched, _waiting
    chosen = [f"{name}={os.environ[name]}" for name in SPINNING if name in os.environ]
    if chosen:
        _waiting = "as the user set: " + ", ".join(chosen)
        numba.get_num_threads()
    else:
        late = _openmp_is_loaded()
        _waiting = "as OpenMP was loaded, before gd could set it" if late else "spin for some 50 us, then sleep"
        os.environ.update(SPINNING)
        try:
            numba.get_num_threads()  # launches the pool, which loads libgomp, which reads the environment
        finally:
            for name in SPINNING:
                os.environ.pop(name, None)
    connect_pool()
    _launched = True


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
