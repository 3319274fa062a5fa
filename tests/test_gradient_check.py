"""gradient_check: right gradients pass, one wrong derivative is found wherever it hides."""

import numpy as np
import pytest

import gd
from gd.activations.functions import ACTIVATIONS
from gd.losses.functions import LOSSES


def cubes(w):
    return float(np.sum(w**3))


def test_right_gradients_pass(rng):
    w = rng.standard_normal((7, 5))
    before = w.copy()
    found = gd.gradient_check(cubes, w, 3 * w**2)
    assert found.error < 1e-8
    assert np.array_equal(w, before)


@pytest.mark.parametrize("size", [1, 20, 5_000, 100_000])
def test_a_single_wrong_derivative_is_found(size, rng):
    w = rng.uniform(0.5, 2, size)
    gradient = 3 * w**2
    at = int(rng.integers(size))
    gradient[at] *= 1 + 1e-3
    found = gd.gradient_check(cubes, w, gradient)
    assert found.index == (at,)
    assert found.error == pytest.approx(1e-3, rel=0.01)
    assert found.analytic == gradient[at]
    assert found.numeric == pytest.approx(3 * w[at] ** 2, rel=1e-6)


def test_structures_and_float32(rng):
    params = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}

    def f(p):
        return np.sum(p["W"] ** 2) + np.sum(np.sin(p["b"]))

    grads = {"W": 2 * params["W"], "b": np.cos(params["b"])}
    assert gd.gradient_check(f, params, grads).error < 1e-8
    grads["b"][1] += 0.1
    assert gd.gradient_check(f, params, grads).index == ("b", 1)
    grads["W"][2, 0] += 10
    assert gd.gradient_check(f, params, grads).index == ("W", 2, 0)
    assert (
        gd.gradient_check(lambda p: f({"W": p[0], "b": p[1]}), list(params.values()), list(grads.values())).index[0]
        == 0
    )
    w = rng.standard_normal(5).astype(np.float32)
    assert gd.gradient_check(lambda w: np.sum(w.astype(float) ** 3), w, 3 * w**2).error < 2e-2


def test_a_kink_warns_and_does_not_count():
    w = np.array([1.0, 1e-5, -2.0])
    with pytest.warns(RuntimeWarning, match=r"kink near \(1,\); left out 1 coordinates"):
        found = gd.gradient_check(lambda w: np.abs(w).sum(), w, np.sign(w))
    assert found.error < 1e-8


def test_nonfinite_derivatives_are_the_worst():
    w = np.ones(3)
    assert gd.gradient_check(cubes, w, np.array([3.0, np.nan, 3.0])).index == (1,)


def test_the_parameters_are_restored_when_the_function_fails():
    w = np.ones(3)

    def fail(w):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gd.gradient_check(fail, w, w.copy())
    assert w.tolist() == [1, 1, 1]


@pytest.mark.parametrize("activation", [name for name, each in ACTIVATIONS.items() if each.elementwise])
def test_networks_of_every_activation(activation, rng):
    X, y = rng.standard_normal((9, 4)), rng.integers(0, 3, 9)
    model = gd.MLP([4, 6, 3], activation=activation, dtype=np.float64)
    model.parameters.vector[:] += 0.05 * rng.standard_normal(model.parameters.vector.size)
    assert model.gradient_check(X, y).error < 1e-6


@pytest.mark.parametrize("loss", [name for name, each in LOSSES.items() if not each.labels])
def test_networks_of_every_loss(loss, rng):
    X, y = rng.standard_normal((9, 4)), rng.uniform(0.1, 0.9, (9, 2))
    if "hinge" in loss:
        y = np.sign(y - 0.5)
    model = gd.MLP([4, 6, 2], activation="tanh", loss=loss, dtype=np.float64)
    assert model.gradient_check(X, y).error < 1e-6
    linear = gd.LinearModel(4, 2, l1=0.1, l2=0.2, dtype=np.float64)
    linear.parameters.vector[:] = rng.standard_normal(10)
    assert linear.gradient_check(X, y).error < 1e-7


def test_bad_arguments_are_refused():
    w = np.ones(3)
    for arguments, keywords, match in (
        ((1, w, w), {}, "f must be a function of params, got int"),
        ((cubes, w, np.ones(2)), {}, r"grads has shape \(2,\), params has \(3,\)"),
        ((cubes, w, np.ones(3, np.float32)), {}, "grads has dtype float32, params is float64"),
        ((cubes, {"w": w}, {"v": w}), {}, "grads must have the structure of params"),
        ((cubes, w, w), {"coordinates": 0}, "coordinates must be at least 1"),
        ((cubes, w, w), {"seed": -1}, "seed must be at least 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"gradient_check: {match}"):
            gd.gradient_check(*arguments, **keywords)
