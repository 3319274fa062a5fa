"""Numbers of threads: of the process, of blocks, of the environment, of BLAS."""

import asyncio
import os
import threading
from contextlib import ExitStack

import pytest
from threadpoolctl import ThreadpoolController

import gd
from gd.kernels import pool
from gd.runtime import information, machine, single_threaded_blas

several_threads = pytest.mark.skipif(pool.max_threads() < 2, reason="one thread")


@several_threads
def test_blocks_of_python_threads_do_not_disturb_each_other():
    """Their ends interleave: first in, first out."""
    before, order, seen = gd.get_threads(), threading.Barrier(2), []

    def work(k):
        if k:
            order.wait()
        with gd.threads(1 + k):
            if not k:
                order.wait()
            order.wait()
            seen.append((k, gd.get_threads()))
            if k:
                order.wait()
        if not k:
            order.wait()
        seen.append((k, gd.get_threads()))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(seen) == sorted([(0, 1), (0, before), (1, 2), (1, before)])
    assert gd.get_threads() == before


@several_threads
def test_two_calls_that_both_become_blocks_leave_the_number_of_before():
    """As two Python threads may take turns: call, call, block, block."""
    before, first, second = gd.get_threads(), gd.threads(1), gd.threads(2)
    with ExitStack() as stack:
        stack.enter_context(first)
        stack.enter_context(second)
    assert gd.get_threads() == before
    with ExitStack() as stack:
        stack.enter_context(second)
        stack.enter_context(first)
        stack.enter_context(second)
        assert gd.get_threads() == 2
        stack.pop_all().__exit__(None, None, None)
    assert gd.get_threads() == before


@several_threads
def test_a_call_in_a_block_sets_the_number_of_the_process():
    before = gd.get_threads()
    with gd.threads(1):
        gd.threads(2)
        assert gd.get_threads() == 1
    assert gd.get_threads() == 2
    for _ in range(1000):
        gd.threads(before)
    assert gd.get_threads() == before


@several_threads
def test_a_block_holds_in_its_asyncio_task():
    before = gd.get_threads()

    async def work(n, mine, other):
        with gd.threads(n):
            mine.set()
            await other.wait()
            inner = await asyncio.create_task(read())
            return gd.get_threads(), inner

    async def read():
        return gd.get_threads()

    async def main():
        events = asyncio.Event(), asyncio.Event()
        both = await asyncio.gather(work(1, *events), work(2, *reversed(events)))
        return both, gd.get_threads()

    assert asyncio.run(main()) == ([(1, 1), (2, 2)], before)
    assert gd.get_threads() == before


@several_threads
def test_blocks_of_generators_can_end_in_any_order():
    before = gd.get_threads()

    def numbers(n):
        with gd.threads(n):
            yield gd.get_threads()

    first, second = numbers(1), numbers(2)
    assert (next(first), next(second)) == (1, 2)
    first.close()
    assert gd.get_threads() == 2
    second.close()
    assert gd.get_threads() == before


@pytest.mark.parametrize(
    "variables, most",
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": " 2 , 8"}, 2),
        ({"OMP_NUM_THREADS": "7"}, 3),
        ({"OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": "1"}, 1),
        ({"OMP_THREAD_LIMIT": "2"}, 2),
        *(({"OMP_NUM_THREADS": text}, 3) for text in ("", "0", "-1", "many", "1.5", ",1", "1 2")),
    ],
)
def test_variables_of_openmp_bound_the_default(monkeypatch, variables, most):
    monkeypatch.setattr(pool, "max_threads", lambda: 3)
    monkeypatch.setattr(pool, "_cpu_quota", lambda: None)
    for name in pool.BOUNDS:
        monkeypatch.delenv(name, raising=False)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert pool.default_threads() == most


def blas():
    return [each.num_threads for each in ThreadpoolController().select(user_api="blas").lib_controllers]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_child_has_the_blas_of_before():
    with single_threaded_blas():
        pass  # loads it
    before = blas()
    with single_threaded_blas():
        assert set(blas()) == {1}
        child = os.fork()
        if not child:
            os._exit(0 if blas() == before else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert set(blas()) == {1}
    assert blas() == before


def test_a_limit_of_blas_leaves_openmp_as_it_is():
    with single_threaded_blas():
        pass
    libraries = ThreadpoolController().select(user_api="openmp").lib_controllers
    before = [each.num_threads for each in libraries]
    try:
        with single_threaded_blas():
            for each in libraries:
                each.set_num_threads(3)
        assert [each.num_threads for each in libraries] == [3] * len(libraries)
    finally:
        for each, number in zip(libraries, before, strict=True):
            each.set_num_threads(number)


def test_info_warns_of_workqueue(monkeypatch):
    monkeypatch.setattr(machine, "threading_layer", lambda: "omp")
    assert "warning" not in dict(information())
    monkeypatch.setattr(machine, "threading_layer", lambda: "workqueue")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    told = dict(information())
    assert "OMP_NUM_THREADS=1" in told["threads"]
    assert "Numba aborts the process" in told["warning"]
