"""How a training resumes from a checkpoint: what must be alike, what holds, and what the caller is told."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from ..checks import NON_NEGATIVE, check_integer, check_number
from ..files import CheckpointError
from ..losses import ALIASES
from ..optimizers import Rprop
from ..schedules import ReduceOnPlateau
from ..typing import FilePath
from .arguments import compared, described, differences, given_to, remade, text_of_changed
from .averages import check_average
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
        evaluates_anew = "evaluate" in settings.changed and training.settings["validation"]
        watch = _watch(training, state, evaluates_anew)
        with remade(training.own, arguments.taken):
            check_average("fit", "evaluate", (training.settings | settings.taken)["evaluate"], training.own)
            plateaus = _plateaus(training, state, evaluates_anew)
            rates = _rates(training, path, state, arguments.held)
            _load(training, path, state["optimizer"], arguments.changed)
    training.history, training.first = history, first
    training.settings |= settings.taken
    training.arguments |= arguments.taken
    owners, anew = training.owners(), []
    moved = {name: rate for name, rate in rates.items() if owners[name].lr != rate}
    training.restore_counts(rates, plateaus)
    for name, array in state["parameters"].items():
        training.model.parameters[name][...] = array
    if training.watch is not None and state["watch"] and watch is None:
        anew.append("early_stopping")
    anew += [name for name in training.plateaus() if name in state["schedules"] and name not in plateaus]
    training.watch = watch or training.watch
    history.stopped = watch is not None and watch.waited >= watch.rule.patience
    training.losses = training.unknown_losses()
    if training.losses is not None and losses is not None:
        training.losses[:] = losses
    changed = settings.changed | arguments.changed
    rule, before = described(training.watch and training.watch.rule), state.get("early_stopping", ...)
    if before not in (rule, ...):
        changed["early_stopping"] = rule, before
    line = differences(path, changed, settings.taken | arguments.taken, moved, anew)
    only_first = "lr" in arguments.changed and isinstance(training.own, Rprop) and training.own.steps
    return f"{line}; lr has no effect on the step sizes of Rprop after its first step" if only_first else line


def nothing_left(training: Training, path: FilePath, epochs: int) -> str | None:
    """Return the sentence which says that a resumed training is over, if it is."""
    watch = training.watch
    if training.history.stopped and watch is not None:
        return (
            f"fit: nothing is left to do, as the last {watch.waited} of the {training.done} epochs in {path} were no "
            f"better, got patience={watch.rule.patience}: it goes on with a larger one, or without early_stopping"
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


def _load(training: Training, path: FilePath, state: Any, changed: dict[str, Any]) -> None:
    """Load the state of the optimizer; an error names the arguments that differ."""
    try:
        training.optimizer.load_state_dict(state)
    except (KeyError, TypeError, ValueError) as error:
        news = text_of_changed(changed)
        raise CheckpointError(
            f"fit: {path} is not of this training{f', which has {news}' * bool(news)}: {error.args[0]}"
        ) from error


def _check_alike(training: Training, path: FilePath, state: dict[str, Any]) -> None:
    """Raise CheckpointError unless a checkpoint is of this training."""
    saved = {"sample_weight": False} | state["training"]  # which those of 0.1.0 do not have
    pairs = {name: (value, saved.get(name)) for name, value in training.settings.items() if name not in CHANGEABLE}
    now, found = pairs.pop("model")
    if isinstance(found, str):  # of 0.1.0, which may name its loss by an alias
        for alias, loss in ALIASES.items():
            found = found.replace(f"loss={alias!r}", f"loss={loss!r}")
        pairs |= {"model": (repr(training.model), found), "max_norm": (now.get("max_norm"), saved["max_norm"])}
        pairs["seed of the model"] = now.get("seed"), saved["seed of the model"]
    else:
        pairs |= {name: (now.get(name), found.get(name)) for name in now.keys() | found.keys()}
    for name, (value, found) in pairs.items():
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
    if "lr" in changed:  # the rates that follow it
        groups = groups | {name for name in saved if name.endswith("].lr") and saved[name] == saved["lr"]}
    return _Compared(changed, taken, groups | changed.keys())


def _rates(training: Training, path: FilePath, state: dict[str, Any], held: Set[str]) -> dict[str, float]:
    """Return the saved rates that go on."""
    rates = {name: check_number("fit", name, rate, NON_NEGATIVE) for name, rate in state["rates"].items()}
    if missing := training.rated().keys() - rates.keys() - held:
        raise CheckpointError(f"fit: {path} is of a training with a schedule of {min(missing)}: give it again")
    return {name: rate for name, rate in rates.items() if name in training.owners() and name not in held}


def _plateaus(training: Training, state: dict[str, Any], evaluates_anew: bool) -> dict[str, Any]:
    """Return what the schedules that go on had counted, by name."""
    rules, saved, found = dict(state.get("plateaus", {})), dict(state["schedules"]), {}
    for name, plateau in training.plateaus().items():
        rule, counted = rules.get(name, ...), saved.get(name)
        if counted and (rule is ... or _goes_on(plateau, rule)):
            other = evaluates_anew or (rule is ... and training.settings["validation"])
            if other and isinstance(plateau, ReduceOnPlateau) and plateau.monitor != "loss":
                counted = counted | {"best": plateau.best, "bad": 0}  # what it had is of another figure
            deepcopy(plateau).load_state_dict(counted)
            found[name] = counted
    return found


def _watch(training: Training, state: dict[str, Any], evaluates_anew: bool) -> Watch | None:
    """Return the early stopping that goes on, if it does."""
    rule, counted = training.watch and training.watch.rule, dict(state["watch"] or {})
    before = state.get("early_stopping")
    if rule is None or not counted or before is None or not _goes_on(rule, before):  # None is of 0.1.0: another figure
        return None
    watch = Watch(rule, training)
    watch.load_state_dict(counted)
    if (evaluates_anew and rule.monitor != "loss") or (rule.restore_best and watch.state is None):
        return None
    if before["min_delta"] != rule.min_delta:
        watch.mark, watch.waited = watch.best, 0
    return watch


def _goes_on(rule: Any, before: dict[str, Any]) -> bool:
    """Return True if what was counted by another rule, or by a plateau, is valid for this one."""
    now, other = described(rule), TUNABLE
    if isinstance(now.get("lr"), dict) and isinstance(before.get("lr"), dict):  # what it multiplies may change
        other = TUNABLE | {"lr"}
    return all(before.get(name) == now[name] for name in now.keys() - other)


def _plain(value: Any) -> Any:
    """Return an entry of a History from a checkpoint, in which lists are arrays, and empty dicts None."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return {} if value is None else value.tolist() if isinstance(value, np.ndarray) else value
