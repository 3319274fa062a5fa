"""Reads array objects by address, so that one call can visit many arrays.

Python takes as long to look at 1,000 arrays as to step them. Compiled code reads the fields of the objects instead.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .array_layout import ALIGNED, C_ORDER, DATA, DTYPE, FLAGS, KIND, NDIM, SHAPE, STRIDES, TYPE, WRITEABLE
from .compiler import device


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


@device
def _dtype(array):
    offset, mask = KIND
    return load_int(load_pointer(array + DTYPE) + offset) & mask


@device
def _alike(array, like, field, count):
    """Return True if two arrays have the same shape, or the same strides."""
    own, expected = load_pointer(array + field), load_pointer(like + field)
    alike = True
    for k in range(count):
        alike &= load_pointer(own + k * 8) == load_pointer(expected + k * 8)
    return alike


@device
def matching(array, like, written):
    """Return the address of the elements of an array if it matches `like`, else -1; both are addresses of objects.

    It matches if kernels can read it and write to `like`, which is contiguous in some order of its axes, and both have
    exactly the same type, dtype, shape and order. With `written` it must be writeable, too.
    """
    if load_pointer(array + TYPE) != load_pointer(like + TYPE):
        return -1
    flags, own = load_int(array + FLAGS), load_int(like + FLAGS)
    if flags & ALIGNED == 0 or own & WRITEABLE == 0 or (written and flags & WRITEABLE == 0):
        return -1
    ndim = load_int(like + NDIM)
    if _dtype(array) != _dtype(like) or load_int(array + NDIM) != ndim:
        return -1
    if not _alike(array, like, SHAPE, ndim):
        return -1
    if flags & own & C_ORDER == 0 and not _alike(array, like, STRIDES, ndim):
        return -1
    return load_pointer(array + DATA)
