"""The score of each loss: the field's own figure, higher for better predictions, from what the loss takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Score = Callable[..., float]  # (target, prediction, **parameters of the loss)


def r_squared(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return the coefficient of determination 1 - (squared errors) / (squared distances from the mean).

    The sums are over all outputs. If the targets are constant, it is 1 for perfect predictions and 0 for others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.sum((target.astype(np.float64) - prediction) ** 2)
        spread = np.sum((target - target.mean(axis=0, dtype=np.float64)) ** 2)
    return _share(errors, spread)


def accuracy(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return the share of rows whose largest logit is that of their label."""
    return float(np.mean(prediction.argmax(axis=1) == target))


def accuracy_of_logits(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return the share of logits with the right sign, for targets above and below 1/2."""
    return float(np.mean((prediction > 0) == (target > 0.5)))


def accuracy_of_signs(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return the share of predictions with the right sign, for targets -1 and 1."""
    return float(np.mean((prediction > 0) == (target > 0)))


def d_squared_pinball(target: NDArray[Any], prediction: NDArray[Any], q: float = 0.5) -> float:
    """Return 1 - (pinball loss) / (that of the targets' quantile), the mean over outputs: D**2 of scikit-learn."""
    y, z = _columns(target), _columns(prediction)

    def pinball(error):
        return np.mean(np.maximum(q * error, (q - 1) * error), axis=0)

    return _mean_share(pinball(y - z), pinball(y - np.quantile(y, q, axis=0)))


def d_squared_poisson(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return 1 - deviance / (that of the targets' mean) of the rates e**prediction, the mean over outputs."""
    y, z = _columns(target), _columns(prediction)

    def deviance(log_rate):
        terms = y * (np.log(np.where(y > 0, y, 1)) - log_rate) - y + np.exp(log_rate)
        return np.mean(np.where(y > 0, terms, np.exp(log_rate)), axis=0)

    with np.errstate(all="ignore"):
        return _mean_share(deviance(z), deviance(np.log(np.mean(y, axis=0))))


def r_squared_of_logarithms(target: NDArray[Any], prediction: NDArray[Any], **_: Any) -> float:
    """Return `r_squared` of the probabilities e**prediction."""
    with np.errstate(over="ignore"):
        return r_squared(target, np.exp(prediction.astype(np.float64)))


def _columns(x: NDArray[Any]) -> NDArray[np.float64]:
    return x.reshape(len(x), -1).astype(np.float64)


def _share(error: Any, spread: Any) -> float:
    return float(1 - error / spread) if spread > 0 else float(error == 0)


def _mean_share(errors: NDArray[Any], spreads: NDArray[Any]) -> float:
    return float(np.mean([_share(error, spread) for error, spread in zip(errors, spreads, strict=True)]))
