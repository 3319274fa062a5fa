"""Parameters of a model: one vector with named views, and the structures that users keep arrays in."""

from .structure import ParameterArray, Structure, entries
from .vector import LARGEST, ParameterVector

__all__ = [
    "LARGEST",
    "ParameterArray",
    "ParameterVector",
    "Structure",
    "entries",
]
