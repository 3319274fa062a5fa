"""Checks of arguments: arrays, numbers and names, tensors of other libraries, sparse matrices."""

from .arrays import (
    ALIGNMENT,
    FLOATS,
    PAGE,
    address,
    aligned_empty,
    aligned_full,
    check_alike,
    check_apart,
    check_apart_from,
    check_array,
    check_dtype,
    check_indices,
    check_label_array,
    check_labels,
    check_out,
    is_array,
    memory_order,
)
from .interchange import lent
from .registry import OfUser, Registry, plain, restored
from .sparse import check_csr, check_places, is_sparse, kernel_arguments
from .values import (
    CLOSED_UNIT,
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    REAL,
    UNIT,
    Range,
    check_choice,
    check_flag,
    check_functions,
    check_generator,
    check_integer,
    check_monitor,
    check_number,
    check_numbers,
    check_path,
    check_range,
    check_real,
    check_reals,
    check_size,
    declared_parameters,
    is_size,
    renamed,
    shown,
)

__all__ = [
    "ALIGNMENT", "CLOSED_UNIT", "FLOATS", "NON_NEGATIVE", "OPEN_UNIT", "PAGE", "POSITIVE", "REAL", "UNIT", "OfUser",
    "Range", "Registry", "address", "aligned_empty", "aligned_full", "check_alike", "check_apart", "check_apart_from",
    "check_array", "check_choice", "check_csr", "check_dtype", "check_flag", "check_functions", "check_generator",
    "check_indices", "check_integer", "check_label_array", "check_labels", "check_monitor", "check_number",
    "check_numbers", "check_out", "check_path", "check_places", "check_range", "check_real", "check_reals",
    "check_size", "declared_parameters", "is_array", "is_size", "is_sparse", "kernel_arguments", "lent",
    "memory_order", "plain", "renamed", "restored", "shown",
]  # fmt: skip
