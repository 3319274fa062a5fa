"""The cost to compile, load and store kernels: CPU seconds of first runs, and of runs after them.

``python -m gd.bench.compilation`` prints them; with ``--python PATH``, for another interpreter in which another
version of gd is installed: these programs call only functions that every version has.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np

import gd
from gd.runtime import cache_size
from gd.training import tasks

from .recording import recorded

NAMES = ("Adam", "SGD", "LAMB", "sigmoid", "gelu", "softmax", "softmax_cross_entropy", "MLP", "LinearModel")
QUICK = NAMES[:1]
FIRST = ("Adam.step", "sigmoid", "MLP fit", "LinearModel fit")  # each in a process of its own
FURTHER = {  # case -> cases that run after it in the same process
    "Adam.step": ("RMSprop.step", "Lion.step"),
    "sigmoid": ("tanh", "gelu"),
    "MLP fit": ("MLP fit, NAdam", "MLP fit, tanh", "MLP fit, mse", "MLP fit, huber"),
    "LinearModel fit": ("LinearModel fit, SGD", "LinearModel fit, huber"),
}
PROGRAM = """
import json, sys
from math import inf
from time import perf_counter, process_time
start = process_time(), perf_counter()
import numpy as np
import gd
from gd.kernels.compiler import splitting
imported = process_time() - start[0], perf_counter() - start[1]
rng = np.random.default_rng(0)
X, labels = rng.normal(size=(1024, 32)).astype(np.float32), rng.integers(0, 4, 1024)
targets, p = rng.normal(size=(1024, 4)).astype(np.float32), np.ones(1000, np.float32)

def network(optimizer=gd.Adam, y=labels, **options):
    model = gd.MLP([32, 16, 4], **options)
    gd.fit(model, X, y, optimizer(model.parameters), epochs=1, progress=False)

def linear(optimizer=gd.Adam, **options):
    model = gd.LinearModel(32, **options)
    gd.fit(model, X, targets[:, 0].copy(), optimizer(model.parameters), epochs=1, progress=False)

cases = {
    "Adam.step": lambda: gd.Adam(p).step(0.1 * p),
    "RMSprop.step": lambda: gd.RMSprop(p).step(0.1 * p),
    "Lion.step": lambda: gd.Lion(p).step(0.1 * p),
    "sigmoid": lambda: gd.sigmoid(p),
    "tanh": lambda: gd.tanh(p),
    "gelu": lambda: gd.gelu(p),
    "MLP fit": network,
    "MLP fit, NAdam": lambda: network(gd.NAdam),
    "MLP fit, tanh": lambda: network(activation="tanh"),
    "MLP fit, mse": lambda: network(y=targets, loss="mse"),
    "MLP fit, huber": lambda: network(y=targets, loss="huber"),
    "LinearModel fit": linear,
    "LinearModel fit, SGD": lambda: linear(gd.SGD),
    "LinearModel fit, huber": lambda: linear(loss="huber"),
}
found = {"import": imported}
for name in sys.argv[1:]:
    start = process_time(), perf_counter()
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            cases[name]()
    found[name] = process_time() - start[0], perf_counter() - start[1]
print(json.dumps(found))
"""
FIRST_RUNS = "from gd.bench.compilation import first_runs; first_runs({names!r})"
ONCE = "identity"  # runs first, uncounted, for the work that Numba does once per process


def compilation(quick=False, names=None, rounds=None):
    """Measure new processes with their own disk cache, which is empty at first.

    Parameters
    ----------
    quick : bool, default: False
        Fewer names, first runs of `Adam.step` alone, and one round.
    names : sequence of str, optional
        Names as `gd.warmup` takes them, whose kernels are compiled in float32.
    rounds : int, default: 3
        Rounds of first runs; medians are returned. The kernels of names are compiled once.

    Returns
    -------
    dict
        import : seconds.
        cold, cached : seconds to the first step of Adam once gd is imported, without and with a filled cache.
        first, further : lists of dict
            As from `first_runs_of`.
        kernels : list of dict
            The seconds that each "kernel" takes to compile ("cold"), with new functions that it calls, and to load
            ("cached"), and the "bytes" of its files.
        cache_bytes, cache_kernels : int
            Bytes and number of kernels in the user's own cache.
    """
    names, rounds = tuple(names or (QUICK if quick else NAMES)), rounds or (1 if quick else 3)
    found = first_runs_of(sys.executable, rounds, FIRST[:1] if quick else FIRST)
    cold, cached, sizes = _cold_and_cached([sys.executable, "-c", FIRST_RUNS.format(names=names)])
    kernels, size = cache_size()
    step = next(each for each in found["first"] if each["case"] == FIRST[0])
    return {
        "import": found["import"],
        "cold": step["cold_wall"],
        "cached": step["warm_wall"],
        "first": found["first"],
        "further": found["further"],
        "kernels": [
            {"kernel": name, "cold": seconds, "cached": cached[name], "bytes": _bytes(name, sizes)}
            for name, seconds in cold.items()
        ],
        "cache_bytes": size,
        "cache_kernels": kernels,
    }


def first_runs_of(python, rounds, cases=FIRST):
    """Return the medians of first runs with an interpreter; each case runs serially and then split over threads.

    Returns
    -------
    dict
        import : CPU seconds.
        first : list of dict
            The CPU seconds of each "case" in a process with an empty cache ("cold"), and with a filled one ("warm");
            "cold_wall" and "warm_wall" are the elapsed seconds.
        further : list of dict
            The CPU "seconds" of each "case" that runs "after" another in a process with an empty cache.
    """
    imports, first, further = [], [], []
    program = [python, "-c", PROGRAM]
    for case in cases:
        runs = [_cold_and_cached([*program, case])[:2] for _ in range(rounds)]
        imports += [cold["import"][0] for cold, _ in runs]
        cold, warm = (np.median([run[k][case] for run in runs], axis=0).tolist() for k in range(2))
        first.append({"case": case, "cold": cold[0], "warm": warm[0], "cold_wall": cold[1], "warm_wall": warm[1]})
        runs = [json.loads(_output([*program, case, *FURTHER[case]], "off")) for _ in range(rounds)]
        for name in FURTHER[case]:
            seconds = median(run[name][0] for run in runs)
            further.append({"case": name, "after": case, "seconds": seconds})
    return {"import": median(imports), "first": first, "further": further}


def first_runs(names):
    """Print {kernel: seconds to compile or load it} of all kernels of names."""
    run, total = tasks(), Counter()
    for name in (ONCE, *names):
        with recorded() as runs:
            run[name](np.dtype(np.float32))
        if name != ONCE:
            for each in runs:
                total[each.kernel.name] += each.compiling
    print(json.dumps(total))


def _output(command, folder):
    variables = {**os.environ, "GD_CACHE_DIR": folder}
    if command[0] == sys.executable:  # gd may be a checkout; another interpreter must find its own gd
        variables["PYTHONPATH"] = str(Path(gd.__file__).parent.parent)
    away = tempfile.gettempdir()
    return subprocess.run(command, env=variables, cwd=away, capture_output=True, text=True, check=True).stdout


def _cold_and_cached(command):
    """Run a program with an empty disk cache, then with the filled one; return both outputs and {file: bytes}."""
    with tempfile.TemporaryDirectory() as folder:
        printed = [json.loads(_output(command, folder)) for _ in range(2)]
        return (*printed, {path.name: path.stat().st_size for path in Path(folder).rglob("*.kernel")})


def _bytes(kernel, sizes):
    """Return the bytes of a kernel's files: their names begin with its name, cut to 100 characters."""
    name = f"gd_{kernel.replace('-', '_')}"[:100]
    return sum(size for file, size in sizes.items() if file.rpartition("_")[0] == name)


def main():
    """Print first runs, and runs after them."""
    parser = argparse.ArgumentParser(description="CPU seconds of first runs, cold and from the cache.")
    parser.add_argument("--python", default=sys.executable, help="an interpreter in which gd is installed")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = first_runs_of(options.python, options.rounds)
    print(f"{'import gd':<28} {found['import']:6.2f}")
    for each in found["first"]:
        print(f"{each['case']:<28} {each['cold']:6.2f} cold {each['warm']:7.3f} from the cache")
    for each in found["further"]:
        print(f"{each['case']:<28} {each['seconds']:6.2f} after {each['after']}")


if __name__ == "__main__":
    main()
