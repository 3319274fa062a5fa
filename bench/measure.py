"""Timing for a drifting machine: the functions to compare are interleaved, and medians are taken."""

from math import inf
from time import perf_counter, sleep

import numpy as np

SETTLE = 0.1  # seconds before a turn: idle BLAS threads of the turn before spin for 30 ms, and longer on a shared core
TURN = 0.01  # least seconds of a turn, so that threads that slept can spread over the cores
LONG_TURN = 0.05  # after a pause, in which the threads of all libraries fall asleep
MOST = 2_000  # calls in a turn
FEWEST = 3  # turns of functions that exceed `patience`


def interleaved(calls, rounds, settle=0.0, turn=None, patience=inf):
    """Return {name: seconds of a call} of functions that take turns, each as {median, low, high, rounds}.

    Parameters
    ----------
    calls : dict of str to callable
        The functions to compare. Each is first called at least twice, uncounted.
    rounds : int
        Turns of each function.
    settle : float, default: 0
        Seconds of pause before each turn, in which idle threads of the turn before fall asleep.
    turn : float, optional
        Least seconds of a turn, by default 0.01 or, after long pauses, 0.05: short calls are repeated, and the mean of
        the turn counts.
    patience : float, default: inf
        If all turns would take more seconds than this, there are at most 3.

    Notes
    -----
    low and high are the quartiles.
    """
    if turn is None:
        turn = LONG_TURN if settle >= SETTLE else TURN
    repeats, once = {}, 0.0
    for name, call in calls.items():
        call()
        start = perf_counter()
        call()
        taken = perf_counter() - start
        repeats[name], once = int(min(MOST, max(1, turn / max(taken, 1e-7)))), once + taken
    if rounds * once > patience:
        rounds = min(rounds, FEWEST)
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if settle:
                sleep(settle)
            if repeats[name] > 1:
                call()  # warms the caches, as a training loop does
            start = perf_counter()
            for _ in range(repeats[name]):
                call()
            seconds[name].append((perf_counter() - start) / repeats[name])
    return {name: summary(each) for name, each in seconds.items()}


def summary(seconds):
    """Return the median and the quartiles of some seconds."""
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "low": low, "high": high, "rounds": len(seconds)}
