"""The ceilings of this machine: memory bandwidth for each mix of streams, and matrix products.

A mix says how many arrays a loop reads and writes: "4r3w in place" is Adam's, which reads p, g and two states and
writes all but g. The loops are gd's own, with rules that compute next to nothing, on arrays allocated like users'.
Only bytes that the program reads and writes count. Caches add traffic, as an ordinary store first reads its cache
line; that does not count.
"""

import numpy as np

import gd
from gd.kernels.compiler import join
from gd.kernels.loops.elementwise import map_into
from gd.kernels.loops.reductions import NORM_BLOCK, read, read_lines
from gd.kernels.loops.update import update
from gd.kernels.rules.stages import CommonCoefficients
from gd.kernels.rules.touch import TOUCH, add, copy

from .cases import Case, vectors
from .measure import interleaved

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
ORDERS = (256, 1024, 3072)
BLOCKS = 64  # of rows


MIXES = {  # name -> (arrays, arrays read, arrays written)
    "1r": (1, 1, 0),
    "1r1w": (2, 1, 1),
    "2r1w": (3, 2, 1),
    **{f"{k + 2}r{k + 1}w in place": (k + 2, k + 2, k + 1) for k in range(len(TOUCH))},
}


def in_place(slots):
    """Return the mix of an update with this number of state arrays."""
    return f"{slots + 2}r{slots + 1}w in place"


def walk(mix, arrays):
    """Return a function that walks once over arrays of one size; the first are written."""
    size = arrays[0].size
    if mix == "1r":
        sums = np.empty(-(-size // NORM_BLOCK))
        return lambda: join(read)(len(sums), sums, arrays[0])
    if mix in ("1r1w", "2r1w"):
        kernel = map_into(arrays[0], copy if mix == "1r1w" else add)
        return lambda: kernel(size, *arrays)
    kernel = join(update, TOUCH[len(arrays) - 2])
    scalars = np.array(CommonCoefficients(), arrays[0].dtype)
    p, g, *slots = arrays
    return lambda: kernel(size, scalars, g, 0, p, *slots)


def walk_rows(X, rows):
    """Return a function that touches each cache line of some rows of a matrix, in their order."""
    sums = np.empty(BLOCKS, X.dtype)
    return lambda: join(read_lines)(BLOCKS, sums, rows, X)


def traffic(mix, size, dtype):
    """Return the bytes that a loop reads and writes."""
    _, reads, writes = MIXES[mix]
    return (reads + writes) * size * np.dtype(dtype).itemsize


def bandwidth(sizes, rounds, dtype="float32"):
    """Return the records of all mixes; mixes of one size are timed in turns."""
    records = []
    for size in sizes:
        arrays = vectors(Case("ceilings", "streams", size, dtype), max(count for count, _, _ in MIXES.values()))
        calls = {mix: walk(mix, arrays[:count]) for mix, (count, _, _) in MIXES.items()}
        for mix, seconds in interleaved(calls, rounds).items():
            record = {"mix": mix, "elements": size, "threads": gd.get_threads(), "bytes": traffic(mix, size, dtype)}
            records.append(record | {"seconds": seconds})
    return records


def products(orders, rounds, dtype="float32"):
    """Return the records of square matrix products by NumPy's BLAS, with all of its threads."""
    records = []
    for order in orders:
        a, b, out = (np.ones((order, order), dtype) for _ in range(3))
        seconds = interleaved({"numpy": lambda a=a, b=b, out=out: np.matmul(a, b, out=out)}, rounds)["numpy"]
        record = {"order": order, "dtype": dtype, "threads": gd.get_threads(), "flops": 2 * order**3}
        records.append(record | {"seconds": seconds})
    return records
