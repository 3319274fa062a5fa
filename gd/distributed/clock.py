"""Where the seconds of a rank go."""

from time import perf_counter
from typing import NamedTuple


class Times(NamedTuple):
    """Seconds of one rank: between steps, in messages and waiting for other ranks, and in updates of its shard."""

    compute: float
    wire: float
    update: float


class Clock:
    """Tells a rank's seconds between steps and in updates, without those on the wire."""

    def __init__(self, ranks):
        self.ranks, self.compute, self.update = ranks, 0.0, 0.0
        self.since, self.wired = perf_counter(), ranks.seconds

    def lap(self):
        """Return the seconds since the last call that were not spent on the wire."""
        since, wired = self.since, self.wired
        self.since, self.wired = perf_counter(), self.ranks.seconds
        return self.since - since - (self.wired - wired)
