"""The least cost of a case: bytes that gd's kernels declare, and floating-point operations in their code."""

import functools
from typing import NamedTuple

from gd.profiling import profile
from gd.training import tasks

from . import assembly


class Cost(NamedTuple):
    """Bytes and flops of one call."""

    bytes: int | None  # read and written, each array once
    flops: float | None  # as compiled, or by the family's formula


def cost(family, case, call):
    """Return the `Cost` of a call of gd's side; its unknown fields are None."""
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
    """Return {kernel: flops per element} of an optimizer, activation or loss."""
    records = assembly.table([name], [dtype]) if name in tasks() else []
    return {each["kernel"]: each["flops_per_element"] for each in records}
