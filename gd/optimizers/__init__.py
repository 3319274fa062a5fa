"""Optimizers: they step NumPy arrays in place, each in a single pass over memory.

Every class is its constructor, its state slots, its rule and the scalars that the rule takes at step t;
`Optimizer`, in base.py, does the rest. The formulas are in the files of the same names in kernels/rules.
"""

from .adabelief import AdaBelief
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .ademamix import AdEMAMix
from .adopt import ADOPT
from .asgd import ASGD
from .base import OPTIMIZERS, Optimizer
from .lamb import LAMB
from .lars import LARS
from .lion import Lion
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedule_free import ScheduleFreeAdamW
from .sgd import SGD, Momentum, Nesterov
from .yogi import Yogi

__all__ = ["OPTIMIZERS", "Optimizer", *OPTIMIZERS]
