"""Floats as the integers of the same bits: for exponents, signs, and an order that vectorizes."""

import numpy as np
from llvmlite import ir
from numba import types

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


@intrinsic_or(lambda x: x)
def ordered(typing_context, x):
    """Return an integer for a float, so that the integers have the order of the floats; NaN is beyond both ends."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))
        return _flip_negative(builder, bits)

    return integer(x), generate


@intrinsic_or(lambda key: key)
def unordered(typing_context, key):
    """Return the float that `ordered` turned into this integer."""
    real = types.float32 if key == types.int32 else types.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(_flip_negative(builder, arguments[0]), context.get_value_type(real))

    return real(key), generate


def _flip_negative(builder, bits):
    """Invert all bits but the sign where the sign is set."""
    width = bits.type.width
    signs = builder.ashr(bits, ir.Constant(bits.type, width - 1))
    return builder.xor(bits, builder.and_(signs, ir.Constant(bits.type, 2 ** (width - 1) - 1)))
