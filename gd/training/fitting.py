"""fit: mini-batch training of a model, with progress, history and checkpoints."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from ..batches import emphasized, shuffled
from ..checks import NON_NEGATIVE, UNIT, check_flag, check_functions, check_integer, check_number, check_path
from ..distributed import Distributed
from ..files import CheckpointError, load, require_safetensors, save
from ..kernels.interruption import Interruption
from ..models import MLP, Model
from ..optimizers import Optimizer
from ..runtime import check_progress, progress_bar, single_threaded_blas
from ..schedules import ReduceOnPlateau
from ..typing import FilePath
from .early_stopping import EarlyStopping, Watch
from .history import History


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often `fit` saves its state: model, optimizer, schedules, history. It resumes bit for bit.

    Parameters
    ----------
    path : str or path-like
        Written by `gd.save`: if a process is killed, the file is either the old or the new one, and complete.
    every : int, default: 1
        Epochs between checkpoints; the last epoch is saved, too.
    keep : int, default: 1
        The number of checkpoints to keep: older ones are ``path.1``, ``path.2``, ...

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    path: FilePath
    every: int = 1
    keep: int = 1

    def __post_init__(self) -> None:
        check_path("Checkpoint", "path", self.path)
        check_integer("Checkpoint", "every", self.every, 1)
        check_integer("Checkpoint", "keep", self.keep, 1)


def fit(
    model: Model,
    X: Any,
    y: Any,
    optimizer: Optimizer | Distributed,
    batch_size: int | Literal["all"] = 128,
    epochs: int = 10,
    validation: tuple[Any, Any] | None = None,
    early_stopping: int | EarlyStopping | None = None,
    callbacks: Callable[[History], Any] | Iterable[Callable[[History], Any]] = (),
    checkpoint: FilePath | Checkpoint | None = None,
    progress: bool | None = None,
    seed: int = 0,
    *,
    accumulate: int = 1,
    emphasis: float = 0.0,
    resume: bool = False,
    comm: Any = None,
) -> History:
    """Train a network or a linear model by mini-batch gradient descent.

    A network's step has two phases: forward and backward passes by blocks of rows; then each tile of a weight gradient
    is computed, and the optimizer updates its weights while it is in cache. A linear model's mini-batches run in
    compiled code without returning to Python. If the optimizer needs the whole gradient first (clip_norm,
    skip_nonfinite, LAMB, LARS, groups), the gradient is written to memory, and Python handles every batch.

    Parameters
    ----------
    model : MLP or LinearModel
    X : ndarray of shape (rows, features)
        In the dtype of the model.
    y : ndarray, or dict of them
        Labels or targets, as the model takes them.
    optimizer : Optimizer
        Made with ``model.parameters``. Each `gd.schedules.ReduceOnPlateau` of the optimizer or its groups is updated
        after each epoch with the loss, or with the score if its mode is "max".
    batch_size : int or "all", default: 128
        1 is stochastic gradient descent; "all" is batch gradient descent. For a k times larger batch size,
        `gd.scale_lr_for_batch` returns a suitable learning rate.
    epochs : int, default: 10
        Passes over the data. Each visits every row once, in an order determined by (seed, epoch); only a linear model
        with a batch of all rows keeps their order. The optimizer's steps determine the first epoch: two calls with one
        batch_size, in which no batch was skipped, give the same bits as one call with all epochs.
    validation : (X, y), optional
        Scored after each epoch.
    early_stopping : int or EarlyStopping, optional
        The patience in epochs, or all its settings. The loss of an epoch is measured before its steps, so parameters
        restored by the loss are one epoch ahead of it: pass validation to get the very best ones.
    callbacks : callable or sequence of callable, optional
        Called with the history after each epoch; training ends when one returns True.
    checkpoint : str or Checkpoint, optional
        Where to save after each epoch; a Checkpoint also sets how often, and how many to keep. Needs safetensors.
    progress : bool, optional
        Show a progress bar (needs tqdm); by default if standard error is a terminal and tqdm is installed.
    seed : int, default: 0
        The seed of the order of rows.
    accumulate : int, default: 1
        Batches per step: their gradients are averaged, weighted by rows, as for one larger batch. (If targets are
        missing or classes are weighted, each batch has its own mean.)
    emphasis : float, default: 0
        In [0, 1): this share of the rows, those with the largest losses in the epoch before, comes twice in each epoch
        (in the first epoch, random rows). For networks; outliers and wrong labels are emphasized, too.
    resume : bool, default: False
        Continue from the checkpoint, if there is one, as if the training had not stopped; `epochs` is the total number.
        All that is not in it must be as before: data, arguments, the callbacks' own state.
    comm : communicator, optional
        The communicator of a `gd.Distributed` optimizer: all its ranks train together. Each calls fit with the same
        arguments and all rows (an np.memmap will do: a rank reads only its own). The rows are cut into the optimizer's
        logical shards, and each batch takes an equal part of every shard, so batch_size must be a multiple of their
        number. The checkpoint is then a folder. Callbacks must decide alike on all ranks. accumulate and emphasis are
        not supported.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; then nothing has changed.
    CheckpointError
        If the checkpoint to resume from is damaged, or of another training; then nothing has changed.
    RuntimeError
        If another thread trains the model or computes its gradients.
    FloatingPointError
        If the loss of a batch is not finite; no step is taken for it. With the optimizer's skip_nonfinite, training
        continues with the next batch instead.
    KeyboardInterrupt
        At Ctrl-C, after the current step is complete: model and optimizer are consistent. A second Ctrl-C acts at once.

    References
    ----------
    Emphasis: LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998, section 4.2.
    """
    if not isinstance(model, Model):
        raise TypeError(f"fit: model must be an MLP or a LinearModel, got {type(model).__name__}")
    X, y = model.check_data("fit", X, y)
    if comm is not None and not isinstance(optimizer, Distributed):
        raise TypeError(f"fit: optimizer must be a gd.Distributed where comm is given, got {type(optimizer).__name__}")
    if not isinstance(optimizer, (Optimizer, Distributed)):
        raise TypeError(f"fit: optimizer must be one of gd's, such as gd.Adam, got {type(optimizer).__name__}")
    if isinstance(optimizer, Distributed) and comm is not optimizer.comm:
        raise ValueError(f"fit: comm must be that of the optimizer, got {type(comm).__name__}")
    if optimizer.params is not model.parameters:
        raise ValueError("fit: optimizer must be made with model.parameters, it was made with other params")
    emphasis = check_number("fit", "emphasis", emphasis, UNIT)
    everything = isinstance(batch_size, str) and batch_size == "all"
    order_size = X.shape[0] + int(emphasis * X.shape[0])
    size: int = order_size if everything else check_integer("fit", "batch_size", batch_size, 1)
    epochs, seed = check_integer("fit", "epochs", epochs, 1), check_integer("fit", "seed", seed, 0)
    accumulate = check_integer("fit", "accumulate", accumulate, 1)
    if emphasis and not isinstance(model, MLP):
        raise TypeError(f"fit: emphasis needs the loss of each row, which only an MLP has, got {type(model).__name__}")
    if comm is not None and isinstance(optimizer, Distributed):
        optimizer.check_batches("fit", None if everything else size, accumulate, emphasis)
        progress = False if comm.Get_rank() else progress
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"fit: validation must be a pair (X, y), got {type(validation).__name__}")
        model.check_data("fit: validation", *validation)
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        early_stopping = EarlyStopping(check_integer("fit", "early_stopping", early_stopping, 1))
    callbacks = check_functions("fit", "callbacks", callbacks)
    check_progress("fit", progress)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(check_path("fit", "checkpoint", checkpoint))
    if check_flag("fit", "resume", resume) and checkpoint is None:
        raise TypeError("fit: resume needs a checkpoint to resume from, got checkpoint=None")
    if checkpoint is not None:
        require_safetensors("fit: checkpoint")
        folder = Path(checkpoint.path).absolute().parent
        if not folder.is_dir() or (comm is None and Path(checkpoint.path).is_dir()):
            raise ValueError(f"fit: checkpoint must be a file in a folder that exists, got {str(checkpoint.path)!r}")
    schedules = {id(each): each for each in optimizer.schedules.values()}  # groups can share one
    plateaus = [each for each in schedules.values() if isinstance(each, ReduceOnPlateau)]
    if validation is None and any(plateau.mode == "max" for plateau in plateaus):
        raise TypeError("fit: validation must be given where the learning rate follows the score, got None")
    if not model.lock.acquire(blocking=False):
        raise RuntimeError("fit: model is in use by another thread")
    try:
        settings = {
            "rows": X.shape[0],
            "batch_size": size,
            "seed": seed,
            "accumulate": accumulate,
            "emphasis": emphasis,
            "model": repr(model),
            "max_norm": getattr(model, "max_norm", None),
            "seed of the model": getattr(model, "seed", None),
            "validation": validation is not None,
            "optimizer": type(optimizer).__name__,
        }
        kind = _Training if comm is None else _DistributedTraining
        training = kind(model, X, y, optimizer, settings, order_size, early_stopping)
        if resume and checkpoint is not None and training.has_saved(checkpoint.path):
            with Interruption():
                training.resume(checkpoint.path)
        with (
            progress_bar("fit", progress, training.order_size * (epochs - training.done), "samples") as bar,
            single_threaded_blas(),
        ):
            training.run(epochs, validation, callbacks, plateaus, checkpoint, bar)
        return training.history
    finally:
        model.lock.release()


class _Training:
    """The state of a training: makes the passes over the data, and saves and resumes checkpoints."""

    def __init__(self, model: Model, X, y, optimizer: Any, settings: dict[str, Any], order_size: int, early_stopping):
        self.model, self.X, self.y, self.optimizer = model, X, y, optimizer
        self.settings, self.order_size = settings, order_size
        self.history = History()
        self.watch = None if early_stopping is None else Watch(early_stopping, model.parameters.vector)
        self.losses: Any = np.full(X.shape[0], np.nan) if settings["emphasis"] else None
        steps = -(-order_size // (settings["batch_size"] * settings["accumulate"]))
        self.first = optimizer.steps // steps  # the number of the first epoch

    @property
    def done(self) -> int:
        """The number of epochs so far."""
        return len(self.history.loss)

    def run(self, epochs, validation, callbacks, plateaus, checkpoint: Checkpoint | None, bar) -> None:
        """Train to a total of `epochs`, unless early stopping or a callback ends the training."""
        history = self.history
        with Interruption() as interruption:
            while self.done < epochs and not history.stopped:
                self.pass_over_data(bar, interruption, checkpoint)
                if validation is not None:
                    history.score.append(self.model.score(*validation))
                for plateau in plateaus:
                    plateau.update(history.loss[-1] if plateau.mode == "min" else history.score[-1])
                shown = {"epoch": f"{self.first + self.done}/{self.first + epochs}", "loss": f"{history.loss[-1]:.4f}"}
                bar.set_postfix(shown | ({"score": f"{history.score[-1]:.4f}"} if history.score else {}))
                history.stopped = self.watch is not None and self.watch.is_over(history)
                ends = any([callback(history) for callback in callbacks]) or history.stopped or self.done == epochs  # noqa: C419 (all of them are called)
                if checkpoint is not None and (ends or self.done % checkpoint.every == 0):
                    self.save(checkpoint)
                interruption.raise_if_any()
                if ends:
                    break
        if self.watch is not None:
            self.watch.restore()

    def pass_over_data(self, bar, interruption, checkpoint: Checkpoint | None) -> None:
        """Train for an epoch."""
        optimizer, history, epoch = self.optimizer, self.history, self.first + self.done
        start, total, counted = perf_counter(), 0.0, 0
        for loss, count in self.descend(self.settings["seed"], epoch):
            if not isfinite(loss) and not optimizer.skip_nonfinite:
                raise FloatingPointError(
                    f"fit: the loss is {loss} in epoch {epoch + 1}, at step {optimizer.steps + 1}; "
                    "lower the learning rate, or look for huge or missing values in X"
                    + ("" if checkpoint is None else f"; the last checkpoint is in {checkpoint.path}")
                )
            if isfinite(loss):
                total, counted = total + loss * count, counted + count
            bar.update(count)
            interruption.raise_if_any()
        history.seconds.append(perf_counter() - start)
        history.loss.append(total / counted if counted else nan)
        history.lr.append(optimizer.last_lr)

    def descend(self, seed: int, epoch: int) -> Iterator[tuple[float, int]]:
        """Take the steps of an epoch; yield (mean loss, rows) of each batch."""
        rows, emphasis = self.X.shape[0], self.settings["emphasis"]
        order = emphasized(rows, seed, epoch, self.losses, emphasis) if emphasis else shuffled(rows, seed, epoch)
        arguments = self.X, self.y, order, self.settings["batch_size"], self.optimizer, self.settings["accumulate"]
        return self.model.descend(*arguments, self.losses)

    def rated(self) -> dict[str, Any]:
        """Return {name: owner} of the learning rates that are not schedules: callbacks can set owner.lr."""
        optimizer = self.optimizer
        owners = {"lr": optimizer} | {f"groups[{k}].lr": group for k, group in enumerate(optimizer.groups)}
        return {name: owner for name, owner in owners.items() if name not in optimizer.schedules}

    def state_dict(self) -> dict[str, Any]:
        """Return the tree that a checkpoint holds."""
        history = self.history.state_dict()
        schedules = {k: v.state_dict() for k, v in self.optimizer.schedules.items() if hasattr(v, "state_dict")}
        return {
            "training": self.settings | {"first": self.first},
            "parameters": self.model.parameters,
            "optimizer": self.optimizer.state_dict(),
            "rates": {name: owner.lr for name, owner in self.rated().items()},
            "schedules": schedules,
            "history": {k: np.array(v) if isinstance(v, list) else v for k, v in history.items()},
            "watch": None if self.watch is None else self.watch.state_dict(),
            "losses": self.losses,
        }

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint."""
        save(checkpoint.path, self.state_dict(), checkpoint.keep)

    def has_saved(self, path: FilePath) -> bool:
        """Return True if there is a checkpoint."""
        return Path(path).exists()

    def load(self, path: FilePath) -> dict[str, Any]:
        """Return the tree of a checkpoint."""
        return load(path)

    def resume(self, path: FilePath) -> None:
        """Restore the state from a checkpoint, or raise CheckpointError before anything has changed."""
        state = self.load(path)
        if state.keys() != self.state_dict().keys():
            raise CheckpointError(f"fit: {path} is not a checkpoint of gd.fit")
        try:
            self._check(path, state)
            history = History(**{k: _plain(v) for k, v in state["history"].items()})
            first = check_integer("fit", "first", state["training"]["first"], 0)
            rates = {name: check_number("fit", name, rate, NON_NEGATIVE) for name, rate in state["rates"].items()}
            for name, each in state["schedules"].items():
                deepcopy(self.optimizer.schedules[name]).load_state_dict(each)
            if self.watch is not None:
                deepcopy(self.watch).load_state_dict(state["watch"])
            losses = self.losses if self.losses is None else np.broadcast_to(state["losses"], self.losses.shape)
            self.optimizer.load_state_dict(state["optimizer"])
        except CheckpointError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"fit: {path} is not of this training: {error}") from error
        self.history, self.first = history, first
        for name, owner in self.rated().items():
            owner.lr = rates[name]
        for name, each in state["schedules"].items():
            self.optimizer.schedules[name].load_state_dict(each)
        for name, array in state["parameters"].items():
            self.model.parameters[name][...] = array
        if self.watch is not None:
            self.watch.load_state_dict(state["watch"])
        if self.losses is not None:
            self.losses[:] = losses

    def _check(self, path, state):
        """Raise CheckpointError unless a checkpoint is of this training."""
        for name, value in self.settings.items():
            found = state["training"].get(name)
            if found != value:
                raise CheckpointError(f"fit: {path} is of a training with {name}={found!r}, this one has {value!r}")
        like = {name: (array.shape, array.dtype) for name, array in state["parameters"].items()}
        if like != {name: (view.shape, view.dtype) for name, view in self.model.parameters.items()}:
            raise CheckpointError(f"fit: {path} has parameters that are not of this model")
        schedules = self.state_dict()["schedules"]
        if (state["watch"] is None) != (self.watch is None) or state["schedules"].keys() != schedules.keys():
            raise CheckpointError(f"fit: {path} is of a training with other early_stopping or schedules")
        if state["rates"].keys() != self.rated().keys():
            raise CheckpointError(f"fit: {path} is of a training with other groups, or schedules of other rates")


class _DistributedTraining(_Training):
    """A training on several ranks: the Distributed optimizer makes the passes and the checkpoints."""

    def __init__(self, model, X, y, optimizer, settings, *arguments):
        own = {"optimizer": type(optimizer.optimizer).__name__, "reduction": optimizer.reduction}
        settings |= own | {"logical_shards": optimizer.logical_shards}
        super().__init__(model, X, y, optimizer, settings, *arguments)

    def descend(self, seed, epoch):
        return self.optimizer.descend(self.model, self.X, self.y, seed, epoch, self.settings["batch_size"])

    def save(self, checkpoint):
        tree = self.state_dict()
        del tree["parameters"], tree["optimizer"]
        self.optimizer.save(checkpoint.path, tree, checkpoint.keep)

    def has_saved(self, path):
        return self.optimizer.has_saved(path)

    def load(self, path):
        vector, state, tree = self.optimizer.read("fit", path)
        parameters = self.model.parameters.zeros_like()
        parameters.vector[:] = vector
        return tree | {"parameters": parameters, "optimizer": state}


def _plain(value):
    """Return an entry of a checkpoint as History holds it: arrays become lists."""
    return value.tolist() if isinstance(value, np.ndarray) else value
