"""Matrix products inside kernels, by SciPy's BLAS on one thread (the loop makes them parallel).

Products are cut into tiles of at most `TILE` multiply-adds, because OpenBLAS multiplies those without first
packing its operands: 32 rows x 784 x 256 in float32 ran at 110 GFLOP/s per core instead of 70. These tiles are the best
of those tried; with long rows they are four times as fast as narrow ones. The tiling depends on the shapes alone, so
results do not depend on threads.

Operands are 2-D views whose rows are contiguous (any distance between rows).
"""

import ctypes
import functools
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import scipy
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiler import device
from .machine_code import provide
from .words import STATUS, intrinsic_or

TILE = 1_000_000
COLUMNS, DEPTH = 256, 64  # size of a tile of the second operand
ROWS = 128  # rows of a piece of a sum over rows
TRANSPOSED_TILE = 4096  # elements of a tile of a transposed operand


@functools.cache
def load_blas():
    """Load SciPy's BLAS and return its functions by name; threadpoolctl can limit only libraries that are loaded.

    They lie in `scipy.linalg.cython_blas`, an extension module that SciPy offers to other compiled code. It is loaded
    without its package, which takes ten times as long (0.3 s), and left out of `sys.modules`: a later import finds the
    same module by itself. `tests/test_machine_code.py` checks all this.
    """
    name, folder = "scipy.linalg.cython_blas", Path(scipy.__file__).parent / "linalg"
    files = [folder / f"cython_blas{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((str(each) for each in files if each.is_file()), None)
    if name in sys.modules or path is None:
        from scipy.linalg import cython_blas as module
    else:
        loader = ExtensionFileLoader(name, path)
        module = module_from_spec(spec_from_loader(name, loader))
        loader.exec_module(module)
        sys.modules.pop(name, None)
    return module.__pyx_capi__


def _address(name):
    """Return the address of a function of SciPy's BLAS."""
    capsule, api = load_blas()[name], ctypes.pythonapi
    name_of, pointer_of = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    declaration = name_of(capsule)
    if not declaration.startswith(b"void (char *, char *, int *, int *, int *, "):
        raise ImportError(f"gd calls {name} of SciPy with integers of 32 bits, SciPy {scipy.__version__} takes others")
    return pointer_of(capsule, declaration)


for _name in ("sgemm", "dgemm"):
    provide(f"gd_{_name}", functools.partial(_address, _name))


@functools.cache
def accelerate():
    """Return Apple's Accelerate if it is SciPy's BLAS and lets threads limit it, as from macOS 15 on; else None."""
    if sys.platform != "darwin":
        return None
    name = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    library = ctypes.CDLL("/System/Library/Frameworks/Accelerate.framework/Accelerate")
    return library if name.lower() == "accelerate" and hasattr(library, "BLASSetThreading") else None


for _name in ("BLASGetThreading", "BLASSetThreading"):
    provide(_name, lambda name=_name: ctypes.cast(getattr(accelerate(), name), ctypes.c_void_p).value)
SINGLE = 1  # BLAS_THREADING_SINGLE_THREADED


def _limited(builder, call):
    """Emit a call of BLAS on one thread: threadpoolctl limits others before, but Accelerate only its callers can."""
    if accelerate() is None:
        call()
        return
    get, limit = (ir.FunctionType(STATUS, kinds) for kinds in ((), (STATUS,)))
    get = cgutils.get_or_insert_function(builder.module, get, "BLASGetThreading")
    limit = cgutils.get_or_insert_function(builder.module, limit, "BLASSetThreading")
    before = builder.call(get, ())
    builder.call(limit, (STATUS(SINGLE),))
    call()
    builder.call(limit, (before,))


def _multiply(transpose_a, transpose_b, add, m, n, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc):
    """Multiply in plain Python, as `_gemm` does: BLAS takes rows for columns, so the operands change places."""

    def matrix(x, start, distance, rows, columns):
        row, column = divmod(start, distance)
        return x[row : row + rows, column : column + columns]

    first = matrix(a, a_start, lda, m, k).T if transpose_a else matrix(a, a_start, lda, k, m)
    second = matrix(b, b_start, ldb, k, n).T if transpose_b else matrix(b, b_start, ldb, n, k)
    out = matrix(c, c_start, ldc, n, m)
    out[...] = out + second @ first if add else second @ first


@intrinsic_or(_multiply)
def _gemm(typing_context, transpose_a, transpose_b, add, m, n, k, a, a_start, lda, b, b_start, ldb, c, c_start, ldc):
    """Call BLAS gemm, column-major: c = op(a) op(b), or c += op(a) op(b) with `add`, from the given elements on."""
    real = a.dtype
    name = {types.float32: "gd_sgemm", types.float64: "gd_dgemm"}[real]

    def generate(context, builder, signature, arguments):
        character, integer = ir.IntType(8), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), (cgutils.voidptr_t,) * 13)
        function = cgutils.get_or_insert_function(builder.module, function_type, name)

        def by_address(value):
            return builder.bitcast(cgutils.alloca_once_value(builder, value), cgutils.voidptr_t)

        def flag(position):
            return by_address(builder.select(arguments[position], character(ord("t")), character(ord("n"))))

        def size(position):
            return by_address(builder.trunc(arguments[position], integer))

        def matrix(position):
            """Return the addresses of the operand whose three arguments begin here, and of its leading dimension."""
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            address = builder.gep(array.data, [arguments[position + 1]])
            return builder.bitcast(address, cgutils.voidptr_t), size(position + 2)

        one, zero = (context.get_constant(real, value) for value in (1, 0))
        head = flag(0), flag(1), size(3), size(4), size(5)
        beta = by_address(builder.select(arguments[2], one, zero))
        operands = *head, by_address(one), *matrix(6), *matrix(9), beta, *matrix(12)
        _limited(builder, lambda: builder.call(function, operands))
        return context.get_dummy_value()

    flags, sizes, place = (types.boolean,) * 3, (types.intp,) * 3, (types.intp,) * 2
    return types.none(*flags, *sizes, a, *place, b, *place, c, *place), generate


@device
def _row_distance(a):
    """Return the leading dimension; a matrix of one row counts as contiguous, even if its stride is 0 or negative."""
    return max(a.strides[0] // a.itemsize, a.shape[1])


@device
def _tile(size, most):
    """Return min(size, most), rounded down to a multiple of 16, but at least 16."""
    return max(16, min(size, most) // 16 * 16)


@device
def product(a, b, transpose_b, out):
    """Compute out = a @ b, or a @ b.T, by tiles."""
    if transpose_b:
        rows, inner = a.shape
        width = min(_tile(len(b), TILE // (rows * inner)), _tile(len(b), TRANSPOSED_TILE // inner))
        for first in range(0, len(b), width):
            back_product(a, b, first, min(first + width, len(b)), out, False)
    else:
        for first in range(0, out.shape[1], COLUMNS):
            column_product(a, b, first, min(first + COLUMNS, out.shape[1]), out)


@device
def tile_product(a, b, transpose_b, first, last, left, right, out):
    """Compute rows first to last and columns left to right of out = a @ b, or a @ b.T, in one product."""
    lda, ldb, ldc = _row_distance(a), _row_distance(b), _row_distance(out)
    begin, place = left * ldb if transpose_b else left, first * ldc + left
    _gemm(
        transpose_b,
        False,
        False,
        right - left,
        last - first,
        a.shape[1],
        b,
        begin,
        ldb,
        a,
        first * lda,
        lda,
        out,
        place,
        ldc,
    )


@device
def column_product(a, b, first, last, out):
    """Compute columns first to last of out = a @ b, by pieces of the inner dimension."""
    inner = a.shape[1]
    lda, ldb, ldc = _row_distance(a), _row_distance(b), _row_distance(out)
    for start in range(0, inner, DEPTH):
        k, begin = min(DEPTH, inner - start), start * ldb + first
        _gemm(False, False, start > 0, last - first, len(a), k, b, begin, ldb, a, start, lda, out, first, ldc)


@device
def back_product(a, b, first, last, out, add):
    """Compute columns first to last of out = a @ b.T, or with `add` add to them."""
    inner = a.shape[1]
    lda, ldb, ldc = _row_distance(a), _row_distance(b), _row_distance(out)
    depth = _tile(inner, TILE // (len(a) * (last - first)))
    for start in range(0, inner, depth):
        k, begin = min(depth, inner - start), first * ldb + start
        more = add or start > 0
        _gemm(True, False, more, last - first, len(a), k, b, begin, ldb, a, start, lda, out, first, ldc)


@device
def transposed_product(a, first, last, b, out):
    """Compute out = a[:, first:last].T @ b by pieces of rows and columns; first to last is at most a tile."""
    lda, ldb, ldc = _row_distance(a), _row_distance(b), _row_distance(out)
    m, columns = last - first, b.shape[1]
    depth = _tile(len(a), ROWS)
    width = _tile(columns, TILE // (m * depth))
    for column in range(0, columns, width):
        n = min(width, columns - column)
        for row in range(0, len(a), depth):
            k, begin = min(depth, len(a) - row), row * ldb + column
            _gemm(False, True, row > 0, n, m, k, b, begin, ldb, a, row * lda + first, lda, out, column, ldc)
