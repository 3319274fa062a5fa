"""prelu, whose slopes are trained, and maxout, whose output is shorter than its input."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import aligned_empty, check_alike, check_array, check_indices, check_out, check_size, is_array, lent
from ..kernels.compiler import join
from ..kernels.loops import rows
from ..typing import Array
from .base import ACTIVATIONS, Activation


class Maxout(Activation):
    """Activation whose output is shorter than its input."""

    elementwise = False

    def _find(self, name):
        return rows.maxout, rows.maxout_backward, None

    def _apply(self, form, where, operands, out, parameters):
        ((_, x),) = check_alike(where, operands[-1:])
        self.values(where, parameters, x.dtype)
        pieces = parameters.get("pieces", 2)
        return maxout(x, pieces, out) if form == 0 else _maxout_backward(operands[0][1], ("x", x), pieces, out)


def prelu(x: Array, weight: float | Array, out: Array | None = None) -> NDArray[Any]:
    """Return x for x > 0, else weight * x, elementwise.

    Parameters
    ----------
    x : ndarray
        float32 or float64, any shape, contiguous in C order.
    weight : float, or ndarray of shape (x.shape[-1],)
        One weight for all, or one for each column of the last axis.
    out : ndarray, optional
        Where to write: like x, or x itself.

    Returns
    -------
    ndarray
        `out`, or a new array like x.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; then nothing is written.

    References
    ----------
    He, Zhang, Ren & Sun, ICCV 2015.
    """
    return ACTIVATIONS["prelu"].forward(x, out, weight=weight)


def prelu_backward(
    dy: Array, x: Array, weight: float | Array, out: Array | None = None
) -> tuple[NDArray[Any], float | NDArray[Any]]:
    """Return the gradients of `prelu` with respect to x and to the weight.

    Parameters
    ----------
    dy, x : ndarray
        The gradient with respect to the output, and the input.
    weight : float, or ndarray of shape (x.shape[-1],)
        As in `prelu`.
    out : ndarray, optional
        Where to write dx: like x, or dy or x itself.

    Returns
    -------
    dx : ndarray
        dy, times weight where x <= 0.
    dweight : float or ndarray
        Like weight: the sum of dy * x where x <= 0, over all elements or over each column.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; then nothing is written.
    """
    where = "prelu_backward"
    operands = check_alike(where, (("dy", dy), ("x", x)), -1)
    (_, upstream), (_, inputs) = operands
    out, _ = check_out(where, out, inputs, operands)
    if not inputs.size:
        return out, 0.0 if isinstance(weight, Real) else np.zeros(inputs.shape[-1], inputs.dtype)
    shape = (-1, inputs.shape[-1] if inputs.ndim else 1)
    parts = np.empty((-(-inputs.size // shape[1] // rows.ROW_BLOCK), shape[1]))
    join(rows.prelu_weight_gradient)(len(parts), parts, upstream.reshape(shape), inputs.reshape(shape))
    dx = ACTIVATIONS["prelu"].backward(upstream, inputs, out, weight=weight)
    dweight = parts.sum(axis=0)
    return dx, float(dweight.sum()) if isinstance(weight, Real) else dweight.astype(inputs.dtype)


def maxout(x: Array, pieces: int = 2, out: Array | None = None, index: Array | None = None) -> NDArray[Any]:
    """Return the largest of every `pieces` neighbours along the last axis.

    Parameters
    ----------
    x : ndarray of shape (..., units * pieces)
        float32 or float64, contiguous in C order.
    pieces : int, default: 2
    out : ndarray of shape (..., units), optional
        Where to write.
    index : ndarray of intp, shape (..., units), optional
        Receives the number of the largest piece (the first of equal ones), for `maxout_backward`.

    Returns
    -------
    ndarray of shape (..., units)

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; then nothing is written.

    References
    ----------
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio, ICML 2013.
    """
    where = "maxout"
    x = check_array(where, "x", x, any_size=True)
    shape = _units(where, x.shape, pieces)
    if out is None:
        out = aligned_empty(x.size // pieces, x.dtype).reshape(shape)
    own: Any = {"dtype": ("x", x.dtype), "shape": ("the result", shape)}
    out = check_array(where, "out", out, **own, writeable=True, any_size=True)
    index = _checked_index(where, np.empty(shape, np.intp) if index is None else index, shape, writeable=True)
    if np.may_share_memory(out, x) or np.may_share_memory(index, x) or np.may_share_memory(index, out):
        raise ValueError(f"{where}: x, out and index must not overlap in memory")
    join(rows.maxout)(out.size, out.reshape(-1), index.reshape(-1), x.reshape(out.size, pieces))
    return out


def maxout_backward(dy: Array, index: Array, pieces: int = 2, out: Array | None = None) -> NDArray[Any]:
    """Return the gradient of `maxout`: dy at the largest of the pieces, 0 at the others.

    Parameters
    ----------
    dy : ndarray of shape (..., units)
    index : ndarray of intp, shape (..., units)
        As `maxout` filled it. Or the input x, of shape (..., units * pieces), from which it is computed.
    pieces : int, default: 2
    out : ndarray of shape (..., units * pieces), optional
        Where to write.

    Returns
    -------
    ndarray of shape (..., units * pieces)

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; then nothing is written.
    """
    return _maxout_backward(dy, ("index", index), pieces, out)


def _maxout_backward(dy, named, pieces, out):
    """Return `maxout_backward`; `named` is the name of the index or input for messages, and its array."""
    where, (name, index) = "maxout_backward", named
    dy, index = check_array(where, "dy", dy, any_size=True), lent(where, name, index)
    pieces = check_size(where, "pieces", pieces)
    if pieces > np.iinfo(np.intp).max // max(1, dy.nbytes):
        raise ValueError(f"{where}: pieces must fit into memory, got {pieces}")
    if not dy.ndim:
        raise ValueError(f"{where}: dy must have at least one dimension, got shape ()")
    shape = (*dy.shape[:-1], dy.shape[-1] * pieces)
    if isinstance(index, np.ndarray) and index.dtype.kind == "f":
        x, index, given = index, np.empty(dy.shape, np.intp), index
        check_array(where, name, x, dtype=("dy", dy.dtype), shape=("dy by pieces", shape), any_size=True)
        maxout(x, pieces, aligned_empty(dy.size, x.dtype).reshape(dy.shape), index)
    else:
        index = given = _checked_index(where, index, dy.shape)
        check_indices(where, name, index.reshape(-1), pieces, least=0)
    if out is None:
        out = aligned_empty(dy.size * pieces, dy.dtype).reshape(shape)
    own: Any = {"dtype": ("dy", dy.dtype), "shape": ("the result", shape)}
    out = check_array(where, "out", out, **own, writeable=True, any_size=True)
    if np.may_share_memory(out, dy) or np.may_share_memory(out, given):
        raise ValueError(f"{where}: out overlaps dy or {name} in memory")
    join(rows.maxout_backward)(dy.size, out.reshape(dy.size, pieces), dy.reshape(-1), index.reshape(-1))
    return out


def _units(where, shape, pieces):
    pieces = check_size(where, "pieces", pieces)
    if not shape:
        raise ValueError(f"{where}: x must have at least one dimension, got shape ()")
    if shape[-1] % pieces:
        raise ValueError(f"{where}: the last axis of x must be a multiple of pieces ({pieces}), got shape {shape}")
    return (*shape[:-1], shape[-1] // pieces)


def _checked_index(where, index, shape, writeable=False):
    index = lent(where, "index", index)
    if not is_array(index) or index.dtype != np.intp or index.shape != shape:
        what = f"{index.dtype} of shape {index.shape}" if isinstance(index, np.ndarray) else type(index).__name__
        raise TypeError(f"{where}: index must be an array of intp of shape {shape}, got {what}")
    if not index.flags.c_contiguous or not index.flags.aligned or (writeable and not index.flags.writeable):
        raise ValueError(f"{where}: index must be contiguous in C order, aligned{' and writeable' * writeable}")
    return index
