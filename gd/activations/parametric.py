"""prelu, which is trained with the weights, and maxout, whose output is shorter than its input."""

from numbers import Real

import numpy as np

from ..checks import aligned_empty, check_alike, check_array, check_indices, check_out, check_size, lent
from ..kernels.compiler import join
from ..kernels.loops import rows
from .activation import ACTIVATIONS, Activation


class Maxout(Activation):
    """An activation whose output is shorter than its input."""

    elementwise = False

    def _find(self, name):
        return rows.maxout, rows.maxout_backward, None

    def _apply(self, form, where, operands, out, parameters):
        ((_, x),) = check_alike(where, operands[-1:])
        self.values(where, parameters, x.dtype)
        pieces = parameters.get("pieces", 2)
        return maxout(x, pieces, out) if form == 0 else _maxout_backward(operands[0][1], ("x", x), pieces, out)


def prelu(x, weight, out=None):
    """Return x for x > 0, else weight * x, elementwise.

    Parameters
    ----------
    x : ndarray
        float32 or float64, any shape, contiguous in C order.
    weight : float, or ndarray of shape (x.shape[-1],)
        One for all, or one for each column of the last axis.
    out : ndarray, optional
        Where to write: like x, or x itself.

    Returns
    -------
    ndarray
        `out`, or a new array like x.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; nothing is written then.

    References
    ----------
    He, Zhang, Ren & Sun, ICCV 2015.
    """
    return ACTIVATIONS["prelu"].forward(x, out, weight=weight)


def prelu_backward(dy, x, weight, out=None):
    """Return the gradients of `prelu` with respect to x and to the weight.

    Parameters
    ----------
    dy, x : ndarray
        The gradient with respect to the output, and the input.
    weight : float, or ndarray of shape (x.shape[-1],)
        As in `prelu`.
    out : ndarray, optional
        Where to write the first: like x, or dy or x itself.

    Returns
    -------
    dx : ndarray
        dy, times weight where x <= 0.
    dweight : float or ndarray
        The sum of dy * x where x <= 0, over all elements or over each column: like weight.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; nothing is written then.
    """
    where = "prelu_backward"
    operands = (_, dy), (_, x) = check_alike(where, (("dy", dy), ("x", x)), -1)
    out, _ = check_out(where, out, x, operands)
    shape = (-1, x.shape[-1])
    parts = np.empty((-(-x.size // x.shape[-1] // rows.BLOCK), x.shape[-1]))
    join(rows.prelu_weight_gradient)(len(parts), parts, dy.reshape(shape), x.reshape(shape))
    dx = ACTIVATIONS["prelu"].backward(dy, x, out, weight=weight)
    dweight = parts.sum(axis=0)
    return dx, float(dweight.sum()) if isinstance(weight, Real) else dweight.astype(x.dtype)


def maxout(x, pieces=2, out=None, index=None):
    """Return the largest of every `pieces` neighbours along the last axis.

    Parameters
    ----------
    x : ndarray of shape (..., units * pieces)
        float32 or float64, contiguous in C order.
    pieces : int, default: 2
    out : ndarray of shape (..., units), optional
        Where to write.
    index : ndarray of intp, shape (..., units), optional
        Takes which of the pieces was the largest, the first of equals, for `maxout_backward`.

    Returns
    -------
    ndarray of shape (..., units)

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; nothing is written then.

    References
    ----------
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio, ICML 2013.
    """
    where = "maxout"
    x = check_array(where, "x", x)
    shape = _units(where, x.shape, pieces)
    if out is None:
        out = aligned_empty(x.size // pieces, x.dtype).reshape(shape)
    out = check_array(where, "out", out, dtype=("x", x.dtype), shape=("the result", shape), writeable=True)
    index = _checked_index(where, np.empty(shape, np.intp) if index is None else index, shape, writeable=True)
    if np.may_share_memory(out, x) or np.may_share_memory(index, x) or np.may_share_memory(index, out):
        raise ValueError(f"{where}: x, out and index must not overlap in memory")
    join(rows.maxout)(out.size, out.reshape(-1), index.reshape(-1), x.reshape(out.size, pieces))
    return out


def maxout_backward(dy, index, pieces=2, out=None):
    """Return the gradient of `maxout`: dy at the largest of the pieces, 0 at the others.

    Parameters
    ----------
    dy : ndarray of shape (..., units)
    index : ndarray of intp, shape (..., units)
        As `maxout` filled it; or the input x, of shape (..., units * pieces), from which it is found again.
    pieces : int, default: 2
    out : ndarray of shape (..., units * pieces), optional
        Where to write.

    Returns
    -------
    ndarray of shape (..., units * pieces)

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; nothing is written then.
    """
    return _maxout_backward(dy, ("index", index), pieces, out)


def _maxout_backward(dy, named, pieces, out):
    """The same of an index or input under its name."""
    where, (name, index) = "maxout_backward", named
    dy, index = check_array(where, "dy", dy), lent(where, name, index)
    pieces = check_size(where, "pieces", pieces)
    if pieces > np.iinfo(np.intp).max // dy.nbytes:
        raise ValueError(f"{where}: pieces must fit into memory, got {pieces}")
    shape = (*dy.shape[:-1], dy.shape[-1] * pieces)
    if isinstance(index, np.ndarray) and index.dtype.kind == "f":
        x, index, given = index, np.empty(dy.shape, np.intp), index
        check_array(where, name, x, dtype=("dy", dy.dtype), shape=("dy by pieces", shape))
        maxout(x, pieces, aligned_empty(dy.size, x.dtype).reshape(dy.shape), index)
    else:
        index = given = _checked_index(where, index, dy.shape)
        check_indices(where, name, index.reshape(-1), pieces)
    if out is None:
        out = aligned_empty(dy.size * pieces, dy.dtype).reshape(shape)
    out = check_array(where, "out", out, dtype=("dy", dy.dtype), shape=("the result", shape), writeable=True)
    if np.may_share_memory(out, dy) or np.may_share_memory(out, given):
        raise ValueError(f"{where}: out overlaps dy or {name} in memory")
    join(rows.maxout_backward)(dy.size, out.reshape(dy.size, pieces), dy.reshape(-1), index.reshape(-1))
    return out


def _units(where, shape, pieces):
    pieces = check_size(where, "pieces", pieces)
    if shape[-1] % pieces:
        raise ValueError(f"{where}: the last axis of x must be a multiple of pieces ({pieces}), got shape {shape}")
    return (*shape[:-1], shape[-1] // pieces)


def _checked_index(where, index, shape, writeable=False):
    index = lent(where, "index", index)
    masked = isinstance(index, (np.ma.MaskedArray, np.matrix))
    if not isinstance(index, np.ndarray) or masked or index.dtype != np.intp or index.shape != shape:
        what = f"{index.dtype} of shape {index.shape}" if isinstance(index, np.ndarray) else type(index).__name__
        raise TypeError(f"{where}: index must be an array of intp of shape {shape}, got {what}")
    if not index.flags.c_contiguous or not index.flags.aligned or (writeable and not index.flags.writeable):
        raise ValueError(f"{where}: index must be contiguous in C order, aligned{' and writeable' * writeable}")
    return index
