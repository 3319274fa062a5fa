"""Activations: forward, backward from the input x, and backward from the output y where that is possible.

Backward rules return dy times the derivative, in forms that do not cancel for large |x|. At infinite x
both give the limit: where a product would be infinity times 0, x is limited to a value whose factor is already 0.
"""

import numpy as np

from .. import math
from ..bits import copysign
from ..compiler import device
from ..math import FAR, cast, exp_minus, exp_minus_and_product, expm1_minus, fma, multiply_add

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
TANH_SCALE, TANH_SLOPE = 1.7159, 2 / 3  # LeCun et al. 1998
TWICE_ROOT_2_OVER_PI, GELU_CUBIC = 1.5957691216057308, 0.044715  # Hendrycks & Gimpel 2016
TWICE_ROOT_REST, GELU_CUBIC_REST = -9.96930880911092e-17, 2.1960211427085595e-18  # what doubles leave out of the two


@device
def _within(x):
    """Clip x to [-FAR, FAR]; NaN stays NaN."""
    far = cast(FAR, x)
    return far if x > far else (-far if x < -far else x)


@device
def _not_below(x):
    far = cast(FAR, x)
    return -far if x < -far else x


def identity(x):
    return x


def identity_backward(dy, x):
    return dy


def identity_backward_from_output(dy, y):
    return dy


def sigmoid(x):
    """Return 1 / (1 + e**-x)."""
    return math.sigmoid(x)


@device
def _sigmoid_slope(x):
    """Return s (1 - s) = e / (1 + e)**2 with s = sigmoid(x) and e = e**-|x|."""
    e = exp_minus(x)
    d = cast(1, x) + e
    return e / (d * d)


def sigmoid_backward(dy, x):
    return dy * _sigmoid_slope(x)


def sigmoid_backward_from_output(dy, y):
    return dy * (y * (cast(1, y) - y))


def log_sigmoid(x):
    """Return log(1 / (1 + e**-x)) = -softplus(-x)."""
    return -math.softplus(-x)


def log_sigmoid_backward(dy, x):
    return dy * math.sigmoid(-x)


def log_sigmoid_backward_from_output(dy, y):
    return dy * -expm1_minus(y)


def softplus(x, beta, threshold):
    """Return log(1 + e**(beta x)) / beta; x itself where beta x is above the threshold."""
    z = beta * x
    return x if z > threshold else math.softplus(z) * (cast(1, x) / beta)  # one division for all elements


def softplus_backward(dy, x, beta, threshold):
    z = beta * x
    return dy if z > threshold else dy * math.sigmoid(z)


def softplus_backward_from_output(dy, y, beta, threshold):
    z = beta * y
    return dy if z > threshold else dy * -expm1_minus(z)


def tanh(x):
    return math.tanh(x)


@device
def _tanh_slope(x):
    """Return 1 - tanh**2 = sech**2 = 4 e / (1 + e)**2 with e = e**-2|x|."""
    return cast(4, x) * _sigmoid_slope(x + x)


def tanh_backward(dy, x):
    return dy * _tanh_slope(x)


def tanh_backward_from_output(dy, y):
    one = cast(1, y)
    return dy * ((one - y) * (one + y))


def scaled_tanh(x):
    """LeCun et al. 1998: 1.7159 tanh(2 x / 3)."""
    return cast(TANH_SCALE, x) * math.tanh(cast(TANH_SLOPE, x) * x)


def scaled_tanh_backward(dy, x):
    return dy * (cast(TANH_SCALE * TANH_SLOPE, x) * _tanh_slope(cast(TANH_SLOPE, x) * x))


def scaled_tanh_backward_from_output(dy, y):
    scale = cast(TANH_SCALE, y)
    return dy * ((scale - y) * (scale + y) * cast(TANH_SLOPE / TANH_SCALE, y))


def relu(x):
    """Return max(x, 0); NaN stays NaN."""
    return cast(0, x) if x <= 0 else x


def relu_backward(dy, x):
    """Return dy where x > 0, else 0: the derivative at 0 is 0."""
    return cast(0, dy) if x <= 0 else dy


def relu_backward_from_output(dy, y):
    return cast(0, dy) if y <= 0 else dy


def leaky_relu(x, negative_slope):
    return x if x > 0 else negative_slope * x


def leaky_relu_backward(dy, x, negative_slope):
    return dy if x > 0 else negative_slope * dy


def leaky_relu_backward_from_output(dy, y, negative_slope):
    """Return dy times the slope: the output has the sign of the input."""
    return dy if y > 0 else negative_slope * dy


def prelu(x, weight):
    """He et al. 2015: x, or weight * x for x <= 0."""
    return x if x > 0 else weight * x


def prelu_backward(dy, x, weight):
    return dy if x > 0 else weight * dy


@device
def _clipped(x, low, high):
    return high if x > high else (low if x < low else x)


@device
def _between(dy, x, low, high):
    """Return dy where low < x < high, else 0."""
    return cast(0, dy) if x <= low or x >= high else dy


def hard_tanh(x, min, max):
    return _clipped(x, min, max)


def hard_tanh_backward(dy, x, min, max):
    """Return dy where min < x < max, else 0: the derivative is 0 at min and at max."""
    return _between(dy, x, min, max)


def hard_tanh_backward_from_output(dy, y, min, max):
    return _between(dy, y, min, max)


def relu6(x):
    """Return min(max(x, 0), 6)."""
    return _clipped(x, cast(0, x), cast(6, x))


def relu6_backward(dy, x):
    return _between(dy, x, cast(0, x), cast(6, x))


def relu6_backward_from_output(dy, y):
    return _between(dy, y, cast(0, y), cast(6, y))


def hard_sigmoid(x):
    """Return min(max(x + 3, 0), 6) / 6."""
    return _clipped(x + cast(3, x), cast(0, x), cast(6, x)) / cast(6, x)


def hard_sigmoid_backward(dy, x):
    return _between(dy, x, cast(-3, x), cast(3, x)) / cast(6, x)


def hard_sigmoid_backward_from_output(dy, y):
    return _between(dy, y, cast(0, y), cast(1, y)) / cast(6, y)


def hard_swish(x):
    """Howard et al. 2019: x min(max(x + 3, 0), 6) / 6, divided first, because x * 6 could overflow."""
    return _not_below(x) * (_clipped(x + cast(3, x), cast(0, x), cast(6, x)) / cast(6, x))


def hard_swish_backward(dy, x):
    """Return dy times the derivative: 0 for x <= -3, 1 for x >= 3, (2 x + 3) / 6 between."""
    zero, three, six = cast(0, x), cast(3, x), cast(6, x)
    sixfold = zero if x <= -three else (six if x >= three else x + x + three)
    return (cast(0, dy) if x <= -three else dy) * (sixfold / six)  # without a branch around the division


def elu(x, alpha):
    """Clevert et al. 2016: x, or alpha (e**x - 1) for x <= 0."""
    return x if x >= 0 else alpha * expm1_minus(x)


def elu_backward(dy, x, alpha):
    return dy if x > 0 else dy * (alpha * exp_minus(x))


def elu_backward_from_output(dy, y, alpha):
    return dy if y > 0 else dy * (y + alpha)


def selu(x):
    """Klambauer et al. 2017: 1.0507 elu(x, 1.6733)."""
    return cast(SELU_SCALE, x) * x if x >= 0 else cast(SELU_SCALE * SELU_ALPHA, x) * expm1_minus(x)


def selu_backward(dy, x):
    return dy * (cast(SELU_SCALE, x) if x > 0 else cast(SELU_SCALE * SELU_ALPHA, x) * exp_minus(x))


def selu_backward_from_output(dy, y):
    return dy * (cast(SELU_SCALE, y) if y > 0 else y + cast(SELU_SCALE * SELU_ALPHA, y))


def celu(x, alpha):
    """Barron 2017: x, or alpha (e**(x / alpha) - 1) for x <= 0."""
    return x if x >= 0 else alpha * expm1_minus(x * (cast(1, x) / alpha))  # one division for all elements


def celu_backward(dy, x, alpha):
    return dy if x > 0 else dy * exp_minus(x / alpha)


def celu_backward_from_output(dy, y, alpha):
    return dy if y > 0 else dy * (y / alpha + cast(1, y))


def gelu(x):
    """Hendrycks & Gimpel 2016: x times the normal distribution function."""
    return math.gelu(x)


def gelu_backward(dy, x):
    return dy * math.gelu_slope(x)


def gelu_tanh(x):
    """Return x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2 = x sigmoid(2 sqrt(2 / pi) ...)."""
    x = _not_below(x)
    z, rest = _gelu_argument(_within(x))
    s = math.sigmoid(z)
    return x * (s + rest * (s * (cast(1, x) - s)))


def gelu_tanh_backward(dy, x):
    x = _within(x)
    z, rest = _gelu_argument(x)
    s, one = math.sigmoid(z), cast(1, x)
    slope = cast(TWICE_ROOT_2_OVER_PI, x) * (one + cast(3 * GELU_CUBIC, x) * x * x)
    of_sigmoid = _sigmoid_slope(z) * (one + rest * (one - s - s))
    return dy * (s + rest * (s * (one - s)) + x * slope * of_sigmoid)


@device
def _gelu_argument(x):
    """Return z = a x (1 + c x**2) and what rounding took from it: e**z multiplies the error of z by |z|."""
    a, c, one = cast(TWICE_ROOT_2_OVER_PI, x), cast(GELU_CUBIC, x), cast(1, x)
    a_rest = cast(TWICE_ROOT_2_OVER_PI - np.float64(a) + TWICE_ROOT_REST, x)
    c_rest = cast(GELU_CUBIC - np.float64(c) + GELU_CUBIC_REST, x)
    square = x * x
    factor, first = multiply_add(c, square, one), a * x
    of_factor = fma(c, square, one - factor) + (c * fma(x, x, -square) + c_rest * square)
    of_first = fma(a, x, -first) + a_rest * x
    z = first * factor
    return z, fma(first, factor, -z) + (first * of_factor + of_first * factor)


def silu(x):
    """Elfwing et al. 2018: x sigmoid(x)."""
    return math.silu(x)


def silu_backward(dy, x):
    """Return dy (s + x s (1 - s)); s + x s (1 - s) = (1 + e + x e) / (1 + e)**2 with s = sigmoid(x), e = e**-|x|.

    For x < 0 it is e (1 + e + x) / (1 + e)**2.
    """
    x = _within(x)
    one, e = cast(1, x), exp_minus(x)
    d = one + e
    return dy * ((d + x * e if x > 0 else e * (d + x)) / (d * d))


def mish(x):
    """Misra 2019: x tanh(softplus(x)) = x - x q with e = e**-x and q = 2 e**2 / (1 + 2 e + 2 e**2).

    For x < 0: x e (1 - q) with e = e**x and q = e (1 + e) / (2 + 2 e + e**2).
    """
    e, product = exp_minus_and_product(x)
    one, square = cast(1, x), e * e
    numerator = square + (square if x > 0 else e)
    denominator = multiply_add(e, e + cast(2, x), one) + (square if x > 0 else one)
    factor = x if x > 0 else -product
    return x if x > cast(FAR, x) else multiply_add(-factor, numerator / denominator, factor)


def mish_backward(dy, x):
    """Return dy (n / d + 4 x e (1 + e) / d**2) with e = e**x, n = e (e + 2), d = n + 2.

    For x > 0: n = 1 + 2 e, d = n + 2 e**2 and dy (n / d + 4 x e**2 (1 + e) / d**2) with e = e**-x.
    """
    x = _within(x)
    e = exp_minus(x)
    one, two = cast(1, x), cast(2, x)
    square = e * e
    n = one + two * e if x > 0 else e * (e + two)
    d = n + two * (square if x > 0 else one)
    return dy * ((n * d + cast(4, x) * x * (one + e) * (square if x > 0 else e)) / (d * d))


def softsign(x):
    """Return x / (1 + |x|)."""
    size = abs(x)
    return copysign(cast(1, x), x) if size == cast(np.inf, x) else x / (cast(1, x) + size)


def softsign_backward(dy, x):
    r = cast(1, x) / (cast(1, x) + abs(x))
    return dy * (r * r)


def softsign_backward_from_output(dy, y):
    r = cast(1, y) - abs(y)
    return dy * (r * r)


def unit_step(x):
    """Return 0 for x < 0, else 1; NaN stays NaN."""
    return x if x != x else (cast(0, x) if x < 0 else cast(1, x))


def unit_step_backward(dy, x):
    """Return 0: the derivative is 0 everywhere."""
    return cast(0, dy)


def unit_step_backward_from_output(dy, y):
    return cast(0, dy)
