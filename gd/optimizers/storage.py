"""Storage of state and parameters in fewer bits than the rules compute with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    ALIGNMENT,
    FLOATS,
    PAGE,
    address,
    aligned_full,
    check_array,
    check_choice,
    check_flag,
    check_integer,
)
from ..kernels.storage import CODE_BLOCK, MOST, SCALE, SHIFT, stored_size

DTYPES = ("bfloat16", "int8")
GRAD_DTYPES: dict[Any, Any] = {"float32": np.float32, "float64": np.float64, "bfloat16": np.uint16}
OPTIONS = ("state_dtype", "param_dtype", "grad_dtype", "master_weights", "seed", "zero_grads", "track_norms")
MASTER = "master_low"  # the slot of the lower halves of bfloat16 parameters


def check_options(where: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return {option: value} of the storage if all are valid, else raise."""
    for name, allowed in (("state_dtype", DTYPES), ("param_dtype", DTYPES[:1]), ("grad_dtype", tuple(GRAD_DTYPES))):
        if given[name] is not None:
            check_choice(where, name, given[name], allowed)
    for name in ("master_weights", "zero_grads", "track_norms"):
        check_flag(where, name, given[name])
    if given["master_weights"] and given["param_dtype"] is None:
        raise ValueError(f"{where}: master_weights needs param_dtype='bfloat16', got param_dtype=None")
    return given | {"seed": check_integer(where, "seed", given["seed"], 0)}


def check_parameter(where: str, label: str, array: Any, param_dtype: str | None) -> None:
    """Raise unless an array can be stepped: float32 or float64, or bfloat16 as uint16."""
    if param_dtype is None:
        if getattr(array, "dtype", None) == np.uint16:
            halves = "for bfloat16 pass param_dtype='bfloat16'"
            raise TypeError(f"{where}: {label} has dtype uint16, expected float32 or float64; {halves}")
        check_array(where, label, array, writeable=True, any_layout=True)
    else:
        halves = "param_dtype='bfloat16'", np.dtype(np.uint16)
        check_array(where, label, array, dtype=halves, writeable=True, any_layout=True)


def widened(p: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """Return an array as floats, by default in its dtype, or float32 for bfloat16; a copy only if it has another."""
    floats = p if p.dtype in FLOATS else (p.astype(np.uint32) << 16).view(np.float32)
    if dtype is None or floats.dtype == dtype:
        return floats
    with np.errstate(over="ignore"):
        return floats.astype(dtype)


def allocate(
    slot: str,
    slots: Sequence[str],
    p: NDArray[Any],
    value: float | NDArray[Any],
    state_dtype: str | None,
    unsigned: bool,
) -> NDArray[Any]:
    """Return one of p's state arrays in its stored form, filled with a number or with the values of an array."""
    place = _place(slots.index(slot), len(slots), address(p))
    if slot == MASTER:
        return aligned_full(p.size, np.uint16, 0, place)
    if state_dtype is None:
        return aligned_full(p.size, widened(p[:0]).dtype, value, place)
    if state_dtype == "bfloat16":
        return aligned_full(p.size, np.uint16, np.float32(value).view(np.uint32) >> 16, place)
    dtype = np.dtype(np.uint8 if unsigned else np.int8)
    stored = aligned_full(stored_size(p.size), dtype, 0, place)
    if value:
        stored[:] = MOST[dtype.name]
        bits = np.float32(value).view(np.uint32) + (1 << SHIFT - 1)  # rounded to the nearest code
        for first in range(0, stored.size, CODE_BLOCK + SCALE):
            stored[first : first + SCALE].view(np.uint32)[0] = bits >> SHIFT << SHIFT
    return stored


def _place(k: int, slots: int, p: int) -> int:
    """Return where in a page state array k of so many begins, for parameters at the address p.

    See `PAGE`: it must not lie a few vectors from p or another state, modulo a page, nor from the gradient, which
    mostly begins where p does or half a page further. So all lie far from both places, and from each other.
    """
    intervals = slots + slots % 2
    return (p + PAGE * (2 * k + 1) // (2 * intervals)) % PAGE // ALIGNMENT * ALIGNMENT
