"""Loss, an entry of `LOSSES`; and sums, scores and checks that losses and models share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import CLOSED_UNIT, OfUser, Range, check_array, check_number, check_out, check_reals
from ..kernels.compiler import join
from ..kernels.gate_code import MOST_SUMS
from ..kernels.loops import cross_entropy
from ..kernels.loops import losses as loops
from ..kernels.rules import losses as rules
from ..typing import Array
from .scores import Score, r_squared


def total(values: NDArray[np.float64]) -> float:
    """Return the sum of a float64 vector in a fixed order, that of gates if it is short; infinite if it overflows."""
    if values.size == 1:
        return values.item()  # in a tenth of the time
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.cumsum()[-1] if 0 < values.size <= MOST_SUMS else values.sum())


def check_gradient(
    where: str, out: Any, prediction: tuple[str, NDArray[Any]], *others: tuple[str, Any]
) -> tuple[NDArray[Any], bool]:
    """Return the array for the gradient, and True if it is the prediction itself.

    If `out` is None, allocate; otherwise it must be like the prediction, and overlap none of the other arrays.
    """
    gradient, over = check_out(where, out, prediction[1], (prediction,))
    for name, array in others if out is not None else ():
        if isinstance(array, np.ndarray) and np.may_share_memory(gradient, array):
            raise ValueError(
                f"{where}: out overlaps {name} in memory; it may be {prediction[0]}, or an array of its own"
            )
    return gradient, over is not None


class Domain(NamedTuple):
    """The targets that a loss takes."""

    allowed: Callable[..., Any]  # a rule: True for a target that will do
    text: str
    advice: str = ""

    def __repr__(self) -> str:
        return f"<targets: {self.text}>"

    def error(self, where: str, name: str, y: NDArray[Any]) -> ValueError:
        """Return what to raise for targets of which some are wrong."""
        wrong = next(each for each in y.flat if not self.allowed(each))
        advice = self.advice if np.isin(y, (0, 1)).all() else ""
        return ValueError(f"{where}: {name} must be {self.text}, got {wrong}{advice}")

    def check(self, where: str, name: str, y: NDArray[Any]) -> None:
        """Raise if a target is wrong."""
        if self.allowed is rules.any_target:
            return
        wrong = np.empty(loops.blocks_of(y.size), np.intp)
        join(loops.wrong_targets, self.allowed)(wrong.size, wrong, np.ascontiguousarray(y).reshape(-1))
        if wrong.any():
            raise self.error(where, name, y)


ANY = Domain(rules.any_target, "numbers")
PROBABILITIES = Domain(rules.probability, "in [0, 1]")
SIGNS = Domain(rules.sign_target, "-1 or 1", "; 2 * y - 1 makes them of classes 0 and 1")
COUNTS = Domain(rules.count_target, "0 or above")


def is_distribution(y: Any, classes: int) -> bool:
    """Return True if targets are probabilities of all classes, or one-hot rows, rather than labels."""
    return isinstance(y, np.ndarray) and y.ndim == 2 and (y.dtype.kind == "f" or y.shape[1] == classes > 1)


def check_distributions(where: str, name: str, y: NDArray[Any]) -> None:
    """Raise unless each row holds the probabilities of all classes, or NaN."""
    PROBABILITIES.check(where, name, y)
    sums = y.sum(axis=1, dtype=np.float64)
    wrong = sums[np.abs(sums - 1) > 0.01]
    if wrong.size:
        raise ValueError(
            f"{where}: each row of {name} must sum to 1, as probabilities do, got a row of sum {wrong[0]:g}"
        )


def rates(logarithms: NDArray[Any]) -> NDArray[Any]:
    """Return e**x, which is what a model with the loss poisson predicts."""
    with np.errstate(over="ignore"):
        return np.exp(logarithms)


class Loss(OfUser):
    """A loss: its function for users, and its rule for the kernels of models.

    Attributes
    ----------
    function : callable
        ``function(prediction, target, reduction="mean", out=None, **parameters)``; the loss can be called itself, too.
    rule : callable or None
        For one element; None for softmax_cross_entropy.
    parameters : dict of str to (default, Range)
        Of the rule.
    targets : Domain
    score : Score
    """

    def __init__(
        self,
        function: Callable[..., tuple[Any, NDArray[Any]]],
        rule: Callable[..., Any] | None = None,
        parameters: Mapping[str, tuple[float, Range]] | None = None,
        targets: Domain = ANY,
        score: Score = r_squared,
        of_user: bool = False,
    ) -> None:
        self.function, self.rule, self.parameters = function, rule, dict(parameters or {})
        self.targets, self.score, self.of_user = targets, score, of_user
        self.name, self.__module__ = function.__name__, function.__module__

    def __call__(self, *arguments: Any, **keywords: Any) -> tuple[Any, NDArray[Any]]:
        """Return what `function` does."""
        return self.function(*arguments, **keywords)

    def __repr__(self) -> str:
        return f"<loss {self.name}>"

    @property
    def labels(self) -> bool:
        """True if targets are class labels, and predictions logits."""
        return self.rule is None

    def of_row(
        self,
        where: str,
        given: Mapping[str, Any],
        width: int,
        dtype: np.dtype[Any],
        optional: bool = False,
        soft: bool = False,
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the loss of a row for kernels, and its parameters.

        If `optional`, a label may be IGNORED. If `soft`, there are probabilities of all classes in place of labels.
        """
        if self.labels:
            return _cross_entropy_row(where, given, width, dtype, optional, soft)
        return loops.row_of(self.rule), check_reals(where, given, self.parameters, dtype)

    def judged(
        self, z: NDArray[Any], y: NDArray[Any], weights: NDArray[Any], given: Mapping[str, Any]
    ) -> tuple[float, float]:
        """Return the mean loss and the score of predictions; the rows have weights, or none."""
        if not weights.size:
            return float(self.function(z, y, **given)[0]), self.score(y, z, None, **given)
        values = self.function(z, y, "none", **given)[0].reshape(len(y), -1)
        each = weights.astype(np.float64)
        of_class = given.get("class_weights") if self.labels and y.ndim == 1 else None
        divisor = values.shape[1] * float(np.sum(each if of_class is None else each * np.asarray(of_class)[y]))
        value = float(each @ values.sum(axis=1, dtype=np.float64))
        return value / divisor if divisor else np.nan, self.score(y, z, each, **given)


def _cross_entropy_row(where, given, width, dtype, optional, soft):
    """Return the loss of a row and its parameters, as `softmax_cross_entropy` chooses them."""
    for name in given.keys() - {"label_smoothing", "class_weights"}:
        raise TypeError(f"{where}: unexpected keyword {name!r}")
    smoothing = check_number(where, "label_smoothing", given.get("label_smoothing", 0.0), CLOSED_UNIT)
    weights = given.get("class_weights")
    if not smoothing and weights is None and not optional and not soft:
        return cross_entropy.LABELS.row, ()
    weights = check_class_weights(where, weights, width, ("the model", dtype))
    if soft:
        return cross_entropy.PROBABILITIES.row, (weights, dtype.type(smoothing))
    if smoothing:
        return cross_entropy.SMOOTHED_LABELS.row, (weights, dtype.type(smoothing))
    return cross_entropy.WEIGHTED_LABELS.row, (weights,)


def check_class_weights(
    where: str, weights: Array | None, classes: int, dtype: tuple[str, np.dtype[Any]]
) -> NDArray[Any]:
    """Return the class weights (all 1 if None) if they are finite and 0 or above, else raise."""
    given = np.ones(classes, dtype[1]) if weights is None else weights
    weights = check_array(where, "class_weights", given, dtype=dtype, shape=("a row of logits", (classes,)))
    if not (weights >= 0).all():
        raise ValueError(f"{where}: class_weights must be 0 or above, got {weights.min()}")
    if np.isinf(weights).any():
        raise ValueError(f"{where}: class_weights must be finite, got {weights.max()}")
    return weights
