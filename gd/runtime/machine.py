"""Facts about the machine and the installed packages, which `gd info` prints."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np

from ..kernels import cache, pool
from ..kernels.compiler import join, splitting
from ..kernels.loops.elementwise import map_elements
from ..kernels.machine_code import fuses, vector_bits
from ..kernels.machine_code import processor as target
from ..kernels.rules.activations import identity
from ..version import __version__

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "threadpoolctl")
CGROUPS = ("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
UNKNOWN = 2**31  # bytes that are taken to be free where the system does not tell
ONE_AT_A_TIME = (
    "with workqueue Numba aborts the process if a parallel function of yours runs in one Python thread and gd in "
    "another: call gd `with gd.threads(1)` there, hold one lock around both, or choose NUMBA_THREADING_LAYER=omp or tbb"
)


def information() -> list[tuple[str, str]]:
    """Return (name, value) pairs: versions, processor, threads and cache."""
    installed, layer = versions(PACKAGES), threading_layer()
    bounds = "".join(f"{name}={os.environ[name]}, " for name in pool.BOUNDS if name in os.environ)
    return [
        ("gd", __version__),
        ("Python", platform.python_version()),
        *((name, installed.get(name, "not installed")) for name in PACKAGES),
        ("system", platform.platform()),
        ("processor", f"{processor()} ({llvmlite.binding.get_host_cpu_name()})"),
        ("compiled for", f"{target()[1]}, with{'' if fuses() else 'out'} fused multiply-adds"),
        ("vector width", f"{vector_bits()} bits"),
        ("threads", f"{pool.get_threads()} ({bounds}pool of {pool.max_threads()}, {os.cpu_count()} cores)"),
        ("threading layer", layer),
        *([("warning", ONE_AT_A_TIME)] if layer == "workqueue" else []),
        ("idle threads", pool.waiting()),
        ("kernel cache", _cache()),
    ]


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return {name: version} of the packages that are installed, without importing them."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = [sysctl("machdep.cpu.brand_string")]
    return next(filter(None, names), platform.processor() or platform.machine())


def free_memory() -> int:
    """Return the bytes that this process may still allocate, as far as the system tells."""
    free = []
    with suppress(OSError, ValueError, IndexError):
        (available,) = (each for each in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in each)
        free.append(1024 * int(available.split()[1]))
    for limit, used in CGROUPS:
        group = Path("/sys/fs/cgroup")
        with suppress(OSError, ValueError):
            free.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return max(0, min(free, default=UNKNOWN))


def sysctl(name: str) -> str:
    """Return a value of macOS's sysctl, or an empty string on other systems."""
    if sys.platform != "darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def threading_layer() -> str:
    """Return the name of Numba's threading layer; starts its thread pool, since it is unknown before."""
    if pool.get_threads() == 1:
        return "none needed for one thread"
    x = np.zeros(2, np.float32)
    with splitting(1):
        join(map_elements, identity)(2, np.empty_like(x), x)  # starts the pool
    return numba.threading_layer()  # pyright: ignore[reportPrivateImportUsage]  # it is public


def cache_size() -> tuple[int, int]:
    """Return the number of kernels in the disk cache, and their size in bytes."""
    folder = cache.folder()
    files = [] if folder is None else list(folder.glob("*.kernel"))
    return len(files), sum(file.stat().st_size for file in files)


def _cache():
    folder, (kernels, size) = cache.folder(), cache_size()
    return "off" if folder is None else f"{folder} ({kernels} kernels, {size / 1e6:.1f} MB)"
