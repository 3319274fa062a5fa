"""Scenarios of Python threads, and of how many threads kernels use: see scenarios.py."""

import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
from scenario_tools import Skipped, stepped, trained

import gd
from gd.kernels import pool
from gd.kernels.compiler import splitting

LAYERS = ("omp", "tbb", "workqueue")
THREADS = 8


def launch(layer):
    """Start Numba's pool with this threading layer, or skip where there is none."""

    @numba.njit(parallel=True)
    def total(n):
        result = 0
        for i in numba.prange(n):
            result += i
        return result

    try:
        total(10)
    except ValueError as error:
        raise Skipped(f"no {layer} here: {error.args[0].splitlines()[-1]}") from None
    assert numba.threading_layer() == layer


def split(function, k):
    """Call a function with kernels that split whatever they can."""
    with splitting(1):
        return function(k)


def at_once(function, count=THREADS):
    """Return what function(0), function(1), ... return in Python threads that begin at once."""
    results, barrier = [None] * count, threading.Barrier(count)

    def work(k):
        barrier.wait()
        results[k] = split(function, k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def step_at_once(layer):
    """Eight threads step optimizers and train networks of their own: the bits are those of one after the other."""
    launch(layer)
    gd.threads(2)
    with splitting(math.inf):
        expected = [stepped(k) for k in range(THREADS)], [trained(k) for k in range(THREADS)]
    assert pool.enter() == 2
    pool.leave()
    for _ in range(2):
        assert (at_once(stepped), at_once(trained)) == expected


def fit_one_model():
    """While one thread trains a model, others that would train it are refused, and the training is as if alone."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 20), dtype=np.float32), rng.integers(0, 3, 300)
    model, twin = gd.MLP([20, 16, 3]), gd.MLP([20, 16, 3])
    messages = []

    def intrude():
        try:
            gd.fit(model, X, y, gd.Adam(model.parameters), epochs=1, progress=False)
        except RuntimeError as error:
            messages.append(str(error))

    def others(history):
        threads = [threading.Thread(target=intrude) for _ in range(THREADS - 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    gd.fit(model, X, y, gd.Adam(model.parameters), epochs=3, callbacks=others, progress=False)
    assert messages == ["fit: model is in use by another thread"] * 3 * (THREADS - 1), messages
    gd.fit(twin, X, y, gd.Adam(twin.parameters), epochs=3, progress=False)
    assert np.array_equal(model.parameters.vector, twin.parameters.vector)


def map_in_a_pool():
    """The threads of a pool of concurrent.futures call functions and steps as they come."""
    x = np.random.default_rng(0).standard_normal((64, 2_000))

    def calls(k):
        return [gd.gelu(x[k]).tobytes(), gd.softmax(x[k : k + 9]).tobytes(), gd.mse(x[k], x[0])[0], stepped(k % 8, 3)]

    expected = [calls(k) for k in range(32)]
    with ThreadPoolExecutor(THREADS) as executor:
        assert list(executor.map(lambda k: split(calls, k), range(32))) == expected


def use_one_thread():
    """A pool of one thread gives the bits of two."""
    assert gd.get_threads() == pool.max_threads() == 1
    program = (
        "from scenario_threads import *; assert gd.get_threads() <= 2; gd.threads(2)\n"
        "print(split(stepped, 0), split(trained, 0))"
    )
    environment = os.environ | {
        "NUMBA_NUM_THREADS": "2",
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent, Path(gd.__file__).parent.parent))),
    }
    two = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert two.stdout.split() == [split(stepped, 0), split(trained, 0)]


def nest_blocks():
    """Python threads that are in blocks of their own have their numbers, and afterwards all is as before."""
    before = gd.get_threads()

    def work(k):
        for turn in range(500):
            with gd.threads(1 + (k + turn) % 4):
                assert gd.get_threads() == 1 + (k + turn) % 4
                with gd.threads(1 + k % 4):
                    assert gd.get_threads() == 1 + k % 4
                assert gd.get_threads() == 1 + (k + turn) % 4
        return stepped(k % 4, 3)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # Python threads take turns as often as they can
    results = at_once(work)
    sys.setswitchinterval(interval)
    assert results == [stepped(k % 4, 3) for k in range(THREADS)]
    assert gd.get_threads() == before
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise Skipped("no joblib here") from None
    Parallel(THREADS, prefer="threads")(delayed(work)(k) for k in range(THREADS))
    assert gd.get_threads() == before


def respect_openmp():
    """OMP_NUM_THREADS bounds the default, and a call goes beyond it."""
    assert gd.get_threads() == 1
    expected = stepped(0)
    gd.threads(2)
    assert pool.enter() == 2
    pool.leave()
    assert split(stepped, 0) == expected


def respect_the_quota():
    """A control group of 1.5 cores has two threads, one of 0.5 has one, and so have groups within."""
    program = "import gd; print(gd.get_threads())"
    with control_group() as (outer, give):
        inner = outer / "inner"
        inner.mkdir()
        try:
            for cores, group, threads in ((1.5, outer, 2), (0.5, outer, 1), (0.5, inner, 1)):
                give(cores)
                command = [
                    "sh",
                    "-c",
                    f'echo $$ > {group}/cgroup.procs && exec "$@"',
                    "sh",
                    sys.executable,
                    "-c",
                    program,
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                assert int(done.stdout) == threads, (cores, group, done.stdout)
        finally:
            inner.rmdir()


@contextmanager
def control_group():
    """Yield a new control group and a function that gives it some cores, or skip where they cannot be made."""
    root = Path("/sys/fs/cgroup")
    old = (root / "cpu").is_dir()
    group = (root / "cpu" if old else root) / f"gd-{os.getpid()}"

    def give(cores):
        if old:
            (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * cores)))
        else:
            (group / "cpu.max").write_text(f"{int(100_000 * cores)} 100000")

    try:
        group.mkdir()
    except OSError as error:
        raise Skipped(f"no control group can be made: {error}") from None
    try:
        try:
            give(1.0)
        except OSError as error:
            raise Skipped(f"no quota can be set: {error}") from None
        yield group, give
    finally:
        group.rmdir()
