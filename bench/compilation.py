"""Time to import gd and to a first step, and what kernels cost to compile, to load and to keep; in new processes."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np

from gd.information import cache_size
from gd.warm import tasks

from .recording import recorded

NAMES = ("Adam", "SGD", "LAMB", "sigmoid", "gelu", "softmax", "softmax_cross_entropy", "MLP", "LinearModel")
QUICK = NAMES[:1]
FIRST_STEP = """
from time import perf_counter
start = perf_counter()
import gd
imported = perf_counter()
import numpy as np
gd.Adam(np.ones(100, np.float32)).step(np.ones(100, np.float32))
print([imported - start, perf_counter() - imported])
"""
FIRST_RUNS = "from gd.bench.compilation import first_runs; first_runs({names!r})"
ONCE = "identity"  # runs first, uncounted: what Numba does once in a process


def compilation(quick=False, names=None, rounds=None):
    """Measure times of new processes, with a disk cache of their own that is empty at first.

    Parameters
    ----------
    quick : bool, default: False
        Fewer names and one round.
    names : sequence of str, optional
        As `gd.warmup` takes them: those whose kernels are compiled, in float32.
    rounds : int, default: 3
        Of first steps; medians are returned. Kernels are compiled once.

    Returns
    -------
    dict
        import : seconds.
        cold, cached : seconds to the first step of Adam once gd is imported, without and with a filled cache.
        kernels : list of dict
            The seconds that the serial and the parallel code of each "kernel" take together to compile ("cold"), with
            what it calls and is new, and to load ("cached"), and the "bytes" of its files.
        cache_bytes, cache_kernels : int
            Of the user's own cache.
    """
    names, rounds = tuple(names or (QUICK if quick else NAMES)), rounds or (1 if quick else 3)
    steps = [_cold_and_cached(FIRST_STEP)[:2] for _ in range(rounds)]
    cold, cached, sizes = _cold_and_cached(FIRST_RUNS.format(names=names))
    kernels, size = cache_size()
    return {
        "import": median(imported for each in steps for imported, _ in each),
        "cold": median(first for (_, first), _ in steps),
        "cached": median(second for _, (_, second) in steps),
        "kernels": [
            {"kernel": name, "cold": seconds, "cached": cached[name], "bytes": _bytes(name, sizes)}
            for name, seconds in cold.items()
        ],
        "cache_bytes": size,
        "cache_kernels": kernels,
    }


def first_runs(names):
    """Print {kernel: seconds that its serial and its parallel code took to compile or to load} of all behind names."""
    run, total = tasks(), Counter()
    for parallel in (False, True):
        first = {}
        for name in (ONCE, *names):
            with recorded(parallel) as runs:
                run[name](np.dtype(np.float32))
            if name != ONCE:
                for each in runs:
                    first.setdefault(each.kernel.name, each.compiling)
        total.update(first)
    print(json.dumps(total))


def _cold_and_cached(program):
    """Return what a program prints without a disk cache and with the one it filled, and {file: bytes} of that."""
    with tempfile.TemporaryDirectory() as folder:
        printed = []
        for _ in range(2):
            command, variables = [sys.executable, "-c", program], {**os.environ, "GD_CACHE_DIR": folder}
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
            printed.append(json.loads(done.stdout))
        return (*printed, {path.name: path.stat().st_size for path in Path(folder).rglob("*.kernel")})


def _bytes(kernel, sizes):
    """Return the bytes of a kernel's files: their names begin with its name, cut where that is long."""
    names = f"{kernel}-serial", f"{kernel}-parallel"
    return sum(size for file, size in sizes.items() if any(name.startswith(file.rpartition("-")[0]) for name in names))
