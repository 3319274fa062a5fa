"""History: what a training went through."""

from dataclasses import asdict, dataclass, field

from ..files import new_figure, written


@dataclass
class History:
    """What a training went through, one entry an epoch.

    Attributes
    ----------
    loss : list of float
        The mean loss over the epoch's batches, each as it was before its step; those skipped do not count.
    score : list of float
        The score on the validation data after the epoch; empty without.
    seconds : list of float
        The time that training took, validation not included.
    lr : list of float
        The learning rate of the epoch's last step.
    stopped : bool
        Whether early_stopping ended the training.
    """

    loss: list = field(default_factory=list)
    score: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    lr: list = field(default_factory=list)
    stopped: bool = False

    def plot(self, path=None):
        """Draw loss and score by epoch; return matplotlib's figure, and write it where there is a path."""
        figure = new_figure("History.plot", (6, 4))
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

    def state_dict(self):
        """Return what `History(**state)` takes."""
        return asdict(self)
