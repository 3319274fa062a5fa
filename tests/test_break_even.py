"""Serial or parallel by the times that calls took: with made-up times, never the clock's."""

import numpy as np
import pytest

import gd
from gd.kernels import break_even, compiler
from gd.kernels.break_even import FIRST_TRIAL, KEPT, LEAST, PATIENCE, TRIAL, Choice, Faster
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.rules import activations


def run(choice, calls, serial, parallel):
    """Let calls take these times; return how many of them were parallel."""
    count = 0
    for _ in range(calls):
        count += choice.side
        choice.record(parallel if choice.side else serial)
    return count


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("faster", [False, True])
def test_the_faster_side_is_found_and_kept(first, faster):
    choice = Choice(first)
    run(choice, FIRST_TRIAL + KEPT, serial=2.0 if faster else 1.0, parallel=1.0 if faster else 2.0)
    assert choice.side is faster
    count = run(choice, 20_000, serial=2.0 if faster else 1.0, parallel=1.0 if faster else 2.0)
    tried = 20_000 - count if faster else count
    while choice._trying:
        run(choice, 1, serial=2.0 if faster else 1.0, parallel=1.0 if faster else 2.0)
    assert choice.side is faster
    assert 0 < tried < 20_000 / PATIENCE + 2 * KEPT


def test_a_trial_takes_its_time():
    choice = Choice(False)
    calls = run(choice, FIRST_TRIAL + 40, serial=1.0, parallel=TRIAL / 50)
    assert choice._trying
    assert calls == 40
    run(choice, 20, serial=1.0, parallel=TRIAL / 50)
    assert choice.side
    assert not choice._trying


def test_a_side_that_becomes_slow_is_left_soon():
    choice = Choice(True)
    run(choice, 20_000, serial=2.0, parallel=1.0)
    assert choice.side
    run(choice, FIRST_TRIAL + 2 * KEPT, serial=2.0, parallel=3.0)
    assert not choice.side


def test_one_long_call_does_not_count():
    choice = Choice(False)
    for k in range(FIRST_TRIAL + KEPT):
        compiling = k == FIRST_TRIAL
        choice.record(100.0 if compiling else 1.0 if choice.side else 2.0)
    assert choice.side


@pytest.mark.skipif(gd.get_threads() < 2, reason="one thread")
def test_kernels_ask_it_and_record(monkeypatch):
    kernel, x = compiler.Kernel(map_elements, (activations.relu,)), np.ones(100, np.float32)
    monkeypatch.setattr(kernel, "parallel_from", 50)
    monkeypatch.setattr(break_even, "TRIAL", 0.0)
    for _ in range(FIRST_TRIAL + KEPT):
        kernel(100, np.empty_like(x), x)
    assert list(kernel._choices) == [(100).bit_length()]
    assert len(kernel.compiled) == 1
    kernel(49, np.empty_like(x), x)
    kernel(50 * compiler.SURELY, *np.ones((2, 50 * compiler.SURELY), np.float32))
    assert list(kernel._choices) == [(100).bit_length()]


@pytest.mark.parametrize("faster", [0, 1])
def test_of_two_kernels_the_faster_is_found_within_a_few_calls(faster, monkeypatch):
    now, calls = [0.0], []

    def kernel(k):
        def call(size):
            calls.append(k)
            now[0] += 1.0 if k == faster else 2.0

        return call

    monkeypatch.setattr(break_even, "perf_counter", lambda: now[0])
    both = Faster(kernel(0), kernel(1))
    for _ in range(2 * LEAST + 8):
        both(100)
    assert calls[:LEAST] == [0] * LEAST
    assert calls[2 * LEAST :] == [faster] * 8
    assert set(calls) == {0, 1}
