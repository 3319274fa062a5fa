"""fit: mini-batch training of a network, with progress and history."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from time import perf_counter

from .batches import shuffled
from .linear_model import LinearModel
from .networks import MLP
from .optimizers import Optimizer
from .ranges import NON_NEGATIVE, check_flag, check_integer, check_number
from .threads import single_threaded_blas


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
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError('History.plot needs matplotlib: python -m pip install "gd[train]"') from None
        figure = Figure(figsize=(6, 4), layout="constrained")
        FigureCanvasAgg(figure)
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
        if path is not None:
            figure.savefig(path, dpi=130)
        return figure


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


class _Watch:
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
        if self.rule.restore_best:
            self.vector[:] = self.kept


def fit(
    model,
    X,
    y,
    optimizer,
    batch_size=128,
    epochs=10,
    validation=None,
    early_stopping=None,
    callbacks=(),
    progress=None,
    seed=0,
):
    """Train a network or a linear model by mini-batch gradient descent.

    A network's step is two walks: forward and backward by blocks of rows, then each tile of a weight gradient
    and the optimizer's update of it while it is in cache. A linear model's mini-batches run in compiled code one
    after the other, without returning to Python. Where the optimizer needs the whole gradient first (clip_norm,
    skip_nonfinite, LAMB, LARS, groups), the gradient is written to memory, and Python sees every batch.

    Parameters
    ----------
    model : MLP or LinearModel
    X : ndarray of shape (rows, features)
        In the dtype of the model.
    y : ndarray
        Labels or targets, as the model takes them.
    optimizer : Optimizer
        Made with ``model.parameters``.
    batch_size : int, default: 128
        1 is stochastic gradient descent; len(X) is batch gradient descent.
    epochs : int, default: 10
        Passes over the data. Each sees every row once, in an order that follows from (seed, epoch), but a linear
        model takes a batch of all rows as they lie. Epochs count on from the steps of the optimizer, so two calls
        of one batch_size, of which no batch was skipped, give the bits of one with all epochs.
    validation : (X, y), optional
        Scored after each epoch.
    early_stopping : int or EarlyStopping, optional
        The patience in epochs, or all of it. The loss of an epoch is that before its steps, so parameters restored by
        the loss are one epoch ahead of it: pass validation for the very best ones.
    callbacks : callable or sequence of callable, optional
        Called with the history after each epoch; training ends when one returns True.
    progress : bool, optional
        Show a progress bar (needs tqdm); by default if standard error is a terminal and tqdm is there.
    seed : int, default: 0
        Of the order of rows.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; nothing has changed then.
    RuntimeError
        If another thread trains the model.
    FloatingPointError
        If a batch's loss is not finite; the step that would follow from it is not taken. With the
        optimizer's skip_nonfinite training goes on with the next batch instead.
    """
    if not isinstance(model, (MLP, LinearModel)):
        raise TypeError(f"fit: model must be an MLP or a LinearModel, got {type(model).__name__}")
    y = model.check_data("fit", X, y)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer must be one of gd's, such as gd.Adam, got {type(optimizer).__name__}")
    if optimizer.params is not model.parameters:
        raise ValueError("fit: optimizer must be made with model.parameters, it was made with other params")
    batch_size = check_integer("fit", "batch_size", batch_size, 1)
    epochs, seed = check_integer("fit", "epochs", epochs, 1), check_integer("fit", "seed", seed, 0)
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"fit: validation must be a pair (X, y), got {type(validation).__name__}")
        model.check_data("fit: validation", *validation)
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        early_stopping = EarlyStopping(check_integer("fit", "early_stopping", early_stopping, 1))
    callbacks = tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: callbacks must be a sequence of functions, got {type(callback).__name__}")
    if not model.lock.acquire(blocking=False):
        raise RuntimeError("fit: model is in use by another thread")
    try:
        return _train(model, X, y, optimizer, batch_size, epochs, validation, early_stopping, callbacks, progress, seed)
    finally:
        model.lock.release()


def _train(model, X, y, optimizer, batch_size, epochs, validation, early_stopping, callbacks, progress, seed):
    """What `fit` does when everything has been checked."""
    history = History()
    watch = None if early_stopping is None else _Watch(early_stopping, model.parameters.vector)
    with _progress_bar(progress, epochs * X.shape[0]) as bar, single_threaded_blas():
        done = optimizer.steps // -(-X.shape[0] // batch_size)
        for epoch in range(done, done + epochs):
            start, total, counted = perf_counter(), 0.0, 0
            for loss, rows in model.descend(X, y, shuffled(X.shape[0], seed, epoch), batch_size, optimizer):
                if not isfinite(loss) and not optimizer.skip_nonfinite:
                    raise FloatingPointError(
                        f"fit: the loss is {loss} in epoch {epoch + 1}, at step {optimizer.steps + 1}; "
                        "lower the learning rate, or look for huge or missing values in X"
                    )
                if isfinite(loss):
                    total, counted = total + loss * rows, counted + rows
                bar.update(rows)
            history.seconds.append(perf_counter() - start)
            history.loss.append(total / counted if counted else nan)
            history.lr.append(optimizer.last_lr)
            if validation is not None:
                history.score.append(model.score(*validation))
            shown = {"epoch": f"{epoch + 1}/{done + epochs}", "loss": f"{history.loss[-1]:.4f}"}
            bar.set_postfix(shown | ({"score": f"{history.score[-1]:.4f}"} if history.score else {}))
            history.stopped = watch is not None and watch.is_over(history)
            if any([callback(history) for callback in callbacks]) or history.stopped:
                break
    if watch is not None:
        watch.restore()
    return history


class _NoBar:
    """Stands in for a progress bar."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, n):
        pass

    def set_postfix(self, values):
        pass


def _progress_bar(progress, total):
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        if progress is None:
            return _NoBar()
        raise ImportError('fit: progress=True needs tqdm: python -m pip install "gd[train]"') from None
    return tqdm(total=total, unit=" samples", unit_scale=True, leave=False)
