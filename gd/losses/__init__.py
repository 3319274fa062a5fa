"""Losses: the value and the gradient with respect to the prediction, in one pass."""

from .functions import LOSSES, functions, r_squared, total

globals().update(functions())

__all__ = ["LOSSES", "r_squared", "total", *functions()]
