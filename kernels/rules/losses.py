"""Losses of one element: the value and its derivative with respect to the prediction."""


def squared(prediction, target):
    """(prediction - target)**2, without the factor 1/2."""
    error = prediction - target
    return error * error, error + error
