"""Activations: forward, backward from the input x, and where it can be had from the output y.

Backward rules return dy times the derivative, in forms that do not cancel for large |x|.
"""

from .. import math
from ..math import cast, exp, expm1


def identity(x):
    return x


def identity_backward(dy, x):
    return dy


def identity_backward_from_output(dy, y):
    return dy


def sigmoid(x):
    """1 / (1 + e**-x)."""
    return math.sigmoid(x)


def sigmoid_backward(dy, x):
    """Derivative s (1 - s) = e / (1 + e)**2 with e = e**-|x|."""
    e = exp(-abs(x))
    d = cast(1, x) + e
    return dy * (e / (d * d))


def sigmoid_backward_from_output(dy, y):
    return dy * (y * (cast(1, y) - y))


def tanh(x):
    return math.tanh(x)


def tanh_backward(dy, x):
    """Derivative 1 - tanh**2 = sech**2 = 4 e / (1 + e)**2 with e = e**-2|x|."""
    size = abs(x)
    e = exp(-(size + size))
    d = cast(1, x) + e
    return dy * (cast(4, x) * e / (d * d))


def tanh_backward_from_output(dy, y):
    one = cast(1, y)
    return dy * ((one - y) * (one + y))


def relu(x):
    """max(x, 0); NaN stays NaN."""
    return cast(0, x) if x <= 0 else x


def relu_backward(dy, x):
    """The derivative at 0 is 0."""
    return cast(0, dy) if x <= 0 else dy


def relu_backward_from_output(dy, y):
    return cast(0, dy) if y <= 0 else dy


def leaky_relu(x, negative_slope):
    return x if x > 0 else negative_slope * x


def leaky_relu_backward(dy, x, negative_slope):
    return dy if x > 0 else negative_slope * dy


def leaky_relu_backward_from_output(dy, y, negative_slope):
    """The output has the sign of the input."""
    return dy if y > 0 else negative_slope * dy


def elu(x, alpha):
    """Clevert et al. 2016: x, or alpha (e**x - 1) for x <= 0."""
    return x if x > 0 else alpha * expm1(x)


def elu_backward(dy, x, alpha):
    return dy if x > 0 else dy * (alpha * exp(x))


def elu_backward_from_output(dy, y, alpha):
    return dy if y > 0 else dy * (y + alpha)
