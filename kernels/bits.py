"""Floats as the integers of the same bits, and signs."""

import numpy as np
from llvmlite import ir
from numba import types

from .machine_code import overload
from .words import intrinsic_or


@intrinsic_or(np.copysign)
def copysign(typing_context, magnitude, sign):
    """Return magnitude with the sign bit of sign."""

    def generate(context, builder, signature, arguments):
        real = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [real], ir.FunctionType(real, [real, real]))
        return builder.call(function, arguments)

    return magnitude(magnitude, magnitude), generate


@intrinsic_or(lambda x: x.view(f"i{x.itemsize}"))
def bits_of(typing_context, x):
    """Return the bit pattern of a float as an integer of the same size."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))

    return integer(x), generate


@intrinsic_or(lambda bits: bits.view(f"f{bits.itemsize}"))
def float_of(typing_context, bits):
    """Return the float of a bit pattern."""
    real = types.float32 if bits == types.int32 else types.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(real))

    return real(bits), generate


def unit(x):
    """Return the distance from 1 to the next number of the type of x."""
    return np.finfo(type(x)).eps


@overload(unit)
def _unit(x):
    value = float(np.finfo(x.name).eps)
    return lambda x: value
