"""The score of each loss: the field's own figure, higher for better predictions, from what the loss takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Score = Callable[..., float]  # (target, prediction, weights of rows or None, **parameters of the loss)
Weights = NDArray[Any] | None


def r_squared(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return the coefficient of determination 1 - (squared errors) / (squared distances from the mean).

    It is the mean over outputs. If the targets are constant, it is 1 for perfect predictions and 0 for others.
    """
    y, z = _columns(target), _columns(prediction)
    with np.errstate(over="ignore", invalid="ignore"):
        return _mean_share(y, *(_means((y - each) ** 2, weights) for each in (z, _means(y, weights))))


def accuracy(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return the share of rows whose largest logit is that of their label, or of their likeliest class."""
    labels = target if target.ndim == 1 else target.argmax(axis=1)
    return _of_all(prediction.argmax(axis=1) == labels, prediction, weights)


def accuracy_of_logits(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return the share of logits with the right sign, for targets above and below 1/2."""
    return _of_all((prediction > 0) == (target > 0.5), prediction, weights)


def accuracy_of_signs(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return the share of predictions with the right sign, for targets -1 and 1."""
    return _of_all((prediction > 0) == (target > 0), prediction, weights)


def d_squared_pinball(
    target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, q: float = 0.5, **_: Any
) -> float:
    """Return 1 - (pinball loss) / (that of the targets' quantile), the mean over outputs: D**2 of scikit-learn."""
    y, z = _columns(target), _columns(prediction)

    def pinball(error):
        return _means(np.maximum(q * error, (q - 1) * error), weights)

    quantile = np.quantile(y, q, axis=0) if weights is None else _weighted_quantile(y, q, weights)
    return _mean_share(y, pinball(y - z), pinball(y - quantile))


def d_squared_poisson(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return 1 - deviance / (that of the targets' mean) of the rates e**prediction, the mean over outputs."""
    y, z = _columns(target), _columns(prediction)

    def deviance(log_rate):
        terms = y * (np.log(np.where(y > 0, y, 1)) - log_rate) - y + np.exp(log_rate)
        terms = np.where(np.abs(terms) < 8 * np.finfo(float).eps * y, 0, terms)  # of rounding
        return _means(np.where(y > 0, terms, np.exp(log_rate)), weights)

    with np.errstate(all="ignore"):
        return _mean_share(y, deviance(z), deviance(np.log(_means(y, weights))))


def r_squared_of_logarithms(target: NDArray[Any], prediction: NDArray[Any], weights: Weights = None, **_: Any) -> float:
    """Return `r_squared` of the probabilities e**prediction."""
    with np.errstate(over="ignore"):
        return r_squared(target, np.exp(prediction.astype(np.float64)), weights)


def _columns(x: NDArray[Any]) -> NDArray[np.float64]:
    return x.reshape(len(x), -1).astype(np.float64)


def _means(columns: NDArray[Any], weights: Weights) -> NDArray[Any]:
    """Return the mean of each column; NaN without rows or weights."""
    with np.errstate(invalid="ignore"):
        return columns.mean(axis=0) if weights is None else weights @ columns / weights.sum()


def _of_all(right: NDArray[np.bool_], prediction: NDArray[Any], weights: Weights) -> float:
    """Return the share of what is right; predictions of NaN are not."""
    unknown = np.isnan(prediction)
    right = right & ~(unknown if right.ndim == prediction.ndim else unknown.any(axis=1))
    return float(right.mean() if weights is None else _means(_columns(right), weights).mean())


def _weighted_quantile(columns: NDArray[Any], q: float, weights: NDArray[Any]) -> NDArray[Any]:
    """Return of each column the least value that a share q of the weights does not exceed."""
    order = np.argsort(columns, axis=0, kind="stable")
    sums = np.cumsum(weights[order], axis=0)
    at = np.minimum((sums < q * sums[-1]).sum(axis=0), len(columns) - 1)
    return np.take_along_axis(columns, np.take_along_axis(order, at[np.newaxis], axis=0), axis=0)[0]


def _mean_share(y: NDArray[Any], errors: NDArray[Any], spreads: NDArray[Any]) -> float:
    """Return the mean over outputs of 1 - error / spread; of 1 or 0 where the targets are constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(np.ptp(y, axis=0) == 0, errors == 0, 1 - errors / spreads)))
