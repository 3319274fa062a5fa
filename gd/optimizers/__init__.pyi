# Written by `python tests/stubs.py`: do not edit.

from .adabelief import AdaBelief as AdaBelief
from .adadelta import Adadelta as Adadelta
from .adagrad import Adagrad as Adagrad
from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .adam import Adamax as Adamax
from .adam import NAdam as NAdam
from .adam import RAdam as RAdam
from .ademamix import AdEMAMix as AdEMAMix
from .adopt import ADOPT as ADOPT
from .asgd import ASGD as ASGD
from .base import Optimizer as Optimizer
from .declaration import OPTIMIZERS as OPTIMIZERS
from .lamb import LAMB as LAMB
from .lars import LARS as LARS
from .lbfgs import LBFGS as LBFGS
from .lion import Lion as Lion
from .rmsprop import RMSprop as RMSprop
from .rprop import Rprop as Rprop
from .schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
from .sgd import Momentum as Momentum
from .sgd import Nesterov as Nesterov
from .sgd import SGD as SGD
from .steps import Together as Together
from .storage import DTYPES as DTYPES
from .yogi import Yogi as Yogi
