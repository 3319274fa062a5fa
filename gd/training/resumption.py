"""How a training resumes from a checkpoint: what must be alike, what holds, and what the caller is told."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from ..checks import NON_NEGATIVE, check_integer, check_number
from ..files import CheckpointError
from ..losses import ALIASES
from ..typing import FilePath
from .arguments import compared, described, differences, given_to, remade
from .early_stopping import Watch
from .history import History
from .loop import Training

CHANGEABLE = (  # settings that a resumed training may change
    "batch_size", "seed", "accumulate", "emphasis", "evaluate", "steps_per_epoch",
)  # fmt: skip
UNSAVED = {"arguments", "plateaus", "early_stopping"}  # entries that checkpoints of 0.1.0 do not have
TUNABLE = {"patience", "min_delta", "restore_best", "threshold", "cooldown", "lr_min"}  # what was counted stays valid


def resume(training: Training, path: FilePath) -> str | None:
    """Restore the state of a training from a checkpoint, or raise CheckpointError before anything has changed.

    Arguments that the caller gave hold, and those that were left out come from the checkpoint. Return the sentence
    that tells what differs.
    """
    state = training.load(path)
    names = training.state_dict().keys()
    if not names - UNSAVED <= state.keys() <= names:
        raise CheckpointError(f"fit: {path} is not a checkpoint of gd.fit")
    with _refused(path):
        _check_alike(training, path, state)
        history = History(**{name: _plain(value) for name, value in state["history"].items()})
        first = check_integer("fit", "first", state["training"]["first"], 0)
        losses = None if state["losses"] is None else np.broadcast_to(state["losses"], training.X.shape[:1])
        settings, arguments = _settings(training, path, state), _arguments(training, path, state)
        watch = _watch(training, state)
        with remade(training.own, arguments.taken):
            plateaus = _plateaus(training, state)
            rates = _rates(training, path, state, arguments.held)
            training.optimizer.load_state_dict(state["optimizer"])
    training.history, training.first = history, first
    training.settings |= settings.taken
    training.arguments |= arguments.taken
    owners = training.owners()
    for name, rate in rates.items():
        owners[name].lr = rate
    for plateau, counted in plateaus:
        plateau.load_state_dict(counted)
    for name, array in state["parameters"].items():
        training.model.parameters[name][...] = array
    training.watch = watch or training.watch
    history.stopped = watch is not None and watch.waited >= watch.rule.patience
    training.losses = training.unknown_losses()
    if training.losses is not None and losses is not None:
        training.losses[:] = losses
    changed = settings.changed | arguments.changed
    rule, before = described(training.watch and training.watch.rule), state.get("early_stopping", ...)
    if before not in (rule, ...):
        changed["early_stopping"] = rule, before
    return differences(path, changed, settings.taken | arguments.taken)


def nothing_left(training: Training, path: FilePath, epochs: int) -> str | None:
    """Return the sentence which says that a resumed training is over, if it is."""
    if training.history.stopped:
        return (
            f"fit: nothing is left to do, as the training in {path} stopped early after {training.done} epochs; "
            "it goes on with a larger patience, or without early_stopping"
        )
    if training.done >= epochs:
        return f"fit: nothing is left to do, as the training in {path} has {training.done} epochs, got epochs={epochs}"
    return None


class _Compared(NamedTuple):
    """What differs between now and a checkpoint, by name."""

    changed: dict[str, Any]  # (now, saved) of what the caller gave
    taken: dict[str, Any]  # from the checkpoint
    held: Set[str] = frozenset()  # rates that do not come from the checkpoint


@contextmanager
def _refused(path: FilePath) -> Iterator[None]:
    """Turn what entries of another kind raise into a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"fit: {path} is not of this training: {error}") from error


def _check_alike(training: Training, path: FilePath, state: dict[str, Any]) -> None:
    """Raise CheckpointError unless a checkpoint is of this training."""
    for name in (name for name in training.settings if name not in CHANGEABLE):
        value, found = training.settings[name], state["training"].get(name)
        if name == "model" and isinstance(found, str):  # which may name its loss by an alias
            for alias, loss in ALIASES.items():
                found = found.replace(f"loss={alias!r}", f"loss={loss!r}")
        if found != value:
            raise CheckpointError(f"fit: {path} is of a training with {name}={found!r}, this one has {value!r}")
    like = {name: (array.shape, array.dtype) for name, array in state["parameters"].items()}
    if like != {name: (view.shape, view.dtype) for name, view in training.model.parameters.items()}:
        raise CheckpointError(f"fit: {path} has parameters that are not of this model")


def _settings(training: Training, path: FilePath, state: dict[str, Any]) -> _Compared:
    """Compare the arguments of `fit`."""
    saved = {name: state["training"][name] for name in CHANGEABLE if name in state["training"]}
    if training.settings["batch_size"] == "all" and saved.get("batch_size") == training.order_size:
        saved["batch_size"] = "all"  # of which checkpoints of 0.1.0 hold the number
    return _Compared(*compared(path, training.given, {name: training.settings[name] for name in saved}, saved))


def _arguments(training: Training, path: FilePath, state: dict[str, Any]) -> _Compared:
    """Compare the arguments of the optimizer."""
    given, now, groups = given_to(training.own), training.arguments, set()
    saved = state.get("arguments", state["rates"])  # or a rate that a callback set then, and this optimizer has by now
    saved = saved | {name: rate for name, rate in state["rates"].items() if now.get(name) == rate}
    if "groups" in given and saved.get("groups", now["groups"]) != now["groups"]:
        groups = training.owners().keys() - {"lr"}  # their rates are not of these groups
    changed, taken = compared(path, given | groups, now, saved)
    return _Compared(changed, taken, groups | changed.keys())


def _rates(training: Training, path: FilePath, state: dict[str, Any], held: Set[str]) -> dict[str, float]:
    """Return the saved rates that go on."""
    rates = {name: check_number("fit", name, rate, NON_NEGATIVE) for name, rate in state["rates"].items()}
    if missing := training.rated().keys() - rates.keys() - held:
        raise CheckpointError(f"fit: {path} is of a training with a schedule of {min(missing)}: give it again")
    return {name: rate for name, rate in rates.items() if name in training.owners() and name not in held}


def _plateaus(training: Training, state: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return (schedule, what it had counted) of the schedules that go on."""
    counted, rules = dict(state["schedules"]), dict(state.get("plateaus", {}))
    pairs = [
        (each, counted[name])
        for name, each in training.plateaus().items()
        if _goes_on(each, rules.get(name, ...), counted.get(name))
    ]
    for plateau, saved in pairs:
        deepcopy(plateau).load_state_dict(saved)
    return pairs


def _watch(training: Training, state: dict[str, Any]) -> Watch | None:
    """Return the early stopping that goes on, if it does."""
    rule, counted = training.watch and training.watch.rule, dict(state["watch"] or {})
    if rule is None or not _goes_on(rule, state.get("early_stopping", ...), counted):
        return None
    watch = Watch(rule, training.model.parameters.vector, training.optimizer)
    watch.load_state_dict(counted)
    return watch


def _goes_on(rule: Any, before: Any, counted: Any) -> bool:
    """Return True if what was counted by another rule, or by a plateau, is valid for this one; ... is unknown."""
    now = described(rule)
    return bool(counted) and (before is ... or all(before.get(name) == now[name] for name in now.keys() - TUNABLE))


def _plain(value: Any) -> Any:
    """Return an entry of a History from a checkpoint, in which lists are arrays, and empty dicts None."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return {} if value is None else value.tolist() if isinstance(value, np.ndarray) else value
