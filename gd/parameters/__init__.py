"""Parameters: the structures that users keep arrays in, and ParameterVector, one vector with named views."""

from .structure import ParameterArray, Structure, check_unfrozen
from .trees import entries, filled
from .vector import LARGEST, ParameterVector

__all__ = [
    "LARGEST", "ParameterArray", "ParameterVector", "Structure", "check_unfrozen", "entries", "filled",
]  # fmt: skip
