"""Reads array objects by address, so that one call can visit many arrays.

Python takes as long to look at 1,000 arrays as to step them. Compiled code reads the fields of the objects instead.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .array_layout import ALIGNED, C_ORDER, DATA, DTYPE, FLAGS, KIND, NDIM, SHAPE, TYPE, WRITEABLE
from .compiler import device
from .words import array_at

READABLE = C_ORDER | ALIGNED


def _loading(bits):
    """Return an intrinsic that loads an integer from an address."""

    @intrinsic
    def load(typing_context, address):
        def generate(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            return builder.sext(builder.load(pointer), cgutils.intp_t) if bits < 64 else builder.load(pointer)

        return types.intp(types.intp), generate

    return load


load_int, load_pointer = _loading(32), _loading(64)


@intrinsic
def vector(typing_context, like, address, size):
    """Return the vector of `size` elements at an address, with the dtype of the array `like`."""

    def generate(context, builder, signature, arguments):
        kind = signature.return_type
        data = builder.inttoptr(arguments[1], context.get_data_type(kind.dtype).as_pointer())
        return array_at(context, builder, kind, data, [arguments[2]])

    return types.Array(like.dtype, 1, "C")(like, types.intp, types.intp), generate


@device
def _dtype(array):
    offset, mask = KIND
    return load_int(load_pointer(array + DTYPE) + offset) & mask


@device
def matching(array, like):
    """Return the address of the elements of an array if it matches `like`, else -1; both are addresses of objects.

    It matches if kernels can read it and write to `like`, and both have exactly the same type, dtype and shape.
    """
    if load_pointer(array + TYPE) != load_pointer(like + TYPE) or load_int(array + FLAGS) & READABLE != READABLE:
        return -1
    if load_int(like + FLAGS) & WRITEABLE == 0:
        return -1
    ndim = load_int(like + NDIM)
    if _dtype(array) != _dtype(like) or load_int(array + NDIM) != ndim:
        return -1
    shape, expected = load_pointer(array + SHAPE), load_pointer(like + SHAPE)
    for k in range(ndim):
        if load_pointer(shape + k * 8) != load_pointer(expected + k * 8):
            return -1
    return load_pointer(array + DATA)
