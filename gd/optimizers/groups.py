"""Groups: arrays with other hyper-parameters, at construction or added later."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..checks import renamed, shown
from ..kernels.interruption import Interruption
from ..parameters import ParameterArray, Structure
from .hyperparameters import OF_GROUPS
from .state import State
from .steps import Steps
from .storage import GRAD_DTYPES, OPTIONS, check_parameter

if TYPE_CHECKING:
    from .base import Optimizer
    from .state_folder import StateFolder


def structure_of(optimizer: "Optimizer", where: str, params: Any) -> Structure:
    """Return the structure of params if the optimizer can step them, else raise."""
    check = functools.partial(check_parameter, param_dtype=optimizer.param_dtype)
    return Structure(where, params, check, optimizer.zero_grads, GRAD_DTYPES.get(optimizer.grad_dtype))


def check_groups(optimizer: "Optimizer", groups: Any, structure: Structure) -> tuple[dict[str, Any], ...]:
    """Return copies of the dicts of the groups if each has valid keywords for some of the arrays, else raise."""
    where = f"{optimizer._name}: groups"
    if not isinstance(groups, (list, tuple)) or not all(isinstance(group, Mapping) for group in groups):
        raise TypeError(f"{where} must be a list of dicts, got {groups!r}")
    if groups and structure.is_one:
        raise ValueError(f"{where} needs params to be a list or a dict of arrays, got one array")
    groups = [dict(group) for group in groups]
    allowed = {"params", "lr", *optimizer._hyperparameters, *OF_GROUPS}
    seen, arrays = set(), structure.arrays
    for k, group in enumerate(groups):
        for keyword in group.keys() - allowed:
            raise TypeError(f"{where}[{k}] has an unexpected keyword {keyword!r}")
        keys = group.get("params")
        if not isinstance(keys, (list, tuple)) or not keys or not all(isinstance(key, Hashable) for key in keys):
            raise TypeError(f"{where}[{k}]['params'] must be a list of keys of params, got {keys!r}")
        keys = [each for key in keys for each in ([key] if key in arrays else structure.below(key) or [key])]
        groups[k]["params"] = keys
        for key in keys:
            if key not in arrays or key in seen:
                fault = "is in two groups" if key in seen else "is no key of params"
                raise ValueError(f"{where}[{k}]['params']: {key!r} {fault}")
            seen.add(key)
    if optimizer.proximal and not (optimizer.uses("l1") or any(group.get("l1") for group in groups)):
        raise ValueError(f"{optimizer._name}: l1 must be above 0 with proximal, got {optimizer.l1:g}")
    return tuple(groups)


def make_groups(
    optimizer: "Optimizer",
    groups: Sequence[dict[str, Any]],
    arrays: Mapping[Any, ParameterArray],
    folder: "StateFolder | None",
) -> "tuple[Optimizer, ...]":
    """Return an optimizer of the same class for each group, with the group's hyper-parameters in place of its own."""
    names = (*optimizer._hyperparameters, *OF_GROUPS, "ema", *OPTIONS)
    own = {name: optimizer._schedules.get(name, getattr(optimizer, name)) for name in names}
    made, name = [], optimizer._name
    for k, group in enumerate(groups):
        keywords: dict[str, Any] = {"lr": optimizer._lr} | own | group | {"state_dir": folder}
        if not keywords["l1"] and "proximal" not in group:
            keywords["proximal"] = False  # nothing to take by a proximal step
        params = {key: arrays[key].given for key in keywords.pop("params")}
        make = functools.partial(type(optimizer), params, **keywords)
        made.append(renamed(f"{name}:", f"{name}: groups[{k}]:", make))
        if optimizer.estimates:  # all share the estimate, and this group may join later
            vars(made[-1]).update({each: getattr(optimizer, each) for each in optimizer.scalars})
    return tuple(made)


def add_group(optimizer: "Optimizer", group: Any) -> None:
    """See `Optimizer.add_group`."""
    name, own, k = optimizer._name, optimizer._structure, len(optimizer.groups)
    where = f"{name}.add_group"
    optimizer._state.check_own()
    if optimizer._state.folder is not None:
        raise TypeError(f"{where}: group cannot join an optimizer with state_dir, whose files are fixed")
    if own.vector is not None or own.is_one:
        given = type(own.params).__name__
        raise TypeError(f"{where}: group can join params that are a list, a tuple or a dict, not a {given}")
    if not isinstance(group, Mapping) or "params" not in group:
        raise TypeError(f"{where}: group must be a dict with params, got {shown(group)}")
    if optimizer.inside.holds_gradients:
        raise ValueError(f"{where}: group cannot join between accumulate and step")
    where += ": group"
    new = structure_of(optimizer, where, group["params"])
    params = _joined(where, own.params, new)
    structure = structure_of(optimizer, where, params)
    specification = dict(group) | {"params": [key for key in structure.arrays if key not in own.arrays]}
    specifications = renamed(
        f"{name}: groups[{k}]",
        where,
        lambda: check_groups(optimizer, [*optimizer._specifications, specification], structure),
    )
    made = renamed(
        f"{name}: groups[0]", where, lambda: make_groups(optimizer, specifications[k:], structure.arrays, None)
    )
    with Interruption():
        before = optimizer._state
        if optimizer.steps:
            before.count_apart()
        structure.adopt(own.arrays)
        vars(optimizer).update(params=structure.params, groups=optimizer.groups + made)
        optimizer._structure, optimizer._specifications = structure, specifications
        state = optimizer._state = State(optimizer, structure, optimizer.groups, None)
        state.ragged = before.ragged
        state.set_steps(optimizer.steps)
        optimizer._steps = Steps(optimizer, structure, state)


def _joined(where: str, params: Any, new: Structure) -> Any:
    """Return params with the arrays of another structure behind them."""
    if isinstance(params, Mapping):
        if not isinstance(new.params, Mapping):
            raise TypeError(f"{where}: params must be a dict, as the optimizer's are, got {type(new.params).__name__}")
        if again := params.keys() & new.params.keys():
            raise ValueError(f"{where}: params has the key {again.pop()!r}, which the optimizer has already")
        return {**params, **new.params}
    if isinstance(new.params, Mapping):
        raise TypeError(f"{where}: params must be a list, as the optimizer's are, got {type(new.params).__name__}")
    joined = [*params, *([new.params] if new.is_one else new.params)]
    return joined if isinstance(params, list) else tuple(joined)
