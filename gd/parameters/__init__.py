"""Parameters: the structures that users keep arrays in, and ParameterVector, one vector with named views."""

from .structure import ParameterArray, Structure, entries
from .vector import LARGEST, ParameterVector

__all__ = [
    "LARGEST", "ParameterArray", "ParameterVector", "Structure", "entries",
]  # fmt: skip
