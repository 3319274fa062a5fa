"""Serial or parallel, for sizes where either may be faster: by the time that each took lately, here.

Splitting a walk pays from a few microseconds of work where the other threads are awake, and from hundreds
where they sleep (a virtual machine can take 100 us to wake one), or where another pool keeps them from a
core. No number of items tells these apart, so a kernel tries. What it computes has the same bits either way.
"""

from collections import deque

KEPT = 8  # times a side that count, less the longest
FIRST_TRIAL, LAST_TRIAL = 16, 1024  # calls before the other side is tried: twice as many each time


class Choice:
    """Whether to split the walks of one kernel over about so many items.

    ``parallel`` says how the next call is to be done, and `record` takes the time it took. After 16, 32, ...
    1,024 and then every 1,024 calls the other side is tried for 8 calls, and stays if it was faster.
    """

    def __init__(self, parallel):
        self.parallel = parallel
        self._times = {side: deque(maxlen=KEPT) for side in (False, True)}
        self._until_trial = self._calls_left = FIRST_TRIAL
        self._trying = False

    def record(self, seconds):
        """Note the time of a call that was done as `parallel` says."""
        self._times[self.parallel].append(seconds)
        self._calls_left -= 1
        if self._calls_left > 0:
            return
        if not self._trying:
            self._trying, self._calls_left = True, KEPT
            self.parallel = not self.parallel
            return
        if self._typical(not self.parallel) <= self._typical(self.parallel):
            self.parallel = not self.parallel
        self._trying = False
        self._until_trial = self._calls_left = min(2 * self._until_trial, LAST_TRIAL)

    def _typical(self, side):
        """The mean of the last calls without the longest: it may have waited for a compiler or another process."""
        times = self._times[side]
        return (sum(times) - max(times)) / max(1, len(times) - 1)
