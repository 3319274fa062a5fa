"""Conversion of optimizer states to and from PyTorch, so that training continues there as if nothing had changed."""

from typing import Any

import numpy as np

from ..checks import check_integer
from ..optimizers import Optimizer
from ..parameters import ParameterArray


def to_torch(optimizer: Optimizer, torch_optimizer: Any) -> None:
    """Load the state of an optimizer into the torch.optim optimizer of the same name.

    Parameters
    ----------
    optimizer : Optimizer
        One that torch.optim has: Adadelta, Adagrad, Adam, Adamax, AdamW, ASGD, NAdam, RAdam, RMSprop, Rprop, SGD.
    torch_optimizer : torch.optim.Optimizer
        Made with parameters of the same shapes in the same order, and with the same hyper-parameters. Neither
        hyper-parameters nor parameters are copied.

    Raises
    ------
    TypeError, ValueError
        If the two do not match; nothing has changed then.
    """
    import torch

    arrays = _matched("to_torch", optimizer, torch_optimizer)
    state = {}
    for index, (array, parameter) in enumerate(arrays.values()):
        steps = array.steps if optimizer._state.ragged else optimizer.steps
        if steps == 0:
            continue
        owner = array.update.owner
        slots = dict(zip(owner.slots, array.slots, strict=False))  # without ema, which torch.optim does not have
        state[index] = {
            name: torch.from_numpy(array.shaped(slot).copy()).to(parameter.dtype) for name, slot in slots.items()
        }
        if type(optimizer).__name__ != "SGD":
            state[index]["step"] = torch.tensor(float(steps))
        for name, value in owner.torch_scalars(steps).items():
            state[index][name] = torch.tensor(value, dtype=torch.get_default_dtype())
    torch_optimizer.load_state_dict({"state": state, "param_groups": torch_optimizer.state_dict()["param_groups"]})


def from_torch(torch_optimizer: Any, optimizer: Optimizer, steps: int | None = None) -> None:
    """Load the state of a torch.optim optimizer into the optimizer of the same name.

    Parameters
    ----------
    torch_optimizer, optimizer
        As in `to_torch`.
    steps : int, optional
        Steps taken, for SGD, whose steps PyTorch does not count.

    Raises
    ------
    TypeError, ValueError
        If the two do not match; nothing has changed then.
    """
    arrays = _matched("from_torch", optimizer, torch_optimizer)
    name_of = optimizer._structure.name
    stored = torch_optimizer.state_dict()["state"]
    state, counts = optimizer.state_dict(), {}
    for index, (key, (array, _)) in enumerate(arrays.items()):
        entry = stored.get(index, {})
        known = {name for name in array.update.owner.slots if entry.get(name) is not None}
        for name in known:
            values = entry[name].detach().cpu().numpy().astype(array.dtype, copy=True)
            state[name_of(key, name)] = np.ascontiguousarray(values).reshape(array.shape)
        counts[key] = int(entry["step"]) if "step" in entry else int(bool(known))
        if steps is not None:
            counts[key] = check_integer("from_torch", "steps", steps, 0)
    state = {name: value for name, value in state.items() if not name.endswith(("step", "mu_product"))}
    state["steps"] = max(counts.values())
    if len(set(counts.values())) > 1:
        state |= {name_of(key, "step"): count for key, count in counts.items()}
    optimizer.load_state_dict(state)


def _matched(where: str, optimizer: Optimizer, torch_optimizer: Any) -> dict[Any, tuple[ParameterArray, Any]]:
    """Return {key: (array, parameter)} of two optimizers of the same name."""
    name, theirs = type(optimizer).__name__, type(torch_optimizer)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{where}: optimizer must be one of gd's, such as gd.Adam, got {name}")
    if optimizer.state_dtype or optimizer.param_dtype:
        raise TypeError(f"{where}: optimizer must have float32 or float64 state and parameters, got {optimizer!r}")
    if not theirs.__module__.startswith("torch.optim") or theirs.__name__ != name:
        raise TypeError(f"{where}: torch_optimizer must be a torch.optim.{name}, got {theirs.__name__}")
    parameters = [parameter for group in torch_optimizer.param_groups for parameter in group["params"]]
    arrays = optimizer._structure.arrays
    shapes, expected = [tuple(p.shape) for p in parameters], [array.shape for array in arrays.values()]
    if shapes != expected:
        raise ValueError(f"{where}: torch_optimizer has parameters of shapes {shapes}, optimizer has {expected}")
    return {key: (arrays[key], parameter) for key, parameter in zip(arrays, parameters, strict=True)}
