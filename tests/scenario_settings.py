"""Scenarios of the settings of other libraries, which gd leaves as they are: see scenarios.py."""

import multiprocessing
import threading
from ctypes import CDLL

import numba
import numpy as np
from scenario_processes import both, needs_fork
from scenario_threads import at_once, launch, split
from scenario_tools import Skipped, stepped
from threadpoolctl import ThreadpoolController

import gd


def keep(layer):
    """Steps and trainings leave OpenMP, Numba's mask and multiprocessing as they are, also after Ctrl-C."""
    if layer == "omp":
        try:
            from numba.np.ufunc import omppool
        except ImportError:
            raise Skipped("no omp here") from None
        CDLL(omppool.__file__).omp_set_num_threads(1)
        CDLL(omppool.__file__).omp_set_max_active_levels(1)
    gd.threads(2)
    before, launching = settings(), numba.get_num_threads

    def interrupted():
        launching()
        raise KeyboardInterrupt

    numba.get_num_threads = interrupted
    try:
        split(stepped, 0)
    except RuntimeWarning as warning:
        raise Skipped(f"no {layer} here: {warning}") from None
    except KeyboardInterrupt:
        assert settings() == before
    numba.get_num_threads = launching
    expected = both(0)
    assert settings() == before, (settings(), before)
    launch(layer)
    for masks in (1, 2):
        numba.set_num_threads(masks)
        assert both(0) == expected
        assert numba.get_num_threads() == masks
    numba.set_num_threads(1)
    assert at_once(lambda k: (both(0), numba.get_num_threads()), 4) == [(expected, 2)] * 4
    assert settings() == before


def settings():
    """Return what others have set."""
    libraries = [each.dynlib for each in ThreadpoolController().select(user_api="openmp").lib_controllers]
    counts = [(each.omp_get_max_threads(), each.omp_get_max_active_levels()) for each in libraries]
    return counts, multiprocessing.get_start_method(allow_none=True)


def keep_torch():
    """The number of threads of torch stays: in the process, in workers of its DataLoader, and as a callback sets it."""
    needs_fork()
    try:
        import torch
        from torch.utils.data import DataLoader
    except ImportError:
        raise Skipped("no torch here") from None
    gd.threads(2)
    loader = DataLoader(range(4), num_workers=2, collate_fn=steps_and_threads)
    assert list(loader) == [[1, 1]] * 4, "workers"  # torch gives them one
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert steps_and_threads([0]) == [threads, threads]
    X, y, model = np.ones((64, 3), np.float32), np.ones((64, 1), np.float32), gd.MLP([3, 4, 1], loss="mse")
    optimizer = gd.SGD(model.parameters, lr=1e-3)
    gd.fit(model, X, y, optimizer, callbacks=lambda history: torch.set_num_threads(1), progress=False)
    assert torch.get_num_threads() == 1, "a callback"


def steps_and_threads(rows):
    """Return torch's number of threads before and after a step."""
    import torch

    before = torch.get_num_threads()
    split(stepped, rows[0])
    return [before, torch.get_num_threads()]


def beside():
    """Under workqueue gd and a parallel function of the user run in two Python threads as the documentation advises."""
    lock, x = threading.Lock(), np.zeros(100_000)
    launch("workqueue")

    @numba.njit(parallel=True, nogil=True)
    def add_one(x):
        for i in numba.prange(x.size):
            x[i] += 1

    def user():
        for _ in range(300):
            with lock:
                add_one(x)

    gd.threads(2)
    expected = split(stepped, 0)
    for guard in (lock, gd.threads(1)):
        worker = threading.Thread(target=user)
        worker.start()
        while worker.is_alive():
            with guard:
                assert split(stepped, 0) == expected
        worker.join()
    assert (x == 600).all()
