"""Results below the smallest normal number (1.2e-38 in float32) become 0, for as long as a kernel runs.

A processor takes a hundred times as long for a subnormal result. Moments of gradients that stay 0, as those of dead
units and of pixels that are rarely lit, decay to the smallest subnormal number and stay, as 0.9 x rounds to x there:
Adam's step of a network took three times as long after some epochs. Subnormal operands keep their value.
"""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

CONTROLLED = platform.machine() in ("x86_64", "AMD64")  # elsewhere nothing changes
FLUSH_TO_ZERO = 1 << 15  # the bit of MXCSR, the control register


def _call(builder, name, slot):
    pointer = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    builder.call(function, [builder.bitcast(slot, pointer)])


@intrinsic
def _control(typing_context):
    """Return the control register."""

    def generate(context, builder, signature, arguments):
        slot = cgutils.alloca_once(builder, ir.IntType(32))
        _call(builder, "llvm.x86.sse.stmxcsr", slot)
        return builder.load(slot)

    return types.uint32(), generate


@intrinsic
def _set_control(typing_context, value):
    def generate(context, builder, signature, arguments):
        slot = cgutils.alloca_once(builder, ir.IntType(32))
        builder.store(arguments[0], slot)
        _call(builder, "llvm.x86.sse.ldmxcsr", slot)
        return context.get_dummy_value()

    return types.none(types.uint32), generate


def flushing(walk):
    """Return the body that flushes subnormal results while a compiled one walks."""
    if not CONTROLLED:
        return walk.py_func

    def flushed(start, stop, arguments):
        before = _control()
        _set_control(before | FLUSH_TO_ZERO)
        walk(start, stop, arguments)
        _set_control(before)

    return flushed
