"""Models: `MLP` and `LinearModel`, their gradients, and the check of a gradient by finite differences."""

from .base import Model
from .evaluation import Evaluation, Targets
from .finite_differences import GradientCheck, gradient_check
from .heads import Head
from .linear_gradients import (
    linear_model_gradient,
    linear_regression_gradient,
    logistic_regression_gradient,
    softmax_regression_gradient,
)
from .linear_model import LinearModel
from .mlp import MLP

__all__ = [
    "MLP", "Evaluation", "GradientCheck", "Head", "LinearModel", "Model", "Targets", "gradient_check",
    "linear_model_gradient", "linear_regression_gradient", "logistic_regression_gradient",
    "softmax_regression_gradient",
]  # fmt: skip
