"""Parameters of a model: one vector with named views, and the structures that users keep arrays in."""

from .structure import entries
from .vector import LARGEST, ParameterVector

__all__ = [
    "LARGEST",
    "ParameterVector",
    "entries",
]
