"""What state and parameters are stored as, where that takes fewer bits than they have in a rule."""

import numpy as np

from ..checks import FLOATS, aligned_full, check_array, check_choice, check_flag, check_integer
from ..kernels.storage import BLOCK, MOST, SCALE, SHIFT, stored_size

DTYPES = ("bfloat16", "int8")
OPTIONS = ("state_dtype", "param_dtype", "master_weights", "seed", "zero_grads", "track_norms")
MASTER = "master_low"  # the slot of the lower halves of bfloat16 parameters


def check_options(where, given):
    """Return {option: value} of the storage, else raise."""
    for name, allowed in (("state_dtype", DTYPES), ("param_dtype", DTYPES[:1])):
        if given[name] is not None:
            check_choice(where, name, given[name], allowed)
    for name in ("master_weights", "zero_grads", "track_norms"):
        check_flag(where, name, given[name])
    if given["master_weights"] and given["param_dtype"] is None:
        raise ValueError(f"{where}: master_weights needs param_dtype='bfloat16', got param_dtype=None")
    return given | {"seed": check_integer(where, "seed", given["seed"], 0)}


def check_parameter(where, label, array, param_dtype):
    """Raise unless an array can be stepped: of float32 or float64, or of bfloat16 as uint16."""
    if param_dtype is None:
        check_array(where, label, array, writeable=True)
    else:
        check_array(where, label, array, dtype=("param_dtype='bfloat16'", np.dtype(np.uint16)), writeable=True)


def widened(p):
    """Return parameters as floats: a view, or a copy of bfloat16."""
    return p if p.dtype in FLOATS else (p.astype(np.uint32) << 16).view(np.float32)


def allocate(slot, p, value, state_dtype, unsigned):
    """Return a state array like p, of a number or of an array of its values, as it is stored."""
    if slot == MASTER:
        return aligned_full(p.size, np.uint16, 0)
    if state_dtype is None:
        return aligned_full(p.size, widened(p[:0]).dtype, value)
    if state_dtype == "bfloat16":
        return aligned_full(p.size, np.uint16, np.float32(value).view(np.uint32) >> 16)
    dtype = np.dtype(np.uint8 if unsigned else np.int8)
    stored = aligned_full(stored_size(p.size), dtype, 0)
    if value:
        stored[:] = MOST[dtype.name]
        bits = np.float32(value).view(np.uint32) + (1 << SHIFT - 1)  # rounded to the nearest code
        for first in range(0, stored.size, BLOCK + SCALE):
            stored[first : first + SCALE].view(np.uint32)[0] = bits >> SHIFT << SHIFT
    return stored
