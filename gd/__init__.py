"""gd: compiled gradient descent for NumPy arrays."""

from importlib.machinery import PathFinder
from pathlib import Path

if not PathFinder.find_spec("gd.kernels", __path__):  # not installed: a checkout has kernels/ beside gd/
    if not PathFinder.find_spec("kernels.compiler", [str(Path(__file__).parent.parent / "kernels")]):
        raise ImportError("gd is incomplete, gd.kernels is missing: install it with `python -m pip install .`")
    __path__.append(str(Path(__file__).parent.parent))

from . import activations, batches, initializers, losses, optimizers, pytorch, schedules, search
from .activations import dropout, dropout_backward
from .distributed import Distributed
from .files import CheckpointError, load, save
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
from .optimizers import Optimizer
from .parameters import ParameterVector
from .predictor import Predictor, load_model
from .preprocessing import Normalizer, one_hot
from .profiling import profile
from .runtime import get_threads, threads
from .schedules import scale_lr_for_batch
from .training import Checkpoint, EarlyStopping, GradientNorms, History, averaged, fit, warmup
from .version import __version__

LayerNorms = GradientNorms  # its former name: it has nothing to do with layer normalization
globals().update(activations.public_functions() | losses.public_functions() | optimizers.OPTIMIZERS)

__all__ = [
    "MLP", "Checkpoint", "CheckpointError", "Distributed", "EarlyStopping", "GradientCheck", "Head", "History",
    "GradientNorms", "LayerNorms", "LinearModel", "Normalizer", "Optimizer", "ParameterVector", "Predictor",
    "__version__", "activations", "averaged", "batches", "dropout", "dropout_backward", "fit", "get_threads",
    "gradient_check", "initializers", "linear_model_gradient", "linear_regression_gradient", "load", "load_model",
    "logistic_regression_gradient", "losses", "one_hot", "optimizers", "profile", "pytorch", "save",
    "scale_lr_for_batch", "schedules", "search", "softmax_regression_gradient", "threads", "warmup",
    *activations.public_functions(), *losses.public_functions(), *optimizers.OPTIMIZERS,
]  # fmt: skip


def __dir__():
    return sorted(__all__)
