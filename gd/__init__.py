"""gd: compiled gradient descent for NumPy arrays."""

from pathlib import Path

if not (Path(__file__).parent / "kernels").is_dir():  # not installed: a checkout has kernels/ beside gd/
    if not (Path(__file__).parent.parent / "kernels" / "compiler.py").is_file():
        raise ImportError("gd is incomplete, gd.kernels is missing: install it with `python -m pip install .`")
    __path__.append(str(Path(__file__).parent.parent))

from . import activations, batches, initializers, losses, optimizers, pytorch, schedules, search
from .activations import (
    celu,
    celu_backward,
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_swish,
    hard_swish_backward,
    hard_tanh,
    hard_tanh_backward,
    identity,
    identity_backward,
    leaky_relu,
    leaky_relu_backward,
    log_sigmoid,
    log_sigmoid_backward,
    log_softmax,
    log_softmax_backward,
    maxout,
    maxout_backward,
    mish,
    mish_backward,
    prelu,
    prelu_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    scaled_tanh,
    scaled_tanh_backward,
    selu,
    selu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    softsign,
    softsign_backward,
    tanh,
    tanh_backward,
    unit_step,
    unit_step_backward,
)
from .checkpoints import CheckpointError, load, save
from .distributed import Distributed
from .dropout import dropout, dropout_backward
from .early_stopping import EarlyStopping
from .gradient_check import GradientCheck, gradient_check
from .heads import Head
from .history import History
from .layer_norms import LayerNorms
from .linear import (
    linear_model_gradient,
    linear_regression_gradient,
    logistic_regression_gradient,
    softmax_regression_gradient,
)
from .linear_model import LinearModel
from .losses import (
    binary_cross_entropy_with_logits,
    hinge,
    huber,
    kl_divergence,
    mae,
    mse,
    poisson,
    quantile,
    smooth_l1,
    softmax_cross_entropy,
    squared_hinge,
)
from .networks import MLP
from .normalization import Normalizer
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
from .profiling import profile
from .schedules import scale_lr_for_batch
from .targets import one_hot
from .threads import get_threads, threads
from .training import Checkpoint, fit
from .warm import warmup

__version__ = "0.1.0"
