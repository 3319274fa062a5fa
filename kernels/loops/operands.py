"""Tuples of arrays and scalars, walked together: unrolled at compile time, for any number of them."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ..compiler import OPTIONS, device

_DEVICE = {"forceinline": True, **OPTIONS}


def part(operands, start, stop):
    """Return operands[k][start:stop] for every array; scalars stay as they are."""


def load(operands, i):
    """Return operands[k][i] for every array; scalars stay as they are."""


def store(arrays, i, values):
    """Set arrays[k][i] = values[k] for every array."""


@overload(part, jit_options=_DEVICE)
def _part(operands, start, stop):
    if len(operands) == 0:
        return lambda operands, start, stop: ()
    if isinstance(operands[0], types.Array):
        return lambda operands, start, stop: (operands[0][start:stop], *part(operands[1:], start, stop))
    return lambda operands, start, stop: (operands[0], *part(operands[1:], start, stop))


@overload(load, jit_options=_DEVICE)
def _load(operands, i):
    if len(operands) == 0:
        return lambda operands, i: ()
    if isinstance(operands[0], types.Array):
        return lambda operands, i: (operands[0][i], *load(operands[1:], i))
    return lambda operands, i: (operands[0], *load(operands[1:], i))


@overload(store, jit_options=_DEVICE)
def _store(arrays, i, values):
    if len(arrays) == 0:
        return lambda arrays, i, values: None

    def store_first(arrays, i, values):
        arrays[0][i] = values[0]
        store(arrays[1:], i, values[1:])

    return store_first


CACHE_LINE = 64  # bytes


@intrinsic
def _prefetch(typing_context, array, start):
    """Ask for the cache line of an element of a contiguous array, seen as flat; does not wait for it."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(function, [address, flag(0), flag(2), flag(1)])  # for reading, into the second level, data
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


def prefetch(arrays, start, stop):
    """Ask for a part of every array, so that it is in cache when it is needed."""


@overload(prefetch, jit_options=_DEVICE)
def _prefetch_arrays(arrays, start, stop):
    if len(arrays) == 0:
        return lambda arrays, start, stop: None

    def prefetch_first(arrays, start, stop):
        for i in range(start, stop, CACHE_LINE // arrays[0].itemsize):
            _prefetch(arrays[0], i)
        prefetch(arrays[1:], start, stop)

    return prefetch_first
