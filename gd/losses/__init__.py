"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from .functions import ALIASES, LOSSES, check_loss, public_functions
from .loss import ANY, COUNTS, PROBABILITIES, Loss, total

globals().update(public_functions())

__all__ = ["ALIASES", "ANY", "COUNTS", "LOSSES", "PROBABILITIES", "Loss", "check_loss", "total", *public_functions()]
