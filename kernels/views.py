"""Views of arrays in few instructions, and scratch memory for bodies.

Numba's own slices and reshapes take ten times as many instructions, for checks and reference counts. The views here are
checked only with GD_DEBUG. They are in C order, and valid as long as the arrays that they are views of.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors

from .settings import DEBUG
from .words import BYTES, STATUS, WORD, array_at, intrinsic_or

ALIGNED = 64  # bytes
FETCHED = 512  # bytes of a `prefetch`: of more, rows of some KB take 10 % longer
# Examples of a dtype, for `allocate` and `local`
SINGLE, DOUBLE, INTEGERS = (
    np.empty(0, np.float32),
    np.empty(0),
    np.empty(0, np.int64),
)


# --- Views


def _view(context, builder, source, kind, array, start, shape):
    """Return the array in C order that begins at an element of a contiguous array."""
    array = context.make_array(source)(context, builder, array)
    if DEBUG:
        size = WORD(1)
        for length in shape:
            size = builder.mul(size, length)
        ends = builder.add(start, size)
        wrong = [builder.icmp_signed("<", each, WORD(0)) for each in (start, size)]
        outside = builder.or_(builder.or_(*wrong), builder.icmp_signed(">", ends, array.nitems))
        outside = builder.and_(outside, builder.icmp_signed("!=", size, WORD(0)))  # an empty view may lie anywhere
        _raise_if(context, builder, outside)
    return array_at(context, builder, kind, builder.gep(array.data, [start]), shape)


def _viewing(source, dimensions):
    if source.layout != "C":
        raise errors.TypingError(f"views are of arrays in C order, not of {source}")
    kind = types.Array(source.dtype, dimensions, "C")

    def generate(context, builder, signature, arguments):
        array, start, *shape = arguments
        return _view(context, builder, signature.args[0], kind, array, start, shape)

    return kind(source, types.intp, *(types.intp,) * dimensions), generate


@intrinsic_or(lambda x, start, size: x.reshape(-1)[start : start + size])
def vector_at(typing_context, x, start, size):
    """Return x.reshape(-1)[start : start + size]."""
    return _viewing(x, 1)


@intrinsic_or(lambda x, start, rows, columns: x.reshape(-1)[start : start + rows * columns].reshape(rows, columns))
def matrix_at(typing_context, x, start, rows, columns):
    """Return x.reshape(-1)[start : start + rows * columns].reshape(rows, columns)."""
    return _viewing(x, 2)


@intrinsic_or(lambda x, i: x[i])
def row_at(typing_context, x, i):
    """Return x[i] of a matrix in any order."""
    kind = types.Array(x.dtype, 1, "C" if x.layout == "C" else "A")

    def generate(context, builder, signature, arguments):
        source, i = arguments
        return _row(context, builder, signature.args[0], kind, source, i)

    return kind(x, types.intp), generate


def _row(context, builder, source, kind, value, i):
    array = context.make_array(source)(context, builder, value)
    (stride, step), (rows, columns) = (
        [builder.extract_value(each, k) for k in range(2)] for each in (array.strides, array.shape)
    )
    if DEBUG:
        _raise_if(context, builder, builder.icmp_unsigned(">=", i, rows))
    if source.layout == "C":
        return array_at(context, builder, kind, builder.gep(array.data, [builder.mul(i, columns)]), [columns])
    begin = builder.add(builder.ptrtoint(array.data, WORD), builder.mul(i, stride))
    return array_at(context, builder, kind, builder.inttoptr(begin, array.data.type), [columns], [step])


@intrinsic_or(lambda vector: None)
def prefetch(typing_context, vector):
    """Ask for the first cache lines of a vector, which will be read soon; the processor fetches what follows itself."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(vector)(context, builder, arguments[0])
        data, size = builder.bitcast(array.data, BYTES), builder.mul(array.nitems, array.itemsize)
        size = builder.select(builder.icmp_signed("<", size, WORD(FETCHED)), size, WORD(FETCHED))
        function_type = ir.FunctionType(ir.VoidType(), [BYTES, STATUS, STATUS, STATUS])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        to_read = STATUS(0), STATUS(3), STATUS(1)  # data, into all caches
        with cgutils.for_range_slice(builder, WORD(0), size, WORD(ALIGNED), inc=True) as (place, _):
            builder.call(function, [builder.gep(data, [place]), *to_read])
        builder.call(function, [builder.gep(data, [builder.sub(size, WORD(1))]), *to_read])
        return context.get_dummy_value()

    return types.none(vector), generate


def _raise_if(context, builder, condition):
    with builder.if_then(condition, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ("index is out of bounds",))


def _each(context, builder, kinds, values, change):
    """Return the list of `change(k, kind, value)` for the members of a tuple."""
    return [change(k, kind, builder.extract_value(values, k)) for k, kind in enumerate(kinds)]


@intrinsic_or(lambda x, start, stop: tuple(e[start:stop] if isinstance(e, np.ndarray) else e for e in x))
def part(typing_context, operands, start, stop):
    """Return operands[k][start:stop] for every array of a tuple, and scalars as they are."""
    for each in operands:
        if isinstance(each, types.Array) and each.layout != "C":
            raise errors.TypingError(f"views are of arrays in C order, not of {each}")

    def generate(context, builder, signature, arguments):
        values, start, stop = arguments

        def change(k, kind, value):
            if not isinstance(kind, types.Array):
                return value
            inner = [
                builder.extract_value(context.make_array(kind)(context, builder, value).shape, j)
                for j in range(1, kind.ndim)
            ]
            begin = start
            for length in inner:
                begin = builder.mul(begin, length)
            return _view(context, builder, kind, kind, value, begin, [builder.sub(stop, start), *inner])

        return context.make_tuple(
            builder, signature.return_type, _each(context, builder, signature.args[0], values, change)
        )

    return types.BaseTuple.from_types(tuple(operands))(operands, types.intp, types.intp), generate


@intrinsic_or(lambda x, i: tuple(each[i] if isinstance(each, np.ndarray) else each for each in x))
def load(typing_context, operands, i):
    """Return operands[k][i] for every array of a tuple (a vector's number, a matrix's row), and scalars as they are."""

    def change_type(kind):
        if not isinstance(kind, types.Array):
            return kind
        return kind.dtype if kind.ndim == 1 else types.Array(kind.dtype, 1, "C" if kind.layout == "C" else "A")

    def generate(context, builder, signature, arguments):
        def change(k, kind, value):
            if not isinstance(kind, types.Array):
                return value
            if kind.ndim == 1:
                array = context.make_array(kind)(context, builder, value)
                return builder.load(_place(context, builder, kind, array, arguments[1]))
            return _row(context, builder, kind, kinds[k], value, arguments[1])

        return context.make_tuple(
            builder, signature.return_type, _each(context, builder, signature.args[0], arguments[0], change)
        )

    kinds = tuple(map(change_type, operands))
    return types.BaseTuple.from_types(kinds)(operands, types.intp), generate


def _place(context, builder, kind, array, i):
    """Return a pointer to element i of a vector; elements lie further apart if it is not in C order."""
    if DEBUG:
        _raise_if(context, builder, builder.icmp_unsigned(">=", i, array.nitems))
    if kind.layout == "C":
        return builder.gep(array.data, [i])
    return cgutils.get_item_pointer(context, builder, kind, array, [i])


@intrinsic_or(lambda x: x.ctypes.data)
def address_of(typing_context, x):
    """Return the address of an array's data."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, WORD)

    return types.intp(x), generate


def _store_python(arrays, i, values):
    for array, value in zip(arrays, values, strict=True):
        array[i] = value


@intrinsic_or(_store_python)
def store(typing_context, arrays, i, values):
    """Set arrays[k][i] = values[k] for every vector of a tuple."""

    def generate(context, builder, signature, arguments):
        arrays, i, values = arguments
        for k, kind in enumerate(signature.args[0]):
            array = context.make_array(kind)(context, builder, builder.extract_value(arrays, k))
            value = context.cast(builder, builder.extract_value(values, k), signature.args[2][k], kind.dtype)
            builder.store(value, _place(context, builder, kind, array, i))
        return context.get_dummy_value()

    return types.none(arrays, types.intp, values), generate


def numbers(named_tuple, first):
    """Return a function that reads a named tuple from the elements of a vector, from element `first` on."""
    count = len(named_tuple._fields)

    @intrinsic_or(lambda vector: named_tuple(*vector[first : first + count]))
    def members(typing_context, vector):
        def generate(context, builder, signature, arguments):
            array = context.make_array(vector)(context, builder, arguments[0])
            places = [_place(context, builder, vector, array, WORD(first + k)) for k in range(count)]
            return context.make_tuple(builder, signature.return_type, [builder.load(each) for each in places])

        kind = types.NamedUniTuple(vector.dtype, count, named_tuple) if count else types.NamedTuple((), named_tuple)
        return kind(vector), generate

    return members


@intrinsic_or(lambda like, size: np.empty(size, like.dtype))
def allocate(typing_context, like, size):
    """Return np.empty(size, like.dtype), aligned; `release` must free it, because bodies count no references."""

    def generate(context, builder, signature, arguments):
        kind = types.Array(like.dtype, 1, "C")
        itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        size = builder.add(builder.mul(arguments[1], WORD(itemsize)), WORD(ALIGNED + 8))
        malloc = cgutils.get_or_insert_function(builder.module, ir.FunctionType(BYTES, [WORD]), "malloc")
        raw = builder.call(malloc, [size])
        with builder.if_then(cgutils.is_null(builder, raw), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("no memory for a kernel's own arrays",))
        begin = builder.ptrtoint(raw, WORD)
        aligned = builder.and_(builder.add(begin, WORD(ALIGNED + 7)), WORD(-ALIGNED))
        data = builder.gep(raw, [builder.sub(aligned, begin)])  # LLVM knows that nothing else lies there
        builder.store(raw, builder.bitcast(builder.gep(data, [WORD(-8)]), BYTES.as_pointer()))
        data = builder.bitcast(data, context.get_data_type(kind.dtype).as_pointer())
        return array_at(context, builder, kind, data, [arguments[1]])

    return types.Array(like.dtype, 1, "C")(like, types.intp), generate


@intrinsic_or(lambda vector: None)
def release(typing_context, vector):
    """Free what `allocate` returned."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        at = builder.bitcast(builder.gep(builder.bitcast(data, BYTES), [WORD(-8)]), BYTES.as_pointer())
        free = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [BYTES]), "free")
        builder.call(free, [builder.load(at)])
        return context.get_dummy_value()

    return types.none(vector), generate


def local(count):
    """Return f(like) -> np.empty(count, like.dtype) on the stack, for a small and constant count."""

    @intrinsic_or(lambda like: np.empty(count, like.dtype))
    def room(typing_context, like):
        kind = types.Array(like.dtype, 1, "C")

        def generate(context, builder, signature, arguments):
            native = context.get_data_type(kind.dtype)
            with builder.goto_entry_block():
                place = builder.alloca(ir.ArrayType(native, count))
                place.align = ALIGNED
            return array_at(context, builder, kind, builder.bitcast(place, native.as_pointer()), [WORD(count)])

        return kind(like), generate

    return room
