"""Floats in fewer bits: how blocks of an array are read from what it is stored as, and written back.

What an array is stored as follows from its dtype:

    float32, float64    itself
    uint16              bfloat16, the upper half of a float32
    int8, uint8         for each block of `BLOCK` elements a float32, the largest absolute value, rounded up to three
                        bits of the mantissa, and then a code for each element: exponent and three bits of the mantissa,
                        as a float32 has them, counted from those of the largest, whose code is 127 or 255: eight codes
                        an octave. int8 has a sign and reaches down to 2**-15.75 of the largest; a code of 0 is 0.
                        uint8 holds what is never negative, as second moments, and reaches down to 2**-31.75; there a
                        code of 0 is not 0 but the next smaller number, as what is divided by shall not become 0.

So a code is a shift and a sum away from the bits of a float: no root, logarithm or product has to be taken.

Rounding is stochastic: up or down with the odds that make the mean right. A second moment moves by less than a code in
a step, and rounded to the nearest it would stay where it is. The random numbers are a function of a key and the place
in the block, so results do not depend on threads.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiler import device
from .machine_code import overload
from .math import bits_of, float_of
from .random_numbers import random_bits
from .views import vector_at

BLOCK = 256
SCALE = 4  # bytes of a block's largest value, before its codes
SHIFT = 20  # what a code leaves out of a float's bits: 3 of the mantissa stay
HALF = 16  # what bfloat16 leaves out
MOST = {"int8": 127, "uint8": 255}  # the code of the largest
MAGNITUDE, SIGN, INFINITY, NAN = 0x7FFFFFFF, -(2**31), 0x7F800000, 0x7FC00000  # bits of float32
NO_NUMBER = 7  # the codes of a block with a largest that is not finite: NaN, counted from that of infinity

_random = device(random_bits)


def stored_size(n):
    """Return how many bytes n elements take in 8 bits."""
    return n + SCALE * -(-n // BLOCK)


def _dither(bits):
    """Return fractions of so many bits, evenly over their range and far from their neighbours, twice in a row.

    The first 8 bits are number i of the multiples of the golden ratio; `_start` adds the others.
    """
    return (np.arange(2 * BLOCK) * 159 % 256 << bits - 8).astype(np.int32)


DITHER_8, DITHER_16 = _dither(SHIFT), _dither(HALF)


# --- One element. Integers have 32 bits throughout: Numba's own sums of them have 64, and half as many fit a vector.


def _number(value):
    return ir.Constant(ir.IntType(32), value)


def _larger(builder, a, b):
    return builder.select(builder.icmp_signed(">", a, b), a, b)


@intrinsic
def larger_magnitude(typing_context, top, x):
    """Return the larger of two absolute values, as the bits of floats: a maximum of floats does not vectorize."""

    def generate(context, builder, signature, arguments):
        top, x = arguments
        return _larger(builder, top, builder.and_(builder.bitcast(x, ir.IntType(32)), _number(MAGNITUDE)))

    return types.int32(types.int32, types.float32), generate


@intrinsic
def encode_8(typing_context, kind, x, shift, least):
    """Return the code, in the type of `kind`, of a float to whose bits `shift` is added: a fraction less the base."""

    def generate(context, builder, signature, arguments):
        _, x, shift, least = arguments
        bits = builder.bitcast(x, ir.IntType(32))
        size = builder.and_(bits, _number(MAGNITUDE)) if kind == types.int8 else bits
        code = _larger(builder, builder.ashr(builder.add(size, shift), _number(SHIFT)), least)
        if kind == types.int8:
            code = builder.select(builder.icmp_signed("<", bits, _number(0)), builder.neg(code), code)
        return builder.trunc(code, ir.IntType(8))

    return kind(kind, types.float32, types.int32, types.int32), generate


@intrinsic
def decode_8(typing_context, code, base):
    """Return the float that a code stands for."""
    kind = code

    def generate(context, builder, signature, arguments):
        code, base = arguments
        code = (builder.sext if kind == types.int8 else builder.zext)(code, ir.IntType(32))
        size = _larger(builder, code, builder.neg(code)) if kind == types.int8 else code
        bits = builder.add(builder.shl(size, _number(SHIFT)), base)
        if kind == types.int8:
            bits = builder.select(builder.icmp_signed("==", code, _number(0)), _number(0), bits)
            bits = builder.or_(bits, builder.and_(code, _number(SIGN)))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(kind, types.int32), generate


@intrinsic
def encode_16(typing_context, x, fraction):
    """Return the upper half of a float to whose bits a fraction is added; NaN stays NaN."""

    def generate(context, builder, signature, arguments):
        x, fraction = arguments
        bits = builder.add(builder.bitcast(x, ir.IntType(32)), fraction)
        bits = builder.select(builder.fcmp_unordered("uno", x, x), _number(NAN), bits)
        return builder.trunc(builder.lshr(bits, _number(HALF)), ir.IntType(16))

    return types.uint16(types.float32, types.int32), generate


@intrinsic
def decode_16(typing_context, half):
    """Return the float whose upper half this is."""

    def generate(context, builder, signature, arguments):
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), _number(HALF))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def sum_32(typing_context, a, b):
    """Return the sum of two integers, in 32 bits as they are."""

    def generate(context, builder, signature, arguments):
        return builder.add(*arguments)

    return types.int32(types.int32, types.int32), generate


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
def chance_of(key, block):
    """Return 64 bits for the random numbers of a block."""
    return _random(key, np.uint64(block))


@device
def _key(chance, slot):
    """Return 32 of them for what has this number among the arrays of the block."""
    return np.int64(chance * (np.uint64(2) * np.uint64(slot) + np.uint64(1)) >> np.uint64(32))


@device
def _start(key, bits):
    """Return where in `_dither(bits)` the fractions of a block start, and what is added to each."""
    return key & (BLOCK - 1), (key >> 8) & ((1 << (bits - 8)) - 1)


@device
def _encode_16(x, out, key):
    first, rest = _start(key, HALF)
    dither, rest = DITHER_16[first : first + x.size], np.int32(rest)
    for i in range(x.size):
        out[i] = encode_16(np.float32(x[i]), sum_32(dither[i], rest))


@device
def _largest(x):
    """Return the bits of the largest absolute value."""
    top = np.int32(0)
    for i in range(x.size):
        top = larger_magnitude(top, np.float32(x[i]))
    return np.int64(top)


@device
def _scale(top, most):
    """Return what is stored as the largest, what is added to the bits of a float to make a code, and the least code."""
    if top >= INFINITY:
        return np.float32(np.nan), SIGN, np.int32(NO_NUMBER)
    top = -(-top >> SHIFT)  # rounded up
    return float_of(np.int32(top << SHIFT)), -(max(top - most, 0) << SHIFT), np.int32(0)


@device
def _base(largest, most):
    """Return what makes a code, shifted, the bits of a float."""
    if not np.isfinite(largest):
        return np.int32(INFINITY)
    return np.int32(max((np.int64(bits_of(largest)) >> SHIFT) - most, 0) << SHIFT)


@device
def _encode_8(x, out, most, key):
    """Return what is stored as the largest absolute value; with one that is not finite, all of the block are not."""
    largest, shift, least = _scale(_largest(x), most)
    first, rest = _start(key, SHIFT)
    dither, shift = DITHER_8[first : first + x.size], np.int32(shift + rest)
    for i in range(x.size):
        out[i] = encode_8(out[i], np.float32(x[i]), sum_32(dither[i], shift), least)
    return largest


def opened(stored, block, n, room):
    """Return the n numbers of a block as floats: where they are stored as such, or decoded into room."""


def closed(stored, block, x, chance, slot):
    """Store the floats of a block again that were decoded into room."""


@overload(opened)
def _opened(stored, block, n, room):
    if isinstance(stored.dtype, types.Float):
        return lambda stored, block, n, room: vector_at(stored, block * BLOCK, n)
    if stored.dtype == types.uint16:
        return lambda stored, block, n, room: _decoded_16(vector_at(stored, block * BLOCK, n), room)
    most = MOST[stored.dtype.name]

    def opened_8(stored, block, n, room):
        first = block * (BLOCK + SCALE)
        base = _base(read_float(stored, first), most)
        return _decoded_8(vector_at(stored, first + SCALE, n), base, room)

    return opened_8


@overload(closed)
def _closed(stored, block, x, chance, slot):
    if isinstance(stored.dtype, types.Float):
        return lambda stored, block, x, chance, slot: None
    if stored.dtype == types.uint16:
        return lambda stored, block, x, chance, slot: _encode_16(
            x, vector_at(stored, block * BLOCK, x.size), _key(chance, slot)
        )
    most = MOST[stored.dtype.name]

    def closed_8(stored, block, x, chance, slot):
        first = block * (BLOCK + SCALE)
        codes = vector_at(stored, first + SCALE, x.size)
        write_float(stored, first, _encode_8(x, codes, most, _key(chance, slot)))

    return closed_8


@device
def _decoded_16(halves, room):
    x = vector_at(room, 0, halves.size)
    for i in range(x.size):
        x[i] = decode_16(halves[i])
    return x


@device
def _decoded_8(codes, base, room):
    x = vector_at(room, 0, codes.size)
    for i in range(x.size):
        x[i] = decode_8(codes[i], base)
    return x


@device
def opened_whole(high, low, block, n, room):
    """Return the floats of a block whose bits are stored in two halves."""
    high, low, x = vector_at(high, block * BLOCK, n), vector_at(low, block * BLOCK, n), vector_at(room, 0, n)
    for i in range(n):
        x[i] = join_halves(high[i], low[i])
    return x


@device
def closed_whole(high, low, block, x):
    """Store them again, without a loss."""
    high, low = vector_at(high, block * BLOCK, x.size), vector_at(low, block * BLOCK, x.size)
    for i in range(x.size):
        bits = bits_of(np.float32(x[i]))
        high[i], low[i] = np.uint16(bits >> HALF), np.uint16(bits)
