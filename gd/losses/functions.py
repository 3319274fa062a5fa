"""Losses: each function returns its value and the gradient with respect to the prediction, in one pass."""

from collections.abc import Callable, Collection
from math import nan
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    Registry,
    aligned_empty,
    check_alike,
    check_choice,
    check_flag,
    check_number,
    check_real,
)
from ..kernels import user_rules
from ..kernels.compiler import join
from ..kernels.gates import LOSS, Gate
from ..kernels.loops import losses as loops
from ..kernels.rules import losses as rules
from ..kernels.streaming import STREAM_FROM
from ..typing import Array, Reduction
from . import scores
from .base import ANY, COUNTS, PROBABILITIES, SIGNS, Loss, check_gradient, total
from .cross_entropy import REDUCTIONS, ValueAndGradient, softmax_cross_entropy

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SHARED = """
    reduction : {"mean", "sum", "none"}, default: "mean"
        Over all elements; "none" returns a value for each.
    out : ndarray, optional
        Where to write the gradient: like prediction, or prediction itself.

    Returns
    -------
    value : float, or ndarray for reduction="none"
        The loss; NaN if it is a mean over nothing. Sums are taken in fixed blocks: any number of threads gives the same
        bits.
    gradient : ndarray
        The derivative of the value with respect to the prediction: `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit, a parameter is out of range or the reduction is unknown; then nothing is written.
"""


def _elementwise(function: _Function) -> _Function:
    """Complete the docstring of an elementwise loss."""
    if function.__doc__ is None:  # python -OO
        return function
    before, mark, after = function.__doc__.partition("    ...\n")
    function.__doc__ = before + _SHARED.lstrip("\n") + after if mark else before + _SHARED
    return function


_gates: dict[Callable[..., Any], Gate] = {}  # by the rule


def _apply(where, rule, prediction, target, reduction, out, *parameters, targets=ANY):
    gate, is_mean = _gates.get(rule), type(reduction) is str and reduction == "mean"
    if gate is not None and is_mean and (out is None or targets is ANY):  # a gate may find wrong targets too late
        numbers = [value for _, value, _ in parameters]
        result = gate.enter(0, out, prediction, target, *numbers)
        if result is None:
            result = gate.split(out, prediction, target, *numbers)
        if result is not None:
            return result
    (_, prediction), (_, target) = check_alike(where, (("prediction", prediction), ("target", target)))
    check_choice(where, "reduction", reduction, REDUCTIONS)
    real, ranges = prediction.dtype.type, [(0.0, allowed) for _, _, allowed in parameters]
    parameters = [check_real(where, *each, prediction.dtype) for each in parameters]
    gradient, over = check_gradient(where, out, ("prediction", prediction), ("target", target))
    if out is not None or reduction == "none":
        targets.check(where, "target", target)
    g, *operands = (each.reshape(-1) for each in (gradient, prediction, target))
    if reduction == "none":
        values = aligned_empty(prediction.size, prediction.dtype)
        join(loops.elementwise_loss_values, rule)(prediction.size, values, g, *operands, *parameters)
        return values.reshape(prediction.shape), gradient
    scale = 1.0 if reduction != "mean" else 1 / prediction.size if prediction.size else nan
    sums = np.empty(loops.blocks_of(prediction.size))
    wrong = np.empty(sums.size, np.intp)
    if over:
        kernel, arrays = join(loops.elementwise_loss_over, rule, targets.allowed), (g, operands[1])
    else:
        kernel, arrays = loops.loss_into(g, rule, targets.allowed), (g, *operands)
    arguments = sums, wrong, *arrays, real(scale), *parameters
    kernel(len(sums), *arguments)
    if targets is not ANY and wrong.any():
        raise targets.error(where, "target", target)
    if is_mean and not over and 0 < prediction.nbytes < STREAM_FROM:
        if gate is None:
            gate = _gates[rule] = Gate(2, ranges, form=LOSS, block=loops.LOSS_BLOCK, below=STREAM_FROM)
        gate.admit(kernel, arguments, prediction.dtype)
    return total(sums) * scale, gradient


@_elementwise
def mse(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None
) -> ValueAndGradient:
    """Mean squared error: (prediction - target)**2, without a factor 1/2.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    ...

    Examples
    --------
    >>> import gd, numpy as np
    >>> gd.mse(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    (2.0, array([0., 2.]))
    """
    return _apply("mse", rules.squared, prediction, target, reduction, out)


@_elementwise
def mae(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None
) -> ValueAndGradient:
    """Mean absolute error: |prediction - target|; its derivative at 0 is 0.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    ...
    """
    return _apply("mae", rules.absolute, prediction, target, reduction, out)


@_elementwise
def huber(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, delta: float = 1.0, out: Array | None = None
) -> ValueAndGradient:
    """Huber's loss: error**2 / 2 where |error| <= delta, else delta (|error| - delta / 2).

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    delta : float, default: 1
        Above 0.
    ...

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964. With delta=1 it is `smooth_l1` with beta=1.
    """
    return _apply("huber", rules.huber, prediction, target, reduction, out, ("delta", delta, POSITIVE))


@_elementwise
def epsilon_insensitive(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, epsilon: float = 0.1, out: Array | None = None
) -> ValueAndGradient:
    """Epsilon-insensitive loss: max(0, |prediction - target| - epsilon); its derivative is 0 where it is 0.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    epsilon : float, default: 0.1
        Errors up to epsilon cost nothing; 0 or above.
    ...

    References
    ----------
    Vapnik, "The nature of statistical learning theory", 1995.
    """
    parameter = ("epsilon", epsilon, NON_NEGATIVE)
    return _apply("epsilon_insensitive", rules.epsilon_insensitive, prediction, target, reduction, out, parameter)


@_elementwise
def smooth_l1(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, beta: float = 1.0, out: Array | None = None
) -> ValueAndGradient:
    """Smooth L1 loss: error**2 / (2 beta) where |error| < beta, else |error| - beta / 2.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    beta : float, default: 1
        0 or above; with 0 the loss is `mae`.
    ...

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015.
    """
    return _apply("smooth_l1", rules.smooth_l1, prediction, target, reduction, out, ("beta", beta, NON_NEGATIVE))


@_elementwise
def binary_cross_entropy_with_logits(
    prediction: Array,
    target: Array,
    reduction: Reduction = "mean",
    *,
    positive_weight: float = 1.0,
    out: Array | None = None,
) -> ValueAndGradient:
    """Cross-entropy of sigmoid(prediction): -target log(s) - (1 - target) log(1 - s), stable for any logit.

    Parameters
    ----------
    prediction, target : ndarray
        Logits, and probabilities in [0, 1] (such as labels 0 and 1); float32 or float64, one dtype and shape.
    positive_weight : float, default: 1
        Multiplies the first term: above 1, missed positives cost more (PyTorch's pos_weight).
    ...
    """
    where = "binary_cross_entropy_with_logits"
    weight = ("positive_weight", positive_weight, NON_NEGATIVE)
    return _apply(where, rules.logistic, prediction, target, reduction, out, weight, targets=PROBABILITIES)


@_elementwise
def hinge(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None
) -> ValueAndGradient:
    """Hinge loss: max(0, 1 - target * prediction); its derivative at the kink is 0.

    Parameters
    ----------
    prediction, target : ndarray
        Scores, and classes -1 and 1; float32 or float64, one dtype and shape.
    ...
    """
    return _apply("hinge", rules.hinge, prediction, target, reduction, out, targets=SIGNS)


@_elementwise
def squared_hinge(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None
) -> ValueAndGradient:
    """Squared hinge loss: max(0, 1 - target * prediction)**2.

    Parameters
    ----------
    prediction, target : ndarray
        Scores, and classes -1 and 1; float32 or float64, one dtype and shape.
    ...
    """
    return _apply("squared_hinge", rules.squared_hinge, prediction, target, reduction, out, targets=SIGNS)


@_elementwise
def poisson(
    prediction: Array,
    target: Array,
    reduction: Reduction = "mean",
    *,
    log_input: bool = True,
    eps: float = 1e-8,
    out: Array | None = None,
) -> ValueAndGradient:
    """Poisson loss: e**prediction - target * prediction; terms that depend on the target alone are left out.

    Parameters
    ----------
    prediction, target : ndarray
        Logarithms of rates, and counts; float32 or float64, one dtype and shape.
    log_input : bool, default: True
        If False, predictions are rates: prediction - target * log(prediction + eps), as in Keras.
    eps : float, default: 1e-8
        0 or above.
    ...
    """
    check_number("poisson", "eps", eps, NON_NEGATIVE)
    if check_flag("poisson", "log_input", log_input):
        return _apply("poisson", rules.poisson, prediction, target, reduction, out, targets=COUNTS)
    parameter = ("eps", eps, NON_NEGATIVE)
    return _apply("poisson", rules.poisson_of_rate, prediction, target, reduction, out, parameter, targets=COUNTS)


@_elementwise
def quantile(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, q: float = 0.5, out: Array | None = None
) -> ValueAndGradient:
    """Pinball loss: q * error for error = target - prediction > 0, else (q - 1) * error.

    Parameters
    ----------
    prediction, target : ndarray
        float32 or float64, one dtype and shape, any number of dimensions.
    q : float, default: 0.5
        The quantile to predict, in (0, 1). With 0.5 the loss is half of `mae`.
    ...

    References
    ----------
    Koenker & Bassett, "Regression quantiles", 1978.
    """
    return _apply("quantile", rules.quantile, prediction, target, reduction, out, ("q", q, OPEN_UNIT))


@_elementwise
def kl_divergence(
    prediction: Array, target: Array, reduction: Reduction = "mean", *, out: Array | None = None
) -> ValueAndGradient:
    """Kullback-Leibler divergence: target * (log(target) - prediction), 0 where target is 0.

    Parameters
    ----------
    prediction, target : ndarray
        Log-probabilities, such as `log_softmax` returns, and probabilities; float32 or float64, one dtype and
        shape. As in PyTorch's kl_div, "mean" is over elements; the mean divergence of n distributions is the
        "sum" divided by n.
    ...
    """
    return _apply("kl_divergence", rules.kullback_leibler, prediction, target, reduction, out, targets=PROBABILITIES)


LOSSES: Registry[Loss] = Registry(lambda value: isinstance(value, Loss))
LOSSES |= {
    "softmax_cross_entropy": Loss(softmax_cross_entropy, score=scores.accuracy),
    "mse": Loss(mse, rules.squared),
    "mae": Loss(mae, rules.absolute, score=scores.d_squared_pinball),
    "huber": Loss(huber, rules.huber, {"delta": (1.0, POSITIVE)}),
    "epsilon_insensitive": Loss(epsilon_insensitive, rules.epsilon_insensitive, {"epsilon": (0.1, NON_NEGATIVE)}),
    "smooth_l1": Loss(smooth_l1, rules.smooth_l1, {"beta": (1.0, NON_NEGATIVE)}),
    "binary_cross_entropy_with_logits": Loss(
        binary_cross_entropy_with_logits,
        rules.logistic,
        {"positive_weight": (1.0, NON_NEGATIVE)},
        PROBABILITIES,
        scores.accuracy_of_logits,
    ),
    "hinge": Loss(hinge, rules.hinge, {}, SIGNS, scores.accuracy_of_signs),
    "squared_hinge": Loss(squared_hinge, rules.squared_hinge, {}, SIGNS, scores.accuracy_of_signs),
    "poisson": Loss(poisson, rules.poisson, {}, COUNTS, scores.d_squared_poisson),
    "quantile": Loss(quantile, rules.quantile, {"q": (0.5, OPEN_UNIT)}, score=scores.d_squared_pinball),
    "kl_divergence": Loss(kl_divergence, rules.kullback_leibler, {}, PROBABILITIES, scores.r_squared_of_logarithms),
}
ALIASES: dict[str, str] = {  # former names of the losses of linear models, and one of scikit-learn's
    "squared_error": "mse",
    "squared": "mse",
    "logistic": "binary_cross_entropy_with_logits",
    "softmax": "softmax_cross_entropy",
}


def check_loss(where: str, name: Any, choices: Collection[str] | None = None) -> Any:
    """Return the name in `LOSSES` of a loss or an alias, if it is one of the choices, or a user's loss; or raise."""
    known = LOSSES.key(name)
    if isinstance(known, Loss):
        user_rules.check_globals(known.rule)
        return known
    name = known or name
    if choices is not None:
        check_choice(where, "loss", name, choices)
    if isinstance(name, str) and name in ALIASES:
        return ALIASES[name]
    return check_choice(where, "loss", name, LOSSES)


def public_functions() -> dict[str, Callable[..., tuple[Any, NDArray[Any]]]]:
    """Return the public functions of all losses, by name."""
    return {name: loss.function for name, loss in LOSSES.items()}
