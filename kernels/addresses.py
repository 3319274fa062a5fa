"""Arrays by the addresses of their memory, for kernels that walk many; and what NumPy's arrays say of themselves.

To look at 1,000 arrays takes Python as long as to step them. An array object is a struct that NumPy promises to
extensions (PyArrayObject in its ndarraytypes.h), and CPython's `id` is its address, so that compiled code can look.
"""

import sys
from struct import calcsize

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiler import device
from .words import array_at

HEAD = object.__basicsize__  # bytes that all objects begin with, the type last; then come an array's own fields
POINTER = calcsize("P")
TYPE, DATA, NDIM, SHAPE, DTYPE, FLAGS = (HEAD + k * POINTER for k in (-1, 0, 1, 2, 5, 6))
KIND = HEAD + POINTER, 0xFFFFFF  # of a dtype: three characters, its kind, its type and its byte order
READABLE = 0x0001 | 0x0100  # flags of an array: in C order, aligned
KNOWN = sys.implementation.name == "cpython" and POINTER == 8  # whether array objects are laid out like that


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
    """Return the vector of so many elements at an address, of the dtype of an array."""

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
    """Return where the elements of an array lie if it matches another, else -1, given the addresses of both objects.

    It matches if kernels can read it and it has the other's very type, its dtype and its shape.
    """
    if load_pointer(array + TYPE) != load_pointer(like + TYPE) or load_int(array + FLAGS) & READABLE != READABLE:
        return -1
    ndim = load_int(like + NDIM)
    if _dtype(array) != _dtype(like) or load_int(array + NDIM) != ndim:
        return -1
    shape, expected = load_pointer(array + SHAPE), load_pointer(like + SHAPE)
    for k in range(ndim):
        if load_pointer(shape + k * POINTER) != load_pointer(expected + k * POINTER):
            return -1
    return load_pointer(array + DATA)
