"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from .functions import ALIASES, LOSSES, check_loss, functions
from .loss import ANY, Loss, r_squared, total

globals().update(functions())

__all__ = ["ALIASES", "ANY", "LOSSES", "Loss", "check_loss", "r_squared", "total", *functions()]
