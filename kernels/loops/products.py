"""Matrix products by tiles of the result, for optimizers that need whole matrices."""

from ..blas import tile_product
from ..compiler import device, loop
from ..views import row_at, vector_at

LINE = 16  # numbers in a cache line, in float32
SMALL, LARGE = 128, 256  # rows and columns of a tile: of more, BLAS is hardly faster, and fewer threads can share them


def tile_of(size):
    """Return the rows and columns of a tile of a result with so many elements."""
    return SMALL if size < 1_000_000 else LARGE


def tiles(tile, out, symmetric):
    """Return how many tiles there are; of a symmetric result those from the diagonal on."""
    above, beside = (-(-n // tile) for n in out.shape)
    return above * (above + 1) // 2 if symmetric else above * beside


def _work(size, tile, out, a, *others):
    return size * tile * tile * a.shape[1]


@device
def _place(item, beside, symmetric):
    """Return the row and the column of a tile."""
    if not symmetric:
        return item // beside, item % beside
    row = 0
    while item >= beside - row:
        item -= beside - row
        row += 1
    return row, row + item


@device
def _mirror(out, first, last, left, right):
    """Copy a tile to its place on the other side of the diagonal, a cache line of it at a time."""
    for begin in range(first, last, LINE):
        end = min(begin + LINE, last)
        for j in range(left, right):
            mirrored = row_at(out, j)
            for i in range(begin, end):
                mirrored[i] = out[i, j]


@loop(parallel_from=1_000_000, flush=True, traffic="- w r r - - r -", work=_work)
def multiply():
    """Items are `tiles`; arguments: tile (its rows), out, a, b, transposed, symmetric, x, factors.

    out = factors[0] * x + factors[1] * a @ b, or a @ b.T if transposed is 1; the first term is left out if x has no
    rows. If `symmetric` is 1 out must be so.
    """

    def body(start, stop, arguments):
        tile, out, a, b, transposed, symmetric, x, factors = arguments
        alpha, beta = factors[0], factors[1]
        width = out.shape[1]
        for item in range(start, stop):
            row, column = _place(item, -(-width // tile), symmetric > 0)
            first, left = row * tile, column * tile
            last, right = min(first + tile, len(out)), min(left + tile, width)
            tile_product(a, b, transposed > 0, first, last, left, right, out)
            for i in range(first, last):
                piece = vector_at(out, i * width + left, right - left)
                if len(x):
                    other = vector_at(x, i * width + left, right - left)
                    for j in range(piece.size):
                        piece[j] = alpha * other[j] + beta * piece[j]
            if symmetric > 0 and row < column:
                _mirror(out, first, last, left, right)

    return body
