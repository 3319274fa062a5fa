"""Serial or parallel, for sizes where either may be faster: by the time that each took lately, here.

Splitting a walk pays from a few microseconds of work where the other threads are awake, and from hundreds
where they sleep (a virtual machine can take 100 us to wake one), or where another pool keeps them from a
core. No number of items tells these apart, so a kernel tries. What it computes has the same bits either way.
"""

from collections import deque
from math import inf

KEPT = 8  # times of a side that count, less the longest
FIRST_TRIAL, LAST_TRIAL = 16, 1024  # calls until the other side is tried: twice as many each time


class Choice:
    """Whether to split the walks of one kernel over about so many items.

    ``parallel`` says how the next call is to be done, and `record` takes the time it took. After 16, 32, ...
    1,024 and then every 1,024 calls the other side is tried for 8 calls, and stays if it was faster; sooner,
    after some 16, where calls have become slower than the other side last was.
    """

    def __init__(self, parallel):
        self.parallel = parallel
        self._times = {side: deque(maxlen=KEPT) for side in (False, True)}
        self._wait = self._left = FIRST_TRIAL
        self._trying, self._rival = False, inf

    def record(self, seconds):
        """Note the time of a call that was done as `parallel` says."""
        self._times[self.parallel].append(seconds)
        self._left -= 1 if self._trying or seconds <= self._rival else self._wait // FIRST_TRIAL
        if self._left > 0:
            return
        self._trying = not self._trying
        if self._trying:
            self.parallel, self._left = not self.parallel, KEPT
            return
        times = {side: self._typical(side) for side in (False, True)}
        self.parallel = times[True] < times[False]
        self._rival = times[not self.parallel]
        self._wait = self._left = min(2 * self._wait, LAST_TRIAL)

    def _typical(self, side):
        """The mean of the last calls without the longest: it may have waited for a compiler or another process."""
        times = self._times[side]
        return (sum(times) - max(times)) / (len(times) - 1)
