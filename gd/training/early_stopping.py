"""EarlyStopping: the rule by which `fit` stops before its last epoch."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, check_flag, check_integer, check_monitor, check_number
from .history import History, Monitor

if TYPE_CHECKING:
    from .loop import Training

NO_COUNTS: dict[str, Any] = {"rates": {}, "schedules": {}}


@dataclass(frozen=True)
class EarlyStopping:
    """Let `fit` stop before its last epoch, when what it monitors does not improve any more.

    Parameters
    ----------
    patience : int, default: 10
        The number of epochs in a row without improvement at which training stops.
    min_delta : float, default: 0
        Only a larger change counts as an improvement; 0 or above.
    restore_best : bool, default: True
        Leave the model with the parameters of its best epoch rather than of the last, and the optimizer with the state
        (steps, averages), the rates and the counts of plateaus that belong to them.
    monitor : str or callable, optional
        "validation_loss" (the default with validation), "loss" of training (the default without), "score" of the
        validation, the name of a head (its validation loss), or a function of `History` that returns a number, which
        is better if it is lower.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    monitor: Monitor = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", check_integer("EarlyStopping", "patience", self.patience, 1))
        check_number("EarlyStopping", "min_delta", self.min_delta, NON_NEGATIVE)
        check_flag("EarlyStopping", "restore_best", self.restore_best)
        check_monitor("EarlyStopping", self.monitor)


class Watch:
    """Compares each epoch with the best epoch before, and keeps what a training had then."""

    rule: EarlyStopping
    training: "Training"
    kept: NDArray[Any]
    best: float
    mark: float
    waited: int
    state: dict[str, Any] | None
    counts: dict[str, Any]

    def __init__(self, rule: EarlyStopping, training: "Training") -> None:
        self.rule, self.training, self.best, self.waited = rule, training, -inf, 0
        self.kept = training.model.parameters.vector.copy()
        self.state, self.counts = None, NO_COUNTS  # of the optimizer; of its rates, as `Training.counts` has them
        self.mark = -inf  # the value that the next improvement must exceed by min_delta

    def is_over(self, history: History) -> bool:
        """Record an epoch; return True if training should stop."""
        value = history.monitored(self.rule.monitor)
        value = value if self.rule.monitor == "score" else -value
        if value > self.best:  # never for NaN
            self.best = value
            self.kept[:] = self.training.model.parameters.vector
            if self.rule.restore_best:
                self.state, self.counts = self.training.optimizer.state_dict(), self.training.counts()
        if value > self.mark + self.rule.min_delta:
            self.mark, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.rule.patience

    def restore(self) -> None:
        """Restore the best parameters, if `restore_best`."""
        if self.rule.restore_best and self.best > -inf:  # it stays -inf if all values were NaN
            self.training.model.parameters.vector[:] = self.kept
            if self.state is not None:
                self.training.optimizer.load_state_dict(self.state)
            self.training.restore_counts(**self.counts)

    def state_dict(self) -> dict[str, Any]:
        """Return the record so far."""
        record = {"best": self.best, "mark": self.mark, "waited": self.waited, "kept": np.array(self.kept)}
        return record | {"state": self.state, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.mark, self.waited = state["best"], state["mark"], state["waited"]
        self.kept[:], self.state, self.counts = state["kept"], state["state"], state.get("counts", NO_COUNTS)
