"""What `gd info` prints."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np

from .kernels import cache, pool
from .kernels.compiler import join, splitting
from .kernels.loops.elementwise import map_elements
from .kernels.rules.activations import identity


def information():
    """Return (what, value) pairs on versions, processor, threads and cache."""
    return [
        ("gd", _version("gd")),
        ("Python", platform.python_version()),
        *((name, _version(name)) for name in ("numpy", "numba", "llvmlite", "scipy", "threadpoolctl")),
        ("system", platform.platform()),
        ("processor", _processor()),
        ("vector width", f"{_vector_bits()} bits"),
        ("threads", f"{pool.get_threads()} (pool of {pool.max_threads()}, {os.cpu_count()} cores)"),
        ("threading layer", _threading_layer()),
        ("idle threads", pool.waiting()),
        ("kernel cache", _cache()),
    ]


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    target = llvmlite.binding.get_host_cpu_name()
    return f"{names[0] if names else platform.processor() or platform.machine()} ({target})"


def _vector_bits():
    features = llvmlite.binding.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


def _threading_layer():
    if pool.get_threads() == 1:
        return "none needed for one thread"
    x = np.zeros(2, np.float32)
    with splitting(1):
        join(map_elements, identity)(2, np.empty_like(x), x)  # starts the pool
    return numba.threading_layer()


def _cache():
    folder = cache.folder()
    if folder is None:
        return "off"
    files = list(folder.glob("*.kernel"))
    return f"{folder} ({len(files)} kernels, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB)"
