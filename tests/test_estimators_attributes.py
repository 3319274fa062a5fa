"""What users set is used: predictions, warm starts and `partial_fit` follow the attributes of the parameters."""

import pickle

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402

from gd.estimators import (  # noqa: E402
    LinearRegressor,
    LogisticClassifier,
    MLPClassifier,
    MLPRegressor,
    SoftmaxClassifier,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 5, "random_state": 0}


@pytest.fixture
def X(rng):
    return rng.standard_normal((60, 3))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_classifiers_predict_from_what_is_set(X):
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    model = SoftmaxClassifier(**QUICK).fit(X, y)
    model.coef_, model.intercept_ = [[1.0, 0, 0], [0, 2, 0], [0, 0, 3]], [0.0, 0.5, -0.5]
    expected = softmax(X * [1, 2, 3] + [0, 0.5, -0.5])
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
    model.coef_ = np.array(model.coef_)
    model.coef_[0] = 0
    expected = softmax(X * [0, 2, 3] + [0, 0.5, -0.5])
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), expected, rtol=1e-12)
    model.classes_ = np.array(["x", "z", "y"])
    assert model.predict(X).tolist() == [model.classes_[k] for k in expected.argmax(axis=1)]
    model.partial_fit(X, np.array(["x", "z", "y"])[expected.argmax(axis=1)])
    assert model.score(X, np.array(["x", "z", "y"])[expected.argmax(axis=1)]) > 0.9  # labels were mapped by classes_
    two = LogisticClassifier(**QUICK).fit(X, X[:, 0] > 0)
    two.coef_[...] = [[0.0, -1.0, 0.0]]
    two.intercept_ = np.array([0.25])
    np.testing.assert_allclose(two.decision_function(X), 0.25 - X[:, 1], rtol=1e-12)
    two.n_features_in_ = 2
    with pytest.raises(ValueError, match="expecting 2 features"):
        two.predict(X)


def test_regressors_predict_from_what_is_set(X):
    model = LinearRegressor(**QUICK).fit(X, 1e5 + X[:, 0])
    model.coef_, model.intercept_ = np.array([1.0, 2.0, 3.0]), 4.0
    np.testing.assert_allclose(model.predict(X), X @ [1, 2, 3] + 4, rtol=1e-12)
    with pytest.raises(ValueError, match=r"LinearRegressor: coef_ must have shape \(3,\), got \(2,\)"):
        model.set_params()
        model.coef_ = np.ones(2)
        model.predict(X)
    rates = LinearRegressor("poisson", **QUICK).fit(X, np.arange(60.0))
    rates.coef_[:], rates.intercept_ = 0, np.log(7)
    np.testing.assert_allclose(rates.predict(X), 7)
    several = LinearRegressor(**QUICK).fit(X, np.stack([X[:, 0], 1e5 * X[:, 1]], axis=1))
    several.coef_[1] = 0
    several.intercept_[1] = 3.0
    np.testing.assert_allclose(several.predict(X)[:, 1], 3)


def test_networks_predict_from_what_is_set(X):
    y = 1e5 + 1e4 * X[:, 0]
    model = MLPRegressor((4,), **QUICK).fit(X, y)
    first = model.predict(X)
    model.coefs_[1][...] = 0
    np.testing.assert_allclose(model.predict(X), model.intercepts_[1][0])
    model = pickle.loads(pickle.dumps(model))
    model.coefs_ = [np.eye(3, 4), np.array([[1.0], [2.0], [3.0], [4.0]])]
    model.intercepts_ = [np.zeros(4), [5.0]]
    np.testing.assert_allclose(model.predict(X), np.maximum(X, 0) @ [1, 2, 3] + 5, rtol=1e-9, atol=1e-6)
    with pytest.raises(ValueError, match=r"MLPRegressor: coefs_\[0\] must have shape \(3, 4\), got \(4, 3\)"):
        model.coefs_ = [np.ones((4, 3)), model.coefs_[1]]
        model.predict(X)
    with pytest.raises(ValueError, match="MLPRegressor: coefs_ must hold 2 arrays, got 1"):
        model.coefs_ = model.coefs_[:1]
        model.predict(X)
    again = MLPRegressor((4,), **QUICK).fit(X, y)
    assert np.array_equal(again.predict(X), first)
    classifier = MLPClassifier((4,), **QUICK).fit(X, y > 1e5)
    classifier.intercepts_[1] = np.array([0.0, 9.0])
    classifier.coefs_[1][:] = 0
    np.testing.assert_allclose(classifier.predict_proba(X)[:, 1], 1 / (1 + np.exp(-9)))


@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_training_goes_on_from_what_is_set(X, how):
    y = 2e5 + 1e4 * X[:, 0]
    linear = LinearRegressor(lr=1e-9, max_iter=1, warm_start=True).fit(X, y)
    linear.coef_, linear.intercept_ = np.array([3e4, 1.0, 2.0]), 1e5
    network = MLPRegressor((4,), lr=1e-9, max_iter=1, warm_start=True).fit(X, y)
    network.coefs_[1][:] = 7.0
    network.intercepts_[1][:] = 1e5
    for model in (linear, network):
        expected = model.predict(X)
        model.partial_fit(X, y) if how == "partial_fit" else model.fit(X, y)
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    fresh = SoftmaxClassifier(lr=1e-9, max_iter=1, warm_start=True)  # of another model's parameters
    fresh.coef_, fresh.intercept_, fresh.classes_ = np.eye(3), np.ones(3), np.arange(3)
    assert np.array_equal(fresh.predict(X), X.argmax(axis=1))
    fresh.partial_fit(X, np.arange(60) % 3, classes=[0, 1, 2]) if how == "partial_fit" else fresh.fit(
        X, np.arange(60) % 3
    )
    np.testing.assert_allclose(fresh.coef_, np.eye(3), atol=1e-6)


def test_what_is_not_set_stays_to_the_bit(X):
    y = 2e5 + 1e4 * X[:, 0]
    for cls in (LinearRegressor, MLPRegressor):
        one, other = cls(random_state=0).fit(X, y), cls(random_state=0).fit(X, y)
        for _ in range(3):
            one.predict(X)
            one.partial_fit(X, y)
            other.partial_fit(X, y)
        assert np.array_equal(one.predict(X), other.predict(X))


def test_a_training_that_fails_leaves_the_parameters(X):
    y = 2e5 + 1e4 * X[:, 0]
    model = MLPRegressor((4,), optimizer="SGD", batch_size=10, random_state=0).partial_fit(X, y)
    expected = model.predict(X)
    model._optimizer.lr = 1e200
    with pytest.raises(FloatingPointError):
        model.partial_fit(X, y)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)


def test_partial_fit_takes_the_arguments_of_now(X):
    y = 2e5 + 1e4 * X[:, 0]
    for model in (LinearRegressor(lr=0.05), MLPRegressor((4,), lr=0.05, random_state=0)):
        for _ in range(20):
            model.partial_fit(X, y)
        steps, before = model._optimizer.steps, model.predict(X)
        model.set_params(lr=1e-12).partial_fit(X, y)
        np.testing.assert_allclose(model.predict(X), before, rtol=1e-9)
        assert model._optimizer.steps == steps + 1  # its state goes on
        model.set_params(lr=0.05, optimizer_options={"maximize": True})
        for _ in range(20):  # against the momentum of before
            model.partial_fit(X, y)
        assert model.loss_curve_[-1] > model.loss_curve_[-20]
        model.optimizer_options["maximize"] = False
        for _ in range(60):
            model.partial_fit(X, y)
        assert model.loss_curve_[-1] < model.loss_curve_[-60]
    with pytest.raises(
        ValueError, match=r"MLPRegressor: X, y and hidden_layer_sizes must be like .* the same hidden layers"
    ):
        model.set_params(hidden_layer_sizes=(4, 4)).partial_fit(X, y)
    penalized = LinearRegressor(lr=0.05).partial_fit(X, y).set_params(l2=1e6, loss="mae")
    for _ in range(50):
        penalized.partial_fit(X, y)
    assert np.abs(penalized.coef_).max() < 1e3


def test_attributes_alone_are_an_estimator(X):
    model = LinearRegressor(warm_start=True, lr=1e-9, max_iter=1)
    model.coef_, model.intercept_ = np.array([1.0, 2.0, 3.0]), 4.0
    model.fit(X, 1e5 + 1e4 * X[:, 0])
    np.testing.assert_allclose(model.predict(X), X @ [1, 2, 3] + 4, rtol=1e-3, atol=1e-3)
    network = MLPClassifier((4,), warm_start=True, lr=1e-9, max_iter=1)
    network.coefs_, network.intercepts_ = [np.eye(3, 4), np.eye(4, 2)], [np.zeros(4), np.zeros(2)]
    network.classes_ = np.array([0, 1])
    with pytest.raises(sklearn.exceptions.NotFittedError):
        network.predict(X)
    network.fit(X, np.arange(60) % 2)
    np.testing.assert_allclose(network.decision_function(X), np.maximum(X[:, 1], 0) - np.maximum(X[:, 0], 0), atol=1e-5)


@pytest.mark.parametrize(
    "cls, attributes, match",
    [
        (LogisticClassifier, {"coef_": np.ones(3)}, r"coef_ must have shape \(1, 3\), got \(3,\)"),
        (LogisticClassifier, {"coef_": np.ones((3, 3))}, r"coef_ must have shape \(1, 3\), got \(3, 3\)"),
        (
            LogisticClassifier,
            {"classes_": np.arange(3)},
            r"classes_ must name the 2 classes of the model, got \[0, 1, 2\]",
        ),
        (SoftmaxClassifier, {"coef_": np.ones(3)}, r"coef_ must have shape \(2, 3\), got \(3,\)"),
        (SoftmaxClassifier, {"coef_": np.ones((3, 3))}, r"coef_ must have shape \(2, 3\), got \(3, 3\)"),
        (SoftmaxClassifier, {"intercept_": 0.0}, r"intercept_ must have shape \(2,\), got \(\)"),
        (MLPClassifier, {"classes_": np.arange(3)}, r"classes_ must name the 2 classes of the model, got \[0, 1, 2\]"),
        (MLPClassifier, {"coefs_": [np.ones((3, 4)), np.full((4, 2), "a")]}, r"coefs_\[1\] must be .* ndarray of <U1"),
        (LinearRegressor, {"coef_": list("abc")}, "coef_ must be an array of real numbers, got list"),
        (LinearRegressor, {"coef_": sparse.csr_matrix(np.ones((1, 3)))}, "coef_ must be .*, got csr_matrix of float64"),
        (LinearRegressor, {"coef_": 1j * np.ones(3)}, "coef_ must be .*, got ndarray of complex128"),
        (LinearRegressor, {"intercept_": 1j}, "intercept_ must be an array of real numbers, got complex"),
        (LinearRegressor, {"coef_": [[1, 2], [3]]}, "coef_ must be an array of real numbers, got list"),
        (
            MLPRegressor,
            {"coefs_": [np.ones((3, 100)), 1j * np.ones((100, 1))]},
            r"coefs_\[1\] must be an array of real",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["predict", "partial_fit"])
def test_wrong_attributes_are_named(X, cls, attributes, match, how):
    model = cls(**QUICK, **({"hidden_layer_sizes": (4,)} if cls is MLPClassifier else {})).fit(X, np.arange(60) % 2)
    vars(model).update(attributes)
    with pytest.raises((TypeError, ValueError), match=f"{cls.__name__}: {match}"):
        model.predict(X) if how == "predict" else model.partial_fit(X, np.arange(60) % 2)


def test_a_single_number_is_an_intercept(X):
    model = LogisticClassifier(**QUICK, lr=1e-9).fit(X, X[:, 0] > 0)
    model.intercept_ = 0.5
    expected = model.decision_function(X)
    np.testing.assert_allclose(expected, X @ model.coef_[0] + 0.5, rtol=1e-9)
    np.testing.assert_allclose(model.partial_fit(X, X[:, 0] > 0).decision_function(X), expected, atol=1e-6)


@pytest.mark.parametrize("own", [{}, {"optimizer_options": {"ema": 0.9}}], ids=str)
def test_a_partial_fit_that_fails_in_its_last_batch_changes_nothing(X, own):
    model = LinearRegressor(lr=0.05, batch_size=10, random_state=0, **own).partial_fit(X, X[:, 0])
    again = pickle.loads(pickle.dumps(model))
    huge = np.where(np.arange(60)[:, np.newaxis] == 59, 1e308, X)
    with pytest.raises(FloatingPointError):
        model.partial_fit(huge, X[:, 0])
    assert model._optimizer.steps == 6
    assert np.array_equal(model._trained.parameters.vector, again._trained.parameters.vector)
    assert np.array_equal(model.partial_fit(X, X[:, 0]).coef_, again.partial_fit(X, X[:, 0]).coef_)


def test_rows_must_be_finite_in_the_dtype_of_the_model(X):
    for model in (LinearRegressor(**QUICK), MLPRegressor((4,), **QUICK)):
        model.fit(X.astype(np.float32), X[:, 0])
        for rows in (1e39 * X, sparse.csr_matrix(1e39 * X)):
            for use in (model.predict, lambda rows: model.partial_fit(rows, X[:, 0])):  # noqa: B023
                with pytest.raises(ValueError, match="X must be finite as float32, in which the estimator was fitted"):
                    use(rows)
