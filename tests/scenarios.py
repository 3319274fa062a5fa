"""What threads, forks, Ctrl-C, damaged caches, packing and other processors do to gd.

``python tests/scenarios.py [--limit 60] [name ...]`` runs all scenarios, or those named, each in a process of its own
that has a minute (on a busy machine more may be asked for) and takes warnings for errors, and prints how long each took
and how it ended. It exits with 1 if one failed.
"""

import argparse
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("GD_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))

import contextlib

import scenario_caches as caches
import scenario_interrupts as interrupts
import scenario_owners as owners
import scenario_packages as packages
import scenario_processes as processes
import scenario_processors as processors
import scenario_settings as settings
import scenario_threads as threads
from scenario_tools import Skipped

LIMIT = 60  # seconds
SKIPPED = 77  # the exit status of a scenario that cannot be run here
LIBRARIES = {"LD_LIBRARY_PATH": sysconfig.get_path("data") + "/lib"}  # where pip puts TBB


def layer(name):
    """Return the environment of one of Numba's threading layers."""
    return {"NUMBA_THREADING_LAYER": name, "NUMBA_NUM_THREADS": "2"} | (LIBRARIES if name == "tbb" else {})


SCENARIOS = {  # name: function, environment
    **{f"threads-{name}": (partial(threads.step_at_once, name), layer(name)) for name in threads.LAYERS},
    "threads-one-model": (threads.fit_one_model, {}),
    "threads-pool": (threads.map_in_a_pool, {"NUMBA_NUM_THREADS": "2"}),
    "threads-one": (threads.use_one_thread, {"NUMBA_NUM_THREADS": "1"}),
    "threads-blocks": (threads.nest_blocks, {"NUMBA_NUM_THREADS": "4"}),
    "threads-bounded": (threads.respect_openmp, {"NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "1,2"}),
    "threads-quota": (threads.respect_the_quota, {"NUMBA_NUM_THREADS": "4"}),
    **{f"fork-{name}": (partial(processes.fork, name), layer(name)) for name in threads.LAYERS},
    "fork-during-work": (processes.fork_during_work, {"NUMBA_NUM_THREADS": "2"}),
    **{
        f"multiprocessing-{method}": (partial(processes.multiprocess, method), {"NUMBA_NUM_THREADS": "2"})
        for method in ("fork", "spawn", "forkserver")
    },
    "joblib": (processes.share_cores, {}),
    **{f"settings-{name}": (partial(settings.keep, name), layer(name)) for name in threads.LAYERS},
    "settings-torch": (settings.keep_torch, {"NUMBA_NUM_THREADS": "2"}),
    "workqueue-beside": (settings.beside, layer("workqueue")),
    **{f"interrupt-{name}": (partial(interrupts.step, name), {}) for name in interrupts.CASES},
    **{f"signal-{name}": (partial(interrupts.step, name, interrupts.handlers), {}) for name in interrupts.CASES},
    "interrupt-fit": (interrupts.fit, {}),
    "interrupt-linear-fit": (interrupts.fit_linear_model, {}),
    "interrupt-network-fit": (interrupts.fit_network, {}),
    "interrupt-compilation": (interrupts.compile_kernels, {"GD_CACHE_DIR": "off"}),
    "signal-fit": (partial(interrupts.fit, interrupts.handlers), {}),
    "signal-linear-fit": (partial(interrupts.fit_linear_model, interrupts.handlers), {}),
    "signal-network-fit": (partial(interrupts.fit_network, interrupts.handlers), {}),
    "signal-compilation": (partial(interrupts.compile_kernels, interrupts.handlers), {"GD_CACHE_DIR": "off"}),
    "signal-cache": (interrupts.read_kernels, {}),
    "signal-save": (interrupts.save, {}),
    "cache-damage": (caches.damage, {}),
    "cache-exchange": (caches.exchange, {}),
    "cache-read-only": (caches.read_only, {}),
    "cache-full-disk": (caches.full_disk, {}),
    "cache-two-processes": (partial(caches.compile_at_once, 2), {}),
    "cache-eight-processes": (partial(caches.compile_at_once, 8), {}),
    "cache-changes": (caches.change, {}),
    "cache-identity": (caches.identify, {}),
    "cache-private": (caches.keep_private, {}),
    "cache-shared": (owners.share, {}),
    "cache-distrust": (owners.distrust, {}),
    "cache-home": (owners.find_home, {}),
    "cache-image": (owners.build_image, {}),
    **{
        f"processor-{name}": (partial(processors.compute, name), processors.environment(name))
        for name in processors.TARGETS
    },
    "processor-all-kernels": (partial(processors.compile_all, "ivybridge"), processors.environment("ivybridge")),
    "packed-zip": (packages.zipped, {}),
    "packed-frozen": (packages.frozen, {}),
    "packed-beside-the-other": (packages.beside_the_other, {}),
    "interpreted-calls": (packages.interpreted, {}),
    "interpreted-interrupt": (partial(interrupts.step, "one-array"), {"NUMBA_DISABLE_JIT": "1"}),
}


class Outcome(NamedTuple):
    """How a scenario ended."""

    result: str  # passed, FAILED, TIMEOUT or skipped
    seconds: float
    output: str  # why, if it did not pass


def run(name, limit=LIMIT):
    """Run a scenario in a process of its own; it and all that it started are gone afterwards."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        own = {"GD_CACHE_DIR": folder} if name.startswith("cache") else {}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, "--run", name],
            env=os.environ | own | SCENARIOS[name][1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
            result = {0: "passed", SKIPPED: "skipped"}.get(process.returncode, "FAILED")
        except subprocess.TimeoutExpired:
            result = "TIMEOUT"
        finally:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        if result == "TIMEOUT":
            output, _ = process.communicate()
    return Outcome(result, time.perf_counter() - start, output.strip())


def main():
    """Run scenarios and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(SCENARIOS)}")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="seconds", help="of each, on a busy machine")
    parser.add_argument("--run", choices=SCENARIOS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
        try:
            SCENARIOS[options.run][0]()
        except Skipped as reason:
            print(reason)
            return SKIPPED
        return 0
    for name in options.names:
        if name not in SCENARIOS:
            parser.error(f"{name!r} is none of {', '.join(SCENARIOS)}")
    failed = 0
    for name in options.names or SCENARIOS:
        outcome = run(name, options.limit)
        failed += outcome.result in ("FAILED", "TIMEOUT")
        reason = f": {outcome.output}" if outcome.result == "skipped" else ""
        print(f"{name:<26} {outcome.seconds:5.1f} s  {outcome.result}{reason}", flush=True)
        if outcome.result in ("FAILED", "TIMEOUT"):
            print(outcome.output[-3000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
