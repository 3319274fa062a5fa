"""Serial or parallel, for sizes where either may be faster: by the time that each took lately, here.

Splitting a walk pays from a few microseconds of work where the other threads are awake, and from hundreds
where they sleep (a virtual machine can take 100 us to wake one), or where another pool keeps them from a
core. No number of items tells these apart, so a kernel tries. What it computes has the same bits either way.
"""

from collections import deque
from math import inf

KEPT = 8  # times of a side that count, less the longest
FIRST_TRIAL = 16  # calls before the other side is tried
TRIAL = 3e-3  # seconds a trial takes at least: an operating system can need as long to spread threads over cores
PATIENCE = 20  # times as long as the last trial took, until the next one
HASTE = 16  # how many times as fast that passes while calls are slower than the other side last was


class Choice:
    """Whether to split the walks of one kernel over about so many items.

    ``parallel`` says how the next call is to be done, and `record` takes the time it took. From time to time,
    so that it costs a twentieth at most, the other side is tried, and stays if its last 8 calls were faster.
    """

    def __init__(self, parallel):
        self.parallel = parallel
        self._times = {side: deque(maxlen=KEPT) for side in (False, True)}
        self._trying, self._calls, self._spent, self._pause, self._rival = False, 0, 0.0, 0.0, inf

    def record(self, seconds):
        """Note the time of a call that was done as `parallel` says."""
        self._times[self.parallel].append(seconds)
        self._calls += 1
        if self._trying:
            self._spent += seconds
            if self._calls >= KEPT and self._spent >= TRIAL:
                self._decide()
        else:
            self._pause -= seconds if seconds <= self._rival else HASTE * seconds
            if self._calls >= FIRST_TRIAL and self._pause <= 0:
                self.parallel, self._trying, self._calls, self._spent = not self.parallel, True, 0, 0.0

    def _decide(self):
        times = {side: self._typical(side) for side in (False, True)}
        self.parallel = times[True] < times[False]
        self._rival = times[not self.parallel]
        self._trying, self._calls, self._pause = False, 0, PATIENCE * self._spent

    def _typical(self, side):
        """The mean of the last calls without the longest: it may have waited for a compiler or another process."""
        times = self._times[side]
        return (sum(times) - max(times)) / (len(times) - 1)
