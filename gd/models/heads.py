"""Heads: the outputs of a network, each with its own loss, weight and targets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, Activation, check_activation
from ..checks import NON_NEGATIVE, check_array, check_label_array, check_labels, check_real, lent
from ..kernels.loops import losses as loops
from ..kernels.loops.cross_entropy import IGNORED
from ..losses import ALIASES, LOSSES, Loss, check_distributions, check_loss, is_distribution, rates

FUSED = {"softmax": "softmax_cross_entropy", "sigmoid": "binary_cross_entropy_with_logits"}
ROWS = ("softmax", "log_softmax")
ELEMENTWISE = tuple(
    name for name, each in ACTIVATIONS.items() if each.elementwise and each.rules[2] and not each.parameters
)
OUTPUTS = (*ELEMENTWISE, *ROWS)


def check_output(where: str, output: Any) -> Any:
    """Return a key of ACTIVATIONS that outputs can have, else raise."""
    found = check_activation(where, "output", output, OUTPUTS)
    if not isinstance(found, str) and (found.rules[2] is None or found.parameters):
        raise ValueError(f"{where}: output must have backward_from_output and no parameters, got {found!r}")
    return found


@dataclass(frozen=True)
class Head:
    """One of several outputs of an `MLP`, for its argument `heads`.

    Parameters
    ----------
    outputs : int
    loss, output : str, or of your own, optional
        By default those of the network.
    weight : float, default: 1
        Multiplies the loss; 0 or above.
    loss_parameters : dict, optional
        As in `MLP`; by default those of the network if the loss is the same.
    """

    outputs: int
    loss: str | Loss | None = None
    weight: float = 1.0
    output: str | Activation | None = None
    loss_parameters: Mapping[str, Any] | None = None

    def completed(self, loss: Any, output: Any, loss_parameters: Mapping[str, Any]) -> "Head":
        """Return this head with the network's loss, output and loss parameters in place of those that are None."""
        same = self.loss is None or ALIASES.get(str(self.loss), self.loss) == loss  # the parameters belong to this loss
        inherited: dict[str, Any] = {"loss": loss, "output": output, "loss_parameters": loss_parameters if same else {}}
        return replace(self, **{name: value for name, value in inherited.items() if getattr(self, name) is None})


class Output:
    """One output of a network: the loss of a row for kernels, the checks of its targets, and its score.

    If `optional`, targets may be missing: the label is -1, or the whole row is NaN. Such a row has no loss here, and
    means are over the other rows.
    """

    width: int
    loss: Any  # a key of LOSSES
    output: Any  # of ACTIVATIONS
    weight: float
    labels: bool
    dtype: np.dtype[Any]
    optional: bool
    fused: bool
    given: dict[str, Any]  # parameters of the loss

    def __init__(self, where: str, head: Head, dtype: np.dtype[Any], optional: bool) -> None:
        self.width = head.outputs
        self.loss = check_loss(where, head.loss)
        self.output = check_output(where, head.output)
        self.weight = float(check_real(where, "weight", head.weight, NON_NEGATIVE, dtype))
        self.labels, self.dtype, self.optional = LOSSES[self.loss].labels, dtype, optional
        if not isinstance(head.loss_parameters, Mapping):
            raise TypeError(f"{where}: loss_parameters must be a dict, got {type(head.loss_parameters).__name__}")
        row, numbers = LOSSES[self.loss].of_row(where, dict(head.loss_parameters), self.width, dtype, optional)
        fused = self.fused = FUSED.get(self.output) == self.loss  # the loss contains the activation
        self.given = dict(head.loss_parameters)
        if self.labels and not fused and self.output != "identity":
            raise ValueError(f"{where}: output must be identity or softmax with {self.loss}, got {self.output!r}")
        if optional and not self.labels:
            row = loops.present_row_of(row)
        if self.output != "identity" and not fused:
            rules = ACTIVATIONS[self.output].rules
            row = (loops.through_rows if self.output in ROWS else loops.through)(rules[0], rules[2], row)
        # both are kept, as kernels read the arrays among the numbers
        self._row: tuple[Any, tuple[Any, ...]] = row, numbers
        self._soft: Any = None  # likewise, for probabilities
        self._class_weights = numbers[0] if self.labels and numbers else None

    def row(self, y: NDArray[Any]) -> tuple[Any, tuple[Any, ...]]:
        """Return the loss of a row for kernels, and its parameters, for such targets."""
        if not self.labels or y.ndim == 1:
            return self._row
        if self._soft is None:
            row, numbers = LOSSES[self.loss].of_row("MLP", self.given, self.width, self.dtype, soft=True)
            self._soft = loops.present_row_of(row) if self.optional else row, numbers
        return self._soft

    def check(self, where: str, name: str, y: Any, rows: int) -> NDArray[Any]:
        """Return the targets of `rows` rows as kernels take them, or raise; None are those that are all missing."""
        if y is None and self.optional:
            return np.full(rows, IGNORED, np.intp) if self.labels else np.full((rows, self.width), nan, self.dtype)
        y = lent(where, name, y)
        soft = self.labels and is_distribution(y, self.width)
        if not self.labels or soft:
            y = y.astype(self.dtype) if soft and y.dtype.kind != "f" else y
            shape = ("the output", (rows, self.width))
            y = check_array(where, name, y, dtype=("the model", self.dtype), shape=shape, any_size=not rows)
            (check_distributions if soft else LOSSES[self.loss].targets.check)(where, name, y)
            if self.optional:
                missing = np.isnan(y)
                partly = missing.any(axis=1) != missing.all(axis=1)
                if partly.any():
                    raise ValueError(
                        f"{where}: {name} must be NaN in all columns of a row or in none, got {y[partly][0]}"
                    )
            return y
        if not self.optional:
            return check_labels(where, name, y, rows, self.width)
        y = check_label_array(where, name, y, rows)
        if rows and (y.min() < IGNORED or y.max() >= self.width):
            raise ValueError(
                f"{where}: {name} must be 0 to {self.width - 1}, or -1 where it is missing, got {y.min()} to {y.max()}"
            )
        return np.ascontiguousarray(y, np.intp)

    def divisor(self, y: NDArray[Any], rows: NDArray[np.intp], weights: NDArray[Any]) -> float:
        """Return the divisor that turns the sum of the losses of some rows into their mean.

        The mean is over the targets that are not missing. Rows have weights, or none.
        """
        count = float(rows.size)
        if y.ndim == 1 and self._class_weights is not None:
            labels = y[rows]
            each = self._class_weights[labels] * weights[rows] if weights.size else self._class_weights[labels]
            count = float(np.sum(each, where=labels >= 0, dtype=np.float64))
        elif weights.size:
            present = ~np.isnan(y[rows, 0]) if self.optional else True
            count = float(np.sum(weights[rows], where=present, dtype=np.float64))
        elif self.optional:
            count -= int(np.isnan(y[rows, 0]).sum())
        return count if self.labels else count * self.width

    def activated(self, z: NDArray[Any]) -> NDArray[Any]:
        """Return activation(z), computed in place."""
        return z if self.output == "identity" else ACTIVATIONS[self.output].forward(z, out=z)

    def predicted(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return the class of each row if the loss takes labels, rates with poisson, else the outputs as they are."""
        return y.argmax(axis=1) if self.labels else rates(y) if self.loss == "poisson" else y

    def judged(self, y: NDArray[Any], z: NDArray[Any], weights: NDArray[Any]) -> tuple[float | None, float | None]:
        """Return (loss, score) over the rows that have a target, None if no row has one; z may be overwritten."""
        if self.optional:
            present = y >= 0 if y.ndim == 1 else ~np.isnan(y[:, 0])
            y, z, weights = y[present], z[present], weights[present] if weights.size else weights
        if not len(y):
            return None, None
        return LOSSES[self.loss].judged(z if self.fused else self.activated(z), y, weights, self.given)
