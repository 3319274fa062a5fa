"""Standardization of regression targets: models train on targets of one scale, users see their own units."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..losses import LOSSES

LOGARITHMIC = "poisson"  # its outputs are logarithms of rates: targets are divided by their mean, not shifted
WIDTHS = {"huber": "delta", "smooth_l1": "beta", "epsilon_insensitive": "epsilon"}  # parameters in units of the error


class Statistics(NamedTuple):
    """Means and standard deviations of targets, one per output, and the weight of their rows."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weight: float

    @property
    def width(self) -> NDArray[np.float64]:
        """The deviation; in place of 0 stands the size of the mean, or 1 if that is 0."""
        size = np.abs(self.mean)
        return np.where(self.deviation <= 1e-13 * size, np.where(size == 0, 1.0, size), self.deviation)  # of rounding

    def merged(self, more: "Statistics") -> "Statistics":
        """Return the statistics of the targets of both (Chan, Golub & LeVeque 1983)."""
        total = self.weight + more.weight
        own, others, gap = self.weight / total, more.weight / total, more.mean - self.mean
        within = np.hypot(np.sqrt(own) * self.deviation, np.sqrt(others) * more.deviation)
        return Statistics(self.mean + others * gap, np.hypot(within, np.sqrt(own * others) * gap), total)

    def suits(self, found: "Statistics") -> bool:
        """Return True if targets of the statistics found are of size 1, to a factor of 4, in units of these."""
        ratio, gap = found.width / self.width, np.abs(found.mean - self.mean) / self.width
        return bool(np.all((ratio <= 4) & (ratio >= 1 / 4) & (gap <= 4)))


def statistics(y: NDArray[np.float64], weights: NDArray[Any] | None, shifted: bool = True) -> Statistics:
    """Return the weighted statistics of targets, of shape (rows,) or (rows, outputs).

    If targets are not to be shifted, mean and deviation are 0 and the root of the mean square.
    """
    columns = y.reshape(len(y), -1)
    size = np.abs(columns).max(axis=0)
    size[size == 0] = 1.0
    columns = columns / size  # whose squares do not overflow
    mean = np.average(columns, axis=0, weights=weights) * shifted
    deviation = np.sqrt(np.average(np.square(columns - mean), axis=0, weights=weights))
    return Statistics(mean * size, deviation * size, float(len(y) if weights is None else weights.sum()))


class Standardization(NamedTuple):
    """Targets (y - shift) / scale, and the loss that a model takes of them; outputs z * factor + offset in units of y.

    The model's objective is the user's, divided by a constant, so both have one minimum. For targets (y - m) / s and
    weights w / s, the squared error is 1 / s**2 of that in units of y: l2 stays, and l1 becomes l1 / s. For losses that
    grow like the error, l1 stays, and l2 becomes l2 s. With the Poisson loss targets are divided by their mean m, whose
    logarithm is added to the outputs: penalties become l1 / m and l2 / m.

    Scales are powers of two (but for that mean), so that weights are the same to the bit in both units.
    """

    loss: Any  # a key of LOSSES
    parameters: dict[str, Any]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]
    offset: NDArray[np.float64]
    ratio: NDArray[np.float64]  # factor / (loss in units of y) * (loss of standardized targets)

    def standardized(self, y: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return targets as the model takes them."""
        columns = (y.reshape(len(y), -1) - self.shift) / self.scale
        return np.ascontiguousarray(columns.reshape(y.shape), dtype)

    def penalties(self, l1: float, l2: float) -> tuple[float, float]:
        """Return the penalties of a linear model's weights beside the loss of standardized targets."""
        return float(l1 * self.ratio[0]), float(l2 * self.ratio[0] * self.factor[0])

    def loss_in_units(self, loss: float, mean_target: float) -> float:
        """Return a mean loss in units of y; as it is if outputs have several scales."""
        if np.ptp(self.scale):
            return loss
        with np.errstate(over="ignore"):
            size = float(self.factor[0] / self.ratio[0])
        return size * (loss - float(self.offset[0]) * mean_target if self.loss == LOGARITHMIC else loss)


def standardization(
    loss: Any, given: Mapping[str, Any], l1: float, l2: float, found: Statistics
) -> tuple[Standardization, float]:
    """Return the standardization for a loss in units of y, with the penalties of a linear model.

    Each output has its own scale if penalties and parameters of the loss remain the same for all, else all have one.
    Also return the factor by which scales differ that are one.
    """
    own, mean, width = _scaled(loss, given, found.mean, found.width), found.mean, found.width
    shared = np.ptp(own.scale) and (
        loss in WIDTHS or (l1 and np.ptp(own.ratio)) or (l2 and np.ptp(own.ratio * own.factor))
    )
    if not shared:
        return own, 1.0
    mean = np.full_like(mean, mean.mean()) if loss == LOGARITHMIC else mean
    width = np.sqrt(np.mean(np.square(width / width.max()))) * width.max()
    return _scaled(loss, given, mean, np.full_like(mean, width)), own.scale.max() / own.scale.min()


def _scaled(loss: Any, given: Mapping[str, Any], mean: NDArray[Any], deviation: NDArray[Any]) -> Standardization:
    one, zero, parameters = np.ones_like(mean), np.zeros_like(mean), dict(given)
    if loss == LOGARITHMIC:
        size = np.where(mean > 0, mean, 1.0)
        return Standardization(loss, parameters, zero, size, one, np.log(size), 1 / size)
    if loss not in ("mse", "mae", "quantile", *WIDTHS):  # how others scale is not known here
        return Standardization(loss, parameters, zero, one, one, zero, one)
    s = np.exp2(np.floor(np.log2(deviation) + 1e-9))  # deviations become 1 to 2; 1e-9, as 1 may come out as 0.999...
    name = WIDTHS.get(loss, "")
    if name:
        parameters[name] = given.get(name, LOSSES[loss].parameters[name][0]) / s[0]
    if loss not in ("huber", "smooth_l1"):
        return Standardization(loss, parameters, mean, s, s, mean, 1 / s if loss == "mse" else one)
    # huber(error, d) is d smooth_l1(error, d): take the one whose gradients are of size 1 for errors of size 1
    width, delta = parameters[name], parameters[name] * s[0]
    taken = "smooth_l1" if width < 1 else "huber"
    ratio = (1 / delta if width < 1 else 1 / s[0]) if loss == "huber" else max(width, 1.0)
    return Standardization(taken, {WIDTHS[taken]: float(width)}, mean, s, s, mean, one * ratio)
