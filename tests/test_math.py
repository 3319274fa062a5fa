"""Elementary functions: stated accuracy, limits, and packed instructions."""

import functools
import re

import numpy as np
import pytest

from gd.kernels import math
from gd.kernels.compiler import Kernel, join
from gd.kernels.loops.elementwise import map_elements

MAXIMUM_ULP = {"exp": 1.0, "expm1": 2.0, "tanh": 2.5, "sigmoid": 2.5}  # as the docstring of kernels.math says
EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x > 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))),
}
LIMITS = {"exp": (0, 1, np.inf), "expm1": (-1, 0, np.inf), "tanh": (-1, 0, 1), "sigmoid": (0, 0.5, 1)}


@functools.cache
def rule(name):
    """Return a rule that calls one function of kernels.math."""
    function = getattr(math, name)

    def call(x):
        return function(x)

    call.__name__ = name
    return call


def evaluate(name, x):
    out = np.empty_like(x)
    join(map_elements, rule(name))(x.size, out, x)
    return out


def stratified(rng, dtype):
    """Points of every magnitude and sign, and densely where the functions change."""
    information = np.finfo(dtype)
    exponents = rng.uniform(np.log10(information.tiny), np.log10(information.max) * 0.99, 200_000)
    pieces = [
        10**exponents * rng.choice([-1, 1], 200_000),
        *(rng.uniform(-limit, limit, 300_000) for limit in (0.7, 2, 20, np.log(information.max))),
        np.linspace(np.log(information.smallest_subnormal) - 2, np.log(information.tiny) + 2, 100_000),
    ]
    return np.concatenate(pieces).astype(dtype)


@pytest.mark.parametrize("name", MAXIMUM_ULP)
def test_accuracy(name, rng, dtype):
    x = stratified(rng, dtype)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    if np.finfo(wide).nmant <= np.finfo(dtype).nmant:
        pytest.skip("no wider type to compare with on this platform")
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(wide))
        rounded = exact.astype(dtype)
    found = evaluate(name, x)
    finite = np.isfinite(rounded)
    assert np.array_equal(np.isinf(found), np.isinf(rounded))
    ulps = np.abs(found[finite].astype(wide) - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wide)
    assert ulps.max() <= MAXIMUM_ULP[name]


@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name, dtype):
    x = np.array([-np.inf, 0, np.inf, np.nan], dtype)
    found = evaluate(name, x)
    assert found[:3].tolist() == list(LIMITS[name])
    assert np.isnan(found[3])


def test_tanh_is_odd_to_the_sign_of_zero(rng, dtype):
    x = rng.standard_normal(1000).astype(dtype)
    assert np.array_equal(evaluate("tanh", -x), -evaluate("tanh", x))
    assert np.signbit(evaluate("tanh", np.array([-0.0], dtype)))[0]


@pytest.mark.parametrize("name", LIMITS)
def test_rules_run_as_plain_python_too(name):
    assert getattr(math, name)(0.25) == pytest.approx(EXACT[name](np.float64(0.25)), rel=1e-15)


@pytest.mark.parametrize("name", LIMITS)
def test_compiles_to_packed_instructions_without_calls(name):
    import llvmlite.binding

    features = llvmlite.binding.get_host_cpu_features()
    if not features.get("fma"):
        pytest.skip("no packed fused multiply-add on this machine")
    kernel = Kernel(map_elements, (rule(name),))
    x = np.zeros(64, np.float32)
    kernel.serial(0, 64, (np.empty_like(x), x))
    (assembly,) = kernel.serial.inspect_asm().values()
    assert re.search(r"vfmadd\d+ps\s.*%[yz]mm", assembly)
    assert not re.search(r"\b_?(exp|tanh|fma|ldexp|log)f?\b", assembly)
