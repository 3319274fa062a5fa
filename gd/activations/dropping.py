"""Dropout without a mask: the seed, the step and the position decide whether an element is kept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import CLOSED_UNIT, check_alike, check_integer, check_number, check_out
from ..kernels.compiler import join
from ..kernels.loops.elementwise import map_dropped
from ..kernels.random_numbers import key_of
from ..typing import Array
from .base import ACTIVATIONS, Activation, check_activation


def dropout(
    x: Array,
    p: float = 0.5,
    seed: int = 0,
    step: int = 0,
    out: Array | None = None,
    activation: str | Activation = "identity",
    **parameters: float | bool,
) -> NDArray[Any]:
    """Return activation(x) with each element set to 0 with probability p, else divided by 1 - p.

    Parameters
    ----------
    x : ndarray
        float32 or float64, any shape, contiguous in C order.
    p : float, default: 0.5
        In [0, 1].
    seed, step : int, default: 0
        They determine the pattern. `dropout_backward` must get the same two; each training step needs its own.
        0 or above.
    out : ndarray, optional
        Where to write: like x, or x itself.
    activation : str, default: "identity"
        An elementwise one of `gd.activations.ACTIVATIONS`, or of your own, applied in the same pass.
    **parameters
        Parameters of the activation.

    Returns
    -------
    ndarray
        `out`, or a new array like x. The pattern is the same for any number of threads.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; then nothing is written.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, JMLR 2014. Random numbers: SplitMix64 (Steele, Lea &
    Flood, OOPSLA 2014), indexed by position.

    Examples
    --------
    >>> import gd, numpy as np
    >>> y = gd.dropout(np.ones(6), p=0.5, seed=1)
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """
    return _apply("dropout", 0, (("x", x),), p, seed, step, out, activation, parameters)


def dropout_backward(
    dy: Array,
    p: float = 0.5,
    seed: int = 0,
    step: int = 0,
    out: Array | None = None,
    activation: str | Activation = "identity",
    x: Array | None = None,
    **parameters: float | bool,
) -> NDArray[Any]:
    """Return the gradient of `dropout` with respect to x: dy / (1 - p) times the activation's derivative, or 0.

    Parameters
    ----------
    dy : ndarray
        The gradient with respect to the output.
    p, seed, step, activation, **parameters
        As in the forward pass.
    out : ndarray, optional
        Where to write: like dy, or dy itself.
    x : ndarray, optional
        The input; required with an activation.

    Returns
    -------
    ndarray
        `out`, or a new array like dy.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; then nothing is written.
    """
    where = "dropout_backward"
    if isinstance(activation, str) and activation == "identity":
        return _apply(where, 0, (("dy", dy),), p, seed, step, out, activation, parameters)
    return _apply(where, 1, (("dy", dy), ("x", x)), p, seed, step, out, activation, parameters)


def _apply(where, form, operands, p, seed, step, out, activation, parameters):
    p = check_number(where, "p", p, CLOSED_UNIT)
    seed, step = check_integer(where, "seed", seed, 0), check_integer(where, "step", step, 0)
    names = [name for name, each in ACTIVATIONS.items() if each.elementwise]
    each = ACTIVATIONS[check_activation(where, "activation", activation, names)]
    operands = check_alike(where, operands)
    x = operands[0][1]
    rule, numbers = each.chosen(form, where, parameters)
    values = each.values(where, numbers, x.dtype)
    out, over = check_out(where, out, x, operands)
    if over:
        raise ValueError(f"{where}: out must not be {operands[over][0]}")
    if p == 1:  # also where x is infinite
        out.fill(0)
        return out
    scale = x.dtype.type(1 / (1 - p))
    flat = [operand.reshape(-1) for _, operand in operands]
    key = key_of(seed, step)
    join(map_dropped, rule)(x.size, out.reshape(-1), key, np.uint64(round(p * 2**64)), scale, *flat, *values)
    return out
