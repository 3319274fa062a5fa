"""L-BFGS: the iterates of its references, every structure, faults of the closure, saved states."""

import copy
import pickle

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

import gd
from gd import reference
from gd.optimizers.line_search import Point, strong_wolfe

FIXED = {"line_search": None, "lr": 1e-3}


def logistic(rng, n=20):
    """Return f(w) -> (loss, gradient) of a regression with a penalty."""
    X = rng.standard_normal((150, n))
    y = np.sign(X @ rng.standard_normal(n) + 0.5 * rng.standard_normal(150))

    def f(w):
        z = -y * (X @ w)
        return np.logaddexp(0, z).sum() + 0.5 * w @ w, X.T @ (-y / (1 + np.exp(-z))) + w

    return f


def rosenbrock(x):
    return rosen(x), rosen_der(x)


@pytest.mark.parametrize("keywords", [{}, {"history_size": 3}, FIXED], ids=["wolfe", "short", "fixed"])
@pytest.mark.parametrize("name", ["logistic", "rosenbrock"])
def test_iterates_are_those_of_the_reference(name, keywords, rng):
    f = logistic(rng) if name == "logistic" else rosenbrock
    start = rng.standard_normal(20)
    for iterations in (1, 2, 5, 12):
        p = start.copy()
        gd.LBFGS(p, max_iter=iterations, max_eval=1000, **keywords).step(lambda p=p: f(p))
        expected, _, _ = reference.lbfgs(f, start, max_iter=iterations, **keywords)
        np.testing.assert_allclose(p, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
@pytest.mark.parametrize("history_size", [2, 10])
@pytest.mark.parametrize("name", ["logistic", "rosenbrock"])
def test_iterates_are_those_of_pytorch_over_several_steps(name, history_size, line_search, rng):
    torch = pytest.importorskip("torch")
    f = logistic(rng) if name == "logistic" else rosenbrock
    p = rng.standard_normal(20)
    tensor = torch.tensor(p, requires_grad=True)
    keywords = {"lr": 1e-3 if line_search is None else 1.0, "max_iter": 4, "history_size": history_size}
    ours = gd.LBFGS(p, line_search=line_search, **keywords)
    theirs = torch.optim.LBFGS([tensor], line_search_fn=line_search, **keywords)

    def closure():
        loss, g = f(tensor.detach().numpy())
        tensor.grad = torch.from_numpy(g)
        return torch.tensor(loss)

    for _ in range(5):
        assert ours.step(lambda: f(p)) == pytest.approx(theirs.step(closure).item(), rel=1e-12)
        np.testing.assert_allclose(p, tensor.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert ours.evaluations == theirs.state[tensor]["func_evals"]


@pytest.mark.parametrize("name", ["logistic", "rosenbrock"])
def test_minima_are_those_of_scipy(name, rng):
    f = logistic(rng) if name == "logistic" else rosenbrock
    start = rng.standard_normal(20)
    p = start.copy()
    optimizer = gd.LBFGS(p, max_iter=500, tolerance_change=1e-15)
    optimizer.step(lambda: f(p))
    expected = minimize(f, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-8})
    assert optimizer.loss == pytest.approx(expected.fun, abs=1e-9)
    assert optimizer.ended in ("gradient", "change")


def test_every_structure_has_the_same_iterates(rng, dtype):
    start = rng.standard_normal(20).astype(dtype)
    vector = gd.ParameterVector({"a": (3, 4), "b": (8,)}, dtype)
    structures = {
        "array": np.empty(20, dtype),
        "list": [np.empty((3, 4), dtype), np.empty(8, dtype)],
        "dict": {"a": np.empty((4, 3), dtype).T, "b": np.empty(8, dtype)},
        "vector": vector,
    }
    found = {}
    for name, params in structures.items():
        arrays = [params] if name == "array" else list(params) if name == "list" else list(params.values())
        for array, part in zip(arrays, np.split(start, [12]) if len(arrays) > 1 else [start], strict=True):
            array[...] = part.reshape(array.shape)

        def closure(params=params, arrays=arrays, name=name):
            x = np.concatenate([array.ravel() for array in arrays])
            g = rosen_der(x).astype(dtype)
            parts = [g] if name == "array" else [g[:12].reshape(3, 4), g[12:]]
            grads = {"array": g, "list": parts}.get(name, dict(zip("ab", parts, strict=False)))
            return rosen(x), grads

        gd.LBFGS(params, max_iter=8).step(closure)
        found[name] = np.concatenate([array.ravel() for array in arrays])
    for name in ("list", "vector"):
        np.testing.assert_array_equal(found["array"], found[name])
    np.testing.assert_allclose(found["array"], found["dict"], rtol=1e-3 if dtype == np.float32 else 1e-10)


def test_an_array_without_a_gradient_stays(rng):
    p = {"w": rng.standard_normal(5), "fixed": rng.standard_normal(3)}
    before = p["fixed"].copy()
    gd.LBFGS(p).step(lambda: (p["w"] @ p["w"], {"w": 2 * p["w"], "fixed": None}))
    assert abs(p["w"]).max() < 1e-6
    np.testing.assert_array_equal(p["fixed"], before)


def test_a_network_is_trained(rng):
    X = rng.standard_normal((60, 3))
    model = gd.MLP([3, 8, 1], activation="tanh", loss="mse", dtype=np.float64)
    y = np.sin(X).sum(axis=1, keepdims=True)
    optimizer = gd.LBFGS(model.parameters, max_iter=300)
    first = optimizer.step(lambda: model.loss_and_gradients(X, y))
    assert optimizer.loss < first / 1000
    with pytest.raises(TypeError, match=r"fit: optimizer .* LBFGS; call its step\(lambda: model"):
        gd.fit(model, X, y, optimizer)


def test_bits_are_the_same_for_any_number_of_threads(dtype):
    found = []
    for n in (1, 2):
        rng = np.random.default_rng(0)
        a, b, p = rng.uniform(0.1, 5, 70_001), rng.standard_normal(70_001), np.zeros(70_001, dtype)

        def closure(a=a, b=b, p=p):
            return float((a * (p - b) ** 2).sum()), (2 * a * (p - b)).astype(dtype)

        with gd.threads(n):
            gd.LBFGS(p, max_iter=15).step(closure)
        found.append(p)
    np.testing.assert_array_equal(found[0], found[1])


# --- Closures that fail


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nothing_changes_where_the_first_point_is_not_finite(where, bad):
    p = np.ones(3)
    optimizer = gd.LBFGS(p)
    optimizer.step(lambda: (bad, p.copy()) if where == "loss" else (1.0, np.array([1.0, bad, 1.0])))
    assert p.tolist() == [1, 1, 1]
    assert optimizer.ended == "not finite"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_search_comes_back_from_points_that_are_not_finite(bad):
    p = np.array([5.0])

    def closure():  # the logarithm is not defined beyond 0, where the first step of 100 leads
        return (p[0] - np.log(p[0]) if p[0] > 0 else bad), (1 - 1 / p if p[0] > 0 else np.array([bad]))

    optimizer = gd.LBFGS(p, lr=100.0, max_eval=100)
    optimizer.step(closure)
    assert p[0] == pytest.approx(1, abs=1e-4)


def test_without_a_search_params_return_from_a_point_that_is_not_finite():
    p = np.array([5.0])
    optimizer = gd.LBFGS(p, lr=100.0, line_search=None)
    optimizer.step(lambda: (np.log(p[0]) if p[0] > 0 else np.nan, 1 / p))
    assert p[0] == 5
    assert optimizer.ended == "not finite"


def test_params_return_where_the_closure_raises(rng):
    p, calls = rng.standard_normal(10), []

    def closure():
        calls.append(p.copy())
        if len(calls) == 4:
            raise OSError("no data")
        return rosenbrock(p)

    optimizer = gd.LBFGS(p)
    with pytest.raises(OSError, match="no data"):
        optimizer.step(closure)
    assert any(np.array_equal(p, each) for each in calls[:3])
    optimizer.step(lambda: rosenbrock(p))
    assert optimizer.steps > 2


def test_a_wrong_gradient_and_a_kink_end_the_search():
    p = np.ones(2)
    optimizer = gd.LBFGS(p)
    optimizer.step(lambda: (p @ p, -2 * p))
    assert optimizer.ended == "line search"
    assert p.tolist() == [1, 1]
    gd.LBFGS(p, max_iter=100).step(lambda: (abs(p).sum(), np.sign(p)))
    assert abs(p).max() < 1


@pytest.mark.parametrize(
    "closure, message",
    [
        (lambda: 1.0, r"closure must return \(loss, grads\), got float"),
        (lambda: ("x", np.ones(3)), "closure must return a number as the loss, got 'x'"),
        (lambda: (1.0, np.ones(4)), r"grads has shape \(4,\)"),
        (lambda: (1.0, np.ones(3, np.float32)), "grads has dtype float32"),
        (3, r"closure must be a function that returns \(loss, grads\), got 3"),
    ],
)
def test_wrong_closures_are_refused(closure, message):
    p = np.ones(3)
    with pytest.raises((TypeError, ValueError), match=message):
        gd.LBFGS(p).step(closure)
    assert p.tolist() == [1, 1, 1]


def test_arrays_of_two_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"params must have one dtype, params\[0\] is float64, params\[1\] is float32"):
        gd.LBFGS([np.ones(2), np.ones(2, np.float32)])


# --- The line search


@pytest.mark.parametrize("first", [1e-6, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("name", ["moré and thuente", "quartic", "exponential"])
def test_points_of_the_search_meet_the_strong_wolfe_conditions(name, first):
    f, df = {
        "moré and thuente": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
        "quartic": (lambda t: (t - 3) ** 4 + 0.1 * t, lambda t: 4 * (t - 3) ** 3 + 0.1),
        "exponential": (lambda t: np.exp(min(t, 709)) - 5 * t, lambda t: np.exp(min(t, 709)) - 5),
    }[name]
    start = Point(0.0, float(f(0.0)), float(df(0.0)), np.empty(0))
    found, _ = strong_wolfe(lambda t: Point(t, float(f(t)), float(df(t)), np.empty(0)), start, first, 1.0, 1e-12)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)


# --- States


def test_a_saved_state_continues_bit_for_bit(rng, tmp_path):
    pytest.importorskip("safetensors")
    p = rng.standard_normal(30)
    optimizer = gd.LBFGS(p, max_iter=3, max_eval=100, history_size=4)
    for _ in range(3):
        optimizer.step(lambda: rosenbrock(p))
    gd.save(tmp_path / "state", {"p": p, "optimizer": optimizer.state_dict()})
    saved, pickled, copied = gd.load(tmp_path / "state"), pickle.dumps(optimizer), copy.deepcopy(optimizer)
    optimizer.step(lambda: rosenbrock(p))
    fresh = gd.LBFGS(saved["p"], max_iter=3, max_eval=100, history_size=4)
    fresh.load_state_dict(saved["optimizer"])
    for other in (fresh, pickle.loads(pickled), copied):
        assert other.steps == optimizer.steps - 3
        other.step(lambda other=other: rosenbrock(other.params))
        np.testing.assert_array_equal(other.params, p)
        assert repr(other) == repr(optimizer)


def test_states_that_do_not_fit_are_refused(rng):
    p = rng.standard_normal(5)
    optimizer = gd.LBFGS(p)
    optimizer.step(lambda: rosenbrock(p))
    state = optimizer.state_dict()
    other = gd.LBFGS(np.ones(5))
    for name, value in [
        ("old_dirs", state["old_dirs"][:, 1:]),
        ("ro", state["ro"][1:]),
        ("steps", -1),
        ("H_diag", "x"),
    ]:
        with pytest.raises((TypeError, ValueError), match=r"LBFGS\.load_state_dict: state"):
            other.load_state_dict(state | {name: value})
    with pytest.raises(KeyError, match="old_stps"):
        other.load_state_dict({name: value for name, value in state.items() if name != "old_stps"})
    assert other.steps == 0
    gd.LBFGS(np.ones(5), history_size=2).load_state_dict(gd.LBFGS(np.ones(5)).state_dict())
