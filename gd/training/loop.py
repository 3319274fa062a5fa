"""The loop over epochs that `fit` runs, and what its checkpoints hold."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..batches import emphasized, shuffled
from ..checks import check_integer, check_path
from ..files import load, save
from ..kernels.interruption import CtrlC
from ..models import Model
from ..schedules import ReduceOnPlateau, nested
from ..typing import FilePath
from .arguments import arguments_of, arguments_of_model, described
from .averages import averaged, undistributed
from .early_stopping import Watch
from .history import History, check_monitored


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
    """The state of a training: makes the passes over the data, and saves checkpoints.

    `given` names the settings that the caller gave rather than left out.
    """

    unit = "samples"  # of progress

    def __init__(self, model: Model, X, y, optimizer: Any, settings: dict[str, Any], given: set[str], early_stopping):
        self.model, self.X, self.y, self.optimizer = model, X, y, optimizer
        self.settings, self.given, self.history = settings, given, History()
        self.counted = None if y is None else y.counted  # rows of weight 0 are as if they were not there
        self.rows = self.counted.size if self.counted is not None else 0 if y is None else X.shape[0]
        self.own = undistributed(optimizer)
        self.arguments: dict[str, Any] = {}  # of the optimizer, for checkpoints
        self.watch = None if early_stopping is None else Watch(early_stopping, self)
        self.losses = self.unknown_losses()
        steps = self.steps_per_epoch
        self.first = 0 if steps is None else optimizer.steps // steps  # the number of the first epoch

    def describe(self) -> None:
        """Note the arguments of model and optimizer for checkpoints, before callbacks set rates."""
        self.settings["model"], self.arguments = arguments_of_model(self.model), arguments_of(self.own)

    def unknown_losses(self) -> Any:
        """Return the losses of rows before the first epoch, if there is emphasis."""
        return np.full(self.X.shape[0], np.nan) if self.settings["emphasis"] else None

    @property
    def order_size(self) -> int:
        """The number of rows of an epoch."""
        return self.rows + int(self.settings["emphasis"] * self.rows)

    @property
    def batch_size(self) -> int:
        """The number of rows of a batch."""
        return self.order_size if self.settings["batch_size"] == "all" else self.settings["batch_size"]

    @property
    def steps_per_epoch(self) -> int | None:
        """The number of steps of an epoch, if none is skipped and if it is known."""
        return -(-self.order_size // (self.batch_size * self.settings["accumulate"]))

    def total(self, epochs: int) -> int | None:
        """Return how many of its unit the training takes to its last epoch, if it is known."""
        return self.order_size * (epochs - self.done)

    @property
    def done(self) -> int:
        """The number of epochs so far."""
        return len(self.history.loss)

    def run(self, epochs, validation, judged, callbacks, checkpoint: Checkpoint | None, bar) -> None:
        """Train to a total of `epochs`, unless early stopping or a callback ends the training.

        `judged` are the outputs that the validation has targets for.
        """
        history, heads = self.history, self.model.head_names
        with CtrlC() as interruption:
            while self.done < epochs and not history.stopped:
                self.pass_over_data(bar, interruption, checkpoint)
                if validation is not None:
                    with self.evaluated():
                        history.judge(self.model.evaluate(*validation), heads)
                for plateau in plateaus_of(self.optimizer, max(self.optimizer.steps - 1, 0)):
                    check_monitored(plateau.monitor, heads, judged)  # a callback may have set it
                    plateau.update(history.monitored(plateau.monitor))
                shown = {"epoch": f"{self.first + self.done}/{self.first + epochs}", "loss": f"{history.loss[-1]:.4f}"}
                if history.score:
                    shown |= {"val_loss": f"{history.validation_loss[-1]:.4f}", "score": f"{history.score[-1]:.4f}"}
                bar.set_postfix(shown)
                history.stopped = self.watch is not None and self.watch.is_over(history)
                ends = any([callback(history) for callback in callbacks]) or history.stopped or self.done == epochs  # noqa: C419 (all of them are called)
                if checkpoint is not None and (ends or self.done % checkpoint.every == 0):
                    self.save(checkpoint)
                interruption.raise_if_any()
                if ends:
                    break
        if self.watch is not None:
            self.watch.restore()

    def evaluated(self) -> AbstractContextManager[None]:
        """Return the context in which the model holds the parameters that are to be evaluated."""
        average = self.settings["evaluate"]
        return nullcontext() if average == "parameters" else averaged(self.optimizer, average)

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
            bar.update(rows if self.unit == "samples" else 1)
            interruption.raise_if_any()
        history.seconds.append(perf_counter() - start)
        history.loss.append(total / counted if counted else nan)
        history.lr.append(optimizer.last_lr)

    def descend(self, seed: int, epoch: int) -> Iterator[tuple[float, int, float]]:
        """Take the steps of an epoch; yield (mean loss, rows, their weight) of each batch."""
        rows, emphasis, counted = self.rows, self.settings["emphasis"], self.counted
        if emphasis:
            losses = self.losses if counted is None else self.losses[counted]
            order = emphasized(rows, seed, epoch, losses, emphasis)
        else:
            order = shuffled(rows, seed, epoch)
        order = order if counted is None else counted[order]
        arguments = self.X, self.y, order, self.batch_size, self.optimizer, self.settings["accumulate"]
        return self.model.descend(*arguments, self.losses)

    def owners(self) -> dict[str, Any]:
        """Return {name: owner} of the learning rates: callbacks can set owner.lr."""
        return {"lr": self.optimizer} | {f"groups[{k}].lr": group for k, group in enumerate(self.optimizer.groups)}

    def rated(self) -> dict[str, Any]:
        """Return {name: owner} of the learning rates that are not schedules."""
        return {name: owner for name, owner in self.owners().items() if name not in self.optimizer.schedules}

    def state_dict(self) -> dict[str, Any]:
        """Return the tree that a checkpoint holds."""
        return {
            "training": self.settings | {"first": self.first},
            "arguments": self.arguments,
            "parameters": self.model.parameters,
            "optimizer": self.optimizer.state_dict(),
            **self.counts(),
            "plateaus": {name: described(each) for name, each in self.plateaus().items()},
            "history": _packed(self.history.state_dict()),
            "watch": None if self.watch is None else self.watch.state_dict(),
            "early_stopping": None if self.watch is None else described(self.watch.rule),
            "losses": self.losses,
        }

    def counts(self) -> dict[str, Any]:
        """Return the rates that are not schedules, and what schedules have counted."""
        return {
            "rates": {name: owner.lr for name, owner in self.rated().items()},
            "schedules": {name: each.state_dict() for name, each in self.plateaus().items()},
        }

    def restore_counts(self, rates: dict[str, float], schedules: dict[str, Any]) -> None:
        """Restore what `counts` returned, as far as it is of rates and schedules that there are."""
        owners, plateaus = self.owners(), self.plateaus()
        for name in rates.keys() & owners.keys():
            if owners[name].lr != rates[name]:
                owners[name].lr = rates[name]
        for name in schedules.keys() & plateaus.keys():
            plateaus[name].load_state_dict(schedules[name])

    def plateaus(self) -> dict[str, Any]:
        """Return {name: schedule} of the schedules that have a state."""
        return {name: each for name, each in schedules_of(self.optimizer).items() if hasattr(each, "state_dict")}

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint."""
        save(checkpoint.path, self.state_dict(), checkpoint.keep)

    def has_saved(self, path: FilePath) -> bool:
        """Return True if there is a checkpoint."""
        return Path(path).exists()

    def load(self, path: FilePath) -> dict[str, Any]:
        """Return the tree of a checkpoint."""
        return load(path)


class DistributedTraining(Training):
    """A training on several ranks: the Distributed optimizer makes the passes and the checkpoints."""

    def __init__(self, model, X, y, optimizer, settings, *arguments):
        own = {"optimizer": type(optimizer.optimizer).__name__, "reduction": optimizer.reduction}
        settings |= own | {"logical_shards": optimizer.logical_shards}
        super().__init__(model, X, y, optimizer, settings, *arguments)

    def descend(self, seed, epoch):
        """As in `Training`, over all ranks."""
        return self.optimizer.descend(self.model, self.X, self.y, seed, epoch, self.batch_size)

    def save(self, checkpoint):
        """Write a checkpoint, each rank its part."""
        tree, best = self.state_dict(), {}
        del tree["parameters"], tree["optimizer"]
        if self.watch is not None:
            best = tree["watch"].pop("state") or {}
        self.optimizer.write(checkpoint.path, tree, checkpoint.keep, best)

    def has_saved(self, path):
        """Return True if there is a checkpoint."""
        return self.optimizer.has_saved(path)

    def load(self, path):
        """Return the tree of a checkpoint."""
        vector, state, best, tree = self.optimizer.read("fit", path)
        if tree.get("watch") is not None:
            tree["watch"]["state"] = best or None
        parameters = self.model.parameters.zeros_like()
        parameters.vector[:] = vector
        return tree | {"parameters": parameters, "optimizer": state}


def _packed(value: Any) -> Any:
    """Return the state of a History as a checkpoint holds it: lists become arrays, and empty dicts None."""
    if isinstance(value, dict):
        return {name: _packed(each) for name, each in value.items()} or None
    return np.array(value) if isinstance(value, list) else value


def schedules_of(optimizer: Any, step: int | None = None) -> dict[str, Any]:
    """Return the schedules of an optimizer by name, also those inside of others, such as ``lr.after``; see `nested`."""
    return {name: each for top, given in optimizer.schedules.items() for name, each in nested(top, given, step)}


def plateaus_of(optimizer: Any, step: int | None = None) -> list[ReduceOnPlateau]:
    """Return the plateaus among the schedules of an optimizer, each once, although groups can share one."""
    found = schedules_of(optimizer, step).values()
    return list({id(each): each for each in found if isinstance(each, ReduceOnPlateau)}.values())
