"""The classes of gd.pytorch, made from gd's registry of optimizers and the classes of torch.optim of their names."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch

from ..optimizers import one_by_one
from .optimizer import Optimizer

RENAMED = {"RMSprop": {"alpha": "rho"}}  # arguments of torch.optim -> gd's
DOCUMENTATION = """{name} as a `torch.optim.Optimizer`: the formula of `gd.{name}`, as `gd.pytorch.Optimizer` steps it.

The arguments are those of `{origin}.{name}`, in their order, and keywords that only `gd.{name}` has.
"""


def _made(name: str, formula: Any) -> Any:
    """Return the class of gd.pytorch of a name."""
    twin = getattr(torch.optim, name, None)
    expected = inspect.signature(twin or formula)

    def __init__(self: Any, params: Iterable[Any], *given: Any, **keywords: Any) -> None:
        if twin is None:
            bound = expected.bind(params, *given, **keywords).arguments
            del bound["params"]
            Optimizer.__init__(self, params, formula, **bound.pop("options", {}), **bound)
            return
        self._options = {key: keywords.pop(key) for key in tuple(keywords) if key not in expected.parameters}
        self.check_names(self._options)
        twin.__init__(self, params, *given, **keywords)
        self._step_supports_amp_scaling = False  # so GradScaler unscales the gradients itself

    own = {
        "__init__": __init__,
        "__doc__": DOCUMENTATION.format(name=name, origin="torch.optim" if twin else "gd"),
        "__module__": "gd.pytorch",
        "__signature__": expected.replace(return_annotation=inspect.Signature.empty),
        "formula": formula,
        "has_l2": twin is not None and name != "AdamW",
        "renamed": RENAMED.get(name, {}),
    }
    return type(name, (Optimizer, twin) if twin else (Optimizer,), own)


globals().update({name: _made(name, formula) for name, formula in one_by_one().items()})
