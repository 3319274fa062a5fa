"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from .base import ANY, COUNTS, PROBABILITIES, Loss, check_distributions, is_distribution, rates, total
from .custom import loss
from .functions import ALIASES, LOSSES, check_loss, public_functions
from .scores import r_squared

globals().update(public_functions())

__all__ = [
    "ALIASES", "ANY", "COUNTS", "LOSSES", "PROBABILITIES", "Loss", "check_distributions", "check_loss",
    "is_distribution", "loss", "r_squared", "rates", "total", *public_functions(),
]  # fmt: skip
