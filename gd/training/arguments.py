"""The arguments of a training as a checkpoint holds them, and which of those given and those saved hold afterwards."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from .. import schedules
from ..checks import plain
from ..files import CheckpointError
from ..models import MLP, Model
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..typing import FilePath, OptimizerOptions

NAMES = [  # of what every optimizer takes, as far as it changes results
    name
    for name in OptimizerOptions.__annotations__
    if name not in ("groups", "state_dir", "grad_dtype", "zero_grads", "track_norms")
]


def described(value: Any) -> Any:
    """Return an argument as a checkpoint holds it, by values that compare equal: a schedule, or a rule, as a dict."""
    if isinstance(value, Mapping):
        return {key: described(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(described, value))
    if isinstance(value, Schedule) or (is_dataclass(value) and not isinstance(value, type)):
        counted = getattr(value, "state_dict", dict)()  # this changes as the training goes on
        settings = {name: each for name, each in vars(value).items() if name not in counted}
        return {"class": type(value).__name__} | described(settings)
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return described(value.tolist())
    owner, name = getattr(value, "__self__", None), getattr(value, "__qualname__", type(value).__name__)
    return {"class": name} | ({"of": described(owner)} if isinstance(owner, Schedule) else {})


def rebuilt(description: Any) -> Any:
    """Return what `described` was given, of which schedules are made again; raise ValueError for a function."""
    if isinstance(description, tuple):
        return tuple(map(rebuilt, description))
    if not isinstance(description, dict):
        return description
    arguments = {name: rebuilt(each) for name, each in description.items() if name != "class"}
    if "class" not in description:
        return arguments
    kind, _, method = description["class"].partition(".")
    if kind not in schedules.__all__ or not (arguments or method):  # not one of gd's
        raise ValueError("a function cannot be made again")
    return getattr(arguments["of"], method) if method else getattr(schedules, kind)(**arguments)


def text(description: Any) -> str:
    """Return what `described` returned as a user would write it."""
    if isinstance(description, tuple):
        return f"({', '.join(map(text, description))}{',' * (len(description) == 1)})"
    if not isinstance(description, dict) or "class" not in description:
        return repr(description)
    settings = ", ".join(f"{name}={text(each)}" for name, each in description.items() if name != "class")
    return description["class"] + (f"({settings})" if settings else "")


def arguments_of_model(model: Model) -> dict[str, Any]:
    """Return the arguments of a model by name, as `described` has them, where equal models have equal ones."""
    found = (
        {"class": type(model).__name__, "fit_intercept": True} | model._plain_arguments() | {"loss": plain(model.loss)}
    )
    if isinstance(model, MLP):
        found["dropout"] = model._plan.rates
        heads, settings = model._plan.outputs, ("width", "loss", "output", "weight", "given")
        found["heads"] = {name: [getattr(heads[name], each) for each in settings] for name in model.head_names}
    return {name: value for name, value in described(found).items() if value is not None and value != {}}


def arguments_of(optimizer: Optimizer) -> dict[str, Any]:
    """Return the hyper-parameters by name, as `described` has them, with the rates of groups as ``groups[0].lr``."""
    values = {name: getattr(optimizer, name) for name in (*optimizer._hyperparameters, *NAMES)}
    found = {"lr": optimizer._lr} | values | optimizer._schedules
    found["groups"] = [{k: v for k, v in group.items() if k != "lr"} for group in optimizer._specifications]
    found |= {f"groups[{k}].lr": group._lr for k, group in enumerate(optimizer.groups)}
    return {name: described(value) for name, value in found.items()}


def given_to(optimizer: Optimizer) -> set[str]:
    """Return the names of the arguments that the caller passed, or set afterwards, rather than left out."""
    given = set(optimizer.given)
    if optimizer._lr_set or "lr" not in inspect.signature(type(optimizer)).parameters:
        given.add("lr")
    groups = enumerate(zip(optimizer._specifications, optimizer.groups, strict=True))
    return given | {f"groups[{k}].lr" for k, (own, group) in groups if "lr" in own or "lr" in given or group._lr_set}


def compared(
    path: FilePath, given: Collection[str], now: Mapping[str, Any], saved: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return {name: (now, saved)} of the given arguments that differ from those saved, and the others that were saved.

    Raise CheckpointError if one of these others is a function, which a checkpoint does not hold.
    """
    differ = [name for name in now if name in saved and saved[name] != now[name]]
    if "groups" not in given:  # those of the checkpoint, whose rates follow lr where they had its value
        groups = [name for name in saved if name not in now and name.startswith("groups[")]
        differ += [name for name in groups if saved[name] != saved.get("lr", ...)]
    taken = {name: saved[name] for name in differ if name not in given}
    for name, value in taken.items():
        try:
            rebuilt(value)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"fit: {path} is of a training with {name}={text(value)}, which it does not hold: give it again"
            ) from error
    return {name: (now[name], saved[name]) for name in differ if name in given}, taken


def text_of_changed(changed: Mapping[str, Any]) -> str:
    """Return {name: (now, saved)} as a user would read it."""
    return ", ".join(f"{name}={text(now)} (it had {text(saved)})" for name, (now, saved) in changed.items())


def differences(
    path: FilePath, changed: Mapping[str, Any], taken: Mapping[str, Any], rates: Mapping[str, Any], anew: list[str]
) -> str | None:
    """Return the sentence that tells what differs from a checkpoint; None if nothing does.

    `rates` were set during the training, and the rules in `anew` do not go on with what they had counted.
    """
    news = text_of_changed(changed)
    olds = ", ".join(f"{name}={text(saved)}" for name, saved in taken.items() if name not in rates)
    moved = ", ".join(f"{name}={rate}" for name, rate in rates.items())
    parts = [f"goes on with {news}"] * bool(news) + [f"counts anew for {', '.join(anew)}"] * bool(anew)
    parts += [f"keeps {moved}, which was set during it"] * bool(moved)
    parts += [f"keeps {olds}, which was not given"] * bool(olds)
    return f"fit: the training in {path} {' and '.join(parts)}" if parts else None


@contextmanager
def remade(optimizer: Optimizer, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Make an optimizer again, in place, with arguments beside those that it was given; undo it if the block raises."""
    before, rates = dict(vars(optimizer)), [group._lr for group in optimizer.groups]
    try:
        if arguments:
            _remake(optimizer, before, arguments)
        yield
    except BaseException:
        vars(optimizer).clear()
        vars(optimizer).update(before)
        for group, lr in zip(optimizer.groups, rates, strict=True):
            group._lr = lr
        raise


def _remake(optimizer: Optimizer, before: dict[str, Any], arguments: Mapping[str, Any]) -> None:
    made = {name: rebuilt(value) for name, value in arguments.items()}
    own = {name: value for name, value in made.items() if name != "lr" and not name.endswith("].lr")}
    if own:
        if before["_state"].folder is not None:
            given = ", ".join(f"{name}={value!r}" for name, value in own.items())
            raise ValueError(f"with state_dir, the optimizer must be made with {given}")
        lr = made.get("lr", before["_lr"])
        if "groups" in own:
            own["groups"] = [group | {"lr": made.get(f"groups[{k}].lr", lr)} for k, group in enumerate(own["groups"])]
        vars(optimizer).clear()
        type(optimizer).__init__(optimizer, before["params"], **before["given"] | own)
        optimizer._lr = before["_lr"]
        for group, old in zip(optimizer.groups, before["groups"], strict=False):
            group._lr = old._lr
        optimizer.inside.together = before["_steps"].together
        for key, array in before["_structure"].arrays.items():
            optimizer._structure.arrays[key].first_block = array.first_block
    rates = {"lr": optimizer} | {f"groups[{k}].lr": group for k, group in enumerate(optimizer.groups)}
    for name in rates.keys() & made.keys():
        rates[name].lr = made[name]
