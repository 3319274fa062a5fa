"""Optimizer: a torch.optim.Optimizer whose formula is one of gd's."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch

from ..optimizers import BorrowedArrays
from ..optimizers import Optimizer as Formula
from .tensors import Tensors, check_tensor, plain


class Optimizer(torch.optim.Optimizer):
    """A PyTorch optimizer that steps tensors by one of gd's formulas, in one pass over their memory.

    It is a `torch.optim.Optimizer`: groups, schedulers, hooks, closures, copies and state dicts work as in PyTorch. The
    state is kept in tensors, under PyTorch's names. `gd.pytorch.AdamW` and the other classes that carry names of
    torch.optim take the arguments of those and load their state dicts, and torch.optim loads theirs.

    Parameters
    ----------
    params : iterable of tensor, of (name, tensor) or of dict
        As in torch.optim: tensors of float32, float64 or bfloat16 on the CPU, or groups of them. They may have any
        strides; those whose axes lie densely in memory, in any order, are stepped without a copy.
    formula : subclass of gd.Optimizer
        Such as `gd.AdamW`.
    **arguments
        Of the formula, with its defaults, and those that all of gd's optimizers take: l1, l2, weight_decay, proximal,
        maximize, clip_value, seed, ``state_dtype="bfloat16"`` and, for bfloat16 parameters, master_weights. Each may
        differ among groups. Clip by norms with ``torch.nn.utils.clip_grad_norm_``.

    Raises
    ------
    TypeError, ValueError
        If an argument or a tensor is not as described.

    Notes
    -----
    The states of bfloat16 parameters are bfloat16, as in PyTorch; they and the parameters are rounded stochastically.
    A sparse gradient steps the rows that it holds, as torch.optim.SparseAdam does; where parameters or states are
    bfloat16 it steps all rows. gd uses as many threads as
    `gd.threads` says.

    Examples
    --------
    >>> import gd, torch  # doctest: +SKIP
    >>> model = torch.nn.Linear(3, 1)  # doctest: +SKIP
    >>> optimizer = gd.pytorch.Optimizer(model.parameters(), gd.Lion, lr=1e-4)  # doctest: +SKIP
    >>> model(torch.ones(2, 3)).sum().backward()  # doctest: +SKIP
    >>> optimizer.step()  # doctest: +SKIP
    """

    formula: Any = None  # the class of gd
    has_l2 = False  # True if weight_decay is l2, as in most of torch.optim
    renamed: ClassVar[dict[str, str]] = {}  # names of torch.optim -> gd's
    _options: Mapping[str, Any] = MappingProxyType({})  # arguments that the class of torch.optim lacks
    _tensors: Tensors | None = None

    def __init__(self, params: Iterable[Any], formula: Any, **arguments: Any) -> None:
        if not (isinstance(formula, type) and issubclass(formula, Formula)):
            raise TypeError(f"gd.pytorch.Optimizer: formula must be a class such as gd.AdamW, got {formula!r}")
        if not formula.steps_alone:
            raise TypeError(
                f"gd.pytorch.Optimizer: formula must step tensors one by one, got {formula.__name__}; give the tensors "
                f"to gd itself, as gd.{formula.__name__}([p.detach() for p in model.parameters()])"
            )
        if "lr" not in _defaults(formula):
            raise TypeError(
                f"gd.pytorch.Optimizer: formula must have an argument lr with a default, got {formula.__name__}"
            )
        self.formula = formula
        self.check_names(arguments)
        torch.optim.Optimizer.__init__(self, params, _defaults(formula) | arguments)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"formula": self.formula}

    @classmethod
    def label(cls) -> str:
        """Return the name in messages."""
        return f"gd.pytorch.{cls.__name__}"

    def check_names(self, names: Iterable[str]) -> None:
        """Raise TypeError if one is no argument of the formula."""
        for name in names:
            if name not in (*_defaults(self.formula), *BorrowedArrays.options) or (self.has_l2 and name == "l2"):
                advice = "; call torch.nn.utils.clip_grad_norm_ before step" * name.startswith("clip_norm")
                advice = "; here it is weight_decay" if name == "l2" else advice
                raise TypeError(f"{self.label()}: unexpected keyword {name!r}{advice}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of tensors, with arguments of its own: see `torch.optim.Optimizer.add_param_group`.

        Raises
        ------
        TypeError, ValueError
            If the group is wrong; nothing has changed then.
        """
        for name, value in self._options.items():
            self.defaults.setdefault(name, value)
        super().add_param_group(param_group)
        try:
            for p in param_group["params"]:
                check_tensor(self.label(), p)
            self.owner_of(param_group, False)
        except BaseException:
            self.param_groups.pop()
            raise
        for name, value in self.formula.scalars.items():
            param_group.setdefault(name, value)

    def watched(self) -> tuple[str, ...]:
        """Return the names of a group's entries that are hyper-parameters, lr first."""
        return "lr", *_names(self.formula), *self.renamed, "decoupled_weight_decay", "differentiable"

    def values_of(self, group: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the formula in a group, without lr."""
        found = {name: group[name] for name in _names(self.formula) if name in group}
        for theirs, name in self.renamed.items():
            found[name] = group[theirs]
        if self.has_l2 and not group.get("decoupled_weight_decay"):
            found["l2"] = found.pop("weight_decay", 0.0)
        return found

    def owner_of(self, group: dict[str, Any], is_low: bool) -> Any:
        """Return an optimizer of gd that holds the formula with a group's arguments, for bfloat16 or for floats."""
        if group.get("differentiable"):
            raise ValueError(f"{self.label()}: differentiable must be False; autograd does not record gd's steps")
        values = {name: plain(value) for name, value in self.values_of(group).items()}
        storage = values.get("state_dtype")
        if storage not in (None, "bfloat16"):
            raise ValueError(f"{self.label()}: state_dtype must be None or 'bfloat16', got {storage!r}")
        if is_low:
            if self.formula.trust_norms is not None:
                raise TypeError(f"{self.label()}: params must be float32 or float64, got bfloat16")
            values |= {"state_dtype": "bfloat16", "param_dtype": "bfloat16"}
        else:
            values.pop("master_weights", None)
        owner = self.formula([np.zeros(1, np.uint16 if is_low else np.float32)], lr=plain(group["lr"]), **values)
        if callable(owner._lr) or owner._schedules:
            name = next(iter(owner._schedules), "lr")
            raise TypeError(
                f"{self.label()}: {name} must be a number, got a schedule; use torch.optim.lr_scheduler instead"
            )
        return owner

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step the parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Called first, with gradients enabled: it computes the loss and the gradients.

        Returns
        -------
        loss
            What the closure returned; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            tensors = self._tensors
            if tensors is None or not tensors.are_up_to_date():
                self._tensors = None  # its memory can be reused
                tensors = self._tensors = Tensors(self)
            tensors.step()
        return loss


@lru_cache
def _defaults(formula: Any) -> dict[str, Any]:
    """Return the arguments that a class of gd names itself, with their defaults."""
    parameters = inspect.signature(formula).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "params" and p.default is not p.empty}


@lru_cache
def _names(formula: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (*_defaults(formula), *BorrowedArrays.options) if name != "lr"))
