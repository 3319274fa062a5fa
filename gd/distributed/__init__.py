"""Training on several processes: the optimizer whose state they share, and their communication."""

from .optimizer import LOGICAL_SHARDS, REDUCTIONS, Distributed
from .ranks import world

__all__ = [
    "LOGICAL_SHARDS", "REDUCTIONS", "Distributed", "world",
]  # fmt: skip
