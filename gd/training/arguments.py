"""The arguments of a training as a checkpoint holds them, and which of those given and those saved hold afterwards."""

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from ..files import CheckpointError
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..typing import FilePath, OptimizerOptions

NAMES = [  # of what every optimizer takes, as far as it changes results
    name
    for name in OptimizerOptions.__annotations__
    if name not in ("groups", "state_dir", "zero_grads", "track_norms")
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
    if isinstance(value, np.generic):
        return value.item()
    owner, name = getattr(value, "__self__", None), getattr(value, "__qualname__", type(value).__name__)
    return {"class": name} | ({"of": described(owner)} if isinstance(owner, Schedule) else {})


def text(description: Any) -> str:
    """Return what `described` returned as a user would write it."""
    if isinstance(description, tuple):
        return f"({', '.join(map(text, description))})"
    if not isinstance(description, dict) or "class" not in description:
        return repr(description)
    settings = ", ".join(f"{name}={text(each)}" for name, each in description.items() if name != "class")
    return description["class"] + (f"({settings})" if settings else "")


def arguments_of(optimizer: Optimizer) -> dict[str, Any]:
    """Return the hyper-parameters by name, as `described` has them, with the rates of groups as ``groups[0].lr``."""
    values = {name: getattr(optimizer, name) for name in (*optimizer._hyperparameters, *NAMES)}
    found = {"lr": optimizer._lr} | values | optimizer._schedules
    found["groups"] = [{k: v for k, v in group.items() if k != "lr"} for group in optimizer._specifications]
    found |= {f"groups[{k}].lr": group._lr for k, group in enumerate(optimizer.groups)}
    return {name: described(value) for name, value in found.items()}


def given_to(optimizer: Optimizer) -> set[str]:
    """Return the names of the arguments that the caller passed, or set afterwards, rather than left out."""
    lr, given = inspect.signature(type(optimizer)).parameters.get("lr"), set(optimizer.given)
    if lr is None or described(optimizer._lr) != lr.default:
        given.add("lr")
    groups = enumerate(optimizer._specifications)
    return given | {f"groups[{k}].lr" for k, group in groups if "lr" in group or "lr" in given}


def compared(
    path: FilePath, given: Collection[str], now: Mapping[str, Any], saved: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return {name: (now, saved)} of the given arguments that differ from those saved, and the others that were saved.

    Raise CheckpointError if one of these others is a function, which a checkpoint does not hold.
    """
    differ = [name for name in now if name in saved and saved[name] != now[name]]
    differ += [name for name in saved if name not in now and "groups" not in given and name.startswith("groups[")]
    taken = {name: saved[name] for name in differ if name not in given}
    for name, value in taken.items():
        if _has_function(value):
            raise CheckpointError(
                f"fit: {path} is of a training with {name}={text(value)}, which it does not hold: give it again"
            )
    return {name: (now[name], saved[name]) for name in differ if name in given}, taken


def _has_function(value: Any) -> bool:
    if isinstance(value, dict):
        return "class" in value or any(map(_has_function, value.values()))
    return isinstance(value, tuple) and any(map(_has_function, value))


def differences(path: FilePath, changed: Mapping[str, Any], taken: Mapping[str, Any]) -> str | None:
    """Return the sentence that tells what differs from a checkpoint; None if nothing does."""
    news = ", ".join(f"{name}={text(now)} (it had {text(saved)})" for name, (now, saved) in changed.items())
    olds = ", ".join(f"{name}={text(saved)}" for name, saved in taken.items())
    parts = [f"goes on with {news}"] * bool(news) + [f"keeps {olds}, which was not given"] * bool(olds)
    return f"fit: the training in {path} {' and '.join(parts)}" if parts else None


@contextmanager
def remade(optimizer: Optimizer, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Make an optimizer again, in place, with arguments beside those that it was given; undo it if the block raises."""
    before = dict(vars(optimizer))
    try:
        if arguments:
            _remake(optimizer, before, arguments)
        yield
    except BaseException:
        vars(optimizer).clear()
        vars(optimizer).update(before)
        raise


def _remake(optimizer: Optimizer, before: dict[str, Any], arguments: Mapping[str, Any]) -> None:
    own = {name: value for name, value in arguments.items() if not name.endswith("].lr")}
    if before["_state"].folder is not None:
        given = ", ".join(f"{name}={value!r}" for name, value in own.items())
        raise ValueError(f"with state_dir, the optimizer must be made with {given}")
    if "groups" in own:
        own["groups"] = [group | {"lr": arguments[f"groups[{k}].lr"]} for k, group in enumerate(own["groups"])]
    vars(optimizer).clear()
    type(optimizer).__init__(optimizer, before["params"], **before["given"] | own)
    rates = {"lr": (optimizer, before["_lr"])}
    for k, (group, old) in enumerate(zip(optimizer.groups, before["groups"], strict=False)):
        rates[f"groups[{k}].lr"] = group, old._lr
    for name, (owner, lr) in rates.items():
        owner.lr = arguments.get(name, lr)
    optimizer.inside.together = before["_steps"].together
    for key, array in before["_structure"].arrays.items():
        optimizer._structure.arrays[key].first_block = array.first_block
