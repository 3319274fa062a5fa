"""All of gd's formulas in plain NumPy, straight from the papers.

The tests compare gd with this package, the benchmarks and `gd train --compare numpy` time it, and it serves as
documentation that runs. It is written as a careful NumPy user would write it, in place where that is natural, and
imports nothing from the rest of gd.
"""

from .activations import (
    ACTIVATIONS,
    ROW_ACTIVATIONS,
    elu,
    elu_derivative,
    gelu,
    gelu_derivative,
    inside,
    log_softmax,
    log_softmax_backward,
    maxout,
    maxout_backward,
    mish_derivative,
    normal_cdf,
    normal_density,
    sech,
    sigmoid,
    softmax,
    softmax_backward,
    softplus,
)
from .losses import (
    LOSSES,
    binary_cross_entropy_with_logits,
    epsilon_insensitive,
    hinge,
    huber,
    kl_divergence,
    mae,
    mean,
    mse,
    poisson,
    quantile,
    smooth_l1,
    softmax_cross_entropy,
    squared_hinge,
)
from .low_bit import bfloat16, from_8_bits, from_bfloat16
from .matrices import adafactor, muon, newton_schulz, sm3
from .models import (
    forward,
    linear_model_gradient,
    loss_and_gradients,
    predict,
    train_epoch,
)
from .optimizers import (
    OPTIMIZERS,
    adabelief,
    adadelta,
    adagrad,
    adam,
    adamax,
    ademamix,
    adopt,
    asgd,
    lamb,
    lars,
    lion,
    momentum,
    nadam,
    nesterov,
    radam,
    rmsprop,
    rprop,
    schedule_free_adamw,
    sgd,
    yogi,
)
from .stages import Optimizer

__all__ = [
    "ACTIVATIONS", "LOSSES", "OPTIMIZERS", "ROW_ACTIVATIONS", "Optimizer", "adabelief", "adadelta", "adafactor",
    "adagrad", "adam", "adamax", "ademamix", "adopt", "asgd", "bfloat16", "binary_cross_entropy_with_logits", "elu",
    "elu_derivative", "epsilon_insensitive", "forward", "from_8_bits", "from_bfloat16", "gelu", "gelu_derivative",
    "hinge", "huber", "inside", "kl_divergence", "lamb", "lars", "linear_model_gradient", "lion", "log_softmax",
    "log_softmax_backward", "loss_and_gradients", "mae", "maxout", "maxout_backward", "mean", "mish_derivative",
    "momentum", "mse", "muon", "nadam", "nesterov", "newton_schulz", "normal_cdf", "normal_density", "poisson",
    "predict", "quantile", "radam", "rmsprop", "rprop", "schedule_free_adamw", "sech", "sgd", "sigmoid", "sm3",
    "smooth_l1", "softmax", "softmax_backward", "softmax_cross_entropy", "softplus", "squared_hinge", "train_epoch",
    "yogi",
]  # fmt: skip
