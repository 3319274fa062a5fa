"""Activations and their derivatives, elementwise or along the last axis, and dropout."""

from .base import ACTIVATIONS, Activation, check_activation
from .custom import activation
from .dropping import dropout, dropout_backward
from .functions import public_functions

globals().update(public_functions())  # one function for each form of each activation

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "activation",
    "check_activation",
    "dropout",
    "dropout_backward",
    *public_functions(),
]
