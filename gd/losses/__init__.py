"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from .functions import ALIASES, LOSSES, check_loss, functions
from .loss import r_squared, total

globals().update(functions())

__all__ = ["ALIASES", "LOSSES", "check_loss", "r_squared", "total", *functions()]
