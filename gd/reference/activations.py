"""Activations as pairs (forward(x), derivative(x)); their parameters have gd's defaults."""

import numpy as np
from scipy import special


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1, e) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sech(x):
    e = np.exp(-np.abs(x))
    return 2 * e / (1 + e * e)


def normal_cdf(x):
    if np.finfo(x.dtype).nmant > np.finfo(np.float64).nmant:
        return _wide_normal_cdf(x)
    return special.ndtr(x.astype(np.float64)).astype(x.dtype)


def _wide_normal_cdf(x):
    """Return what SciPy has in float64 only: by the series for |x| < 1.5, else by the continued fraction."""
    size = np.minimum(np.abs(x), 200)  # 0 or 1 from there on
    near, far = np.minimum(size, 1.5), np.maximum(size, 1.5)
    total, term = near, near
    for k in range(3, 61, 2):
        term = term * near * near / k
        total = total + term
    rest = far / 2 + np.sqrt(far * far / 4 + 160)
    for k in range(160, 0, -1):
        rest = far + k / rest
    steps = np.round(size * 16) / 16  # whose squares are exact
    density = np.exp(-steps * steps / 2) * np.exp(-(size - steps) * (size + steps) / 2) / np.sqrt(2 * _PI)
    tail = np.where(size < 1.5, 0.5 - total * density, density / rest)
    return np.where(x > 0, 1 - tail, tail)


def normal_density(x):
    return np.exp(-x * x / 2) / x.dtype.type(np.sqrt(2 * _PI))


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_derivative(x, alpha=1.0):
    return np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


def gelu(x, approximate=False):
    if approximate:
        return x * sigmoid(2 * _GELU * (x + 0.044715 * x**3))
    return x * normal_cdf(x)


def gelu_derivative(x, approximate=False):
    if approximate:
        z = 2 * _GELU * (x + 0.044715 * x**3)
        return sigmoid(z) + x * sigmoid(z) * sigmoid(-z) * 2 * _GELU * (1 + 3 * 0.044715 * x**2)
    return normal_cdf(x) + x * normal_density(x)


def mish_derivative(x):
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t) * (1 + t)


def inside(x, low, high):
    return ((x > low) & (x < high)).astype(x.dtype)


_PI = np.longdouble(np.pi) + np.longdouble(1.2246467991473532e-16)
_GELU = np.sqrt(2 / np.pi)
_SELU, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
ACTIVATIONS = {
    "identity": (lambda x: x + 0, lambda x: np.ones_like(x)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x: inside(x, -3, 3) / 6),
    "tanh": (np.tanh, lambda x: sech(x) ** 2),
    "scaled_tanh": (lambda x: 1.7159 * np.tanh(x * 2 / 3), lambda x: 1.7159 * 2 / 3 * sech(x * 2 / 3) ** 2),
    "hard_tanh": (
        lambda x, min=-1.0, max=1.0: np.clip(x, min, max),
        lambda x, min=-1.0, max=1.0: inside(x, min, max),
    ),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "leaky_relu": (
        lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        lambda x, negative_slope=0.01: np.where(x > 0, 1, negative_slope).astype(x.dtype),
    ),
    "prelu": (
        lambda x, weight=0.25: np.where(x > 0, x, weight * x),
        lambda x, weight=0.25: np.where(x > 0, 1, weight).astype(x.dtype),
    ),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: inside(x, 0, 6)),
    "elu": (elu, elu_derivative),
    "selu": (lambda x: _SELU * elu(x, _SELU_ALPHA), lambda x: _SELU * elu_derivative(x, _SELU_ALPHA)),
    "celu": (lambda x, alpha=1.0: alpha * elu(x / alpha), lambda x, alpha=1.0: elu_derivative(x / alpha)),
    "gelu": (gelu, gelu_derivative),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    "hard_swish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    ),
    "mish": (lambda x: x * np.tanh(softplus(x)), mish_derivative),
    "softplus": (
        lambda x, beta=1.0, threshold=20.0: np.where(beta * x > threshold, x, softplus(beta * x) / beta),
        lambda x, beta=1.0, threshold=20.0: np.where(beta * x > threshold, 1, sigmoid(beta * x)),
    ),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "unit_step": (lambda x: np.where(x < 0, 0, 1) + 0 * x, lambda x: np.zeros_like(x)),
}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - np.sum(dy * y, axis=-1, keepdims=True))


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_softmax_backward(dy, x):
    return dy - softmax(x) * dy.sum(axis=-1, keepdims=True)


def maxout(x, pieces=2):
    return x.reshape(*x.shape[:-1], -1, pieces).max(axis=-1)


def maxout_backward(dy, x, pieces=2):
    grouped = x.reshape(*x.shape[:-1], -1, pieces)
    chosen = grouped.argmax(axis=-1)[..., None] == np.arange(pieces)
    return (chosen * dy[..., None]).reshape(x.shape)


ROW_ACTIVATIONS = {  # (forward(x), backward(dy, x))
    "softmax": (softmax, softmax_backward),
    "log_softmax": (log_softmax, log_softmax_backward),
    "maxout": (maxout, maxout_backward),
}
