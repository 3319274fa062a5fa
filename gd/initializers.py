"""Initial weights: ``f(shape, rng=None, dtype=np.float32)``, for weights of shape (fan_in, fan_out).

=========  =============================  ==========================================================
name       variance                       source
=========  =============================  ==========================================================
lecun      1 / fan_in                     LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998
glorot     2 / (fan_in + fan_out)         Glorot & Bengio, AISTATS 2010; also called xavier
he         2 / fan_in                     He, Zhang, Ren & Sun, ICCV 2015
=========  =============================  ==========================================================

each as _normal and as _uniform (on +- sqrt(3 variance)); and zeros, constant(value), orthogonal.
"""

from math import prod, sqrt

import numpy as np

from .checks import REAL, check_dtype, check_generator, check_number, is_size, shown
from .parameters import LARGEST
from .runtime import single_threaded_blas

INITIALIZERS = {}  # name -> function


def _scaled(name, variance, formula):
    """Declare name_normal and name_uniform."""

    def normal(shape, rng=None, dtype=np.float32):
        fans, rng = _checked(f"{name}_normal", shape, rng, dtype)
        return (rng.standard_normal(shape) * sqrt(variance(*fans))).astype(dtype)

    def uniform(shape, rng=None, dtype=np.float32):
        fans, rng = _checked(f"{name}_uniform", shape, rng, dtype)
        limit = sqrt(3 * variance(*fans))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    for kind, function in (("normal", normal), ("uniform", uniform)):
        function.__name__ = function.__qualname__ = f"{name}_{kind}"
        function.__doc__ = _documentation(f"Return {kind} random weights of variance {formula}.")
        INITIALIZERS[f"{name}_{kind}"] = function
    return normal, uniform


def _documentation(summary):
    return f"""{summary}

    Parameters
    ----------
    shape : tuple of int
        (fan_in, fan_out); other shapes have the product of all but the last as fan_in.
    rng : Generator, int or None
        Where the numbers come from: a generator, the seed of one, or fresh entropy.
    dtype : dtype, default: float32
        float32 or float64; both get the same numbers, rounded.

    Returns
    -------
    ndarray of this shape and dtype
    """


def _checked(where, shape, rng, dtype):
    """Return (fan_in, fan_out) and a generator."""
    check_dtype(where, dtype)
    if not isinstance(shape, (tuple, list)) or not all(map(is_size, shape)) or prod(shape) > LARGEST:
        raise ValueError(f"{where}: shape must be a tuple of positive integers, got {shown(shape)}")
    return (prod(shape[:-1]), shape[-1] if shape else 1), check_generator(where, "rng", rng)


lecun_normal, lecun_uniform = _scaled("lecun", lambda fan_in, fan_out: 1 / fan_in, "1 / fan_in")
glorot_normal, glorot_uniform = _scaled(
    "glorot", lambda fan_in, fan_out: 2 / (fan_in + fan_out), "2 / (fan_in + fan_out)"
)
he_normal, he_uniform = _scaled("he", lambda fan_in, fan_out: 2 / fan_in, "2 / fan_in")
xavier_normal, xavier_uniform = glorot_normal, glorot_uniform
INITIALIZERS.update(xavier_normal=glorot_normal, xavier_uniform=glorot_uniform)


def zeros(shape, rng=None, dtype=np.float32):
    """Return zeros: right for biases; weights that are all 0 get equal gradients and never differ."""
    _checked("zeros", shape, rng, dtype)
    return np.zeros(shape, dtype)


def constant(value):
    """Return an initializer that fills with one value."""
    value = check_number("constant", "value", value, REAL)

    def initializer(shape, rng=None, dtype=np.float32):
        _checked("constant", shape, rng, dtype)
        return np.full(shape, value, dtype)

    return initializer


def orthogonal(shape, rng=None, dtype=np.float32):
    """Return a matrix with orthonormal rows or columns (Saxe, McClelland & Ganguli, ICLR 2014)."""
    (fan_in, fan_out), rng = _checked("orthogonal", shape, rng, dtype)
    gaussian = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    with single_threaded_blas():  # whose threads would decide the last bits
        q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diag(r))  # makes the distribution uniform
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T, dtype).reshape(shape)


INITIALIZERS.update(zeros=zeros, orthogonal=orthogonal)
