"""minimize: SciPy's interface, every optimizer, bounds, callbacks, and what ends it."""

import inspect
from functools import partial

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import Bounds, rosen, rosen_der

import gd
from gd import reference
from gd.minimization import METHODS

TARGET = np.array([1.0, -2.0, 0.5])


def square(x, target=TARGET):
    return float((x - target) @ (x - target))


def gradient(x, target=TARGET):
    return 2 * (x - target)


def both(x):
    return square(x), gradient(x)


RATES = {"LARS": 5.0, "LAMB": 0.1, "SGD": 0.1, "Adadelta": 10.0, "Adagrad": 0.5, "ASGD": 0.1}


@pytest.mark.parametrize("name", METHODS)
def test_every_optimizer_minimizes_a_square(name):
    options = {"maxiter": 500} if name == "LBFGS" else {"maxiter": 500, "lr": RATES.get(name, 0.05)}
    start = np.full(3, 0.1)
    found = gd.minimize(square, start, jac=gradient, method=name, options=options)
    assert found.fun < 0.1 * square(start)
    assert found.fun == square(found.x)
    np.testing.assert_array_equal(found.jac, gradient(found.x))
    assert start.tolist() == [0.1] * 3
    same = gd.minimize(both, start, jac=True, method=METHODS[name], options=options)
    np.testing.assert_array_equal(found.x, same.x)
    assert same.nit == found.nit


def test_steps_are_those_of_the_optimizer():
    p, state = np.zeros(3), {}
    for t in range(1, 8):
        reference.adam(p, gradient(p), state, t, lr=0.1 / t)
    found = gd.minimize(square, np.zeros(3), jac=gradient, options={"lr": lambda k: 0.1 / (k + 1), "maxiter": 7})
    np.testing.assert_allclose(found.x, p, rtol=1e-12)
    assert (found.nit, found.status, found.success, found.nfev, found.njev) == (7, 1, False, 1, 8)
    assert found.message == "maxiter was reached."


def test_its_parameters_are_those_of_scipy():
    theirs = list(inspect.signature(scipy.optimize.minimize).parameters)
    assert list(inspect.signature(gd.minimize).parameters)[: len(theirs)] == theirs


@pytest.mark.parametrize("jac", [gradient, True, None])
def test_it_is_a_custom_method_of_scipy(jac):
    fun, seen = both if jac is True else square, []
    method = partial(gd.minimize, method="LBFGS")
    for keywords in ({"method": method}, {"method": gd.minimize, "options": {"method": "LBFGS"}}):
        found = scipy.optimize.minimize(fun, np.zeros(3), jac=jac, tol=1e-4, callback=seen.append, **keywords)
        assert found.success
        np.testing.assert_allclose(found.x, TARGET, atol=1e-4)
    assert len(seen) > 1
    target = np.ones(3)
    moved = scipy.optimize.minimize(square, np.zeros(3), (target,), gd.minimize, gradient, options={"lr": 0.1})
    np.testing.assert_allclose(moved.x, target, atol=1e-4)


def test_finite_differences_count_their_calls():
    found = gd.minimize(rosen, np.zeros(4), method="LBFGS", options={"gtol": 1e-3})
    assert found.success
    np.testing.assert_allclose(found.x, 1, atol=1e-2)
    assert found.nfev == 6 * found.njev  # 5 for the gradient, one for the value
    single = gd.minimize(square, np.zeros(3, np.float32), options={"lr": 0.1, "gtol": 1e-3})
    assert single.success
    assert single.x.dtype == np.float32


def test_minima_are_those_of_l_bfgs_b():
    start = np.linspace(-1, 1, 8)
    found = gd.minimize(rosen, start, jac=rosen_der, method="LBFGS", options={"tolerance_change": 0})
    expected = scipy.optimize.minimize(rosen, start, jac=rosen_der, method="L-BFGS-B", tol=1e-12)
    np.testing.assert_allclose(found.x, expected.x, atol=1e-5)
    assert found.success


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_x0_becomes_a_vector(shape):
    found = gd.minimize(lambda x: (x @ x, 2 * x), np.ones(shape, int), jac=True, method="LBFGS")
    assert found.x.shape == (int(np.prod(shape)),)
    assert found.x.dtype == np.float64
    assert abs(found.x).max() < 1e-6


# --- Bounds


@pytest.mark.parametrize(
    "bounds",
    [Bounds([-1, -1, -1], [0.5, 0.5, np.inf]), [(-1, 0.5), (-1, 0.5), (-1, None)], [(-1, 0.5)] * 2 + [(-1, 9)]],
)
@pytest.mark.parametrize("name", ["Adam", "SGD", "Momentum"])
def test_x_stays_within_bounds_and_comes_to_the_corner(name, bounds):
    seen = []
    options = {"lr": gd.schedules.CosineDecay(0.2, 400), "maxiter": 400}
    more = {"bounds": bounds, "callback": seen.append, "method": name, "options": options}
    found = gd.minimize(square, np.full(3, 4.0), jac=gradient, **more)
    np.testing.assert_allclose(found.x, [0.5, -1, 0.5], atol=1e-4)
    assert (np.array(seen) <= [0.5, 0.5, 9]).all()
    assert found.success


def test_bounds_pass_through_scipy():
    found = scipy.optimize.minimize(
        square, np.zeros(3), jac=gradient, method=gd.minimize, bounds=[(0, 0.25)] * 3, options={"lr": 0.1}
    )
    np.testing.assert_allclose(found.x, [0.25, 0, 0.25])


# --- What ends it


def test_both_forms_of_callbacks_and_stop_iteration():
    values, points = [], []

    def with_result(intermediate_result):
        values.append(intermediate_result.fun)
        if len(values) == 3:
            raise StopIteration

    def with_x(xk):
        points.append(xk)
        xk[:] = 7  # a copy

    options = {"lr": 0.1, "maxiter": 5}
    found = gd.minimize(square, np.zeros(3), jac=gradient, callback=with_result, options=options)
    assert (found.nit, found.status, found.success) == (3, 99, False)
    assert values[-1] == found.fun
    assert values == sorted(values, reverse=True)
    found = gd.minimize(square, np.zeros(3), jac=gradient, callback=with_x, options=options)
    assert len(points) == 5
    assert found.fun < square(np.zeros(3))


def test_it_ends_where_fun_falls_no_more():
    options = {"lr": 0.1, "gtol": 0, "ftol": 1e-3, "n_iter_no_change": 4}
    found = gd.minimize(square, np.zeros(3), jac=gradient, options=options)
    assert found.success
    assert "fell by less than ftol in 4 iterations" in found.message
    assert found.nfev == found.nit + 1


@pytest.mark.parametrize("method", ["Adam", "LBFGS"])
def test_it_ends_at_a_gradient_of_0_and_without_iterations(method):
    assert gd.minimize(square, TARGET, jac=gradient, method=method).nit == 0
    found = gd.minimize(square, np.zeros(3), jac=gradient, method=method, options={"maxiter": 0})
    assert (found.nit, found.status, found.x.tolist()) == (0, 1, [0, 0, 0])


@pytest.mark.parametrize("method", ["Adam", "LBFGS"])
def test_it_ends_where_nothing_is_finite(method):
    with np.errstate(invalid="ignore", divide="ignore"):
        found = gd.minimize(lambda x: np.log(x).sum(), np.zeros(2) - 1, jac=lambda x: np.log(x), method=method)
    assert (found.status, found.success, found.nit) == (3, False, 0)
    assert found.message == "fun or its gradient is not finite."


def test_gradients_too_large_or_small_for_their_squares():
    big = gd.minimize(lambda x: (0.0, np.full(2, 1e200)), np.zeros(2), jac=True, options={"maxiter": 3})
    assert (big.status, big.nit) == (1, 3)
    small = gd.minimize(lambda x: (0.0, np.full(2, 1e-200)), np.zeros(2), jac=True, tol=1e-300, options={"maxiter": 3})
    assert (small.status, small.nit) == (1, 3)


def test_what_it_prints(capsys):
    gd.minimize(square, TARGET, jac=gradient, options={"disp": True})
    assert "at most gtol. fun: 0, nit: 0, nfev: 1, njev: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"method": "BFGS"}, "method must be one of ADOPT, .* LBFGS.*, got 'BFGS'"),
        ({"method": dict}, "method must be an optimizer's name or class"),
        ({"jac": "3-point"}, "jac must be a function, True or None, got '3-point'"),
        ({"jac": lambda x: np.ones(2)}, "jac must return 3 numbers, as x0 has, got 2"),
        ({"jac": True}, r"fun must return \(value, gradient\), got float"),
        ({"fun": lambda x: x, "jac": None}, "fun must return a number, got array"),
        ({"fun": None}, "fun must be a function, got None"),
        ({"callback": 3}, "callback must be a function, got 3"),
        ({"x0": ["a"]}, "x0 must be an array of real numbers"),
        ({"x0": []}, "x0 must hold at least one number"),
        ({"bounds": [(0, 1)]}, "bounds must hold a pair for each of 3 numbers"),
        ({"bounds": [(1, 0)] * 3}, "bounds must have min <= max"),
        ({"bounds": [(0, 1)] * 3, "method": "LBFGS"}, "bounds must be None for LBFGS"),
        ({"bounds": [(0, 1)] * 3, "method": "ScheduleFreeAdamW"}, "bounds must be None for ScheduleFreeAdamW"),
        ({"constraints": [{"type": "eq", "fun": square}]}, "constraints must be empty"),
        ({"options": 3}, "options must be a dict, got 3"),
        ({"options": {"maxiter": -1}}, "maxiter must be at least 0, got -1"),
        ({"options": {"gtol": -1}}, "gtol must be in .*, got -1"),
        ({"options": {"nonsense": 1}}, "unexpected keyword 'nonsense'"),
    ],
)
def test_wrong_arguments_are_refused(keywords, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gd.minimize(**{"fun": square, "x0": np.zeros(3), "jac": gradient} | keywords)
