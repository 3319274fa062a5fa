"""Checks of arrays, before a kernel sees them.

Kernels check nothing: a wrong size overwrites other memory. So every public function first checks all its arguments
here, and has changed nothing if a check raises.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from ctypes import addressof, c_char, c_int64
from itertools import pairwise
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..kernels.array_layout import DATA, KNOWN, PAGE, PLACED_FROM
from .interchange import lent
from .values import shown

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
ALIGNMENT = 64  # bytes: a cache line, and the widest vector
TypeOf = tuple[str, np.dtype[Any]]  # what an array must match, and its dtype


def check_dtype(where: str, dtype: Any, name: str = "dtype") -> np.dtype[Any]:
    """Return a dtype that is float32 or float64, else raise TypeError."""
    try:
        if dtype is not None and np.dtype(dtype) in FLOATS:  # NumPy takes None for float64
            return np.dtype(dtype)
    except (SyntaxError, TypeError, ValueError):  # it is no dtype
        pass
    raise TypeError(f"{where}: {name} must be float32 or float64, got {shown(dtype)}")


def check_array(
    where: str,
    name: str,
    x: Any,
    *,
    dtype: TypeOf | None = None,
    shape: tuple[str, tuple[int, ...]] | None = None,
    ndim: int | None = None,
    writeable: bool = False,
    any_size: bool = False,
    any_layout: bool = False,
) -> NDArray[Any]:
    """Return x, or the memory of a tensor (see `lent`), if kernels can take it, else raise.

    Parameters
    ----------
    where, name : str
        The function and its argument, for the message: ``Adam.step`` and ``grads['W1']``.
    dtype : (str, dtype), optional
        What x must match and its dtype; any of float32 and float64 otherwise.
    shape : (str, tuple), optional
        What x must match and its shape.
    ndim : int, optional
        The number of dimensions x must have.
    writeable : bool, default: False
        True if x will be written to.
    any_size : bool, default: False
        True if x may be 0-d or empty.
    any_layout : bool, default: False
        True if it may also have its axes in any order in memory.

    Raises
    ------
    TypeError
        If x is not an array, or of another dtype.
    ValueError
        If it has another shape, is empty, 0-d, not contiguous, misaligned or read-only.
    """
    if _is_plain(x, None if dtype is None else dtype[1]) and (shape is None or x.shape == shape[1]) and ndim is None:
        return x  # the usual case, in a third of the time
    x = lent(where, name, x)
    if not is_array(x):
        raise TypeError(f"{where}: {name} must be a NumPy array, got {type(x).__name__}")
    check_dtype_of(where, name, x, dtype)
    if shape is not None and x.shape != shape[1]:
        raise ValueError(f"{where}: {name} has shape {x.shape}, {shape[0]} has {shape[1]}")
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{where}: {name} must have {ndim} dimension{'s' * (ndim > 1)}, got shape {x.shape}")
    if not (any_size or any_layout) and (x.ndim == 0 or x.size == 0):
        raise ValueError(f"{where}: {name} must have at least one dimension and one element, got shape {x.shape}")
    if not x.flags.c_contiguous and not (any_layout and x.transpose(memory_order(x)).flags.c_contiguous):
        advice = f"pass np.ascontiguousarray({name})"
        if writeable:  # a copy would be written to, and the array stay as it is
            advice = f"it is written to, so keep the array that np.ascontiguousarray({name}) returns, and pass that"
        order = "" if any_layout else " in C order"
        raise ValueError(f"{where}: {name} is not contiguous{order}; {advice}")
    if not x.flags.aligned:
        advice = "it is written to, so keep a copy, and pass that" if writeable else "pass a copy"
        raise ValueError(f"{where}: {name} is not aligned in memory; {advice}")
    if writeable and not x.flags.writeable:
        raise ValueError(
            f"{where}: {name} is read-only and would be written to; np.array({name}) makes a copy, which then changes"
        )
    return x


def is_array(x: Any) -> TypeGuard[NDArray[Any]]:
    """Return True if x is a NumPy array that computes as arrays do: neither masked nor a matrix."""
    if type(x) is np.ndarray:  # without importing numpy.ma
        return True
    return isinstance(x, np.ndarray) and not isinstance(x, (np.ma.MaskedArray, np.matrix))


def memory_order(x: NDArray[Any]) -> tuple[int, ...]:
    """Return the axes of an array in the order of its memory, the slowest first: 0, 1, ... in C order."""
    return tuple(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))


def check_alike(where: str, operands: Sequence[tuple[str, Any]], first: int = 0) -> Sequence[tuple[str, NDArray[Any]]]:
    """Return (name, array) pairs if kernels can take the arrays and all match the one at index `first`, else raise.

    They may be 0-d or empty.
    """
    name, given = operands[first]
    x = check_array(where, name, given, any_size=True)
    as_given = x is given
    for other, operand in operands:
        if operand is not given:
            like = {"dtype": (name, x.dtype), "shape": (name, x.shape)}
            array = check_array(where, other, operand, **like, any_size=True)
            as_given = as_given and array is operand
    return operands if as_given else tuple((other, lent(where, other, operand)) for other, operand in operands)


def check_dtype_of(where: str, name: str, x: Any, dtype: TypeOf | None) -> None:
    """Raise TypeError unless x has the dtype that it must match, or without one float32 or float64."""
    if dtype is None and x.dtype not in FLOATS:
        raise TypeError(f"{where}: {name} has dtype {x.dtype}, expected float32 or float64")
    if dtype is not None and x.dtype != dtype[1]:
        advice = f": pass {name}.astype(np.{dtype[1]})" if dtype[0] == "the model" else ""
        raise TypeError(f"{where}: {name} has dtype {x.dtype}, {dtype[0]} is {dtype[1]}{advice}")


def _is_plain(x: Any, dtype: np.dtype[Any] | None) -> bool:
    """Return True if x is surely valid and writeable, with this dtype object or one of FLOATS; False means unknown."""
    if type(x) is not np.ndarray or not x.flags.carray or not x.size or not x.ndim:
        return False
    own = x.dtype
    return own is dtype if dtype is not None else own is FLOATS[0] or own is FLOATS[1]


def check_apart(where: str, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Raise ValueError if any two of the contiguous arrays, given as (name, array), share memory."""
    spans = _spans(arrays)
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise ValueError(f"{where}: {other} overlaps {name} in memory")


def check_apart_from(
    where: str, arrays: Iterable[tuple[str, NDArray[Any]]], fixed: Iterable[tuple[str, NDArray[Any]]]
) -> None:
    """Raise ValueError if one of the arrays shares memory with one of `fixed`, which do not overlap each other."""
    spans = _spans(fixed)
    starts = [start for start, _, _ in spans]
    for start, end, name in _spans(arrays):
        last = bisect_left(starts, end) - 1  # the last of those that begin before the array's end
        if last >= 0 and spans[last][1] > start:
            raise ValueError(f"{where}: {name} overlaps {spans[last][2]} in memory")


def _spans(arrays: Iterable[tuple[str, NDArray[Any]]]) -> list[tuple[int, int, str]]:
    """Return (first byte, the one after the last, name) of the arrays that have elements, in the order of memory."""
    return sorted((start := address(array), start + array.nbytes, name) for name, array in arrays if array.size)


def check_out(
    where: str, out: Any, x: NDArray[Any], operands: Sequence[tuple[str, NDArray[Any]]]
) -> tuple[NDArray[Any], int | None]:
    """Return the array to write into, and the index of the operand that it is, or None.

    If `out` is None, allocate; otherwise it must match x. It may be one of the operands, given as (name, array) pairs,
    but must not overlap one in part.
    """
    if out is None:
        return aligned_empty(x.size, x.dtype).reshape(x.shape), None
    if not _is_plain(out, x.dtype) or out.shape != x.shape:
        like = next((name for name, operand in operands if operand is x), "x")
        own: Any = {"dtype": (like, x.dtype), "shape": (like, x.shape)}
        out = check_array(where, "out", out, **own, writeable=True, any_size=True)
    over = None
    for k, (name, operand) in enumerate(operands):
        if out is operand or np.may_share_memory(out, operand):
            if operand.shape != out.shape or not _same_memory(out, operand):
                raise ValueError(f"{where}: out overlaps {name} in part; it must be {name} itself or apart from it")
            over = k if over is None else over
    return out, over


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return True if two contiguous arrays begin at the same address."""
    return a is b or address(a) == address(b)


def check_labels(where: str, name: str, labels: Any, rows: int, classes: int) -> NDArray[np.intp]:
    """Return class indices as an array of intp, one for each row, 0 to classes - 1."""
    return _check_below(where, name, check_label_array(where, name, labels, rows), classes)


def check_label_array(where: str, name: str, labels: Any, rows: int) -> NDArray[Any]:
    """Return labels if they are a vector of integers, one for each row, of any value."""
    labels = _check_integers(where, name, labels, "class labels")
    if labels.shape != (rows,):
        raise ValueError(f"{where}: {name} has shape {labels.shape}, expected ({rows},), one label for each row")
    return labels


def check_indices(where: str, name: str, indices: Any, size: int, least: int = 1) -> NDArray[np.intp]:
    """Return a vector of at least so many indices 0 to size - 1 as an array of intp."""
    indices = _check_integers(where, name, indices, "indices")
    if indices.ndim == 1 and indices.size == 0 and least == 0:
        return np.empty(0, np.intp)
    if indices.ndim != 1 or indices.size == 0:
        raise ValueError(f"{where}: {name} must be a vector of at least one index, got shape {indices.shape}")
    return _check_below(where, name, indices, size)


def _check_integers(where: str, name: str, x: Any, what: str) -> NDArray[Any]:
    x = lent(where, name, x)
    if not is_array(x):
        raise TypeError(f"{where}: {name} must be a NumPy array, got {type(x).__name__}")
    if not x.size and x.dtype.kind in "bfc":  # what NumPy makes of an empty list
        return np.empty(x.shape, np.intp)
    if x.dtype.kind not in "iu":
        raise TypeError(f"{where}: {name} has dtype {x.dtype}, expected integer {what}")
    return x


def _check_below(where: str, name: str, x: NDArray[Any], size: int) -> NDArray[np.intp]:
    if not x.size:
        return np.empty(x.shape, np.intp)
    if x.dtype == np.intp and x.flags.c_contiguous and x.view(np.uintp).max() < size:  # a negative one is huge there
        return x
    low, high = x.min(), x.max()
    if low < 0 or high >= size:
        raise ValueError(f"{where}: {name} must be 0 to {size - 1}, got {low if low < 0 else high}")
    return np.ascontiguousarray(x, dtype=np.intp)


def aligned_empty(size: int, dtype: DTypeLike, place: int = PAGE // 2) -> NDArray[Any]:
    """Return an uninitialized vector that begins at a multiple of `ALIGNMENT` bytes; if large, at `place` in a page."""
    dtype = np.dtype(dtype)
    bytes_of_all = size * dtype.itemsize
    unit = PAGE if bytes_of_all >= PLACED_FROM else ALIGNMENT
    buffer = np.empty(bytes_of_all + unit, np.uint8)
    start = (place - addressof(c_char.from_buffer(buffer))) % unit  # pyright: ignore[reportArgumentType]  # a buffer
    return buffer[start : start + bytes_of_all].view(dtype)


def aligned_full(size: int, dtype: DTypeLike, value: Any, place: int = PAGE // 2) -> NDArray[Any]:
    """Return an aligned vector filled with one value, or a copy of an array."""
    vector = aligned_empty(size, dtype, place)
    vector[:] = value
    return vector


def address(array: NDArray[Any]) -> int:
    """Return the memory address of the first element of an array."""
    if KNOWN:  # in a fifth of the time
        return c_int64.from_address(id(array) + DATA).value
    return array.__array_interface__["data"][0]
