"""Elementary functions: stated accuracy, limits, and packed instructions."""

import functools
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import optimized
from scipy import special

from gd.bench import assembly
from gd.kernels import math
from gd.kernels.compiler import Kernel, join
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.machine_code import fuses
from gd.kernels.polynomials import FORMATS

BOUNDS = {  # of float32 and float64 with fused multiply-adds, and without: as the docstring of kernels.math says
    "exp": (1.0, 1.0, 1.0, 1.0),
    "exp_minus": (1.0, 1.0, 1.0, 1.0),
    "exp_minus_and_product": (1.4, 1.4, 1.4, 1.4),
    "expm1_minus": (0.8, 0.8, 0.8, 0.8),
    "log": (0.9, 0.9, 0.9, 0.9),
    "log1p": (0.9, 0.9, 0.9, 0.9),
    "tanh": (0.6, 0.6, 0.6, 0.6),
    "sigmoid": (1.7, 1.7, 1.9, 1.9),
    "silu": (2.5, 2.5, 2.5, 2.5),
    "softplus": (1.4, 1.4, 1.4, 1.4),
    "erf": (1.4, 1.5, 2.5, 2.4),
    "gelu": (6.5, 9.0, 7.5, 9.0),
    "gelu_slope": (6.5, 9.0, 7.0, 9.0),
}
MAXIMUM_ULP = {name: bounds[:2] if fuses() else bounds[2:] for name, bounds in BOUNDS.items()}
EXACT = {
    "exp": np.exp,
    "exp_minus": lambda x: np.exp(-np.abs(x)),
    "exp_minus_and_product": lambda x: np.abs(x) * np.exp(-np.abs(x)),
    "expm1_minus": lambda x: np.expm1(-np.abs(x)),
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x > 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "erf": special.erf,
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_slope": lambda x: special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
}
MULTIPLE_PRECISION = {  # where NumPy's long double lacks it
    "erf": lambda mpmath, x: mpmath.erf(x),
    "gelu": lambda mpmath, x: x * mpmath.ncdf(x),
    "gelu_slope": lambda mpmath, x: mpmath.ncdf(x) + x * mpmath.npdf(x),
}
LIMITS = {
    "exp": (0, 1, np.inf),
    "exp_minus": (0, 1, 0),
    "exp_minus_and_product": (0, 0, 0),
    "expm1_minus": (-1, 0, -1),
    "log": (np.nan, -np.inf, np.inf),
    "log1p": (np.nan, 0, np.inf),
    "tanh": (-1, 0, 1),
    "sigmoid": (0, 0.5, 1),
    "silu": (0, 0, np.inf),
    "softplus": (0, np.log(2), np.inf),
    "erf": (-1, 0, 1),
    "gelu": (0, 0, np.inf),
    "gelu_slope": (0, 0.5, 1),
}
ODD = ("tanh", "erf", "log1p", "silu", "gelu")  # or at least odd in the sign of zero


@functools.cache
def rule(name):
    """Return a rule that calls one function of kernels.math."""
    function = getattr(math, name)
    if name == "exp_minus_and_product":

        def call(x):
            return function(x)[1]

    else:

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
        rng.uniform(-1, 1, 100_000) * float(information.tiny),
        np.linspace(np.log(information.smallest_subnormal) - 2, np.log(information.tiny) + 2, 100_000),
    ]
    return np.concatenate(pieces).astype(dtype)


def worst(name, x, exact):
    """Return the largest error at x in ULP, where exact is the value in a wider type."""
    found = evaluate(name, x)
    with np.errstate(all="ignore"):
        rounded = exact.astype(x.dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(np.isnan(found), np.isnan(rounded))
    assert np.array_equal(np.isinf(found), np.isinf(rounded))
    units = np.spacing(np.abs(rounded[finite])).astype(exact.dtype)
    return np.max(np.abs(found[finite].astype(exact.dtype) - exact[finite]) / units)


@pytest.mark.parametrize("name", MAXIMUM_ULP)
def test_accuracy(name, rng, dtype):
    x = stratified(rng, dtype)
    if dtype == np.float32:
        with np.errstate(all="ignore"):
            exact = EXACT[name](x.astype(np.float64))
    elif name in MULTIPLE_PRECISION:
        mpmath = pytest.importorskip("mpmath")
        x = np.concatenate([x[-450_000::150], rng.uniform(-38, 7, 2000), rng.uniform(-1, 1, 4000)])
        with mpmath.workdps(30):
            tiny = mpmath.mpf("1e-4000")
            values = [MULTIPLE_PRECISION[name](mpmath, mpmath.mpf(float(each))) for each in x]
            exact = np.array([np.longdouble(mpmath.nstr(value, 25)) if abs(value) > tiny else 0 for value in values])
    else:
        if np.finfo(np.longdouble).nmant <= 52:
            pytest.skip("no wider type to compare with on this platform")
        with np.errstate(all="ignore"):
            exact = EXACT[name](x.astype(np.longdouble))
    assert worst(name, x, exact) <= MAXIMUM_ULP[name][dtype == np.float64]


def test_the_docstring_states_these_bounds():
    stated = re.findall(r"^    (\w[\w, ]*?)  +([\d. ]+)$", math.__doc__, re.MULTILINE)
    found = {name: tuple(map(float, figures.split())) for names, figures in stated for name in names.split(", ")}
    assert found == BOUNDS


@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name, dtype):
    x = np.array([-np.inf, 0, np.inf, np.nan], dtype)
    found = evaluate(name, x)
    np.testing.assert_array_equal(found[:3], np.array(LIMITS[name], dtype))
    assert np.isnan(found[3])


@pytest.mark.parametrize("name", LIMITS)
def test_every_nan_stays_nan(name, dtype):
    integer = np.int32 if dtype == np.float32 else np.int64
    payloads = np.arange(1, 2000, dtype=integer) * integer(4099)
    x = (np.array(np.inf, dtype).view(integer) + payloads).view(dtype)
    assert np.isnan(x).all()
    assert np.isnan(evaluate(name, x)).all()
    assert np.isnan(evaluate(name, -x)).all()


@pytest.mark.parametrize("name", ODD)
def test_zero_keeps_its_sign(name, dtype):
    assert np.signbit(evaluate(name, np.array([-0.0, 0.0], dtype))).tolist() == [True, False]


def test_tanh_is_odd(rng, dtype):
    x = rng.standard_normal(1000).astype(dtype)
    assert np.array_equal(evaluate("tanh", -x), -evaluate("tanh", x))


@pytest.mark.parametrize("name", LIMITS)
def test_rules_run_as_plain_python_too(name):
    assert rule(name)(0.25) == pytest.approx(EXACT[name](np.float64(0.25)), rel=1e-15)


@optimized
@pytest.mark.parametrize("name", LIMITS)
def test_compiles_to_packed_instructions_without_calls(name):
    kernel = Kernel(map_elements, (rule(name),))
    x = np.zeros(64, np.float32)
    kernel(64, np.empty_like(x), x)
    (kinds,) = kernel.compiled
    assert assembly.inspect(kernel, kinds)["vector_bits"] >= 128
    text = kernel.assembly(kinds)
    assert bool(re.search(r"\bv?fn?m(add|sub|la|ls)\w*\s", text)) == fuses()
    assert not re.search(r"\b_?(exp|expm1|tanh|fma|ldexp|log|log1p|erf|erfc)f?\b", text)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of a processor of x86")
def test_code_for_a_processor_without_fused_multiply_adds_calls_nothing():
    """Scenarios compile all functions for several of them."""
    program = (
        "from test_math import *; kernel = Kernel(map_elements, (rule('sigmoid'),)); x = np.zeros(64, np.float32)\n"
        "kernel(64, np.empty_like(x), x); (kinds,) = kernel.compiled; found = assembly.inspect(kernel, kinds)\n"
        "print(fuses(), found['vector_bits'], found['calls'], 'fmaf' in kernel.assembly(kinds))"
    )
    target = {"NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=os.environ | target, cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout == "False 128 0 False\n", done.stderr


@pytest.mark.parametrize("real, names", [(np.float32, ("exp_q", "coth_p")), (np.float32, None), (np.float64, None)])
def test_polynomials_are_those_of_their_tool(real, names):
    pytest.importorskip("mpmath")
    import minimax

    for name, numbers in minimax.constants(real, names).items():
        assert getattr(FORMATS[numba.from_dtype(np.dtype(real))], name) == numbers


@pytest.mark.slow
@pytest.mark.parametrize("name", MAXIMUM_ULP)
def test_all_float32_numbers(name, tmp_path, monkeypatch):
    import exhaustive

    monkeypatch.chdir(tmp_path)
    assert exhaustive.main([name]) == 0
