"""Floats in fewer bits: how blocks of an array are read from what it is stored as, and written back.

What an array is stored as follows from its dtype:

    float32, float64    itself
    uint16              bfloat16, the upper half of a float32
    int8, uint8         for each block of `BLOCK` elements a float32, the largest absolute value, and then a code for
                        each element: its sign and, in units of an eighth of an octave, how far it lies below the
                        largest. uint8 holds what is never negative, down to 2**-31.75 of the largest, as second
                        moments need it; int8 down to 2**-15.75. A code of 0 is 0.

An octave is divided as floats divide it, linearly: a code is the exponent and three bits of the mantissa, relative to
those of the largest, and no root or logarithm has to be taken.

Rounding is stochastic: up or down with the odds that make the mean right. A second moment moves by less than a code in
a step, and rounded to the nearest it would stay where it is. The random numbers are a function of a key, the block and
the place in it, so results do not depend on threads.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .compiler import INLINED, device
from .math import bits_of, float_of
from .rules.dropout import random_bits

BLOCK = 256
SCALE = 4  # bytes of a block's largest value, before its codes
SHIFT = 20  # what is left out of a float's bits: 3 of the mantissa stay
MOST = {"int8": 127, "uint8": 255}  # the code of the largest
MAGNITUDE, INFINITY, QUIET, ONE = 0x7FFFFFFF, 0x7F800000, 0x400000, 0x3F800000  # bits of float32
GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio
LARGE = 2.0**64
SMALLEST = np.finfo(np.float32).smallest_normal
BELOW_ONE = 1 - 2**-22  # so that the largest does not exceed itself by rounding

_random = device(random_bits)


def stored_size(n):
    """Return how many bytes n elements take in 8 bits."""
    return n + SCALE * -(-n // BLOCK)


# --- One element. Integers have 32 bits throughout: Numba's own sums of them have 64, and half as many fit a vector.


def _number(value):
    return ir.Constant(ir.IntType(32), value)


def _larger(builder, a, b):
    return builder.select(builder.icmp_signed(">", a, b), a, b)


@intrinsic
def random(typing_context, key, i):
    """Return 32 random bits: element i of a sequence that fills its range evenly, from a random start, the key."""

    def generate(context, builder, signature, arguments):
        key, i = arguments
        return builder.add(key, builder.mul(builder.trunc(i, ir.IntType(32)), _number(GOLDEN)))

    return types.int32(types.int32, types.intp), generate


@intrinsic
def larger_magnitude(typing_context, top, x):
    """Return the larger of two absolute values, as the bits of floats: a maximum of floats does not vectorize."""

    def generate(context, builder, signature, arguments):
        top, x = arguments
        return _larger(builder, top, builder.and_(builder.bitcast(x, ir.IntType(32)), _number(MAGNITUDE)))

    return types.int32(types.int32, types.float32), generate


@intrinsic
def encode_8(typing_context, kind, x, random):
    """Return the code, in the type of `kind`, of a float relative to the block's largest."""

    def generate(context, builder, signature, arguments):
        _, x, random = arguments
        bits = builder.bitcast(x, ir.IntType(32))
        size = builder.and_(bits, _number(MAGNITUDE))
        code = builder.lshr(builder.add(size, builder.lshr(random, _number(32 - SHIFT))), _number(SHIFT))
        code = _larger(builder, builder.sub(code, _number((ONE >> SHIFT) - MOST[kind.name])), _number(0))
        if kind == types.int8:
            code = builder.select(builder.icmp_signed("<", bits, _number(0)), builder.neg(code), code)
        else:  # what is divided by shall not become 0
            positive = builder.zext(builder.icmp_signed(">", size, _number(0)), ir.IntType(32))
            code = _larger(builder, code, positive)
        return builder.trunc(code, ir.IntType(8))

    return kind(kind, types.float32, types.int32), generate


@intrinsic
def decode_8(typing_context, code):
    """Return the float that a code stands for, relative to the block's largest."""
    kind = code

    def generate(context, builder, signature, arguments):
        extend = builder.sext if kind == types.int8 else builder.zext
        code = extend(arguments[0], ir.IntType(32))
        size = _larger(builder, code, builder.neg(code))
        bits = builder.add(builder.shl(size, _number(SHIFT)), _number(ONE - (MOST[kind.name] << SHIFT)))
        bits = builder.or_(bits, builder.and_(code, _number(~MAGNITUDE)))
        bits = builder.select(builder.icmp_signed("==", code, _number(0)), _number(0), bits)
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(kind), generate


@intrinsic
def encode_16(typing_context, x, random):
    """Return the upper half of a float, rounded up as often as its lower half says; NaN stays NaN."""

    def generate(context, builder, signature, arguments):
        x, random = arguments
        bits = builder.bitcast(x, ir.IntType(32))
        size = builder.and_(bits, _number(MAGNITUDE))
        finite = builder.icmp_signed("<", size, _number(INFINITY))
        bits = builder.add(bits, builder.select(finite, builder.lshr(random, _number(16)), _number(0)))
        nan = builder.icmp_signed(">", size, _number(INFINITY))
        bits = builder.or_(bits, builder.select(nan, _number(QUIET), _number(0)))
        return builder.trunc(builder.lshr(bits, _number(16)), ir.IntType(16))

    return types.uint16(types.float32, types.int32), generate


@intrinsic
def decode_16(typing_context, half):
    """Return the float whose upper half this is."""

    def generate(context, builder, signature, arguments):
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), _number(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def join_halves(typing_context, high, low):
    """Return the float of two halves."""

    def generate(context, builder, signature, arguments):
        high, low = (builder.zext(half, ir.IntType(32)) for half in arguments)
        return builder.bitcast(builder.or_(builder.shl(high, _number(16)), low), ir.FloatType())

    return types.float32(types.uint16, types.uint16), generate


# --- A block


def _float_at(context, builder, array_type, array, i):
    """Return a pointer to the float that begins at byte i of an array of bytes."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [i]), ir.FloatType().as_pointer())


@intrinsic
def read_float(typing_context, stored, i):
    """Return the float32 that begins at byte i."""

    def generate(context, builder, signature, arguments):
        return builder.load(_float_at(context, builder, signature.args[0], *arguments), align=1)

    return types.float32(stored, types.intp), generate


@intrinsic
def write_float(typing_context, stored, i, x):
    """Write a float32 to where byte i begins."""

    def generate(context, builder, signature, arguments):
        array, i, x = arguments
        builder.store(x, _float_at(context, builder, signature.args[0], array, i), align=1)
        return context.get_dummy_value()

    return types.none(stored, types.intp, types.float32), generate


@device
def key_of(key, slot, block):
    """Return 32 bits for the random numbers of a block."""
    return np.int32(np.int64(_random(key, (np.uint64(block) << np.uint64(8)) + np.uint64(slot)) >> np.uint64(32)))


@device
def _decode_16(codes, out):
    for i in range(codes.size):
        out[i] = decode_16(codes[i])


@device
def _encode_16(x, out, key):
    for i in range(x.size):
        out[i] = encode_16(np.float32(x[i]), random(key, i))


@device
def _decode_8(codes, scale, out):
    for i in range(codes.size):
        out[i] = decode_8(codes[i]) * scale


@device
def _encode_8(x, out, key):
    """Return the largest absolute value; with one that is not finite, all of the block are not. x is spent."""
    top = np.int32(0)
    for i in range(x.size):
        top = larger_magnitude(top, np.float32(x[i]))
    scale = largest = float_of(top)
    if scale > LARGE:  # 1 / scale would be subnormal
        scale *= np.float32(1 / LARGE)
        for i in range(x.size):
            x[i] *= 1 / LARGE
    factor = np.float32(BELOW_ONE) / scale if scale >= SMALLEST else np.float32(0)
    if not np.isfinite(scale):
        factor = np.float32(np.nan)
    for i in range(x.size):
        out[i] = encode_8(out[i], np.float32(x[i]) * factor, random(key, i))
    return largest


def opened(stored, block, n, room):
    """Return n elements of a block as floats: a slice of what is stored as floats, else decoded, into `room`."""


def closed(stored, block, x, key):
    """Store the elements of a block again; what is stored as floats was changed in place."""


@overload(opened, jit_options=INLINED)
def _opened(stored, block, n, room):
    if isinstance(stored.dtype, types.Float):
        return lambda stored, block, n, room: stored[block * BLOCK : block * BLOCK + n]
    if stored.dtype == types.uint16:

        def opened_16(stored, block, n, room):
            _decode_16(stored[block * BLOCK : block * BLOCK + n], room[:n])
            return room[:n]

        return opened_16

    def opened_8(stored, block, n, room):
        first = block * (BLOCK + SCALE)
        _decode_8(stored[first + SCALE : first + SCALE + n], read_float(stored, first), room[:n])
        return room[:n]

    return opened_8


@overload(closed, jit_options=INLINED)
def _closed(stored, block, x, key):
    if isinstance(stored.dtype, types.Float):
        return lambda stored, block, x, key: None
    if stored.dtype == types.uint16:
        return lambda stored, block, x, key: _encode_16(x, stored[block * BLOCK : block * BLOCK + x.size], key)

    def closed_8(stored, block, x, key):
        first = block * (BLOCK + SCALE)
        write_float(stored, first, _encode_8(x, stored[first + SCALE : first + SCALE + x.size], key))

    return closed_8


@device
def joined(high, low, block, n, room):
    """Decode the elements of a block whose bits are in two halves."""
    first, x = block * BLOCK, room[:n]
    for i in range(n):
        x[i] = join_halves(high[first + i], low[first + i])
    return x


@device
def parted(high, low, block, x):
    """Store the elements of a block in two halves, without a loss."""
    first = block * BLOCK
    for i in range(x.size):
        bits = bits_of(np.float32(x[i]))
        high[first + i], low[first + i] = np.uint16(bits >> 16), np.uint16(bits)
