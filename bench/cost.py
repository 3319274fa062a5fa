"""What a case costs at least: bytes moved and floating-point operations, as gd's kernels declare and contain them."""

import functools
from typing import NamedTuple

from gd.profiling import profile
from gd.training import tasks

from . import assembly


class Cost(NamedTuple):
    """Of one call."""

    bytes: int | None  # read and written, each array once
    flops: float | None  # as compiled, or by the family's formula


def cost(family, case, call):
    """Return the `Cost` of a call of gd's side; None in it where it is not known."""
    call()  # compiles
    with profile() as profiled:
        call()
    moved = [row.bytes for row in profiled.rows]
    flops = family.flops(case)
    if flops is None:
        known = per_element(case.what.removesuffix("_backward"), case.dtype)
        found = [known.get(row.name) for row in profiled.rows]
        flops = None if None in found or not found else sum(found) * case.size
    return Cost(None if None in moved else sum(moved), flops)


@functools.cache
def per_element(name, dtype):
    """Return {kernel: flops of an element} of an optimizer, activation or loss."""
    records = assembly.table([name], [dtype]) if name in tasks() else []
    return {each["kernel"]: each["flops_per_element"] for each in records}
