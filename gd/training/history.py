"""History: losses, scores, times and learning rates of a training, as `fit` returns them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import shown
from ..files import new_figure, written
from ..models import Evaluation
from ..typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Monitor = str | Callable[["History"], float] | None  # a list of History, a head, or a function; None: see `monitored`


@dataclass
class History:
    """The record of a training; each list has one entry per epoch.

    Attributes
    ----------
    loss : list of float
        The mean loss over the epoch's batches, each measured before its step; skipped batches do not count.
    score : list of float
        The score on the validation data after the epoch; empty without validation.
    seconds : list of float
        The training time of the epoch, without validation.
    lr : list of float
        The learning rate of the epoch's last step.
    stopped : bool
        True if early_stopping ended the training.
    validation_loss : list of float
        The loss on the validation data after the epoch, without dropout and penalties; empty without validation.
    head_losses, head_scores : dict of str to list of float
        Losses and scores on the validation data of each head, of a network that has named heads.
    """

    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    stopped: bool = False
    validation_loss: list[float] = field(default_factory=list)
    head_losses: dict[str, list[float]] = field(default_factory=dict)
    head_scores: dict[str, list[float]] = field(default_factory=dict)

    def judge(self, evaluation: Evaluation, heads: Sequence[str] = ()) -> None:
        """Add an evaluation on the validation data after the epoch, also that of named heads."""
        found: list[Any] = [(self.validation_loss, evaluation.loss), (self.score, evaluation.score)]
        for name in heads:
            found.append((self.head_losses.setdefault(name, []), evaluation.losses[name]))
            found.append((self.head_scores.setdefault(name, []), evaluation.scores[name]))
        for record, value in found:
            record += [nan] * (len(self.loss) - 1 - len(record))  # of epochs in checkpoints of 0.1.0
            record.append(nan if value is None else value)

    def monitored(self, monitor: Monitor) -> float:
        """Return the last value of what a rule watches: the lower the better, but for "score"."""
        if callable(monitor):
            value = monitor(self)
            number = np.asarray(value)
            if number.size != 1 or number.dtype.kind not in "iuf":
                raise TypeError(f"fit: monitor must return a number, got {shown(value)}")
            return float(number.item())
        if monitor is None:
            return (self.validation_loss or self.loss)[-1]
        if monitor in ("loss", "validation_loss", "score"):
            return getattr(self, monitor)[-1]
        return self.head_losses[monitor][-1]

    def plot(self, path: FilePath | None = None) -> "Figure":
        """Draw loss and score by epoch; return matplotlib's figure, and write it if a path is given."""
        figure: Any = new_figure("History.plot", (6, 4))
        axis, epochs = figure.add_subplot(), range(1, len(self.loss) + 1)
        marker = "o" if len(self.loss) < 30 else None
        lines = axis.plot(epochs, self.loss, color="tab:blue", marker=marker, markersize=4, label="loss of training")
        if self.validation_loss:
            style: Any = {"color": "tab:blue", "linestyle": ":", "marker": marker, "markersize": 4}
            lines += axis.plot(epochs, self.validation_loss, label="loss of validation", **style)
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss", color="tab:blue")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if self.loss and min(self.loss) > 0 and max(self.loss) > 20 * min(self.loss):
            axis.set_yscale("log")
        if self.score:
            other, style = axis.twinx(), {"color": "tab:orange", "marker": marker, "markersize": 4}
            lines += other.plot(epochs, self.score, linestyle="--", label="score of validation", **style)
            other.set_ylabel("score", color="tab:orange")
        axis.legend(handles=lines, frameon=False, loc="center right")
        return written(figure, path)

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments of an equal `History(**state)`."""
        return asdict(self)


def check_monitored(monitor: Monitor, heads: Sequence[str], judged: Sequence[str] | None) -> None:
    """Raise unless there will be what a rule monitors; `judged` are the outputs that the validation has targets for."""
    if monitor == "loss" or callable(monitor) or (monitor is None and judged is None):
        return
    if monitor not in (None, "validation_loss", "score", *heads):
        raise ValueError(
            f"fit: monitor must be loss, validation_loss, score{''.join(f', {name}' for name in heads)} or a function, "
            f"got {monitor!r}"
        )
    if judged is None:
        raise TypeError(f"fit: validation must be given where {monitor} is monitored, got None")
    if not judged or (monitor in heads and monitor not in judged):
        raise ValueError(f"fit: validation must have targets where {monitor or 'its loss'} is monitored, got none")
