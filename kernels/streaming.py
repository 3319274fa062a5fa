"""Stores that bypass the caches, for results too large to stay in a cache.

An ordinary store first reads the cache line that it overwrites. When one large array is mapped into another,
these reads are a third of the traffic.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiler import device
from .words import intrinsic_or

STREAM_FROM = 16 * 2**20  # bytes: results at least this large do not stay in a cache
VECTOR = 64  # bytes of one store, and its alignment


def _copy(out, i, source, j):
    out[i : i + VECTOR // out.itemsize] = source[j : j + VECTOR // out.itemsize]


@intrinsic_or(_copy)
def _stream(typing_context, out, i, source, j):
    """Copy `VECTOR` bytes from source[j:] to out[i:], which must lie at a multiple of `VECTOR` bytes."""

    def generate(context, builder, signature, arguments):
        out_type, _, source_type, _ = signature.args
        element = context.get_data_type(out_type.dtype)
        vector = ir.VectorType(element, VECTOR * 8 // out_type.dtype.bitwidth)
        to, first, source, begin = arguments
        to = builder.gep(context.make_array(out_type)(context, builder, to).data, [first])
        source = builder.gep(context.make_array(source_type)(context, builder, source).data, [begin])
        value = builder.load(builder.bitcast(source, vector.as_pointer()), align=out_type.dtype.bitwidth // 8)
        store = builder.store(value, builder.bitcast(to, vector.as_pointer()), align=VECTOR)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.none(out, types.intp, source, types.intp), generate


@intrinsic_or(lambda: None)
def finish(typing_context):
    """Wait until other threads can see everything that was streamed."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic_or(lambda x: x.ctypes.data)
def _address(typing_context, x):
    """Return the address of an array's data."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, cgutils.intp_t)

    return types.intp(x), generate


@device
def stream(source, out):
    """Copy a vector past the caches, except the ends of `out` that do not fill `VECTOR` bytes."""
    step = VECTOR // out.itemsize
    first = min(out.size, -_address(out) % VECTOR // out.itemsize)
    last = first + (out.size - first) // step * step
    for i in range(first):
        out[i] = source[i]
    for i in range(first, last, step):
        _stream(out, i, source, i)
    for i in range(last, out.size):
        out[i] = source[i]
