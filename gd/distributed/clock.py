"""Clock: measures the seconds that a rank spends in compute, messages and updates."""

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .ranks import Ranks


class Times(NamedTuple):
    """Seconds of one rank: between steps, in messages and waiting for other ranks, and in updates of its shard."""

    compute: float
    wire: float
    update: float


class Clock:
    """Measures a rank's seconds between steps and in updates, without those in messages."""

    ranks: "Ranks"
    compute: float
    update: float
    since: float
    wired: float

    def __init__(self, ranks: "Ranks") -> None:
        self.ranks, self.compute, self.update = ranks, 0.0, 0.0
        self.since, self.wired = perf_counter(), ranks.seconds

    def lap(self) -> float:
        """Return the seconds since the last call that were not spent in messages."""
        since, wired = self.since, self.wired
        self.since, self.wired = perf_counter(), self.ranks.seconds
        return self.since - since - (self.wired - wired)
