"""ReduceOnPlateau: a rate that falls when a value stops improving."""

from math import inf, isfinite
from numbers import Real
from typing import Any, Literal

from ..checks import NON_NEGATIVE, Range, check_choice, check_integer, check_monitor, check_number, shown
from ..typing import Rate
from .base import Schedule, _at, _rate


class ReduceOnPlateau(Schedule):
    """Multiply the rate by a factor whenever a metric has stopped improving.

    Parameters
    ----------
    lr : float or callable
        The rate, or a schedule, which is multiplied.
    factor : float, default: 0.1
        In (0, 1).
    patience : int, default: 10
        Number of updates without improvement that are tolerated; the next one reduces the rate.
    threshold : float, default: 1e-4
        The least improvement that counts: relative to the best metric, or absolute with threshold_mode="abs".
    cooldown : int, default: 0
        Number of updates after a reduction that do not count.
    lr_min : float, default: 0
        The smallest rate.
    mode : {"min", "max"}, optional
        "min" if the metric is to fall, like a loss; "max" if it is to rise, like an accuracy, which is the default
        with monitor="score".
    threshold_mode : {"rel", "abs"}, default: "rel"
    monitor : str or callable, optional
        What `gd.fit` updates it with after each epoch: see `gd.EarlyStopping`; by default the loss of the validation,
        without validation that of training, and with mode="max" the score.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import gd, numpy as np
    >>> plateau = gd.schedules.ReduceOnPlateau(0.1, factor=0.5, patience=1)
    >>> optimizer = gd.SGD(np.ones(3), lr=plateau)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     reduced = plateau.update(loss)
    >>> reduced, optimizer.lr
    (True, 0.05)
    """

    lr: Rate
    factor: float
    patience: int
    threshold: float
    cooldown: int
    lr_min: float
    mode: Literal["min", "max"]
    threshold_mode: Literal["rel", "abs"]
    monitor: Any
    best: float
    reductions: int
    bad: int  # updates without improvement, in a row
    cooling: int  # updates that the cooldown still lasts

    def __init__(
        self,
        lr: Rate,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        lr_min: float = 0.0,
        mode: Literal["min", "max"] | None = None,
        threshold_mode: Literal["rel", "abs"] = "rel",
        monitor: Any = None,
    ) -> None:
        name = "ReduceOnPlateau"
        self.lr = _rate(name, "lr", lr)
        self.factor = check_number(name, "factor", factor, Range(0.0, 1.0, False))
        self.patience = check_integer(name, "patience", patience, 0)
        self.threshold = check_number(name, "threshold", threshold, NON_NEGATIVE)
        self.cooldown = check_integer(name, "cooldown", cooldown, 0)
        self.lr_min = check_number(name, "lr_min", lr_min, NON_NEGATIVE)
        mode = ("max" if isinstance(monitor, str) and monitor == "score" else "min") if mode is None else mode
        self.mode = check_choice(name, "mode", mode, ("min", "max"))
        self.threshold_mode = check_choice(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        check_monitor(name, monitor)
        self.monitor = "score" if monitor is None and mode == "max" else monitor
        self.best = inf if self.mode == "min" else -inf
        self.reductions = self.bad = self.cooling = 0

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        lr = _at(self.lr, self._counted(step))
        return max(lr * self.factor**self.reductions, min(lr, self.lr_min))

    def _followed(self, step):
        return {"lr": (self.lr, step)}

    def update(self, metric: float) -> bool:
        """Record a metric, for example once an epoch; return True if the rate was reduced."""
        if isinstance(metric, bool) or not isinstance(metric, Real):
            raise TypeError(f"ReduceOnPlateau.update: metric must be a number, got {shown(metric)}")
        if self._improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad <= self.patience:
            return False
        self.reductions, self.cooling, self.bad = self.reductions + 1, self.cooldown, 0
        return True

    def _improves(self, metric: float) -> bool:
        """Return True if a metric is better than the best by the threshold; NaN never is."""
        margin = self.threshold
        if self.threshold_mode == "rel":
            margin = margin * abs(self.best) if isfinite(self.best) else 0.0
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def state_dict(self) -> dict[str, Any]:
        """Return what `update` has counted, as numbers."""
        return {name: getattr(self, name) for name in ("best", "reductions", "bad", "cooling")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the state is not of this kind; nothing has changed then.
        """
        where = "ReduceOnPlateau.load_state_dict"
        if not isinstance(state, dict) or state.keys() != self.state_dict().keys():
            raise KeyError(f"{where}: state must have {', '.join(self.state_dict())}")
        best = check_number(where, "state['best']", state["best"], Range(-inf, inf, True, True))
        counts = {
            name: check_integer(where, f"state[{name!r}]", state[name], 0) for name in ("reductions", "bad", "cooling")
        }
        vars(self).update(counts, best=best)

    def __repr__(self) -> str:
        return f"ReduceOnPlateau({self.lr}, factor={self.factor:g}, patience={self.patience})"
