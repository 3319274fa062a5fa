"""Regressors train on standardized targets, and are judged here in the units of the user's."""

import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from scipy import optimize  # noqa: E402

from gd.estimators import LinearRegressor, MLPRegressor, SoftmaxClassifier, standardization  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LOSSES = {  # in plain NumPy, of prediction z and target y
    "mse": lambda z, y: (z - y) ** 2,
    "mae": lambda z, y: abs(z - y),
    "huber": lambda z, y, delta: np.where(abs(z - y) <= delta, (z - y) ** 2 / 2, delta * (abs(z - y) - delta / 2)),
    "smooth_l1": lambda z, y, beta: np.where(abs(z - y) < beta, (z - y) ** 2 / (2 * beta), abs(z - y) - beta / 2),
    "epsilon_insensitive": lambda z, y, epsilon: np.maximum(0, abs(z - y) - epsilon),
    "quantile": lambda z, y, q: np.maximum(q * (y - z), (q - 1) * (y - z)),
    "poisson": lambda z, y: np.exp(z) - y * z,
}


def prices(rng, rows=400):
    X = rng.standard_normal((rows, 3))
    return X, 3e5 + X @ [5e4, -2e4, 1e4] + 2e4 * rng.standard_normal(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prices_are_learned_with_the_defaults(rng, dtype):
    from sklearn.linear_model import SGDRegressor

    X, y = prices(rng)
    expected = SGDRegressor(random_state=0).fit(X, y)
    model = LinearRegressor(random_state=0).fit(X.astype(dtype), y)
    assert model.score(X, y) > expected.score(X, y) - 1e-3
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=0.1)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=0.01)
    np.testing.assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_, rtol=1e-5)
    assert model.predict(X).dtype == model.coef_.dtype == dtype
    network = MLPRegressor((16,), lr=0.01, early_stopping=True, random_state=0).fit(X, y)
    assert network.score(X, y) > 0.8
    hidden = np.maximum(X @ network.coefs_[0] + network.intercepts_[0], 0)
    expected = (hidden @ network.coefs_[1] + network.intercepts_[1])[:, 0]
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-9)


def test_outputs_of_different_scales_are_all_learned(rng):
    X, y = prices(rng)
    y = np.stack([y, y / 1e7, 1e6 - y], axis=1)
    for model in (LinearRegressor(random_state=0), MLPRegressor((16,), lr=0.01, random_state=0)):
        model.fit(X, y)
        assert min(sklearn.metrics.r2_score(y, model.predict(X), multioutput="raw_values")) > 0.85


@pytest.mark.parametrize("size", [1.0, 1e5])
@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.05, 0.3)], ids=["plain", "penalized"])
@pytest.mark.parametrize(
    "loss, width",
    [
        ("mse", {}),
        ("mae", {}),
        ("huber", {"delta": 0.3}),
        ("huber", {"delta": 4.0}),
        ("smooth_l1", {"beta": 0.3}),
        ("smooth_l1", {"beta": 4.0}),
        ("epsilon_insensitive", {"epsilon": 0.3}),
        ("quantile", {"q": 0.8}),
        ("poisson", {}),
    ],
    ids=str,
)
def test_the_objective_is_the_one_in_units_of_y(rng, loss, width, penalties, size):
    X = rng.standard_normal((200, 2))
    y = X @ [2.0, -1.0] + 7 + rng.standard_normal(200)
    y = rng.poisson(np.exp(X @ [0.5, -0.3] + 1)).astype(float) if loss == "poisson" else y
    parameters = {name: value if name == "q" else size * value for name, value in width.items()}
    growth = size**2 if loss == "mse" or loss == "huber" else size  # of the loss: penalties matter alike at all sizes
    l1, l2 = penalties[0] * growth / size, penalties[1] * growth / size**2
    if loss == "poisson":
        l1, l2 = penalties[0] * size, penalties[1] * size
    options = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "batch_size": 200, "random_state": 0}
    schedule = lambda step: 0.1 / (1 + step / 50)  # noqa: E731
    model = LinearRegressor(loss, loss_parameters=parameters, l1=l1, l2=l2, lr=schedule, tol=1e-12, **options)
    model.set_params(max_iter=1500, n_iter_no_change=1500).fit(X, size * y)

    def objective(p):
        w = p[:2]
        losses = LOSSES[loss](X @ w + p[2], size * y, **parameters)
        return np.mean(losses) + l1 * np.abs(w).sum() + l2 / 2 * np.square(w).sum()

    found = np.array([*model.coef_, model.intercept_])
    scale = 1.0 if loss == "poisson" else size
    best = optimize.minimize(lambda p: objective(p * scale), found / scale, method="Nelder-Mead", tol=1e-10)
    assert objective(found) - best.fun < 2e-3 * (growth if loss != "poisson" else size)
    np.testing.assert_allclose(model.loss_curve_[-1], objective(found), rtol=1e-2)


def test_the_optimum_with_both_penalties_is_that_of_an_elastic_net(rng):
    from sklearn.linear_model import ElasticNet

    X, y = prices(rng)
    options = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "batch_size": 400, "tol": 1e-14}
    l1, l2 = 8e3, 0.4  # mean error**2 + l1 |w| + l2 / 2 |w|**2
    model = LinearRegressor(l1=l1, l2=l2, lr=0.05, max_iter=600, n_iter_no_change=200, **options).fit(X, y)
    alpha = l1 / 2 + l2 / 2
    expected = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=1e-5)
    both = LinearRegressor(
        l1=l1, lr=lambda step: 0.1 / (1 + step / 20), max_iter=3000, n_iter_no_change=3000, **options
    )
    both.fit(X, np.stack([y, y / 10], axis=1))  # one penalty for outputs of two scales
    for coef, target in zip(both.coef_, (y, y / 10), strict=True):  # whose loss is the mean over both
        np.testing.assert_allclose(coef, ElasticNet(alpha=l1, l1_ratio=1).fit(X, target).coef_, rtol=1e-3, atol=50)


def test_counts_begin_at_the_logarithm_of_their_mean(rng):
    from sklearn.linear_model import PoissonRegressor

    X = rng.standard_normal((500, 3))
    y = rng.poisson(np.exp(X @ [0.3, 0.2, 0.1] + 9)).astype(float)
    expected = PoissonRegressor(alpha=0, tol=1e-10).fit(X, y)
    model = LinearRegressor("poisson", random_state=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=2e-3)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=0.01)
    first = LinearRegressor("poisson", max_iter=1, lr=1e-9).fit(X, y)
    np.testing.assert_allclose(first.predict(X), y.mean(), rtol=1e-6)
    assert np.isfinite(LinearRegressor("poisson", max_iter=5).fit(X, 0 * y).predict(X)).all()


@pytest.mark.parametrize("y", [np.full(20, 1e5), np.zeros(20), np.full(20, 0.1), np.linspace(-1, 1, 20) * 1e200])
def test_constant_and_huge_targets(rng, y):
    X = rng.standard_normal((20, 2))
    found = LinearRegressor(lr=0.1, max_iter=50, random_state=0).fit(X, y).predict(X)
    assert np.isfinite(found).all()
    if not np.ptp(y):
        np.testing.assert_allclose(found, y, rtol=1e-12)


def test_partial_fit_and_warm_start_keep_the_units_of_the_first_call(rng):
    X, y = prices(rng)
    model = LinearRegressor(random_state=0)
    for _ in range(60):
        for start in range(0, 400, 100):
            model.partial_fit(X[start : start + 100], y[start : start + 100])
    assert model.score(X, y) > 0.85
    by_rows = LinearRegressor(random_state=0).partial_fit(X[:1], y[:1])  # of one price there is no deviation
    for _ in range(60):
        by_rows.partial_fit(X, y)
    assert by_rows.score(X, y) > 0.85
    warm = LinearRegressor(max_iter=50, warm_start=True, random_state=0).fit(X, y)
    before = warm.coef_
    warm.set_params(max_iter=1, lr=1e-9).fit(X[:200], y[:200] / 3)
    np.testing.assert_allclose(warm.coef_, before, rtol=1e-6)
    warm.set_params(loss="mae", max_iter=50, lr=0.01).fit(X, y)
    assert warm.score(X, y) > 0.85


@pytest.mark.filterwarnings("error")
def test_the_warning_says_what_helps(rng):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    X, y = prices(rng)
    with pytest.warns(ConvergenceWarning, match="plateau; raise max_iter or lr, or lower batch_size$"):
        LinearRegressor(max_iter=3, random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="before the loss reached a plateau; raise max_iter or lr$"):
        LinearRegressor(max_iter=3, batch_size=25, random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="scale the columns of X, as sklearn.preprocessing.StandardScaler does"):
        LinearRegressor(random_state=0).fit(X / 20, y)
    LinearRegressor(random_state=0).fit(StandardScaler().fit_transform(X / 20), y)


def test_early_stopping_restores_the_best_in_units_of_y(rng):
    X, y = prices(rng)
    model = LinearRegressor(lr=0.05, early_stopping=True, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.85
    assert 0.8 < max(model.validation_scores_) <= 1
    assert SoftmaxClassifier(early_stopping=True, max_iter=3).fit(X, y > 3e5).validation_scores_ is not None


def test_outputs_that_must_share_a_scale_are_told(rng):
    X, y = prices(rng)
    Y = np.stack([y, y / 1e7], axis=1)
    for loss, l2, told in (("huber", 0, True), ("mae", 0.1, True), ("mae", 0, False), ("mse", 0.1, False)):
        for outputs in (Y, np.stack([y, y / 10], axis=1)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                LinearRegressor(loss, l2=l2, random_state=0).fit(X, outputs)
            found = [str(each.message) for each in caught if "share one scale" in str(each.message)]
            assert len(found) == (told and outputs is Y)
            assert all(f"LinearRegressor: all outputs share one scale with the loss {loss}" in each for each in found)


@pytest.mark.parametrize("estimator", [LinearRegressor(), MLPRegressor((32,), lr=0.01)], ids=str)
@pytest.mark.parametrize(
    "sizes", [[(0.0, 0.0), (1e5, 3e5)], [(1e6, 1e9), (1.0, 0.0)], [(1.0, 0.0), (1e6, 1e9)]], ids=str
)
def test_units_follow_targets_of_another_scale(rng, estimator, sizes):
    X = rng.standard_normal((120, 4))
    t = X @ [1.0, 2.0, -1.0, 0.5] + 0.1 * rng.standard_normal(120)
    first, second = (scale * t + mean for scale, mean in sizes)
    warm = sklearn.clone(estimator).set_params(random_state=0, warm_start=True).fit(X, first).fit(X, second)
    assert warm.score(X, second) > 0.9
    if np.ptp(first) > np.ptp(second):  # a mean over all rows remains large
        return
    parts = sklearn.clone(estimator).set_params(random_state=0).partial_fit(X[:2], first[:2])
    for _ in range(300):
        parts.partial_fit(X, second)
    assert parts.score(X, second) > 0.95
    before, steps = parts.predict(X), parts._optimizer.steps
    parts.set_params(lr=1e-12).partial_fit(X, second + np.ptp(second) / 4)  # which is near
    np.testing.assert_allclose(parts.predict(X), before, rtol=1e-6)
    assert parts._optimizer.steps == steps + 1


def test_counts_after_a_chunk_without_any(rng):
    X = rng.standard_normal((120, 3))
    y = rng.poisson(np.exp(X @ [0.3, 0.2, 0.1] + 9)).astype(float)
    model = LinearRegressor("poisson", random_state=0).partial_fit(X[:5], np.zeros(5))
    for _ in range(300):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.99


def test_merged_statistics_are_those_of_all_rows(rng):
    y, weights = rng.standard_normal((90, 2)) * [1.0, 1e200] + [1e6, 0], rng.integers(1, 4, 90)
    whole = standardization.statistics(y, weights)
    parts = [standardization.statistics(y[rows], weights[rows]) for rows in (slice(20), slice(20, 50), slice(50, 90))]
    merged = parts[0].merged(parts[1]).merged(parts[2])
    np.testing.assert_allclose(merged.mean, np.average(y, axis=0, weights=weights), rtol=1e-12)
    np.testing.assert_allclose(merged.deviation, whole.deviation, rtol=1e-9)
    assert merged.weight == whole.weight == weights.sum()
    np.testing.assert_allclose(whole.deviation[0], np.std(y[:, 0].repeat(weights)), rtol=1e-9)


def test_divergence_is_told(rng):
    from sklearn.exceptions import ConvergenceWarning

    X, y = prices(rng)
    with pytest.warns(
        ConvergenceWarning, match=r"training diverged: the loss rose from .*; lower lr, or scale the col"
    ):
        model = LinearRegressor(optimizer="SGD", random_state=0).fit(30 * X, y)
    assert model.n_iter_ < 200  # it stopped early
    warm = LinearRegressor(batch_size=16, n_iter_no_change=1, random_state=0).fit(X, y).set_params(warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = [warm.set_params(random_state=seed).fit(X, y).loss_curve_ for seed in range(10)]
    assert any(curve[-1] > curve[0] for curve in curves)  # at the minimum the loss fluctuates
