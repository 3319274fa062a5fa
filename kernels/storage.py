"""Floats in fewer bits: how blocks of an array are decoded from their stored form and encoded again.

The stored form of an array follows from its dtype:

    float32, float64    the array itself
    uint16              bfloat16, the upper half of a float32
    int8, uint8         for each block of `CODE_BLOCK` elements a float32, the largest absolute value, rounded up to
                        three bits of the mantissa, and then a code for each element: exponent and three bits of the
                        mantissa of its float32, relative to those of the largest, whose code is 127 or 255: eight
                        codes per octave. int8 has a sign and reaches down to 2**-15.75 of the largest; code 0 is 0.
                        uint8 holds numbers that are never negative, such as second moments, and reaches down to
                        2**-31.75; code 0 is not 0 but the next smaller number, because rules divide by it.

So a code is a shift and a sum away from the bits of a float: encoding needs no root, logarithm or product.

Rounding is stochastic: up or down with the probabilities that make the mean right. A second moment changes by less than
one code in a step; rounded to the nearest it would never change. The random numbers are a function of a key and the
position in the block, so results do not depend on threads.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from .bits import bits_of, float_of
from .compiler import device
from .machine_code import by_types
from .random_numbers import GOLDEN, random_bits
from .views import vector_at
from .words import intrinsic_or

CODE_BLOCK = 256
SCALE = 4  # bytes of a block's largest value, before its codes
SHIFT = 20  # low bits of a float that a code leaves out: 3 bits of the mantissa stay
HALF = 16  # low bits of a float that bfloat16 leaves out
MOST = {"int8": 127, "uint8": 255}  # the code of the largest value
MAGNITUDE, SIGN, INFINITY, NAN = 0x7FFFFFFF, -(2**31), 0x7F800000, 0x7FC00000  # bits of float32
NO_NUMBER = 7  # the least code of a block whose largest is not finite: NaN, counted from the code of infinity

_random = device(random_bits)


def stored_size(n):
    """Return how many bytes n elements take, stored in 8 bits."""
    return n + SCALE * -(-n // CODE_BLOCK)


def _dither(bits):
    """Return a period of fractions of `bits` bits, twice; they cover their range evenly, neighbours far apart.

    The first 8 bits of fraction i are i times the golden ratio (159 / 256), modulo 1; `_start` adds the other bits.
    """
    return (np.arange(2 * CODE_BLOCK) * 159 % 256 << bits - 8).astype(np.int32)


DITHER_8, DITHER_16 = _dither(SHIFT), _dither(HALF)


# --- One element. All integers have 32 bits: Numba's own sums have 64, and half as many of those fit a vector.


def _number(value):
    return ir.Constant(ir.IntType(32), value)


def _larger(builder, a, b):
    return builder.select(builder.icmp_signed(">", a, b), a, b)


@intrinsic_or(lambda top, x: max(top, bits_of(x) & MAGNITUDE))
def larger_magnitude(typing_context, top, x):
    """Return the larger of two absolute values, as the bits of floats: a maximum of floats does not vectorize."""

    def generate(context, builder, signature, arguments):
        top, x = arguments
        return _larger(builder, top, builder.and_(builder.bitcast(x, ir.IntType(32)), _number(MAGNITUDE)))

    return types.int32(types.int32, types.float32), generate


def _code_of(kind, x, shift, least):
    """Encode in plain Python, as `encode_8` does."""
    bits, signed = bits_of(x), isinstance(kind, np.int8)
    code = max((bits & MAGNITUDE if signed else bits) + shift >> SHIFT, least)
    return type(kind)(-code if signed and bits < 0 else code)


@intrinsic_or(_code_of)
def encode_8(typing_context, kind, x, shift, least):
    """Return the code of a float in the type of `kind`; `shift`, a fraction minus the base, is added to its bits."""

    def generate(context, builder, signature, arguments):
        _, x, shift, least = arguments
        bits = builder.bitcast(x, ir.IntType(32))
        size = builder.and_(bits, _number(MAGNITUDE)) if kind == types.int8 else bits
        code = _larger(builder, builder.ashr(builder.add(size, shift), _number(SHIFT)), least)
        if kind == types.int8:
            code = builder.select(builder.icmp_signed("<", bits, _number(0)), builder.neg(code), code)
        return builder.trunc(code, ir.IntType(8))

    return kind(kind, types.float32, types.int32, types.int32), generate


def _decoded(code, base):
    """Decode in plain Python, as `decode_8` does."""
    bits = np.int32(abs(int(code)) << SHIFT) + base
    if isinstance(code, np.int8):
        bits = (bits if code else np.int32(0)) | np.int32(code) & SIGN
    return float_of(bits)


@intrinsic_or(_decoded)
def decode_8(typing_context, code, base):
    """Return the float that a code stands for."""
    kind = code

    def generate(context, builder, signature, arguments):
        code, base = arguments
        code = (builder.sext if kind == types.int8 else builder.zext)(code, ir.IntType(32))
        size = _larger(builder, code, builder.neg(code)) if kind == types.int8 else code
        bits = builder.add(builder.shl(size, _number(SHIFT)), base)
        if kind == types.int8:
            bits = builder.or_(bits, builder.and_(code, _number(SIGN)))
            bits = builder.select(builder.icmp_signed("==", code, _number(0)), _number(0), bits)
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(kind, types.int32), generate


@intrinsic_or(lambda x, fraction: np.uint16((bits_of(x) + fraction if x == x else NAN) >> HALF & 0xFFFF))
def encode_16(typing_context, x, fraction):
    """Add a fraction to the bits of a float and return their upper half; NaN stays NaN."""

    def generate(context, builder, signature, arguments):
        x, fraction = arguments
        bits = builder.add(builder.bitcast(x, ir.IntType(32)), fraction)
        bits = builder.select(builder.fcmp_unordered("uno", x, x), _number(NAN), bits)
        return builder.trunc(builder.lshr(bits, _number(HALF)), ir.IntType(16))

    return types.uint16(types.float32, types.int32), generate


@intrinsic_or(lambda half: (np.uint32(half) << HALF).view(np.float32))
def decode_16(typing_context, half):
    """Return the float whose upper half this is."""

    def generate(context, builder, signature, arguments):
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), _number(HALF))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic_or(lambda a, b: a + b)
def sum_32(typing_context, a, b):
    """Return the sum of two 32-bit integers in 32 bits."""

    def generate(context, builder, signature, arguments):
        return builder.add(*arguments)

    return types.int32(types.int32, types.int32), generate


@intrinsic_or(lambda high, low: (np.uint32(high) << HALF | low).view(np.float32))
def join_halves(typing_context, high, low):
    """Return the float whose bits are two halves."""

    def generate(context, builder, signature, arguments):
        high, low = (builder.zext(half, ir.IntType(32)) for half in arguments)
        return builder.bitcast(builder.or_(builder.shl(high, _number(16)), low), ir.FloatType())

    return types.float32(types.uint16, types.uint16), generate


# --- A block


def _float_at(context, builder, array_type, array, i):
    """Return a pointer to the float that begins at byte i of an array of bytes."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [i]), ir.FloatType().as_pointer())


@intrinsic_or(lambda stored, i: stored[i : i + SCALE].view(np.float32)[0])
def read_float(typing_context, stored, i):
    """Return the float32 that begins at byte i."""

    def generate(context, builder, signature, arguments):
        return builder.load(_float_at(context, builder, signature.args[0], *arguments), align=1)

    return types.float32(stored, types.intp), generate


@intrinsic_or(lambda stored, i, x: stored[i : i + SCALE].view(np.float32).fill(x))
def write_float(typing_context, stored, i, x):
    """Write a float32 at byte i."""

    def generate(context, builder, signature, arguments):
        array, i, x = arguments
        builder.store(x, _float_at(context, builder, signature.args[0], array, i), align=1)
        return context.get_dummy_value()

    return types.none(stored, types.intp, types.float32), generate


@device
def key_of_step(seed, steps, number, first_block):
    """Return the key of an array's step, from that of a seed; the array begins at a block of a larger one.

    Block k has the random numbers of block first_block + k of the larger array: those of a sequence that moves on by
    `GOLDEN` (see `random_bits`).
    """
    return _random(_random(seed, np.uint64(steps)), np.uint64(number)) + np.uint64(first_block) * GOLDEN


@device
def chance_of(key, block):
    """Return 64 bits for the random numbers of a block."""
    return _random(key, np.uint64(block))


@device
def _key(chance, slot):
    """Return 32 random bits for the array with number `slot`."""
    return np.int64(chance * (np.uint64(2) * np.uint64(slot) + np.uint64(1)) >> np.uint64(32))


@device
def _start(key, bits):
    """Return where in `_dither(bits)` the fractions of a block start, and a number to add to each."""
    return key & (CODE_BLOCK - 1), (key >> 8) & ((1 << (bits - 8)) - 1)


@device
def _scale(top, most):
    """Return the largest as it is stored, the number to add to a float's bits to get its code, and the least code."""
    if top >= INFINITY:
        return np.float32(np.nan), SIGN, np.int32(NO_NUMBER)
    top = -(-top >> SHIFT)  # rounded up
    return float_of(np.int32(top << SHIFT)), -(max(top - most, 0) << SHIFT), np.int32(0)


@device
def _base(largest, most):
    """Return the number to add to a shifted code to get the bits of its float."""
    if not np.isfinite(largest):
        return np.int32(INFINITY)
    return np.int32(max((np.int64(bits_of(largest)) >> SHIFT) - most, 0) << SHIFT)


class Halves(NamedTuple):
    """A block of bfloat16; to round element i, fractions[i] + rest is added to its bits."""

    halves: np.ndarray
    fractions: np.ndarray
    rest: np.int32


class Whole(NamedTuple):
    """A block of float32 whose bits are stored in two halves."""

    high: np.ndarray
    low: np.ndarray


class Codes(NamedTuple):
    """A block of 8-bit codes; new values wait in `room` until their largest is known."""

    codes: np.ndarray
    base: np.int32
    room: np.ndarray


class Encoder(NamedTuple):
    """What `encode` needs to write the codes of a block."""

    codes: np.ndarray
    room: np.ndarray
    fractions: np.ndarray
    shift: np.int32
    least: np.int32


def _is(kind, block):
    return getattr(kind, "instance_class", None) is block


@by_types
def opened(stored, block, n, chance, slot, room):
    """Return a block of a stored array for `read` and `write`: itself if it holds floats, else one of the above."""
    if isinstance(stored.dtype, types.Float):
        return lambda stored, block, n, chance, slot, room: vector_at(stored, block * CODE_BLOCK, n)
    if stored.dtype == types.uint16:

        def opened_16(stored, block, n, chance, slot, room):
            first, rest = _start(_key(chance, slot), HALF)
            return Halves(vector_at(stored, block * CODE_BLOCK, n), DITHER_16[first : first + n], np.int32(rest))

        return opened_16
    most = MOST[stored.dtype.name]

    def opened_8(stored, block, n, chance, slot, room):
        first = block * (CODE_BLOCK + SCALE)
        base = _base(read_float(stored, first), most)
        return Codes(vector_at(stored, first + SCALE, n), base, vector_at(room, slot * CODE_BLOCK, n))

    return opened_8


@by_types
def read(block, i, like):
    """Return element i of a block in the dtype of `like`."""
    real = like.dtype
    if _is(block, Codes):
        return lambda block, i, like: real(decode_8(block.codes[i], block.base))
    if _is(block, Halves):
        return lambda block, i, like: real(decode_16(block.halves[i]))
    if _is(block, Whole):
        return lambda block, i, like: real(join_halves(block.high[i], block.low[i]))
    return lambda block, i, like: real(block[i])


@by_types
def write(block, i, x, largest):
    """Write element i of a block; return its largest absolute value so far, as bits, if its codes need it."""
    if _is(block, Codes):

        def write_8(block, i, x, largest):
            single = np.float32(x)
            block.room[i] = single
            return larger_magnitude(largest, single)

        return write_8
    if _is(block, Halves):

        def write_16(block, i, x, largest):
            block.halves[i] = encode_16(np.float32(x), sum_32(block.fractions[i], block.rest))
            return largest

        return write_16
    if _is(block, Whole):

        def write_whole(block, i, x, largest):
            bits = bits_of(np.float32(x))
            block.high[i], block.low[i] = np.uint16(bits >> HALF), np.uint16(bits)
            return largest

        return write_whole

    def write_itself(block, i, x, largest):
        block[i] = x
        return largest

    return write_itself


@by_types
def encoder(stored, block, opened, chance, slot, largest):
    """Store the largest value of a block of codes and return its `Encoder`; other blocks need none: None."""
    if not _is(opened, Codes):
        return lambda stored, block, opened, chance, slot, largest: None
    most = MOST[stored.dtype.name]

    def encoder_8(stored, block, opened, chance, slot, largest):
        scale, shift, least = _scale(np.int64(largest), most)
        write_float(stored, block * (CODE_BLOCK + SCALE), scale)
        first, rest = _start(_key(chance, slot), SHIFT)
        fractions = DITHER_8[first : first + opened.codes.size]
        return Encoder(opened.codes, opened.room, fractions, np.int32(shift + rest), least)

    return encoder_8


@by_types
def encode(waiting, i):
    """Write code i of a block, given its `Encoder` or None."""
    if not _is(waiting, Encoder):
        return lambda waiting, i: None

    def encode_code(waiting, i):
        shift = sum_32(waiting.fractions[i], waiting.shift)
        waiting.codes[i] = encode_8(waiting.codes[i], waiting.room[i], shift, waiting.least)

    return encode_code
