"""Gradients at the ends of what numbers hold, for every optimizer: what they do, and what they never do."""

import numpy as np
import pytest

import gd
from gd import reference
from gd.optimizers import OPTIMIZERS

NAMES = sorted(OPTIMIZERS)
ELEMENTWISE = [name for name in NAMES if OPTIMIZERS[name].elementwise]
EXTREMES = [(np.float32, 1e38), (np.float32, 3.4e38), (np.float32, 1e-45), (np.float64, 1e200), (np.float64, 5e-324)]
EXTREMES += [(dtype, bad) for dtype in (np.float32, np.float64) for bad in (np.nan, np.inf, -np.inf)]
extremes = pytest.mark.parametrize("dtype, extreme", EXTREMES, ids=lambda x: x.__name__ if isinstance(x, type) else x)
AT = 20  # the element that has the extreme gradient


def run(optimizer, gradients):
    for g in gradients:
        optimizer.step(g)
    return optimizer


def example(rng, dtype, extreme):
    """Return parameters, and gradients of five steps, of which one element of the second is extreme."""
    p, *gradients = rng.standard_normal((6, 67)).astype(dtype)
    gradients[1][AT] = extreme
    return p, gradients


@extremes
@pytest.mark.parametrize("name", NAMES)
def test_an_extreme_gradient_is_what_the_formula_makes_of_it(name, dtype, extreme, rng):
    """The same numbers, infinities and NaN as in plain NumPy of the same dtype, and no warning."""
    start, gradients = example(rng, dtype, extreme)
    p, expected = start.copy(), start.copy()
    run(OPTIMIZERS[name](p), gradients)
    if name not in ELEMENTWISE:  # in plain NumPy the norms of finite numbers overflow
        assert np.isfinite(p).all() == np.isfinite(extreme)
        return
    plain = reference.Optimizer(name, {"p": expected})
    with np.errstate(all="ignore"):
        for g in gradients:
            plain.step({"p": g})
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    others = np.arange(p.size) != AT
    np.testing.assert_allclose(p[others], expected[others], rtol=tolerance, atol=tolerance)
    if abs(extreme) < 1e-30:  # subnormal: 0, or what it is
        assert np.isfinite(p).all()
    else:
        np.testing.assert_allclose(p[AT], expected[AT], rtol=tolerance, atol=tolerance)


@extremes
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_neighbours_of_an_extreme_gradient_have_the_bits_that_they_have_without_it(name, dtype, extreme, rng, walk):
    start, gradients = example(rng, dtype, extreme)
    p, alone = start.copy(), np.delete(start, AT)
    run(OPTIMIZERS[name](p), gradients)
    run(OPTIMIZERS[name](alone), [np.delete(g, AT) for g in gradients])
    assert np.array_equal(np.delete(p, AT), alone)


@extremes
@pytest.mark.parametrize("name", NAMES)
def test_skip_nonfinite_skips_what_is_not_finite_and_nothing_else(name, dtype, extreme, rng):
    start, gradients = example(rng, dtype, extreme)
    p, expected = start.copy(), start.copy()
    skipping = run(OPTIMIZERS[name](p, skip_nonfinite=True), gradients)
    kept = gradients if np.isfinite(extreme) else [gradients[0], *gradients[2:]]
    plain = run(OPTIMIZERS[name](expected), kept)
    assert skipping.steps == plain.steps == len(kept)
    assert np.array_equal(p, expected, equal_nan=True)
    state, other = skipping.state_dict(), plain.state_dict()
    assert all(np.array_equal(state[key], other[key], equal_nan=True) for key in other)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_variance_of_centered_rmsprop_is_never_negative(momentum, dtype):
    """For gradients that do not change, the mean of squares less the square of the mean is rounding, of any sign."""
    g = np.geomspace(1e-3, 1e15, 500).astype(dtype)
    p = np.zeros_like(g)
    optimizer = gd.RMSprop(p, rho=0.9, centered=True, momentum=momentum)
    negative = 0
    for _ in range(600):
        optimizer.step(g)
        state = optimizer.state_dict()
        v, a = (state[next(key for key in state if key.endswith(slot))] for slot in ("square_avg", "grad_avg"))
        negative += np.count_nonzero(v - a * a < 0)
        assert np.isfinite(p).all()
    assert negative > 100


@pytest.mark.parametrize(
    "dtype, size, largest", [(np.float64, 10_000, 1.7e308), (np.float64, 3, 1.7e308), (np.float32, 10_000, 3e38)]
)
@pytest.mark.parametrize("split", [False, True])
def test_the_norm_to_clip_by_never_overflows(dtype, size, largest, split, rng):
    """Finite gradients are clipped to the norm that was asked for even where their own is above the largest float."""
    g = (largest * rng.uniform(0.5, 1, size)).astype(dtype)
    p = np.zeros_like(g)
    cut = size // 3
    optimizer = gd.SGD([p[:cut], p[cut:]] if split else p, lr=1.0, clip_norm=2.0**10)
    assert optimizer.step([g[:cut], g[cut:]] if split else g) is True
    tolerance = 1e-9 if dtype == np.float64 else 1e-4  # of a factor that is subnormal
    assert np.linalg.norm(p.astype(float)) == pytest.approx(2.0**10, rel=tolerance)
    np.testing.assert_allclose(p / p[0], g / g[0], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_with_infinities_is_not_clipped_into_a_finite_one(name, dtype):
    p = np.ones(50, dtype)
    g = np.full(50, 3, dtype)
    g[7] = np.inf
    OPTIMIZERS[name](p, clip_norm=1.0).step(g)
    assert not np.isfinite(p[7]) or name in ("Lion", "Rprop", "ADOPT")
