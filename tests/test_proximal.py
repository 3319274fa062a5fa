"""The proximal step of l1: exact zeros, at the optimum that scikit-learn finds."""

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS

RATES = [  # with the rate in units of the smoothness of the loss
    ("SGD", 1.0, {}),
    ("SGD", 0.3, {"momentum": 0.8}),
    ("SGD", 0.5, {"momentum": 0.8, "dampening": 0.5}),
    ("SGD", 0.5, {"momentum": 0.8, "nesterov": True}),
    ("Momentum", 0.3, {"momentum": 0.8}),
    ("Nesterov", 0.5, {"momentum": 0.8}),
]


@pytest.fixture
def data(rng):
    X = rng.standard_normal((120, 20)) + 0.3 * rng.standard_normal((120, 1))
    truth = np.where(np.arange(20) % 4, 0.0, rng.standard_normal(20))
    return X, X @ truth + 0.1 * rng.standard_normal(120)


def minimized(name, keywords, lr, gradient, l1, size, steps=4000):
    w = np.zeros(size)
    optimizer = OPTIMIZERS[name](w, lr=lr, l1=l1, proximal=True, **keywords)
    for _ in range(steps):
        optimizer.step(gradient(w))
    return w


@pytest.mark.parametrize("name, rate, keywords", RATES)
def test_it_comes_to_the_lasso(name, rate, keywords, data):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = data
    n, alpha = len(X), 0.1
    lasso = linear_model.Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, y)
    lr = rate / np.linalg.eigvalsh(X.T @ X / n)[-1]
    w = minimized(name, keywords, lr, lambda w: X.T @ (X @ w - y) / n, alpha, X.shape[1])
    assert 3 < np.count_nonzero(lasso.coef_) < 17
    assert np.array_equal(w == 0, lasso.coef_ == 0)
    np.testing.assert_allclose(w, lasso.coef_, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*penalty")  # newer versions say it by l1_ratio
@pytest.mark.parametrize("name, rate, keywords", [RATES[0], RATES[5]])
def test_it_comes_to_l1_logistic_regression(name, rate, keywords, data):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, score = data
    n, l1, y = len(X), 0.05, (score > 0).astype(float)
    model = linear_model.LogisticRegression(
        penalty="l1",
        C=1 / (n * l1),
        solver="liblinear",
        fit_intercept=False,
        tol=1e-10,
        max_iter=100_000,
        random_state=0,
    ).fit(X, y)
    lr = 4 * rate / np.linalg.eigvalsh(X.T @ X / n)[-1]
    w = minimized(name, keywords, lr, lambda w: X.T @ (1 / (1 + np.exp(-X @ w)) - y) / n, l1, X.shape[1])
    assert 2 < np.count_nonzero(w) < 17
    assert np.array_equal(w == 0, model.coef_[0] == 0)
    np.testing.assert_allclose(w, model.coef_[0], atol=1e-6)


@pytest.mark.parametrize("in_groups", [False, True])
def test_a_linear_model_comes_to_the_lasso(in_groups, data):
    """In compiled epochs; with groups b is not shrunk. The loss is the mean square, without 1/2."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = data
    X, y = X - X.mean(axis=0), y - y.mean() + (5.0 if in_groups else 0.0)
    lasso = linear_model.Lasso(alpha=0.1, tol=1e-14, max_iter=100_000).fit(X, y)
    model = gd.LinearModel(X.shape[1], dtype=np.float64)
    lr = 0.5 / np.linalg.eigvalsh(X.T @ X / len(X))[-1]
    groups = [{"params": ["b"], "l1": 0.0}] if in_groups else ()
    optimizer = gd.SGD(model.parameters, lr=lr, l1=0.2, proximal=True, groups=groups)
    assert optimizer.inside.is_possible is not in_groups
    gd.fit(model, X, y, optimizer, batch_size=len(X), epochs=1000)
    w, b = model.parameters["w"], model.parameters["b"]
    assert np.array_equal(w == 0, lasso.coef_ == 0)
    np.testing.assert_allclose(w, lasso.coef_, atol=1e-9)
    np.testing.assert_allclose(b, lasso.intercept_, atol=1e-9)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_linear_regressor_comes_to_the_lasso(fit_intercept, outputs, data):
    """In units of y, and until the loss with its penalty no longer falls."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    from gd.estimators import LinearRegressor

    X, y = data
    y = 50 * (np.column_stack([y, -2 * y])[:, :outputs].squeeze() + 3.0)
    lasso = linear_model.Lasso(alpha=5.0, fit_intercept=fit_intercept, tol=1e-14, max_iter=100_000).fit(X, y)
    options = {"optimizer": "SGD", "lr": 0.2, "optimizer_options": {"proximal": True}, "batch_size": len(X)}
    model = LinearRegressor(l1=10.0 / outputs, fit_intercept=fit_intercept, max_iter=3000, tol=0, **options).fit(X, y)
    assert 3 * outputs < np.count_nonzero(lasso.coef_) < 17 * outputs
    assert np.array_equal(model.coef_ == 0, lasso.coef_ == 0)
    np.testing.assert_allclose(model.coef_, lasso.coef_, atol=1e-6 * np.abs(lasso.coef_).max())
    np.testing.assert_allclose(model.intercept_, lasso.intercept_, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*penalty")
def test_a_logistic_classifier_counts_the_words_of_sparse_rows(rng):
    linear_model = pytest.importorskip("sklearn.linear_model")
    sparse = pytest.importorskip("scipy.sparse")
    from gd.estimators import LogisticClassifier

    X = sparse.random(200, 40, 0.2, "csr", random_state=0)
    y = (X @ np.where(np.arange(40) % 5, 0.0, 8.0) > 2.0).astype(int)
    keywords = {"penalty": "l1", "C": 1 / (200 * 0.01), "solver": "saga", "tol": 1e-12, "max_iter": 100_000}
    expected = linear_model.LogisticRegression(**keywords).fit(X, y)
    options = {
        "optimizer": "SGD",
        "lr": 2.0,
        "optimizer_options": {"proximal": True, "momentum": 0.9, "nesterov": True},
    }
    model = LogisticClassifier(l1=0.01, batch_size=200, max_iter=20_000, tol=0, n_iter_no_change=50, **options).fit(
        X, y
    )
    assert 5 < np.count_nonzero(expected.coef_) < 35
    assert np.array_equal(model.coef_ == 0, expected.coef_ == 0)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)


def test_the_tiles_of_a_network_shrink_too(rng):
    X, y = rng.standard_normal((64, 10)), rng.integers(0, 3, 64)
    models = [gd.MLP([10, 16, 3], dtype=np.float64, seed=0) for _ in range(2)]
    keywords = {"lr": 0.1, "l1": 0.02, "proximal": True, "momentum": 0.5}
    optimizers = [gd.SGD(model.parameters, **keywords) for model in models]
    gd.fit(models[0], X, y, optimizers[0], batch_size=64, epochs=20, seed=0)
    for _ in range(20):
        _, gradients = models[1].loss_and_gradients(X, y)
        optimizers[1].step(gradients)
    weights = [model.parameters.vector for model in models]
    np.testing.assert_allclose(*weights, rtol=1e-9, atol=1e-12)
    assert 20 < np.count_nonzero(weights[0] == 0) < weights[0].size
    assert np.array_equal(*(each == 0 for each in weights))


@pytest.mark.parametrize("options", [{}, {"state_dtype": "int8"}, {"param_dtype": "bfloat16"}], ids=str)
def test_zeros_are_exact_and_what_is_not_finite_stays(options, dtype, walk):
    dtype = np.float32 if options else dtype
    p = np.array([0.5, -0.5, 2.0, -2.0, 0.0, np.nan, np.inf, -np.inf] * 40, dtype)
    stored = (p.view(np.uint32) >> 16).astype(np.uint16) if "param_dtype" in options else p
    gd.SGD(stored, lr=0.5, l1=2.0, momentum=0.5, proximal=True, **options).step(np.zeros(p.size, dtype))
    found = (stored.astype(np.uint32) << 16).view(np.float32) if "param_dtype" in options else p
    expected = [0.0, 0.0, 0.0, 0.0, 0.0, np.nan, np.inf, -np.inf]
    assert np.array_equal(found, np.array(expected * 40, dtype), equal_nan=True)  # the threshold is 0.5 * 2 / (1 - 0.5)


def test_it_follows_schedules_and_belongs_to_groups():
    params = [np.full(2, 8.0), np.full(2, 8.0), np.full(2, -8.0)]
    groups = [{"params": [1], "proximal": False}, {"params": [2], "l1": 2.0}]
    optimizer = gd.SGD(params, lr=lambda step: (1.0, 0.5)[step], l1=1.0, proximal=True, groups=groups)
    for _ in range(2):
        optimizer.step([np.full(2, 1.0), np.full(2, 1.0), np.full(2, 0.0)])
    assert params[0].tolist() == [8 - 2 - 1] * 2
    assert params[1].tolist() == [8 - 2 - 1] * 2  # by the sign, added to the gradient: the same, far from 0
    assert params[2].tolist() == [-8 + 2 + 1] * 2


def test_a_models_own_l1_is_refused_beside_it(rng):
    model = gd.LinearModel(3, l1=0.1, dtype=np.float64)
    optimizer = gd.SGD(model.parameters, l1=0.1, proximal=True)
    with pytest.raises(ValueError, match="l1 must be given to the optimizer"):
        gd.fit(model, rng.random((9, 3)), rng.random(9), optimizer, progress=False)


@pytest.mark.parametrize("name", ["Rprop", "ASGD", "LAMB", "LARS", "ScheduleFreeAdamW", "FTRL", "Prodigy"])
def test_it_is_refused_where_lr_is_not_the_length_of_steps(name):
    with pytest.raises(ValueError, match=f"{name}: proximal must be False, got True; lr alone does not tell how far"):
        OPTIMIZERS[name](np.ones(3), l1=0.1, proximal=True)
    with pytest.raises(TypeError, match="proximal must be True or False"):
        OPTIMIZERS[name](np.ones(3), proximal=1)


def test_an_estimator_takes_proximal_also_with_an_l1_of_0_as_searches_try_it(rng):
    pytest.importorskip("sklearn")
    from gd.estimators import LinearRegressor

    X = rng.standard_normal((50, 3))
    y = X @ np.ones(3)
    fitted = [LinearRegressor(optimizer_options=given, tol=1.0).fit(X, y) for given in ({"proximal": True}, {})]
    assert np.array_equal(fitted[0].coef_, fitted[1].coef_)
