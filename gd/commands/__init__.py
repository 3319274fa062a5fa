"""The sub-commands of `gd`: each module declares its options by `add(commands)`."""

from . import bench, compare, info, plan, predict, profile, train
from .arguments import Failure

COMMANDS = (train, predict, compare, bench, profile, plan, info)

__all__ = ["COMMANDS", "Failure"]
