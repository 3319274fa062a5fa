"""Matrix products by blocks of rows, for optimizers that need whole matrices."""

from ..blas import whole_product
from ..compiler import loop
from ..views import matrix_at, row_at

MOST = 256  # rows of a block: with more, BLAS is hardly faster


def rows_of_block(rows):
    """Return the rows of a block, by the number of rows alone: some 16 blocks, for threads to share."""
    return min(MOST, max(16, -(-rows // 256) * 16))


def _work(size, rows, out, a, *others):
    return out.size * a.shape[1]


@loop(parallel_from=200_000, flush=True, traffic="- rw r r - r -", work=_work)
def multiply():
    """Items are blocks of so many rows; arguments: rows, out, a, b, transposed (0 or 1), x, factors.

    out = factors[0] * x + factors[1] * a @ b, or a @ b.T if transposed; out = a @ b if x has no rows.
    """

    def body(start, stop, arguments):
        rows, out, a, b, transposed, x, factors = arguments
        width, depth = out.shape[1], a.shape[1]
        for block in range(start, stop):
            first = block * rows
            count = min(rows, len(out) - first)
            piece = matrix_at(out, first * width, count, width)
            whole_product(matrix_at(a, first * depth, count, depth), b, transposed > 0, piece)
            if len(x):
                alpha, beta = factors[0], factors[1]
                for k in range(count):
                    row, other = row_at(piece, k), row_at(x, first + k)
                    for i in range(width):
                        row[i] = alpha * other[i] + beta * row[i]

    return body
