"""Scenarios of forks, processes that are started, and pools of processes: see scenarios.py."""

import multiprocessing
import os
import threading
import time
import traceback
import warnings
from functools import partial

import numpy as np
from scenario_threads import launch, split
from scenario_tools import Skipped, stepped, trained

import gd
from gd.kernels import pool

COUNT = 4


def both(k):
    """Return digests of steps and of a training, by kernels that split where they can."""
    return split(stepped, k), split(trained, k)


def work_in_parallel():
    """Use the pool of threads."""
    gd.threads(min(2, pool.max_threads()))
    return [both(k) for k in range(COUNT)]


def fork(layer):
    """A child of a process that used its threads works, with the same bits, and so does the parent after it."""
    needs_fork()
    launch(layer)
    expected = work_in_parallel()
    in_child(lambda: [both(k) for k in range(COUNT)] == expected)
    assert both(0) == expected[0]
    in_child(lambda: in_child(lambda: both(1) == expected[1]))  # and a child's child
    assert work_in_parallel() == expected


def fork_during_work():
    """Children that are forked while another thread is inside the pool, or holds it, do not wait for it."""
    needs_fork()
    expected, ended = work_in_parallel(), threading.Event()
    p, g = np.zeros((2, 2_000_000), np.float32)

    def work():
        optimizer = gd.Adam(p)
        while not ended.is_set():
            split(optimizer.step, g)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for pause in np.random.default_rng(0).random(8) / 50:
            time.sleep(pause)
            in_child(lambda: both(0) == expected[0])
    finally:
        ended.set()
        worker.join()


def needs_fork():
    if not hasattr(os, "fork"):
        raise Skipped("no fork here")
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)  # Python's own, of processes with threads


def in_child(check):
    """Assert that a function returns True, or nothing, in a forked child."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 1 if check() is False else 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def multiprocess(method):
    """The workers of a pool of processes give the bits of the parent, which used its threads before."""
    if method not in multiprocessing.get_all_start_methods():
        raise Skipped(f"no {method} here")
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    expected = work_in_parallel()
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.map(both, range(COUNT)) == expected
    assert both(0) == expected[0]


def used_threads(k):
    """Return a worker's number of threads, and digests."""
    return gd.get_threads(), *both(k)


def share_cores():
    """Workers of joblib have as many threads together as there are cores, and give the same bits."""
    try:
        from joblib import Parallel, cpu_count, delayed
    except ImportError:
        raise Skipped("no joblib here") from None
    expected, jobs = work_in_parallel(), 2
    found = Parallel(n_jobs=jobs)(delayed(used_threads)(k) for k in range(COUNT))
    assert [each[1:] for each in found] == expected
    assert all(each[0] * jobs <= max(cpu_count(), jobs) for each in found), found
    found = Parallel(n_jobs=jobs, prefer="threads")(map(delayed(partial(split, stepped)), range(COUNT)))
    assert found == [each[0] for each in expected]
