"""Timing that survives a drifting machine: everything compared is interleaved, and medians are taken."""

from statistics import median
from time import perf_counter, sleep

SETTLE = (
    0.1  # seconds before a turn: idle BLAS threads of the turn before spin for 25 ms, and longer when they share a core
)


def interleaved(calls, rounds, repeats=1):
    """Return {name: median seconds of a call} of functions that take turns.

    Parameters
    ----------
    calls : dict of str to callable
        What to compare. Each is called once before, uncounted.
    rounds : int
        Turns each gets.
    repeats : int, default: 1
        Calls in a turn, for calls of microseconds; the turn's mean counts.
    """
    seconds = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            sleep(SETTLE)
            if repeats > 1:
                call()  # caches are warm then, as they are in a training loop
            start = perf_counter()
            for _ in range(repeats):
                call()
            seconds[name].append((perf_counter() - start) / repeats)
    return {name: median(turns) for name, turns in seconds.items()}
