"""The optimizers: each updates NumPy arrays in place, in a single pass over memory.

A class declares its constructor, its state slots, its rule and the scalars that the rule takes at step t; `Optimizer`,
in base.py, does the rest. The formulas are in the files of the same names in kernels/rules.
"""

from importlib import import_module
from pkgutil import iter_modules

from .base import Optimizer
from .borrowed import BorrowedArrays
from .declaration import OPTIMIZERS, check_optimizer, one_by_one
from .functions import function_of, initial_state
from .lbfgs import LBFGS
from .short_form import optimizer
from .storage import DTYPES
from .together import Together

for _module in iter_modules(__path__):  # which adds its classes to OPTIMIZERS
    import_module(f"{__name__}.{_module.name}")
globals().update(OPTIMIZERS)

__all__ = [
    "DTYPES", "LBFGS", "OPTIMIZERS", "BorrowedArrays", "Optimizer", "Together", "check_optimizer", "function_of",
    "initial_state", "one_by_one", "optimizer", *OPTIMIZERS,
]  # fmt: skip
