"""History: losses, scores, times and learning rates of a training, as `fit` returns them."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ..files import new_figure, written
from ..typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """

    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    stopped: bool = False

    def plot(self, path: FilePath | None = None) -> "Figure":
        """Draw loss and score by epoch; return matplotlib's figure, and write it if a path is given."""
        figure: Any = new_figure("History.plot", (6, 4))
        axis, epochs = figure.add_subplot(), range(1, len(self.loss) + 1)
        marker = "o" if len(self.loss) < 30 else None
        lines = axis.plot(epochs, self.loss, color="tab:blue", marker=marker, markersize=4, label="loss of training")
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
