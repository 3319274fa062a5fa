"""compare_optimizers: one training by several optimizers, as a table and a plot."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from .batches import held_out
from .checks import check_choice, check_integer, lent
from .files import new_figure, written
from .kernels.compiler import splitting
from .models import MLP, LinearModel
from .optimizers import OPTIMIZERS, Optimizer, check_optimizer
from .runtime import check_progress, progress_bar
from .training import History, fit
from .typing import Array, FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = ("tuned", "default")
TRIAL_STEPS = 200  # least steps of a trial of a learning rate: after fewer, too large rates look good
REACH = 3  # powers of ten to search on each side of the default rate

# The lines of the best optimizers also differ in lightness and dashes, so that they can be told apart without colours.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#00664A", "#CC79A7", "#56B4E9", "#E69F00", "#8DB600")
DASHES = ("-", (0, (5, 1)), (0, (5, 1, 1, 1)), (0, (2, 1)), "-", (0, (5, 1)), (0, (5, 1, 1, 1)), (0, (2, 1)))
LABEL = 8.5  # points


@dataclass(frozen=True)
class Result:
    """The result of training with one optimizer.

    Attributes
    ----------
    optimizer : str
        The name of the optimizer.
    lr : float
        The learning rate that it was given.
    history : History
        The history of the training; if it diverged, of the epochs before that.
    score : float
        The model's score on the test data after the last epoch, such as the accuracy; NaN if training diverged.
    state_bytes : float
        Bytes of the optimizer's state per parameter.
    diverged : bool
        True if a loss that was not finite ended the training.
    """

    optimizer: str
    lr: float
    history: History
    score: float
    state_bytes: float
    diverged: bool

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch; infinite if the training diverged."""
        return inf if self.diverged else self.history.loss[-1]


def compare_optimizers(
    model: MLP | LinearModel,
    X: Array,
    y: Array,
    test: tuple[Array, Array],
    optimizers: Sequence[str | type[Optimizer]] = tuple(OPTIMIZERS),
    lr: str = "tuned",
    batch_size: int = 64,
    epochs: int = 10,
    seed: int = 0,
    progress: bool | None = None,
) -> list[Result]:
    """Train copies of a model by several optimizers, from equal parameters on equal batches in equal order.

    All hyper-parameters but the learning rate are the optimizer's defaults. ``lr="default"`` also takes the default
    rate; but the defaults are made for different kinds of models, so ``lr="tuned"`` tries rates that differ from the
    default by powers of ten, up or down, until both neighbours of a rate are worse. A trial trains on nine tenths of
    the rows, for as many epochs as 200 steps take, at least one and at most `epochs`; the loss on the other tenth
    decides. The training itself starts from the initial parameters and takes all rows.

    Kernels are compiled before anything is timed.

    Parameters
    ----------
    model : MLP or LinearModel
        The model, which is not changed.
    X, y : ndarray
        Training data as the model takes them, at least 10 rows.
    test : (X, y)
        Data to score with.
    optimizers : sequence of str or class, default: all
        Names of `gd.optimizers.OPTIMIZERS`, or classes of your own.
    lr : {"tuned", "default"}
    batch_size, epochs, seed : int, default: 64, 10, 0
        As in `fit`.
    progress : bool, optional
        Show a progress bar, as in `fit`.

    Returns
    -------
    list of Result
        One for each of `optimizers`, in their order. A loss that is not finite ends only the training it occurs in.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import gd, numpy as np
    >>> from gd.comparison import compare_optimizers
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> model = gd.MLP([2, 8, 2], dtype=np.float64)
    >>> slow, fast = compare_optimizers(model, X, y, (X, y), ["SGD", "Adam"], lr="default")
    >>> slow.last_loss > fast.last_loss
    True
    """
    where = "compare_optimizers"
    if not isinstance(model, (MLP, LinearModel)):
        raise TypeError(f"{where}: model must be an MLP or a LinearModel, got {type(model).__name__}")
    rows: Any = lent(where, "X", X)
    targets: Any = lent(where, "y", y)
    model.check_data(where, rows, targets)
    check_integer(where, "len(X)", rows.shape[0], 10)
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise TypeError(f"{where}: test must be a pair (X, y), got {type(test).__name__}")
    model.check_data(f"{where}: test", *test)
    if not isinstance(optimizers, (tuple, list)):
        raise TypeError(f"{where}: optimizers must be a list of names, got {type(optimizers).__name__}")
    for k, name in enumerate(optimizers):
        check_optimizer(where, f"optimizers[{k}]", name)
    check_choice(where, "lr", lr, RATES)
    batch_size, epochs = check_integer(where, "batch_size", batch_size, 1), check_integer(where, "epochs", epochs, 1)
    check_progress(where, progress)
    training = _Training(model, rows, targets, batch_size, epochs, check_integer(where, "seed", seed, 0))
    results = []
    with progress_bar(where, progress, len(optimizers), "optimizers") as bar:
        for name in optimizers:
            results.append(_result(training, name, lr, test))
            bar.update(1)
    return results


def _result(training: "_Training", name: Any, lr: str, test: Any) -> Result:
    new: Any = OPTIMIZERS[name]  # its defaults are unknown to type checkers
    rate = new(training.model.parameters).lr
    training.compile(name, rate)
    if lr == "tuned":
        rate = training.tuned(name, rate)
    trained, optimizer, history, diverged = training.run(name, rate)
    state = sum(each.nbytes for each in optimizer.state_dict().values() if isinstance(each, np.ndarray))
    score = nan if diverged else trained.score(*test)
    return Result(OPTIMIZERS[name].__name__, rate, history, score, state / trained.parameters.vector.size, diverged)


class _Training(NamedTuple):
    """The model, data and settings of the training, equal for all optimizers."""

    model: Any  # an MLP or a LinearModel
    X: np.ndarray
    y: np.ndarray
    batch_size: int
    epochs: int
    seed: int

    def run(self, name: Any, lr: float) -> tuple[Any, Optimizer, History, bool]:
        """Train a copy of the model; return it, the optimizer, the history, and True if the training diverged."""
        model, X, y, batch_size, epochs, seed = self
        model, histories, diverged = deepcopy(model), [History()], False
        new: Any = OPTIMIZERS[name]  # its defaults are unknown to type checkers
        optimizer = new(model.parameters, lr=lr)
        try:
            with np.errstate(all="ignore"):  # the rate may be too large
                fit(model, X, y, optimizer, batch_size, epochs, callbacks=histories.append, progress=False, seed=seed)
        except FloatingPointError:
            diverged = True
        if hasattr(optimizer, "averaged_params"):  # they are the result; the model holds the point of the gradients
            model.parameters.vector[:] = optimizer.averaged_params().vector
        return model, optimizer, histories[-1], diverged

    def compile(self, name: Any, lr: float) -> None:
        """Compile the kernels, serial and parallel, or load them from disk."""
        rows = slice(2 * self.batch_size)
        for parallel_from in (inf, 1):
            with splitting(parallel_from):
                self._replace(X=self.X[rows], y=self.y[rows], epochs=1).run(name, lr)

    def tuned(self, name: Any, default: float) -> float:
        """Return the default times a power of ten, so that the rates ten times higher and lower are worse."""
        kept, held = held_out(self.X.shape[0], self.seed)
        epochs = -(-TRIAL_STEPS * self.batch_size // kept.size)
        trial = self._replace(X=self.X[kept], y=self.y[kept], epochs=min(epochs, self.epochs))
        losses = {}

        def loss(power: int) -> tuple[float, int]:
            if power not in losses:
                model, _, _, diverged = trial.run(name, default * 10.0**power)
                loss = inf if diverged else model.loss_and_gradients(self.X[held], self.y[held])[0]
                losses[power] = loss if isfinite(loss) else inf
            return losses[power], power  # among equals the lower rate, so that the search goes down if all diverge

        best, better = None, 0
        while better != best:
            best = better
            better = min((power for power in (best - 1, best, best + 1) if abs(power) <= REACH), key=loss)
        return default * 10.0**better


def ranked(results: Sequence[Result]) -> list[Result]:
    """Return results by the loss of the last epoch, the lowest first."""
    return sorted(results, key=lambda result: result.last_loss)


def table(results: Sequence[Result]) -> list[str]:
    """Return the lines of a table of results, the lowest last loss first."""
    lines = [
        f"{'optimizer':<18} {'learning rate':>13} {'first loss':>11} {'last loss':>11} {'test score':>10} "
        f"{'s/epoch':>9} {'state bytes/parameter':>21}"
    ]
    for result in ranked(results):
        loss, seconds = result.history.loss, result.history.seconds
        first = f"{loss[0]:.4g}" if loss else "-"
        last = "diverged" if result.diverged else f"{loss[-1]:.4g}"
        score = "-" if result.diverged else f"{result.score:.4f}"
        median = f"{np.median(seconds):.4f}" if seconds else "-"
        lines.append(
            f"{result.optimizer:<18} {result.lr:>13g} {first:>11} {last:>11} {score:>10} {median:>9} "
            f"{result.state_bytes:>21.0f}"
        )
    return lines


def plot(results: Sequence[Result], path: FilePath | None = None) -> "Figure":
    """Draw losses against epochs and against seconds; return matplotlib's figure, and write it to `path` if given."""
    figure = new_figure("comparison.plot", (14.5, 6), layout="none")  # labels lie beside the axes
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.87, wspace=0.5, top=0.93, bottom=0.12)
    results = ranked(results)
    drawn = [result for result in results if result.history.loss]
    _scale_losses(left, [result.history.loss for result in drawn])
    for axis, title, unit in ((left, "by epochs", "epoch"), (right, "by time", "seconds of training")):
        ends = []
        for k, result in enumerate(drawn):
            loss = result.history.loss
            x = np.arange(1, len(loss) + 1) if axis is left else np.cumsum(result.history.seconds)
            style = line_style(k)
            axis.plot(x, loss, **style)
            axis.plot(x[-1:], loss[-1:], "x" if result.diverged else "o", markersize=4, color=style["color"])
            ends.append((x[-1], loss[-1], result.optimizer, k))
        axis.set_title(f"Loss {title}")
        axis.set_xlabel(unit)
        axis.grid(color="0.92", linewidth=0.6)
        axis.set_axisbelow(True)
        label_ends(axis, ends)
    left.set_ylabel("loss of training, mean over the epoch")
    left.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    left.set_xlim(0.5, max((len(result.history.loss) for result in drawn), default=1) + 0.5)
    right.tick_params(labelleft=True)
    right.set_xlim(0, 1.05 * max((sum(result.history.seconds) for result in drawn), default=1))
    diverged = [result.optimizer for result in results if result.diverged]
    if diverged:
        figure.text(0.06, 0.015, f"Diverged: {', '.join(diverged)}", fontsize=LABEL)
    return written(figure, path)


def _scale_losses(axis, histories: Sequence[Sequence[float]]) -> None:
    """Scale a logarithmic axis to lists of losses; losses far above the usual first loss are cut off."""
    losses = np.array([loss for history in histories for loss in history if loss > 0] or [1.0])
    usual = 3 * np.median([history[0] for history in histories] or [1.0])
    low, high = losses.min() / 1.2, 1.2 * min(losses.max(), max(usual, losses.min()))
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    digits = range(1, 10) if high < 10 * low else (1, 2, 5) if high < 1000 * low else (1,)
    ticks = [digit * 10.0**power for power in range(-300, 300) for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def line_style(rank: int) -> dict[str, Any]:
    """Return matplotlib's style of the line of a rank; rank 0 is the best."""
    if rank < len(COLOURS):
        return {"color": COLOURS[rank], "linestyle": DASHES[rank], "linewidth": 1.8, "zorder": 3 - rank / len(COLOURS)}
    return {"color": "0.7", "linewidth": 0.9, "zorder": 1.5}


def label_ends(axis: Any, ends: Sequence[tuple[float, float, str, int]]) -> None:
    """Write labels beside an axis, each as near to the end (x, y, label, rank) of its line as fits without overlap."""
    low, high = axis.get_ylim()
    ends = sorted(((x, min(max(y, low), high), label, rank) for x, y, label, rank in ends), key=lambda end: end[1])
    to_fraction = axis.transData + axis.transAxes.inverted()
    wanted = np.array([to_fraction.transform((x, y))[1] for x, y, _, _ in ends])
    gap = 1.3 * LABEL / 72 / (axis.figure.get_figheight() * axis.get_position().height)
    steps = gap * np.arange(len(ends))
    places = np.clip(isotonic_regression(wanted - steps).x, 0, max(0, 1 - gap * (len(ends) - 1))) + steps
    for (x, y, label, rank), place in zip(ends, places, strict=True):
        best = rank < len(COLOURS)
        leader = {"arrowstyle": "-", "color": COLOURS[rank] if best else "0.75", "linewidth": 0.6}
        axis.annotate(
            label,
            (x, y),
            (1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=LABEL,
            color=COLOURS[rank] if best else "0.35",
            weight="bold" if best else "normal",
            arrowprops=leader | {"relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0},
            annotation_clip=False,
        )
