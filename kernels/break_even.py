"""Choose serial or parallel by timing both on this machine, for sizes where either may be faster.

Splitting a walk pays from a few microseconds of work if the other threads are awake, but only from hundreds
if they sleep (a virtual machine can take 100 us to wake one), or if another pool occupies the cores.
The number of items does not show which case holds, so a kernel tries. The results have the same bits either way.
"""

from collections import deque
from math import inf

KEPT = 8  # times that are kept of each side; the longest does not count
FIRST_TRIAL = 16  # calls before the other side is tried
TRIAL = 3e-3  # minimum seconds of a trial: an operating system can need as long to spread threads over cores
PATIENCE = 20  # pause before the next trial, in durations of the last trial
LOST = 100  # the same, at least, in what the slower side took longer in the trial
HASTE = 16  # the pause passes this many times as fast while calls are slower than the other side last was


class Choice:
    """Decides whether to split the walks of one kernel at one size class.

    ``parallel`` says how to do the next call, and `record` takes its time. From time to time the other side is tried,
    in at most a twentieth of the time, and stays if its last 8 calls were faster. Trials make all calls together a
    hundredth slower at most.
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
        lost = self._calls * (self._rival - times[self.parallel])
        self._trying, self._calls, self._pause = False, 0, max(PATIENCE * self._spent, LOST * lost)

    def _typical(self, side):
        """Return the mean of the last calls without the longest, which may have waited for another process."""
        times = self._times[side]
        return (sum(times) - max(times)) / (len(times) - 1)
