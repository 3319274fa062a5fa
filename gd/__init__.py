"""gd: compiled gradient descent for NumPy arrays."""

from pathlib import Path

if not (Path(__file__).parent / "kernels").is_dir():  # not installed: a checkout has kernels/ beside gd/
    if not (Path(__file__).parent.parent / "kernels" / "compiler.py").is_file():
        raise ImportError("gd is incomplete, gd.kernels is missing: install it with `python -m pip install .`")
    __path__.append(str(Path(__file__).parent.parent))

from . import activations, batches, initializers, losses, optimizers, pytorch, schedules
from .activations import (
    elu,
    elu_backward,
    identity,
    identity_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from .losses import mse, softmax_cross_entropy
from .networks import MLP
from .optimizers import (
    ADOPT,
    ASGD,
    LAMB,
    LARS,
    SGD,
    AdaBelief,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdEMAMix,
    Lion,
    Momentum,
    NAdam,
    Nesterov,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    Yogi,
)
from .parameters import ParameterVector
from .schedules import scale_lr_for_batch
from .threads import get_threads, threads
from .training import History, fit
from .warm import warmup

__version__ = "0.1.0"
