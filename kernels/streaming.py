"""Stores that bypass the caches, for results too large to stay in a cache.

An ordinary store first reads the cache line that it overwrites. When one large array is mapped into another,
these reads are a third of the traffic.
"""

from llvmlite import ir
from numba import types

from .compiler import device
from .views import address_of
from .words import WORD, intrinsic_or

# Bytes: results at least this large do not stay in a cache. From there on kernels try both kinds of stores. Below, the
# time of a call would not tell: a result that bypassed the caches costs whoever reads it next.
STREAM_FROM = 16 * 2**20
VECTOR = 64  # bytes of one store, and its alignment


@intrinsic_or(lambda x: VECTOR // x.itemsize)
def _lanes(typing_context, x):
    """Return the number of elements in `VECTOR` bytes, as a constant: loops with a variable step are slow."""
    return types.intp(x), lambda context, *_: WORD(VECTOR * 8 // x.dtype.bitwidth)


def _copy(out, i, source, j):
    out[i : i + _lanes(out)] = source[j : j + _lanes(out)]


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


@device
def before_line(out):
    """Return the number of elements before the first that lies at a multiple of `VECTOR` bytes."""
    return min(out.size, -address_of(out) % VECTOR // (VECTOR // _lanes(out)))


@device
def stream(source, out):
    """Copy a vector of whole lines past the caches; `out` must begin at a multiple of `VECTOR` bytes."""
    for i in range(0, out.size, _lanes(out)):
        _stream(out, i, source, i)


@device
def stream_lines(source, out, first):
    """Copy a vector, and its whole lines past the caches: the first of them begins at element `first` of `out`."""
    last = first + (out.size - first) // _lanes(out) * _lanes(out)
    for i in range(first):
        out[i] = source[i]
    stream(source[first:last], out[first:last])
    for i in range(last, out.size):
        out[i] = source[i]
