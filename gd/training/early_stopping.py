"""EarlyStopping: when `fit` stops before its last epoch."""

from dataclasses import dataclass
from math import inf

import numpy as np

from ..checks import NON_NEGATIVE, check_flag, check_integer, check_number


@dataclass(frozen=True)
class EarlyStopping:
    """When `fit` stops before its last epoch: at the first plateau of the score, or of the loss without validation.

    Parameters
    ----------
    patience : int, default: 10
        Epochs in a row without improvement.
    min_delta : float, default: 0
        What counts as an improvement: more than this. 0 or above.
    restore_best : bool, default: True
        Leave the model with the parameters of its best epoch rather than the last.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self):
        check_integer("EarlyStopping", "patience", self.patience, 1)
        check_number("EarlyStopping", "min_delta", self.min_delta, NON_NEGATIVE)
        check_flag("EarlyStopping", "restore_best", self.restore_best)


class Watch:
    """Compares each epoch with the best one before."""

    def __init__(self, rule, vector):
        self.rule, self.vector, self.best, self.kept, self.waited = rule, vector, -inf, vector.copy(), 0
        self.mark = -inf  # what the next improvement is measured from

    def is_over(self, history):
        """Note an epoch; return whether it is time to stop."""
        value = history.score[-1] if history.score else -history.loss[-1]
        if value > self.best:  # never for NaN
            self.best = value
            self.kept[:] = self.vector
        if value > self.mark + self.rule.min_delta:
            self.mark, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.rule.patience

    def restore(self):
        """Put the best parameters back, if that was asked for."""
        if self.rule.restore_best and self.best > -inf:  # it is not where all that was seen is NaN
            self.vector[:] = self.kept

    def state_dict(self):
        """Return what has been noted."""
        return {"best": self.best, "mark": self.mark, "waited": self.waited, "kept": np.array(self.kept)}

    def load_state_dict(self, state):
        """Restore what `state_dict` returned."""
        self.best, self.mark, self.waited = state["best"], state["mark"], state["waited"]
        self.kept[:] = state["kept"]
