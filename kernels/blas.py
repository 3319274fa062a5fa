"""Matrix products inside kernels, by SciPy's BLAS on one thread (the parallelism is the loop's).

Products are cut into tiles of at most `TILE` multiply-adds, which OpenBLAS multiplies without first
packing its operands: 32 rows x 784 x 256 in float32 ran at 110 GFLOP/s per core instead of 70. The
tiling depends on the shapes alone, so results do not depend on threads.

Operands are 2-D views whose rows are contiguous (any distance between rows).
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiler import device

TILE = 1_000_000


def load_blas():
    """Load SciPy's BLAS; kernels below need it, and threadpoolctl can limit only what is loaded."""
    import scipy.linalg.cython_blas  # noqa: F401  (0.2 s: not at import)


@intrinsic
def _gemm(typing_context, transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc):
    """BLAS gemm on raw pointers, column-major: c = op(a) op(b); through Numba's binding to SciPy's BLAS."""
    real = a.dtype
    kind = {types.float32: "s", types.float64: "d"}[real]

    def generate(context, builder, signature, arguments):
        char, index, pointer = ir.IntType(8), context.get_value_type(types.intp), cgutils.voidptr_t
        kinds = (char, char, char, index, index, index, pointer, pointer, index, pointer, index, pointer, pointer, index)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), kinds), "numba_xxgemm"
        )

        def data(position):
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            return builder.bitcast(array.data, pointer)

        def constant(value):
            slot = cgutils.alloca_once_value(builder, context.get_constant(real, value))
            return builder.bitcast(slot, pointer)

        def flag(position):
            return builder.select(arguments[position], char(ord("t")), char(ord("n")))

        m, n, k, lda, ldb, ldc = (arguments[position] for position in (2, 3, 4, 6, 8, 10))
        one, zero = constant(1), constant(0)
        builder.call(
            function,
            (char(ord(kind)), flag(0), flag(1), m, n, k, one, data(5), lda, data(7), ldb, zero, data(9), ldc),
        )
        return context.get_dummy_value()

    flags, sizes = (types.boolean, types.boolean), (types.intp, types.intp, types.intp)
    return types.none(*flags, *sizes, a, types.intp, b, types.intp, c, types.intp), generate


@device
def _row_distance(a):
    return a.strides[0] // a.itemsize


@device
def _tile(size, work_per_item):
    """How many items to take at a time: a multiple of 16, within `TILE` where 16 items are."""
    return max(16, min(size, TILE // max(1, work_per_item)) // 16 * 16)


@device
def product(a, b, transpose_b, out):
    """out = a @ b, or a @ b.T, by tiles of columns."""
    rows, inner = a.shape
    columns = out.shape[1]
    width = _tile(columns, rows * inner)
    for start in range(0, columns, width):
        n = min(width, columns - start)
        tile = b[start:] if transpose_b else b[:, start:]
        into = out[:, start:]
        _gemm(
            transpose_b, False, n, rows, inner, tile, _row_distance(b), a, _row_distance(a), into, _row_distance(out)
        )


@device
def transposed_product(a, b, out):
    """out = a.T @ b, in one piece: callers hold a tile already."""
    inner, rows = a.shape
    _gemm(False, True, b.shape[1], rows, inner, b, _row_distance(b), a, _row_distance(a), out, _row_distance(out))
