"""The classes of gd.pytorch, made from gd's registry of optimizers and, where it has the name, the class of torch.optim."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch

from ..optimizers import OPTIMIZERS
from .optimizer import Optimizer

RENAMED = {"RMSprop": {"alpha": "rho"}}  # arguments of torch.optim -> gd's
HEAD = """{name} as a `torch.optim.Optimizer`: the formula of `gd.{name}` on tensors; see `gd.pytorch.Optimizer`.

Its arguments are those of {twin}, and {others}.
"""


def _made(name: str, formula: Any) -> Any:
    """Return the class of gd.pytorch of a name."""
    twin = getattr(torch.optim, name, None)
    expected = inspect.signature(twin or formula)

    def __init__(self: Any, params: Iterable[Any], *given: Any, **keywords: Any) -> None:
        if twin is None:
            bound = expected.bind(params, *given, **keywords).arguments
            Optimizer.__init__(self, params, formula, **{k: v for k, v in bound.items() if k not in ("params", "options")}, **bound.get("options", {}))
            return
        self._options = {k: keywords.pop(k) for k in tuple(keywords) if k not in expected.parameters}
        self.check_names(self._options)
        twin.__init__(self, params, *given, **keywords)
        self._step_supports_amp_scaling = False  # GradScaler unscales the gradients

    others = "keywords that the formula has besides" if twin else "keywords"
    own = {
        "__init__": __init__,
        "__doc__": HEAD.format(name=name, twin=f"`{(twin or formula).__module__.split('.')[0]}...{name}`", others=others),
        "__module__": "gd.pytorch",
        "formula": formula,
        "has_l2": twin is not None and name != "AdamW",
        "renamed": RENAMED.get(name, {}) if twin else {},
    }
    return type(name, (Optimizer, twin) if twin else (Optimizer,), own)


globals().update({name: _made(name, formula) for name, formula in OPTIMIZERS.items()})
