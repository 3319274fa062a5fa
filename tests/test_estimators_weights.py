"""Weights of rows and of classes: the same as rows that are repeated or left out, and as scikit-learn's optimum."""

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from gd.estimators import (  # noqa: E402
    LinearRegressor,
    LogisticClassifier,
    MLPClassifier,
    MLPRegressor,
    SoftmaxClassifier,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 20, "lr": 0.05, "random_state": 0}
ESTIMATORS = [
    LinearRegressor(**QUICK),
    LinearRegressor("poisson", fit_intercept=False, **QUICK),
    LogisticClassifier(**QUICK),
    SoftmaxClassifier(class_weight="balanced", **QUICK),
    MLPClassifier((4,), class_weight={0: 3.0}, **QUICK),
    MLPRegressor((4,), **QUICK),
]
EXACT = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "batch_size": 90, "tol": 1e-14, "max_iter": 3000}
EXACT["n_iter_no_change"] = 200


@pytest.fixture
def data(rng):
    X = rng.standard_normal((90, 3))
    return X, (X[:, 0] + rng.standard_normal(90) > 0.5).astype(int), rng.integers(0, 4, 90)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_a_weight_counts_like_so_many_rows(data, estimator):
    X, y, weights = data
    y = y + 1e3 * X[:, 0] ** 2 if sklearn.base.is_regressor(estimator) else y
    estimator = sklearn.clone(estimator).set_params(batch_size=1000)
    repeated = sklearn.clone(estimator).fit(X.repeat(weights, axis=0), y.repeat(weights))
    weighted = sklearn.clone(estimator).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-6)
    assert weighted.score(X, y, weights) == pytest.approx(weighted.score(X.repeat(weights, axis=0), y.repeat(weights)))
    options = {"classes": [0, 1]} if hasattr(estimator, "class_weight") else {}
    if estimator.get_params().get("class_weight") != "balanced":
        weighted = sklearn.clone(estimator).partial_fit(X, y, **options, sample_weight=weights)
        repeated = sklearn.clone(estimator).partial_fit(X.repeat(weights, axis=0), y.repeat(weights), **options)
        np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)
    counted = weights > 0
    stopped = sklearn.clone(estimator).set_params(early_stopping=True)
    one = sklearn.clone(stopped).fit(X, y, weights)
    other = sklearn.clone(stopped).fit(X[counted], y[counted], 7.0 * weights[counted])
    assert np.array_equal(one.predict(X), other.predict(X))
    assert one.validation_scores_ == pytest.approx(other.validation_scores_, rel=1e-9)
    alike = sklearn.clone(estimator).fit(X, y, 3.0)
    assert np.array_equal(alike.predict(X), sklearn.clone(estimator).fit(X, y).predict(X))


@pytest.mark.parametrize("batch_size", [1, 8, 32, 90])
def test_weights_count_in_batches_of_any_size(data, batch_size):
    """Batches are not divided by their own weights, which would make those of single rows do nothing."""
    X, _, _ = data
    y = (np.arange(90) % 15 == 0).astype(int)
    X = X + y[:, np.newaxis]
    quick = {
        "optimizer": "SGD",
        "lr": lambda step: 0.5 / (1 + step / 100),
        "random_state": 0,
        "max_iter": 300,
        "tol": 0,
    }
    from sklearn.linear_model import LogisticRegression

    exact = LogisticRegression(C=1 / (0.1 * 90), class_weight="balanced", tol=1e-10).fit(X, y)
    quick |= {"l2": 0.1, "class_weight": "balanced", "n_iter_no_change": 300}
    model = LogisticClassifier(batch_size=batch_size, **quick).fit(X, y)
    assert abs(model.decision_function(X) - exact.decision_function(X)).max() < 0.2


@pytest.mark.parametrize("weight", [0.5, 4.0])
def test_partial_fit_takes_weights_as_they_are(data, weight):
    """Also of a single row, and of a class of which there is no other row: the step is so much longer."""
    X, y, _ = data
    options = {"optimizer": "SGD", "lr": 0.01, "batch_size": 90, "random_state": 0}
    for make, given in (
        (lambda **more: SoftmaxClassifier(**options, **more), {"classes": [0, 1]}),
        (lambda **more: LogisticClassifier(**options, **more), {"classes": [0, 1]}),
    ):
        plain, weighted = (make().partial_fit(X[:1], y[:1], **given, sample_weight=w) for w in (None, [weight]))
        np.testing.assert_allclose(weighted.coef_, weight * plain.coef_, rtol=1e-12)
        classes = make(class_weight={int(y[0]): weight}).partial_fit(X[:1], y[:1], **given)
        np.testing.assert_allclose(classes.coef_, weighted.coef_, rtol=1e-12)


def test_the_weighted_optimum_of_scikit_learn(data):
    from sklearn.linear_model import LogisticRegression, Ridge

    X, y, weights = data
    total = weights.sum()
    model = LogisticClassifier(l2=0.1, lr=0.5, class_weight={1: 5.0}, **EXACT).fit(X, y, weights)
    each = weights * np.where(y == 1, 5.0, 1.0)
    exact = LogisticRegression(C=1 / (0.1 * each.sum()), tol=1e-10).fit(X, y, each)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, exact.intercept_, atol=1e-6)
    model = LogisticClassifier(l2=0.1, lr=0.5, class_weight="balanced", **EXACT).fit(X, y)
    exact = LogisticRegression(C=1 / (0.1 * 90), class_weight="balanced", tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-6)
    for fit_intercept in (True, False):
        prices = 1e5 + 3e4 * X[:, 0] + 1e4 * X[:, 1] ** 2
        model = LinearRegressor(l2=0.2, lr=0.05, fit_intercept=fit_intercept, **EXACT).fit(X, prices, weights)
        exact = Ridge(alpha=total * 0.2 / 2, tol=1e-12, fit_intercept=fit_intercept).fit(X, prices, weights)
        np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-5)
        np.testing.assert_allclose(model.intercept_, exact.intercept_, rtol=1e-6)
        np.testing.assert_allclose(model.predict(X), exact.predict(X), rtol=1e-4)


def test_meta_estimators_of_scikit_learn_pass_weights(data):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier

    X, y, weights = data
    labels = np.array(["no", "yes"])[y]
    for base in (LogisticClassifier(**QUICK), SoftmaxClassifier(**QUICK), MLPClassifier((4,), **QUICK)):
        boosted = AdaBoostClassifier(base, n_estimators=3, random_state=0).fit(X, labels, weights + 1.0)
        assert len(boosted.estimators_) == 3
        assert boosted.score(X, labels) > 0.7
        calibrated = CalibratedClassifierCV(base, cv=3).fit(X, labels, sample_weight=weights)
        assert calibrated.score(X, labels) > 0.7
        bagged = BaggingClassifier(base, n_estimators=2, random_state=0).fit(X[:12], labels[:12])
        assert bagged.predict_proba(X).shape == (90, 2)
    assert (
        AdaBoostRegressor(LinearRegressor(**QUICK), n_estimators=2, random_state=0).fit(X, X[:, 0]).score(X, X[:, 0])
        > 0.9
    )


def test_tiny_and_huge_weights_are_relative(data):
    X, y, weights = data
    expected = LogisticClassifier(**QUICK).fit(X.astype(np.float32), y, weights).coef_
    for size in (2.0**-500, 2.0**500):
        assert np.array_equal(LogisticClassifier(**QUICK).fit(X.astype(np.float32), y, size * weights).coef_, expected)


@pytest.mark.parametrize(
    "weights, match",
    [
        (np.ones(89), r"sample_weight must have shape \(90,\), got \(89,\)"),
        (np.ones((90, 2)), r"sample_weight must have shape \(90,\), got \(90, 2\)"),
        (np.linspace(-1, 1, 90), "sample_weight must be finite and 0 or above, got -1.0 to 1.0"),
        (np.full(90, np.nan), "sample_weight must be finite and 0 or above, got nan"),
        (np.zeros(90), "sample_weight must be above zero for some row, got zero for all"),
        (1j * np.ones(90), "sample_weight must be an array of real numbers, got ndarray of complex128"),
        (["heavy"] * 90, "sample_weight must be an array of real numbers, got list"),
    ],
)
def test_wrong_weights_are_refused(data, weights, match):
    X, y, _ = data
    for model in (SoftmaxClassifier(), LinearRegressor()):
        with pytest.raises((TypeError, ValueError), match=f"{type(model).__name__}: {match}"):
            model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    "given, match",
    [
        ("equal", "class_weight must be a dict, \"balanced\" or None, got 'equal'"),
        ([1.0, 2.0], 'class_weight must be a dict, "balanced" or None'),
        ({"a": 1.0, "z": 2.0}, r"class_weight must be of the classes \['a', 'b'\], got z"),
        ({"a": -1.0}, r"class_weight\['a'\] must be in \[0, inf\), got -1.0"),
        ({"a": 0.0, "b": 0.0}, "sample_weight times class_weight must be above zero"),
    ],
)
def test_wrong_class_weights_are_refused(data, given, match):
    X, y, _ = data
    with pytest.raises((TypeError, ValueError), match=f"SoftmaxClassifier: {match}"):
        SoftmaxClassifier(class_weight=given).fit(X, np.array(["a", "b"])[y])


def test_partial_fit_takes_class_weights_that_are_known(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="partial_fit: class_weight must be a dict or None, got 'balanced'"):
        SoftmaxClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    one = SoftmaxClassifier(class_weight={0: 0.0}, random_state=0).partial_fit(X, y, classes=[0, 1])
    other = SoftmaxClassifier(random_state=0).partial_fit(X[y == 1], y[y == 1], classes=[0, 1])
    assert np.array_equal(one.coef_, other.coef_)
