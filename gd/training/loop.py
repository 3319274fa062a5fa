"""The loop over epochs that `fit` runs, and its checkpoints: what they hold and how a training resumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..batches import emphasized, shuffled
from ..checks import NON_NEGATIVE, check_integer, check_number, check_path
from ..distributed import Distributed
from ..files import CheckpointError, load, save
from ..kernels.interruption import Interruption
from ..losses import ALIASES
from ..models import Model
from ..schedules import nested
from ..typing import FilePath
from .early_stopping import Watch
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


class Training:
    """The state of a training: makes the passes over the data, and saves and resumes checkpoints."""

    def __init__(
        self, model: Model, X, y, optimizer: Any, settings: dict[str, Any], order_size: int, early_stopping, evaluate
    ):
        self.model, self.X, self.y, self.optimizer = model, X, y, optimizer
        self.settings, self.order_size = settings, order_size
        self.history = History()
        owner = None if isinstance(optimizer, Distributed) else optimizer  # else its state is spread over ranks
        self.watch = None if early_stopping is None else Watch(early_stopping, model.parameters.vector, owner)
        self.evaluate = evaluate
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
                    with self.evaluated():
                        history.judge(self.model.evaluate(*validation))
                for plateau in plateaus:
                    plateau.update(history.monitored(plateau.monitor))
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

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Have the model hold the parameters that are to be evaluated, within the block."""
        if self.evaluate == "parameters":
            yield
            return
        vector = self.model.parameters.vector
        kept = vector.copy()
        averages = self.optimizer.ema_params() if self.evaluate == "ema" else self.optimizer.averaged_params()
        vector[:] = averages.vector
        try:
            yield
        finally:
            vector[:] = kept

    def pass_over_data(self, bar, interruption, checkpoint: Checkpoint | None) -> None:
        """Train for an epoch."""
        optimizer, history, epoch = self.optimizer, self.history, self.first + self.done
        start, total, counted = perf_counter(), 0.0, 0.0
        for loss, rows, weight in self.descend(self.settings["seed"], epoch):
            if not isfinite(loss) and not optimizer.skip_nonfinite:
                raise FloatingPointError(
                    f"fit: the loss is {loss} in epoch {epoch + 1}, at step {optimizer.steps + 1}; "
                    "lower the learning rate, or look for huge or missing values in X"
                    + ("" if checkpoint is None else f"; the last checkpoint is in {checkpoint.path}")
                )
            if isfinite(loss):
                total, counted = total + loss * weight, counted + weight
            bar.update(rows)
            interruption.raise_if_any()
        history.seconds.append(perf_counter() - start)
        history.loss.append(total / counted if counted else nan)
        history.lr.append(optimizer.last_lr)

    def descend(self, seed: int, epoch: int) -> Iterator[tuple[float, int, float]]:
        """Take the steps of an epoch; yield (mean loss, rows, their weight) of each batch."""
        rows, emphasis, counted = self.X.shape[0], self.settings["emphasis"], self.y.counted
        if counted is not None:  # rows of weight 0 are as if they were not there
            rows = counted.size
        if emphasis:
            losses = self.losses if counted is None else self.losses[counted]
            order = emphasized(rows, seed, epoch, losses, emphasis)
        else:
            order = shuffled(rows, seed, epoch)
        order = order if counted is None else counted[order]
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
        schedules = {k: v.state_dict() for k, v in schedules_of(self.optimizer).items() if hasattr(v, "state_dict")}
        return {
            "training": self.settings | {"first": self.first},
            "parameters": self.model.parameters,
            "optimizer": self.optimizer.state_dict(),
            "rates": {name: owner.lr for name, owner in self.rated().items()},
            "schedules": schedules,
            "history": _packed(history),
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
            schedules = schedules_of(self.optimizer)
            for name, each in state["schedules"].items():
                deepcopy(schedules[name]).load_state_dict(each)
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
            schedules[name].load_state_dict(each)
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
            if name == "model" and isinstance(found, str):  # which may name its loss by an alias
                for alias, loss in ALIASES.items():
                    found = found.replace(f"loss={alias!r}", f"loss={loss!r}")
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


class DistributedTraining(Training):
    """A training on several ranks: the Distributed optimizer makes the passes and the checkpoints."""

    def __init__(self, model, X, y, optimizer, settings, *arguments):
        own = {"optimizer": type(optimizer.optimizer).__name__, "reduction": optimizer.reduction}
        settings |= own | {"logical_shards": optimizer.logical_shards}
        super().__init__(model, X, y, optimizer, settings, *arguments)

    def descend(self, seed, epoch):
        """As in `Training`, over all ranks."""
        return self.optimizer.descend(self.model, self.X, self.y, seed, epoch, self.settings["batch_size"])

    def save(self, checkpoint):
        """Write a checkpoint, each rank its part."""
        tree = self.state_dict()
        del tree["parameters"], tree["optimizer"]
        self.optimizer.save(checkpoint.path, tree, checkpoint.keep)

    def has_saved(self, path):
        """Return True if there is a checkpoint."""
        return self.optimizer.has_saved(path)

    def load(self, path):
        """Return the tree of a checkpoint."""
        vector, state, tree = self.optimizer.read("fit", path)
        parameters = self.model.parameters.zeros_like()
        parameters.vector[:] = vector
        return tree | {"parameters": parameters, "optimizer": state}


def _packed(value: Any) -> Any:
    """Return the state of a History as a checkpoint holds it: lists become arrays, and empty dicts None."""
    if isinstance(value, dict):
        return {name: _packed(each) for name, each in value.items()} or None
    return np.array(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Return what `_packed` was given."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return {} if value is None else value.tolist() if isinstance(value, np.ndarray) else value


def schedules_of(optimizer: Any) -> dict[str, Any]:
    """Return all schedules of an optimizer by name, also those inside of others, such as ``lr.after``."""
    return {name: each for top, given in optimizer.schedules.items() for name, each in nested(top, given)}
