"""PyTorch: gd's formulas as torch.optim optimizers, and conversion of states to and from those of torch.optim.

``gd.pytorch.AdamW(model.parameters())`` replaces ``torch.optim.AdamW(model.parameters())``; so do the others, and gd's
optimizers that PyTorch lacks are there, too. PyTorch is imported when one of them is first used.
"""

from typing import Any

from ..optimizers import one_by_one
from .conversion import from_torch, to_torch

CLASSES = ("Optimizer", *one_by_one())
__all__ = ["from_torch", "to_torch"]  # an import of * must not need PyTorch


def __getattr__(name: str) -> Any:
    if name not in CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import classes
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"gd.pytorch.{name} needs PyTorch, which is not installed", name="torch") from None
    return getattr(classes, name)


def __dir__() -> list[str]:
    return sorted((*CLASSES, "from_torch", "to_torch"))
