"""Estimators: scikit-learn's own checks, and what they promise beyond."""

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from gd.estimators import (  # noqa: E402
    LinearRegressor,
    LogisticClassifier,
    LogisticRegression,
    MLPClassifier,
    MLPRegressor,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
    SoftmaxClassifier,
)

QUICK = {"random_state": 0, "max_iter": 100}
ESTIMATORS = [
    LinearRegressor(lr=0.1, **QUICK),
    LogisticClassifier(lr=0.1, **QUICK),
    SoftmaxClassifier(lr=0.1, **QUICK),
    MLPClassifier((16,), lr=0.02, **QUICK),
    MLPRegressor((16,), lr=0.02, **QUICK),
    MLPClassifier((16,), solver="adam", lr=0.02, **QUICK),
    MLPRegressor((16,), solver="lbfgs", **QUICK),
    LogisticRegression(),
    SGDClassifier(**QUICK),
    SGDRegressor(**QUICK),
    SGDOneClassSVM(**QUICK),
]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def expected_failures(estimator):
    """Return what scikit-learn's own estimators of these names fail, too: a weight is no number of steps."""
    if not type(estimator).__name__.startswith("SGD"):
        return {}
    checks = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(checks, "a weight scales a step, and repeated rows are several steps in another order")


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def classes(dtype=np.float64):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_iris(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype), np.array(["setosa", "versicolor", "virginica"])[y]


def test_pipelines_searches_and_pickles(tmp_path):
    joblib = pytest.importorskip("joblib")
    from scipy import stats
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = classes()
    pipeline = make_pipeline(StandardScaler(), SoftmaxClassifier(lr=0.05, max_iter=60, random_state=0))
    search = GridSearchCV(pipeline, {"softmaxclassifier__l2": [0.0, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"softmaxclassifier__l2": 0.0}
    assert search.score(X, y) > 0.9
    network = MLPClassifier((8,), max_iter=60, random_state=0)
    search = RandomizedSearchCV(network, {"lr": stats.loguniform(1e-6, 1e-1)}, n_iter=4, cv=3, random_state=0).fit(X, y)
    assert search.best_params_["lr"] > 1e-4
    joblib.dump(search.best_estimator_, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(X), search.predict_proba(X))
    assert set(again.predict(X)) == {"setosa", "versicolor", "virginica"}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_float32_stays_float32_and_seeds_repeat(estimator):
    X, y = classes(np.float32)
    y = np.searchsorted(["setosa", "versicolor", "virginica"], y)
    y = (y > 0).astype(int) if isinstance(estimator, LogisticClassifier) else y
    fitted = sklearn.clone(estimator).fit(X, y)
    weights = fitted.coefs_[0] if hasattr(fitted, "coefs_") else fitted.coef_
    assert weights.dtype == np.float32
    again = sklearn.clone(estimator).fit(X, y)
    assert np.array_equal(weights, again.coefs_[0] if hasattr(again, "coefs_") else again.coef_)
    if hasattr(fitted, "predict_proba"):
        probabilities = fitted.predict_proba(X)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), probabilities, rtol=1e-4)


def test_the_optimum_of_scikit_learn():
    from sklearn import datasets
    from sklearn.linear_model import LogisticRegression, Ridge

    X, y = datasets.load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    options = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "batch_size": len(X), "tol": 1e-14}
    options["n_iter_no_change"] = 200
    model = LogisticClassifier(l2=0.1, lr=0.5, max_iter=5000, **options).fit(X, y)
    exact = LogisticRegression(C=1 / (0.1 * len(X)), tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-5)
    np.testing.assert_allclose(model.decision_function(X), exact.decision_function(X), atol=1e-4)
    model = SoftmaxClassifier(l2=0.1, lr=0.5, max_iter=5000, **options).fit(X, y)
    assert model.decision_function(X).shape == (len(X),)
    assert model.score(X, y) > 0.95
    X, y = datasets.make_regression(200, 10, noise=5.0, random_state=0)
    model = LinearRegressor(l2=0.2, lr=0.05, max_iter=5000, **options | {"batch_size": 200}).fit(X, y)
    exact = Ridge(alpha=200 * 0.2 / 2, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, rtol=1e-5)


def test_losses_of_the_linear_regressor(rng):
    X = rng.standard_normal((400, 3))
    y = X @ [1.0, -2.0, 0.5] + 3
    outliers = y.copy()
    outliers[::10] += 100
    quick = {"lr": 0.05, "max_iter": 400, "tol": 1e-9, "random_state": 0}
    robust = LinearRegressor("huber", loss_parameters={"delta": 0.5}, **quick).fit(X, outliers)
    np.testing.assert_allclose(robust.coef_, [1, -2, 0.5], atol=0.2)
    upper = LinearRegressor("quantile", loss_parameters={"q": 0.9}, **quick).fit(X, y + rng.standard_normal(400))
    assert np.mean(upper.predict(X) > y) > 0.8
    counts = rng.poisson(np.exp(X @ [0.3, 0.2, 0.1] + 1)).astype(float)
    poisson = LinearRegressor("poisson", **quick).fit(X, counts)
    np.testing.assert_allclose(poisson.coef_, [0.3, 0.2, 0.1], atol=0.1)
    assert poisson.predict(X).min() > 0
    with pytest.raises(ValueError, match="LinearRegressor: y must be 0 or above with the loss poisson"):
        LinearRegressor("poisson").fit(X, y - 10)
    with pytest.raises(ValueError, match="LinearRegressor: loss must be one of"):
        LinearRegressor("softmax").fit(X, y)
    several = LinearRegressor(**quick).fit(X, np.stack([y, -y], axis=1))
    assert several.coef_.shape == (2, 3)
    assert several.predict(X).shape == (400, 2)
    assert MLPRegressor((8,), max_iter=5, random_state=0).fit(X, np.stack([y, -y], axis=1)).predict(X).shape == (400, 2)


def test_sparse_rows_give_the_same_model():
    from scipy import sparse

    X, y = classes()
    X = np.where(np.abs(X) > 1, X, 0)
    for estimator in (SoftmaxClassifier(random_state=0, max_iter=20), LinearRegressor(random_state=0, max_iter=20)):
        y = y if isinstance(estimator, SoftmaxClassifier) else X[:, 0]
        dense, thin = sklearn.clone(estimator).fit(X, y), sklearn.clone(estimator).fit(sparse.csr_matrix(X), y)
        np.testing.assert_allclose(dense.coef_, thin.coef_, rtol=1e-9)
        if isinstance(estimator, SoftmaxClassifier):
            assert np.array_equal(dense.predict(X), thin.predict(sparse.csr_array(X)))
        else:
            np.testing.assert_allclose(dense.predict(X), thin.predict(sparse.csr_array(X)), atol=1e-9)


def test_partial_fit_and_warm_start():
    X, y = classes()
    model = SoftmaxClassifier(lr=0.05, random_state=0)
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, y)
    for _ in range(40):
        model.partial_fit(X, y, classes=["virginica", "versicolor", "setosa"])
    model.partial_fit(X.astype(np.float32), y)
    assert model.coef_.dtype == np.float64
    assert model.n_iter_ == len(model.loss_curve_) == 41
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, y, classes=["setosa", "versicolor"])
    once = SoftmaxClassifier(max_iter=10, warm_start=True, random_state=0).fit(X, y)
    first = once.loss_curve_
    assert once.fit(X, y).loss_curve_[0] < first[-1]
    cold = SoftmaxClassifier(max_iter=10, random_state=0).fit(X, y)
    assert cold.fit(X, y).loss_curve_ == first


def test_a_warm_start_takes_the_parameters_but_not_the_arguments_of_before():
    X = np.linspace(-1, 1, 200)[:, np.newaxis]
    model = LinearRegressor(lr=0.05, warm_start=True, random_state=0).fit(X, 3 * X[:, 0])
    assert model.coef_[0] == pytest.approx(3, abs=0.1)
    model.set_params(l2=100.0, lr=0.01).fit(X, 3 * X[:, 0])
    assert abs(model.coef_[0]) < 0.2
    with pytest.raises(ValueError, match="X, y and hidden_layer_sizes must be like those of the last fit"):
        model.fit(np.ones((9, 2)), np.ones(9))
    several = LinearRegressor(max_iter=5, warm_start=True).fit(X, np.stack(2 * [X[:, 0]], axis=1))
    with pytest.raises(ValueError, match="the same features, outputs and classes"):
        several.fit(X, np.stack(3 * [X[:, 0]], axis=1))
    X, y = classes()
    model = SoftmaxClassifier(max_iter=5, warm_start=True, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="the same features, outputs and classes"):
        model.fit(X, np.char.upper(y))


def test_a_fit_that_fails_changes_nothing():
    X, y = classes()
    model = SoftmaxClassifier(lr=0.05, max_iter=30, random_state=0).fit(X, y)
    before, expected = dict(vars(model)), model.predict_proba(X)
    for attempt in (
        lambda: model.fit(X[:, :2], np.zeros(len(X))),
        lambda: model.set_params(max_iter=0).fit(X, y),
        lambda: model.set_params(max_iter=30, l2=-1.0).fit(X, y),
    ):
        with pytest.raises(ValueError, match="must"):
            attempt()
        model.set_params(max_iter=30, l2=0.0)
        assert vars(model) == before
        assert np.array_equal(model.predict_proba(X), expected)
    fresh = SoftmaxClassifier(max_iter=0)
    with pytest.raises(ValueError, match="max_iter"):
        fresh.fit(X, y)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        fresh.predict(X)


def test_early_stopping_keeps_the_best():
    X, y = classes()
    model = MLPClassifier(
        (8,), lr=0.05, early_stopping=True, validation_fraction=0.3, n_iter_no_change=5, random_state=0
    )
    model.fit(X, y)
    assert model.n_iter_ == len(model.validation_scores_) < 200
    assert model.score(X, y) > 0.9


@pytest.mark.filterwarnings("error")
def test_a_training_that_did_not_end_warns():
    from sklearn.exceptions import ConvergenceWarning

    X, y = classes()
    with pytest.warns(ConvergenceWarning, match="SoftmaxClassifier: training ended by max_iter=3"):
        SoftmaxClassifier(max_iter=3).fit(X, y)


@pytest.mark.parametrize(
    "keywords, match",
    [
        ({"optimizer": "adam"}, "SoftmaxClassifier: optimizer must be one of"),
        ({"lr": -1.0}, "lr must be in"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"max_iter": 0}, "SoftmaxClassifier: max_iter must be at least 1"),
        ({"l2": -1.0}, "l2 must be in"),
        ({"tol": -1.0}, "SoftmaxClassifier: tol must be in"),
        ({"optimizer_options": 5}, "SoftmaxClassifier: optimizer_options must be a dict"),
        ({"optimizer_options": {"lr": 1.0}}, "SoftmaxClassifier: optimizer_options must not hold 'lr'"),
        ({"early_stopping": "no"}, "SoftmaxClassifier: early_stopping must be True or False"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must be in"),
        ({"optimizer_options": {"beta": 1}}, "unexpected keyword 'beta'"),
    ],
)
def test_bad_parameters_are_refused(keywords, match):
    X, y = classes()
    with pytest.raises((TypeError, ValueError), match=match):
        SoftmaxClassifier(**keywords).fit(X, y)
    with pytest.raises(ValueError, match="y must hold at least 2 classes"):
        SoftmaxClassifier().fit(X, np.zeros(len(X)))


@pytest.mark.parametrize("classifier", [LogisticClassifier, SoftmaxClassifier, MLPClassifier])
def test_logarithms_of_probabilities_that_underflow_are_finite(classifier):
    X = np.array([[-1.0], [1.0]] * 20)
    model = classifier(max_iter=5, random_state=0).fit(X, np.arange(40) % 2)
    far = np.array([[1e5], [-1e5]], X.dtype)
    found, logits = model.predict_log_proba(far), model.decision_function(far)
    expected = np.stack([-np.logaddexp(0, logits), -np.logaddexp(0, -logits)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.min() < -1000
    np.testing.assert_allclose(model.predict_proba(far), np.exp(expected), atol=1e-12)
    if classifier is LogisticClassifier:  # what is small of the likelier class is kept
        model.coef_, model.intercept_ = [[1.0]], [0.0]
        np.testing.assert_allclose(model.predict_proba([[37.0]])[0, 0], np.exp(-37), rtol=1e-12)
        np.testing.assert_allclose(model.predict_log_proba([[37.0]])[0, 1], -np.exp(-37), rtol=1e-12)
