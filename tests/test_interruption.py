"""Signals wait for the end of a block, whatever their handlers are; the scenarios send them at random moments."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest

import gd
from gd.kernels import pool
from gd.kernels.interruption import CtrlC, Interruption

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals to oneself")
SIGNALS = [getattr(signal, name, None) for name in ("SIGALRM", "SIGTERM", "SIGUSR1", "SIGVTALRM", "SIGRTMAX")]


@pytest.fixture
def seen():
    """Have the handlers of some signals note them and raise; return the list of what they noted."""
    noted = []

    def handler(number, frame):
        noted.append(number)
        raise TimeoutError(number)

    before = {number: signal.signal(number, handler) for number in filter(None, SIGNALS)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, handler)
    yield noted
    assert all(signal.getsignal(number) is handler for number in before)
    for number, each in before.items():
        signal.signal(number, each)


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [*filter(None, SIGNALS), signal.SIGINT])
def test_a_handler_waits_for_the_end_of_the_block(number, seen):
    with pytest.raises(TimeoutError), Interruption():
        with Interruption():
            send(number, number)
            assert not seen
        ended = True
        assert not seen
    assert ended
    assert seen == [number]
    with pytest.raises(TimeoutError):
        send(number)


def test_all_handlers_are_called_whatever_one_of_them_raises(seen):
    with pytest.raises(TimeoutError) as raised, Interruption():
        send(signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1)
    assert sorted(seen) == sorted([signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1])
    assert isinstance(raised.value.__context__, TimeoutError)


def test_a_handler_is_called_after_a_block_that_raised(seen):
    with pytest.raises(TimeoutError) as raised, Interruption():
        send(signal.SIGALRM)
        raise KeyError("of the block")
    assert isinstance(raised.value.__context__, KeyError)


def test_a_handler_that_a_block_sets_is_kept(seen):
    before, own = signal.getsignal(signal.SIGALRM), lambda number, frame: None
    with Interruption():
        kept = signal.signal(signal.SIGALRM, own)
    assert signal.getsignal(signal.SIGALRM) is own
    signal.signal(signal.SIGALRM, kept)  # the one that waits, outside of any block
    for _ in range(2):
        with pytest.raises(TimeoutError):
            send(signal.SIGALRM)
        with pytest.raises(TimeoutError), Interruption():
            send(signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def test_other_threads_and_forked_children_wait_for_nothing(seen):
    with Interruption():
        worker = threading.Thread(target=lambda: Interruption().__enter__())
        worker.start()
        worker.join()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python and of JAX: there may be other threads
            child = os.fork()
        if not child:
            try:
                send(signal.SIGTERM)
            except TimeoutError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_second_ctrl_c_acts_at_once_outside_of_steps():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), CtrlC() as waiting:
            with Interruption():
                send(signal.SIGINT)
            assert waiting.seen
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(pool.max_threads() < 2, reason="one thread")
def test_a_signal_while_the_pool_starts_is_no_fault_of_the_pool(seen, monkeypatch):
    def interrupted():
        send(signal.SIGALRM)
        pool._launched = True

    with gd.threads(2):
        pool.enter()
        pool.leave()
        seen.clear()
        monkeypatch.setattr(pool, "_launch", interrupted)
        monkeypatch.setattr(pool, "_launched", False)
        with pytest.raises(TimeoutError):
            pool.enter()
        assert seen == [signal.SIGALRM]
        assert pool.enter() == 2
        pool.leave()


@pytest.mark.parametrize("sent", ["as it reads the cache", "as a schedule is called", "between two arrays"])
def test_a_step_is_whole_or_did_not_begin(sent, seen, monkeypatch):
    params = [np.ones(3) for _ in range(3)]
    optimizer = gd.Adam(params, lr=lambda step: (sent == "as a schedule is called" and send(signal.SIGUSR1)) or 0.1)
    if sent == "between two arrays":
        (update,) = {array.update for array in optimizer._structure.arrays.values()}
        kernel, calls = update.kernel, []

        def interrupting(*arguments):
            kernel(*arguments)
            calls.append(send(signal.SIGUSR1))

        monkeypatch.setattr(update, "kernel", interrupting)
    elif sent == "as it reads the cache":
        monkeypatch.setattr("gd.kernels.cache._find", lambda symbol: send(signal.SIGALRM))
        monkeypatch.setattr("gd.kernels.cache._keep", lambda code: None)
        optimizer = gd.Yogi(params, betas=(0.8, 0.7), l1=0.1, l2=0.2, clip_value=0.5)
        for entry in {array.update.kernel for array in optimizer._structure.arrays.values()}:
            entry.compiled.clear()
            entry._entry._table[0] = 0
    with pytest.raises(TimeoutError):
        optimizer.step([np.ones(3) for _ in params])
    stepped = {bool((p != 1).all()) for p in params}
    assert stepped == {optimizer.steps == 1} == {sent != "as a schedule is called"}


def test_parameters_are_themselves_again_after_averages(seen):
    params = [np.ones(3), np.ones(4)]
    optimizer = gd.ASGD(params, lr=0.1)
    optimizer.step([np.ones(3), np.ones(4)])
    before = [p.copy() for p in params]
    with pytest.raises(TimeoutError), gd.averaged(optimizer):
        send(signal.SIGTERM)
    assert all(np.array_equal(*pair) for pair in zip(params, before, strict=True))
    assert optimizer.step([np.ones(3), np.ones(4)])
