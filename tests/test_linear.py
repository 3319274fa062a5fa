"""Gradients of linear models against plain NumPy, finite differences and scikit-learn's optima."""

import functools

import numpy as np
import pytest

import gd
from gd import reference
from gd.batches import batches
from gd.kernels.compiler import splitting
from gd.losses import ALIASES, LOSSES

NAMES = sorted(set(LOSSES) - {"softmax_cross_entropy"})
SHAPES = [(1, 1), (3, 10), (31, 1), (33, 64), (130, 100), (2500, 17), (40, 5000)]


def example(loss, n, features, outputs, rng, dtype):
    X = rng.standard_normal((n, features)).astype(dtype)
    shape = (features,) if outputs is None else (features, outputs)
    w = (rng.standard_normal(shape) / np.sqrt(features)).astype(dtype)
    b = rng.standard_normal(outputs or 1).astype(dtype)
    loss = ALIASES.get(loss, loss)
    if LOSSES[loss].labels:
        return X, rng.integers(0, outputs, n), w, b
    y = rng.standard_normal((n,) if outputs is None else (n, outputs))
    if "hinge" in loss:
        y = np.sign(y)
    elif loss == "binary_cross_entropy_with_logits":
        y = (y > 0).astype(dtype)
    elif loss == "kl_divergence":
        y = rng.random(y.shape)
    elif loss == "poisson":
        y = rng.poisson(1.0, y.shape)
    return X, y.astype(dtype), w, b


def check(found, expected, dtype):
    tolerance = 1e-12 if dtype == np.float64 else 3e-5
    for ours, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=tolerance * max(1, np.abs(exact).max()))


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_output_equals_plain_numpy(loss, shape, rng, dtype):
    X, y, w, b = example(loss, *shape, None, rng, dtype)
    for rows in (None, rng.integers(0, len(X), len(X)), np.arange(len(X))[: len(X) // 2 + 1]):
        found = gd.linear_model_gradient(X, y, w, b, loss, rows)
        batch = slice(None) if rows is None else rows
        wide = X[batch].astype(float), y[batch].astype(float), w.astype(float), b.astype(float)
        check(found, reference.linear_model_gradient(*wide, loss), dtype)
        assert found[1].dtype == found[2].dtype == dtype


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_several_outputs_equal_plain_numpy(loss, shape, rng, dtype):
    X, y, W, b = example(loss, *shape, 5, rng, dtype)
    for rows in (None, rng.integers(0, len(X), len(X))):
        found = gd.linear_model_gradient(X, y, W, b, loss, rows)
        batch = slice(None) if rows is None else rows
        targets = y[batch] if LOSSES[loss].labels else y[batch].astype(float)
        wide = X[batch].astype(float), targets, W.astype(float), b.astype(float)
        check(found, reference.linear_model_gradient(*wide, loss), dtype)


@pytest.mark.parametrize("outputs", [None, 4])
def test_bits_do_not_depend_on_threads(outputs, rng, dtype):
    loss = "logistic" if outputs is None else "softmax"
    X, y, w, b = example(loss, 3000, 33, outputs, rng, dtype)
    results = []
    for parallel_from in (np.inf, 1):
        with splitting(parallel_from):
            results.append(gd.linear_model_gradient(X, y, w, b, loss))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])
    assert np.array_equal(results[0][2], results[1][2])


def test_named_functions(rng):
    X, y, w, b = example("squared", 50, 7, None, rng, np.float64)
    loss, dw, db = gd.linear_regression_gradient(X, y, w, float(b[0]))
    error = X @ w + b - y
    assert loss == pytest.approx(np.mean(error**2), rel=1e-14)
    np.testing.assert_allclose(dw, 2 / 50 * X.T @ error, rtol=1e-12)
    assert isinstance(db, float)
    labels = (y > 0).astype(int)
    expected = gd.linear_model_gradient(X, labels, w, 0.0, "logistic")
    assert gd.logistic_regression_gradient(X, labels, w, 0.0)[0] == expected[0]
    W = rng.standard_normal((7, 2))
    assert gd.softmax_regression_gradient(X, labels, W, np.zeros(2))[0] > 0


@pytest.mark.parametrize("outputs", [None, 2])
def test_integers_as_targets_have_the_bits_of_floats(outputs, rng, dtype):
    X, y, w, b = example("logistic", 50, 7, outputs, rng, dtype)
    y = rng.integers(0, 2, y.shape)
    for rows in (None, rng.integers(0, 50, 20)):
        one = gd.logistic_regression_gradient(X, y, w, b, rows)
        other = gd.logistic_regression_gradient(X, y.astype(dtype), w, b, rows)
        assert all(np.array_equal(*each) for each in zip(one, other, strict=True))


@pytest.mark.parametrize("loss", NAMES)
def test_gradients_are_derivatives(loss, rng):
    X, y, w, b = example(loss, 20, 3, None, rng, np.float64)
    _, dw, db = gd.linear_model_gradient(X, y, w, b, loss)
    for array, gradient in ((w, dw), (b, db)):
        for j in range(array.size):
            before, values = array[j], []
            for h in (1e-6, -1e-6):
                array[j] = before + h
                values.append(gd.linear_model_gradient(X, y, w, b, loss)[0])
            array[j] = before
            assert gradient[j] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("outputs", [None, 3])
def test_sample_weights_and_out(outputs, rng, dtype):
    X, y, w, b = example("squared", 90, 11, outputs, rng, dtype)
    weights = rng.integers(0, 3, 90).astype(dtype)
    found = gd.linear_model_gradient(X, y, w, b, sample_weight=weights)
    repeated = np.repeat(np.arange(90), weights.astype(int))
    expected = gd.linear_model_gradient(X, y, w, b, rows=repeated)
    check([np.multiply(each, 90 / repeated.size) for each in found], expected, dtype)
    out = np.full_like(w, np.nan), np.full_like(b, np.nan)
    again = gd.linear_model_gradient(X, y, w, b, sample_weight=weights, out=out)
    assert again[1] is out[0]
    assert again[2] is out[1]
    assert np.array_equal(out[0], found[1])


def test_parameters_of_losses(rng):
    X, y, w, b = example("squared", 90, 4, None, rng, np.float64)
    for loss, parameters in (("huber", {"delta": 0.1}), ("quantile", {"q": 0.9})):
        found = gd.linear_model_gradient(X, y, w, b, loss, **parameters)
        check(found, reference.linear_model_gradient(X, y, w, b, loss, **parameters), np.float64)


def test_the_gradient_vanishes_at_the_optima_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = datasets.load_diabetes(return_X_y=True)
    model = linear_model.LinearRegression().fit(X, y)
    _, dw, db = gd.linear_regression_gradient(np.ascontiguousarray(X), y, model.coef_, float(model.intercept_))
    assert max(np.abs(dw).max(), abs(db)) < 1e-9
    X, y = datasets.load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = linear_model.LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(X, y)
    w = model.coef_[0].copy()
    _, dw, db = gd.logistic_regression_gradient(X, y, w, float(model.intercept_[0]))
    assert max(np.abs(dw + w / len(X)).max(), abs(db)) < 1e-9


def test_read_only_and_mapped_data(rng, tmp_path):
    X, y, w, b = example("squared", 300, 8, None, rng, np.float64)
    expected = gd.linear_model_gradient(X, y, w, b)
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    read = np.memmap(tmp_path / "X", X.dtype, "r", shape=X.shape)
    found = gd.linear_model_gradient(read, y, w, b)
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])


def test_bad_arguments_are_refused_and_nothing_is_written():
    X, y, w = np.ones((4, 3)), np.ones(4), np.ones(3)
    call = functools.partial(gd.linear_model_gradient, X)
    out = np.zeros(3), np.zeros(1)
    for arguments, keywords, error, match in (
        ((y, np.ones(2), 0.0), {}, ValueError, r"w has shape \(2,\), expected \(3,\)"),
        ((y, w.astype(np.float32), 0.0), {}, TypeError, "w has dtype float32, X is float64"),
        ((np.ones(5), w, 0.0), {}, ValueError, r"y has shape \(5,\)"),
        ((y, w, np.ones(2)), {}, ValueError, r"b has shape \(2,\)"),
        ((y, w, "0"), {}, TypeError, "b must be a number"),
        ((y, w, 0.0), {"loss": "l3"}, ValueError, "loss must be one of"),
        ((y, w, 0.0), {"rows": np.array([4])}, ValueError, "rows must be 0 to 3, got 4"),
        ((y, w, 0.0), {"rows": np.array([0.0])}, TypeError, "rows has dtype float64"),
        ((y, w, 0.0), {"delta": 1.0}, TypeError, "unexpected keyword 'delta'"),
        ((y, w, 0.0), {"loss": "huber", "delta": 0.0}, ValueError, r"delta must be in \(0, inf\)"),
        ((y, w, 0.0), {"out": out}, TypeError, r"out\[1\] must be None where b is a number"),
        ((y, w, np.zeros(1)), {"out": (w, out[1])}, ValueError, r"out\[0\] overlaps w in memory"),
        ((y, w, 0.0), {"sample_weight": np.ones(3)}, ValueError, "sample_weight has shape"),
        ((y, w, 0.0), {"sample_weight": -y}, ValueError, "sample_weight must be finite and 0 or above, got -1.0"),
        ((np.zeros(4, int), w, 0.0), {"loss": "softmax"}, ValueError, r"expected \(3, outputs\)"),
        ((np.full(4, 2), np.ones((3, 2)), np.ones(2)), {"loss": "softmax"}, ValueError, "y must be 0 to 1, got 2"),
    ):
        with pytest.raises(error, match=f"linear_model_gradient: .*{match}"):
            call(*arguments, **keywords)
    assert not out[0].any()
    with pytest.raises(ValueError, match="X is not contiguous in C order"):
        gd.linear_regression_gradient(np.asfortranarray(X), y, w, 0.0)


@pytest.mark.parametrize("alias", ALIASES)
def test_short_names_are_aliases_everywhere(alias, rng):
    outputs = 3 if alias == "softmax" else None
    X, y, w, b = example(alias, 20, 4, outputs, rng, np.float64)
    found, expected = (gd.linear_model_gradient(X, y, w, b, loss) for loss in (alias, ALIASES[alias]))
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])
    assert gd.LinearModel(4, outputs, alias).loss == gd.MLP([4, 3], loss=alias).loss == ALIASES[alias]


def test_labels_can_be_smoothed_and_classes_weighted(rng):
    X, y, W, b = example("softmax", 50, 4, 3, rng, np.float64)
    weights = np.array([0.5, 2.0, 0.0])
    for given in (
        {"label_smoothing": 0.2},
        {"class_weights": weights},
        {"label_smoothing": 0.1, "class_weights": weights},
    ):
        for rows in (None, rng.integers(0, 50, 20)):
            found = gd.linear_model_gradient(X, y, W, b, "softmax", rows, **given)
            batch = slice(None) if rows is None else rows
            check(
                found,
                reference.linear_model_gradient(X[batch], y[batch], W, b, "softmax_cross_entropy", **given),
                np.float64,
            )
        model = gd.LinearModel(4, 3, "softmax", dtype=np.float64, **given)
        plain, optimizer = [W * 0, b * 0], gd.SGD(model.parameters, lr=0.1)
        gd.fit(model, X, y, optimizer, batch_size=20, epochs=1, seed=5, progress=False)
        for rows in batches(50, 20, 5, 0):
            _, *gradient = reference.linear_model_gradient(X[rows], y[rows], *plain, "softmax_cross_entropy", **given)
            plain = [p - 0.1 * g for p, g in zip(plain, gradient, strict=True)]
        check(model.parameters.values(), plain, np.float64)
    with pytest.raises(ValueError, match="class_weights must be 0 or above"):
        gd.LinearModel(4, 3, "softmax", class_weights=-np.ones(3, np.float32))
