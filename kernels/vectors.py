"""Sums, maxima and maps of short vectors, such as the rows of a narrow matrix, in whole vector instructions.

LLVM vectorizes a loop over a row, but leaves the rest of the row, which fills no vector, to scalar code: most of the
work where rows have ten or thirty columns. Here the rest is one more vector, loaded and stored with a mask.

`mapped` and `summed` take a rule of a few products, sums and differences. It is called once, while code is made for it,
with `_Lanes` in place of numbers. Sums are taken by lanes in the dtype, and over the lanes in float64: in an order that
depends on the size of the vector alone.

A masked store delays a load that follows close to it in memory. So rows are not mapped in place one after the other.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors

from .words import WORD, intrinsic_or

WIDTH = 16  # numbers of a masked vector, in two or more registers where those are shorter
LANES = 64  # running sums, while a vector lasts: enough to hide the latency of an addition
_LANE = ir.IntType(32)


class _Lanes:
    """The numbers of a vector, as a rule sees them."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def __add__(self, other):
        return _Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other):
        return _Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other):
        return _Lanes(self.builder, self.builder.fmul(self.value, other.value))

    def unless_zero(self, share):
        """Return the numbers, and 0 where share is 0."""
        zero = ir.Constant(self.value.type, None)
        absent = self.builder.fcmp_ordered("==", share.value, zero)
        return _Lanes(self.builder, self.builder.select(absent, zero, self.value))


def unless_zero(x, share):
    """Return x, and 0 where share is 0, in a rule."""
    return x.unless_zero(share) if isinstance(x, _Lanes) else np.where(share == 0, 0, x)


def mapped(rule):
    """Return f(out, operands, numbers), which writes rule(*operands, *numbers) for vectors and numbers in tuples."""

    def walk(out, operands, numbers):
        out[:] = rule(*operands, *numbers)

    @intrinsic_or(walk)
    def code(typing_context, out, operands, numbers):
        def generate(context, builder, signature, arguments):
            vectors = _Vectors(context, builder, (out, *operands), [arguments[0], *_members(builder, arguments[1])])
            scalars = vectors.scalars(numbers, arguments[2])

            def write(piece):
                result = rule(*(piece.load(k) for k in range(1, 1 + len(operands))), *scalars(WIDTH))
                piece.store(0, result)

            vectors.walk_rest(vectors.walk(WORD(0), WIDTH, write), write)
            return context.get_dummy_value()

        return types.none(out, operands, numbers), generate

    return code


def summed(rule):
    """Return f(operands, numbers) -> the sum of rule(*operands, *numbers) in float64."""

    def total(operands, numbers):
        return np.sum(rule(*operands, *numbers), dtype=np.float64)

    @intrinsic_or(total)
    def code(typing_context, operands, numbers):
        def generate(context, builder, signature, arguments):
            vectors = _Vectors(context, builder, operands, _members(builder, arguments[0]))
            scalars = vectors.scalars(numbers, arguments[1])

            def term(piece):
                return rule(*(piece.load(k) for k in range(len(operands))), *scalars(piece.width)).value

            lanes = vectors.fold(0.0, term, builder.fadd)
            return _folded(builder, builder.fpext(lanes, ir.VectorType(ir.DoubleType(), WIDTH)), builder.fadd)

        return types.float64(operands, numbers), generate

    return code


@intrinsic_or(lambda x: np.fmax.reduce(x))
def largest(typing_context, x):
    """Return the largest element of a vector; any value if one is NaN."""

    def generate(context, builder, signature, arguments):
        def larger(a, b):
            return builder.select(builder.fcmp_ordered(">", b, a), b, a)

        vectors = _Vectors(context, builder, (x,), arguments)
        return _folded(builder, vectors.fold(-np.inf, lambda piece: piece.load(0).value, larger), larger)

    return x.dtype(x), generate


class _Vectors:
    """The vectors of one call, of one size and dtype; `walk` and `walk_rest` go through them in pieces."""

    def __init__(self, context, builder, kinds, values):
        for kind in kinds:
            if kind.layout != "C":
                raise errors.TypingError(f"vectors must be in C order, not {kind}")
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in zip(kinds, values, strict=True)]
        self.context, self.builder, self.dtype, self.size = context, builder, kinds[0].dtype, arrays[0].nitems
        self.data, self.real = [each.data for each in arrays], context.get_data_type(self.dtype)

    def scalars(self, kinds, values):
        """Return f(width) -> the numbers of a tuple, each in all lanes."""
        pairs = zip(kinds, _members(self.builder, values), strict=True)
        numbers = [self.context.cast(self.builder, value, kind, self.dtype) for kind, value in pairs]
        return lambda width: [_Lanes(self.builder, _splat(self.builder, each, width)) for each in numbers]

    def walk(self, begin, width, each):
        """Emit `each(piece)` for whole pieces from an element on; return the element after the last of them."""
        builder = self.builder
        count = builder.udiv(builder.sub(self.size, begin), WORD(width))
        with cgutils.for_range(builder, count) as loop:
            each(_Piece(self, builder.add(begin, builder.mul(loop.index, WORD(width))), width))
        return builder.add(begin, builder.mul(count, WORD(width)))

    def walk_rest(self, begin, each):
        """Emit `each(piece)` for the last elements, fewer than `WIDTH`, if there are any."""
        builder = self.builder
        left = builder.sub(self.size, begin)
        with builder.if_then(builder.icmp_signed(">", left, WORD(0))):
            numbers = ir.Constant(ir.VectorType(_LANE, WIDTH), list(range(WIDTH)))
            mask = builder.icmp_signed("<", numbers, _splat(builder, builder.trunc(left, _LANE), WIDTH))
            each(_Piece(self, begin, WIDTH, mask))

    def fold(self, start, term, combine):
        """Return a vector of `WIDTH` lanes: start combined with the terms of all pieces."""
        builder = self.builder
        wide = cgutils.alloca_once_value(builder, _splat(builder, self.real(start), LANES))

        def add(place):
            return lambda piece: builder.store(combine(builder.load(place), term(piece)), place)

        begin = self.walk(WORD(0), LANES, add(wide))
        lanes = builder.load(wide)
        lanes = _folded(builder, lanes, combine, WIDTH)
        narrow = cgutils.alloca_once_value(builder, lanes)
        begin = self.walk(begin, WIDTH, add(narrow))

        def add_rest(piece):
            kept = builder.select(piece.mask, term(piece), _splat(builder, self.real(start), WIDTH))
            builder.store(combine(builder.load(narrow), kept), narrow)

        self.walk_rest(begin, add_rest)
        return builder.load(narrow)


class _Piece:
    """Neighbouring elements of all vectors; those that a mask leaves out are neither read nor written."""

    def __init__(self, vectors, begin, width, mask=None):
        self.vectors, self.begin, self.width, self.mask = vectors, begin, width, mask
        self.builder, self.type = vectors.builder, ir.VectorType(vectors.real, width)
        self.align = vectors.dtype.bitwidth // 8

    def load(self, k):
        """Return the elements of vector k; those that the mask leaves out are 0."""
        if self.mask is None:
            return _Lanes(self.builder, self.builder.load(self._place(k), align=self.align))
        other = ir.Constant(self.type, None)
        return _Lanes(self.builder, self._masked("load", self.type, self._place(k), self.mask, other))

    def store(self, k, lanes):
        """Write the elements of vector k."""
        if self.mask is None:
            self.builder.store(lanes.value, self._place(k), align=self.align)
        else:
            self._masked("store", ir.VoidType(), lanes.value, self._place(k), self.mask)

    def _place(self, k):
        return self.builder.bitcast(self.builder.gep(self.vectors.data[k], [self.begin]), self.type.as_pointer())

    def _masked(self, what, result, *arguments):
        at = 1 + next(k for k, each in enumerate(arguments) if isinstance(each.type, ir.PointerType))
        arguments = (*arguments[:at], _LANE(self.align), *arguments[at:])
        name = f"llvm.masked.{what}.v{self.width}f{self.vectors.dtype.bitwidth}.p0"
        kind = ir.FunctionType(result, [each.type for each in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)


def _members(builder, values):
    """Return the members of a tuple."""
    return [builder.extract_value(values, k) for k in range(len(values.type))]


def _splat(builder, number, width):
    """Return a vector with a number in all lanes."""
    first = builder.insert_element(ir.Constant(ir.VectorType(number.type, 1), ir.Undefined), number, _LANE(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_LANE, width), [0] * width))


def _folded(builder, vector, combine, width=1):
    """Return a vector whose halves were combined until `width` lanes are left, or the number that is left."""
    count = vector.type.count
    while count > width:
        count //= 2
        low, high = (
            builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_LANE, count), list(range(k, k + count))))
            for k in (0, count)
        )
        vector = combine(low, high)
    return vector if width > 1 else builder.extract_element(vector, _LANE(0))
