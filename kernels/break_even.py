"""Choose between two ways to the same result by timing both on this machine, where either may be faster.

*Serial or parallel.* Splitting a walk pays from a few microseconds of work if the other threads are awake, but only
from hundreds if they sleep (a virtual machine can take 100 us to wake one), or if another pool occupies the cores.
The number of items does not show which case holds, so a kernel tries.

*Stores into the caches or past them* (see `streaming`). Which is faster depends on the processor, on the number of
threads, and on how much a rule computes; see `Faster`.

The results have the same bits either way.
"""

import functools
from collections import deque
from math import inf
from time import perf_counter

KEPT = 8  # times that are kept of each side; the longest does not count
FIRST_TRIAL = 16  # calls before the other side is tried
TRIAL = 3e-3  # minimum seconds of a trial: an operating system can need as long to spread threads over cores
PATIENCE = 20  # pause before the next trial, in durations of the last trial
LOST = 100  # the same, at least, in what the slower side took longer in the trial
LEAST = 3  # calls of a trial of long calls
HASTE = 16  # the pause passes this many times as fast while calls are slower than the other side last was


class Choice:
    """Decides between two sides, such as whether to split the walks of one kernel at one size class.

    ``side`` says how to do the next call, and `record` takes its time. After `first_trial` calls, and from time to
    time, the other side is tried, for at least `least` calls but at most a twentieth of the time; it stays if its last
    calls were faster. Trials make all calls together a hundredth slower at most.
    """

    def __init__(self, side, first_trial=FIRST_TRIAL, least=KEPT):
        self.side, self._first_trial, self._least = side, first_trial, least
        self._times = {side: deque(maxlen=KEPT) for side in (False, True)}
        self._trying, self._calls, self._spent, self._pause, self._rival = False, 0, 0.0, 0.0, inf

    def record(self, seconds):
        """Note the time of a call that was done as `side` says."""
        self._times[self.side].append(seconds)
        self._calls += 1
        if self._trying:
            self._spent += seconds
            if self._calls >= self._least and self._spent >= TRIAL:
                self._decide()
        else:
            self._pause -= seconds if seconds <= self._rival else HASTE * seconds
            if self._calls >= self._first_trial and self._pause <= 0:
                self.side, self._trying, self._calls, self._spent = not self.side, True, 0, 0.0

    def _decide(self):
        times = {side: self._typical(side) for side in (False, True)}
        self.side = times[True] < times[False]
        self._rival = times[not self.side]
        lost = self._calls * (self._rival - times[self.side])
        self._trying, self._calls, self._pause = False, 0, max(PATIENCE * self._spent, LOST * lost)

    def _typical(self, side):
        """Return the mean of the last calls without the longest, which may have waited for another process."""
        times = self._times[side]
        return (sum(times) - max(times)) / (len(times) - 1)


class Faster:
    """Call one of two kernels of the same arguments and results: the faster one, by timing both here.

    This is for calls that take milliseconds. So both are known after a few calls.
    """

    def __init__(self, first, second):
        self._kernels, self._choices = (second, first), {}

    def __call__(self, size, *arguments):
        """Walk items 0 to size."""
        amount = size.bit_length()  # one size class, as in `Kernel`
        choice = self._choices.get(amount)
        if choice is None:
            choice = self._choices.setdefault(amount, Choice(True, first_trial=LEAST, least=LEAST))
        side, start = choice.side, perf_counter()
        self._kernels[side](size, *arguments)
        if side == choice.side:  # else another thread has recorded a call meanwhile
            choice.record(perf_counter() - start)


faster = functools.cache(Faster)  # the same object for the same kernels
