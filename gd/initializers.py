"""Initial weights: ``f(shape, rng=None, dtype=np.float32)``, for weights of shape (fan_in, fan_out).

=========  =============================  ==========================================================
name       variance                       source
=========  =============================  ==========================================================
lecun      1 / fan_in                     LeCun, Bottou, Orr & Mueller, "Efficient BackProp", 1998
glorot     2 / (fan_in + fan_out)         Glorot & Bengio, AISTATS 2010; also called xavier
he         2 / fan_in                     He, Zhang, Ren & Sun, ICCV 2015
=========  =============================  ==========================================================

Each comes as _normal and as _uniform (on +- sqrt(3 variance)). Further: zeros, constant(value), orthogonal.
"""

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import REAL, check_dtype, check_generator, check_number, is_size, shown
from .parameters import LARGEST
from .runtime import single_threaded_blas
from .typing import DTypeLike

Shape = Sequence[int]
Seed = np.random.Generator | int | None
Initializer = Callable[..., NDArray[Any]]  # f(shape, rng=None, dtype=np.float32)

INITIALIZERS: dict[str, Initializer] = {}


def _scaled(name: str, variance: Callable[[int, int], float], formula: str) -> tuple[Initializer, Initializer]:
    """Declare name_normal and name_uniform."""

    def normal(shape: Shape, rng: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        fans, rng = _checked(f"{name}_normal", shape, rng, dtype)
        return (rng.standard_normal(shape) * sqrt(variance(*fans))).astype(dtype)

    def uniform(shape: Shape, rng: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
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
        (fan_in, fan_out). For other shapes, fan_in is the product of all dimensions but the last.
    rng : Generator, int or None
        The source of the numbers: a generator, its seed, or fresh entropy for None.
    dtype : dtype, default: float32
        float32 or float64; float32 gets the same numbers, rounded.

    Returns
    -------
    ndarray of this shape and dtype
    """


def _checked(where: str, shape: Shape, rng: Seed, dtype: DTypeLike) -> tuple[tuple[int, int], np.random.Generator]:
    """Return (fan_in, fan_out) and a generator."""
    check_dtype(where, dtype)
    if not isinstance(shape, (tuple, list)) or not all(map(is_size, shape)) or prod(shape) > LARGEST:
        raise ValueError(f"{where}: shape must be a tuple of positive integers, got {shown(shape)}")
    return (prod(shape[:-1]), shape[-1] if shape else 1), check_generator(where, "rng", rng)


lecun_normal: Initializer
lecun_uniform: Initializer
glorot_normal: Initializer
glorot_uniform: Initializer
he_normal: Initializer
he_uniform: Initializer
lecun_normal, lecun_uniform = _scaled("lecun", lambda fan_in, fan_out: 1 / fan_in, "1 / fan_in")
glorot_normal, glorot_uniform = _scaled(
    "glorot", lambda fan_in, fan_out: 2 / (fan_in + fan_out), "2 / (fan_in + fan_out)"
)
he_normal, he_uniform = _scaled("he", lambda fan_in, fan_out: 2 / fan_in, "2 / fan_in")
xavier_normal: Initializer = glorot_normal
xavier_uniform: Initializer = glorot_uniform
INITIALIZERS.update(xavier_normal=glorot_normal, xavier_uniform=glorot_uniform)


def zeros(shape: Shape, rng: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return zeros. Use them for biases: weights that are all 0 get equal gradients and stay equal."""
    _checked("zeros", shape, rng, dtype)
    return np.zeros(shape, dtype)


def constant(value: float) -> Initializer:
    """Return an initializer that sets all elements to one value."""
    value = check_number("constant", "value", value, REAL)

    def initializer(shape: Shape, rng: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        _checked("constant", shape, rng, dtype)
        return np.full(shape, value, dtype)

    return initializer


def orthogonal(shape: Shape, rng: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return a matrix with orthonormal rows or columns (Saxe, McClelland & Ganguli, ICLR 2014)."""
    (fan_in, fan_out), rng = _checked("orthogonal", shape, rng, dtype)
    gaussian = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    with single_threaded_blas():  # the number of BLAS threads would change the last bits
        q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diag(r))  # makes the distribution of q uniform
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T, dtype).reshape(shape)


INITIALIZERS.update(zeros=zeros, orthogonal=orthogonal)
