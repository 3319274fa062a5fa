"""The sub-commands of `gd`: each module declares its options by `add(commands)`."""

from .arguments import Failure

__all__ = ["Failure"]
