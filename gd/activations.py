"""Activations: forward and backward, on arrays of any shape: elementwise, or along the last axis."""

from math import inf
from numbers import Real

import numpy as np

from .arrays import FLOATS, aligned_empty, check_alike, check_array, check_indices, check_out
from .interchange import lent
from .kernels.compiler import join
from .kernels.loops import rows
from .kernels.loops.elementwise import map_elements_over_first, map_elements_over_second, map_into
from .kernels.rules import activations as rules
from .ranges import NON_NEGATIVE, POSITIVE, REAL, Range, check_flag, check_reals, check_size

ACTIVATIONS = {}  # name -> Activation
_IN_PLACE = (map_elements_over_first, map_elements_over_second)


class Activation:
    """One activation: its functions, its parameters, and what a network needs to know of it.

    Attributes
    ----------
    name : str
    parameters : dict of str to (default, Range)
    forward, backward : callable
        ``forward(x, out=None, **parameters)`` and ``backward(dy, x, out=None, **parameters)``.
    backward_from_output : callable or None
        ``backward_from_output(dy, y, out=None, **parameters)`` where the derivative follows from the output.
    rules : tuple of callable
        The scalar rules of the three (None for the last where there is none).
    initializer : str
        The initializer of weights before this activation.
    """

    elementwise = True

    def __init__(self, name, formula, initializer, source="", *, variant=(None, None), **parameters):
        self.name, self.parameters, self.initializer = name, parameters, initializer
        self.rules = self._find(name)
        self._flag, other = variant  # a keyword that puts the rules of another name in place of these
        self._others = self._find(other) if other else None
        self._defaults = {dtype: check_reals(name, {}, parameters, dtype) for dtype in FLOATS}
        names = (name, f"{name}_backward", f"{name}_backward_from_output")

        def forward(x, out=None, **parameters):
            return self._apply(0, names[0], (("x", x),), out, parameters)

        def backward(dy, x, out=None, **parameters):
            return self._apply(1, names[1], (("dy", dy), ("x", x)), out, parameters)

        def backward_from_output(dy, y, out=None, **parameters):
            return self._apply(2, names[2], (("dy", dy), ("y", y)), out, parameters)

        self.forward, self.backward = forward, backward
        self.backward_from_output = backward_from_output if self.rules[2] else None
        along = "elementwise" if self.elementwise else "along the last axis"
        texts = (
            (forward, f"Return {formula}, {along}.", ("x",)),
            (backward, f"Return dy times the derivative of {formula} at x.", ("dy", "x")),
            (backward_from_output, f"Return dy times the derivative of y = {formula}, from y.", ("dy", "y")),
        )
        for function_name, (function, summary, operands) in zip(names, texts, strict=True):
            function.__name__ = function.__qualname__ = function_name
            function.__doc__ = _documentation(summary, operands, parameters, self._flag, source)
        ACTIVATIONS[name] = self

    def _find(self, name):
        return tuple(getattr(rules, name + end, None) for end in ("", "_backward", "_backward_from_output"))

    def values(self, where, given, dtype):
        """Return the parameters in order, checked and in the dtype of the arrays."""
        return check_reals(where, given, self.parameters, dtype) if given else self._defaults[dtype]

    def chosen(self, form, where, parameters):
        """Return the rule that the parameters choose, and the parameters that are numbers."""
        if self._flag in parameters:
            given = dict(parameters)
            return (self._others if check_flag(where, self._flag, given.pop(self._flag)) else self.rules)[form], given
        return self.rules[form], parameters

    def _apply(self, form, where, operands, out, parameters):
        """Check the operands, choose the loop for where the result goes, and run it."""
        rule = self.rules[form]
        if parameters:
            rule, parameters = self.chosen(form, where, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        values = self.values(where, parameters, x.dtype)
        out, over = check_out(where, out, x, operands)
        flat = [operand.ravel() for _, operand in operands]
        if over is None:
            join(map_into(out), rule)(x.size, out.ravel(), *flat, *values)
        else:
            flat[over] = out.ravel()  # the same memory, and writeable
            join(_IN_PLACE[over], rule)(x.size, *flat, *values)
        return out

    def __repr__(self):
        return f"<activation {self.name}>"


class RowActivation(Activation):
    """An activation that needs the whole last axis: softmax and its logarithm."""

    elementwise = False

    def _find(self, name):
        return tuple(getattr(rows, name + end) for end in ("", "_backward", "_backward_from_output"))

    def _apply(self, form, where, operands, out, parameters):
        rule, parameters = self.chosen(form, where, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        self.values(where, parameters, x.dtype)
        out, over = check_out(where, out, x, operands)
        shape, walk = (-1, x.shape[-1]), rows.map_rows if over is None else rows.map_rows_over
        join(walk, rule)(x.size // x.shape[-1], out.reshape(shape), *(a.reshape(shape) for _, a in operands))
        return out


class _ColumnActivation(Activation):
    """Of which the weight may be a vector, one for each column of the last axis."""

    def _apply(self, form, where, operands, out, parameters):
        weight = lent(where, "weight", parameters.get("weight"))
        if not isinstance(weight, np.ndarray):
            return super()._apply(form, where, operands, out, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        self.values(where, parameters | {"weight": 0.0}, x.dtype)  # the others are checked as ever
        check_array(where, "weight", weight, dtype=("x", x.dtype), shape=("the last axis of x", x.shape[-1:]))
        out, _ = check_out(where, out, x, operands)
        if np.may_share_memory(out, weight):
            raise ValueError(f"{where}: out overlaps weight in memory")
        shape = (-1, x.shape[-1])
        flat = (operand.reshape(shape) for _, operand in operands)
        join(rows.map_columns, self.rules[form])(x.size // x.shape[-1], out.reshape(shape), weight, *flat)
        return out


class _Maxout(Activation):
    """Of which the output is shorter than the input."""

    elementwise = False

    def _find(self, name):
        return rows.maxout, rows.maxout_backward, None

    def _apply(self, form, where, operands, out, parameters):
        ((_, x),) = check_alike(where, operands[-1:])
        self.values(where, parameters, x.dtype)
        pieces = parameters.get("pieces", 2)
        return maxout(x, pieces, out) if form == 0 else _maxout_backward(operands[0][1], ("x", x), pieces, out)


def _documentation(summary, names, parameters, flag, source):
    lines = [summary, "", "Parameters", "----------"]
    lines += [f"{', '.join(names)} : ndarray", "    float32 or float64, any shape, contiguous in C order."]
    lines += ["out : ndarray, optional", f"    Where to write: like {names[-1]}, or {' or '.join(names)} itself."]
    for name, (default, allowed) in parameters.items():
        lines += [f"{name} : float, default: {default:g}", f"    In {allowed}."]
    if flag:
        lines += [f"{flag} : bool, default: False", "    The other form of the references."]
    lines += ["", "Returns", "-------", "ndarray", f"    `out`, or a new array like {names[-1]}."]
    lines += ["", "Raises", "------", "TypeError, ValueError", "    If an array does not fit; nothing is written then."]
    if source:
        lines += ["", "References", "----------", source]
    return "\n".join(lines)


Activation("identity", "x", "lecun_normal")
Activation("sigmoid", "1 / (1 + e**-x)", "glorot_uniform")
Activation("log_sigmoid", "log(1 / (1 + e**-x))", "glorot_uniform")
Activation("hard_sigmoid", "min(max(x + 3, 0), 6) / 6", "glorot_uniform")
Activation("tanh", "tanh(x)", "glorot_uniform")
Activation("scaled_tanh", "1.7159 tanh(2 x / 3)", "lecun_normal", "LeCun, Bottou, Orr & Müller, 1998.")
Activation("hard_tanh", "min(max(x, min), max)", "glorot_uniform", min=(-1.0, REAL), max=(1.0, REAL))
Activation("relu", "max(x, 0)", "he_normal", "Nair & Hinton, ICML 2010.")
Activation(
    "leaky_relu",
    "x for x > 0, else negative_slope * x",
    "he_normal",
    "Maas, Hannun & Ng, ICML 2013.",
    negative_slope=(0.01, NON_NEGATIVE),
)
_ColumnActivation(
    "prelu", "x for x > 0, else weight * x", "he_normal", "He, Zhang, Ren & Sun, ICCV 2015.", weight=(0.25, REAL)
)
Activation("relu6", "min(max(x, 0), 6)", "he_normal")
Activation(
    "elu",
    "x for x > 0, else alpha * (e**x - 1)",
    "he_normal",
    "Clevert, Unterthiner & Hochreiter, ICLR 2016.",
    alpha=(1.0, NON_NEGATIVE),
)
Activation(
    "selu",
    "1.0507 * (x for x > 0, else 1.6733 * (e**x - 1))",
    "lecun_normal",
    "Klambauer, Unterthiner, Mayr & Hochreiter, NeurIPS 2017.",
)
Activation(
    "celu", "x for x > 0, else alpha * (e**(x / alpha) - 1)", "he_normal", "Barron, 2017.", alpha=(1.0, POSITIVE)
)
Activation(
    "gelu",
    "x times the normal distribution function of x",
    "he_normal",
    "Hendrycks & Gimpel, 2016. approximate=True is x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2.",
    variant=("approximate", "gelu_tanh"),
)
Activation("silu", "x / (1 + e**-x)", "he_normal", "Elfwing, Uchibe & Doya, 2018.")
Activation("hard_swish", "x min(max(x + 3, 0), 6) / 6", "he_normal", "Howard et al., ICCV 2019.")
Activation("mish", "x tanh(log(1 + e**x))", "he_normal", "Misra, BMVC 2020.")
Activation(
    "softplus",
    "log(1 + e**(beta x)) / beta, and x where beta x > threshold",
    "he_normal",
    "Dugas et al., NeurIPS 2001.",
    beta=(1.0, POSITIVE),
    threshold=(20.0, REAL),
)
Activation("softsign", "x / (1 + abs(x))", "glorot_uniform", "Turian, Bergstra & Bengio, 2009.")
Activation("unit_step", "0 for x < 0, else 1", "lecun_normal")
RowActivation("softmax", "e**x / sum e**x", "glorot_uniform", "Bridle, NeurIPS 1989.")
RowActivation("log_softmax", "x - log(sum e**x)", "glorot_uniform")
_Maxout(
    "maxout",
    "the largest of every `pieces` neighbours",
    "he_normal",
    "Goodfellow et al., ICML 2013.",
    pieces=(2, Range(1, inf)),
)


def _functions(name):
    return ACTIVATIONS[name].forward, ACTIVATIONS[name].backward


identity, identity_backward = _functions("identity")
sigmoid, sigmoid_backward = _functions("sigmoid")
log_sigmoid, log_sigmoid_backward = _functions("log_sigmoid")
hard_sigmoid, hard_sigmoid_backward = _functions("hard_sigmoid")
tanh, tanh_backward = _functions("tanh")
scaled_tanh, scaled_tanh_backward = _functions("scaled_tanh")
hard_tanh, hard_tanh_backward = _functions("hard_tanh")
relu, relu_backward = _functions("relu")
leaky_relu, leaky_relu_backward = _functions("leaky_relu")
relu6, relu6_backward = _functions("relu6")
elu, elu_backward = _functions("elu")
selu, selu_backward = _functions("selu")
celu, celu_backward = _functions("celu")
gelu, gelu_backward = _functions("gelu")
silu, silu_backward = _functions("silu")
hard_swish, hard_swish_backward = _functions("hard_swish")
mish, mish_backward = _functions("mish")
softplus, softplus_backward = _functions("softplus")
softsign, softsign_backward = _functions("softsign")
unit_step, unit_step_backward = _functions("unit_step")
softmax, softmax_backward = _functions("softmax")
log_softmax, log_softmax_backward = _functions("log_softmax")


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


for _form, _function in (("forward", maxout), ("backward", maxout_backward)):
    getattr(ACTIVATIONS["maxout"], _form).__doc__ = _function.__doc__
