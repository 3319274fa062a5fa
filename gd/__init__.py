"""gd: compiled gradient descent for NumPy arrays."""

import sys
import warnings
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

_root, _frozen = Path(__file__).parent.parent, hasattr(sys, "frozen") or "__compiled__" in globals()
if not PathFinder.find_spec("gd.kernels", __path__) and not (_frozen and find_spec("gd.kernels")):
    if not PathFinder.find_spec("kernels.compiler", [str(_root / "kernels")]):
        raise ImportError("gd is incomplete, gd.kernels is missing: install it with `python -m pip install .`")
    __path__.append(str(_root))  # not installed: a checkout has kernels/ beside gd/
if any(_root.glob("gd-*.dist-info")):
    warnings.warn(
        f"gd: another distribution has installed a package of this name in {_root}, and either can remove files of the "
        "other: python -m pip uninstall gd gd-kernels, then install gd-kernels again",
        RuntimeWarning,
        stacklevel=2,
    )

from . import activations, batches, functional, initializers, losses, math, optimizers, pytorch, schedules, search
from .activations import activation, dropout, dropout_backward
from .checks import Range
from .distributed import Distributed
from .files import CheckpointError, load, save
from .losses import loss
from .minimization import minimize
from .models import (
    MLP,
    GradientCheck,
    Head,
    LinearModel,
    gradient_check,
    linear_model_gradient,
    linear_regression_gradient,
    logistic_regression_gradient,
    softmax_regression_gradient,
)
from .optimizers import LBFGS, Optimizer, optimizer
from .parameters import ParameterVector
from .predictor import Predictor, load_model
from .preprocessing import Normalizer, one_hot
from .profiling import profile
from .rule_check import check_rule
from .runtime import get_threads, threads
from .schedules import scale_lr_for_batch
from .training import Checkpoint, EarlyStopping, GradientNorms, History, averaged, fit, warmup
from .version import __version__

LayerNorms = GradientNorms  # its former name: it has nothing to do with layer normalization
globals().update(activations.public_functions() | losses.public_functions() | optimizers.OPTIMIZERS)

__all__ = [
    "LBFGS", "MLP", "Checkpoint", "CheckpointError", "Distributed", "EarlyStopping", "GradientCheck", "Head",
    "History", "GradientNorms", "LayerNorms", "LinearModel", "Normalizer", "Optimizer", "ParameterVector", "Predictor",
    "Range", "__version__", "activation", "activations", "averaged", "batches", "check_rule", "dropout",
    "dropout_backward", "fit", "functional", "get_threads", "gradient_check", "initializers", "linear_model_gradient",
    "linear_regression_gradient", "load", "load_model", "logistic_regression_gradient", "loss", "losses", "math",
    "minimize", "one_hot", "optimizer", "optimizers", "profile", "pytorch", "save", "scale_lr_for_batch", "schedules",
    "search", "softmax_regression_gradient", "threads", "warmup",
    *activations.public_functions(), *losses.public_functions(), *optimizers.OPTIMIZERS,
]  # fmt: skip


def __dir__():
    return sorted(__all__)
