"""Options of estimators, against scikit-learn: losses, intercepts, several labels, dropout, sparse rows, stopping."""

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from scipy import sparse  # noqa: E402

import gd  # noqa: E402
from gd.estimators import (  # noqa: E402
    LinearRegressor,
    LogisticClassifier,
    MLPClassifier,
    MLPRegressor,
    SoftmaxClassifier,
    base,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
EXACT = {"optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "batch_size": 200, "tol": 1e-14, "max_iter": 3000}
EXACT["n_iter_no_change"] = 300


@pytest.fixture
def X(rng):
    return rng.standard_normal((200, 3))


@pytest.fixture
def labels(X, rng):
    """Two labels of each row, by X and noise."""
    return (X @ rng.standard_normal((3, 2)) + rng.logistic(size=(200, 2)) > 0).astype(int)


def test_without_an_intercept(X, labels):
    from sklearn.linear_model import LogisticRegression

    y = labels[:, 0]
    exact = LogisticRegression(C=1 / (0.1 * 200), fit_intercept=False, tol=1e-10).fit(X, y)
    model = LogisticClassifier(l2=0.1, lr=0.5, fit_intercept=False, **EXACT).fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-6)
    assert np.array_equal(model.intercept_, [0.0])
    several = SoftmaxClassifier(fit_intercept=False, max_iter=3).fit(X, np.arange(200) % 3)
    assert np.array_equal(several.intercept_, np.zeros(3))
    warm = LinearRegressor(warm_start=True, max_iter=5).fit(X, 1 + X[:, 0]).set_params(fit_intercept=False)
    assert warm.fit(X, 1 + X[:, 0]).intercept_ == 0
    with pytest.raises(TypeError, match="fit_intercept must be True or False"):
        LinearRegressor(fit_intercept=1.0).fit(X, X[:, 0])


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_support_vector_machines(X, labels, loss):
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import LinearSVC

    y = np.array(["no", "yes"])[labels[:, 0]]
    exact = LinearSVC(loss=loss, C=1 / (0.5 * 200), fit_intercept=False, tol=1e-10, max_iter=10**6).fit(X, y)
    options = {**EXACT, "n_iter_no_change": 3000}
    model = LogisticClassifier(loss=loss, l2=0.5, lr=lambda t: 0.2 / (1 + t / 20), fit_intercept=False, **options)
    model.fit(X, y)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=2e-3)
    assert (model.predict(X) == exact.predict(X)).mean() > 0.98
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "predict_log_proba")
    quick = LogisticClassifier(loss=loss, max_iter=20, early_stopping=True, random_state=0)
    assert CalibratedClassifierCV(quick, cv=2).fit(X, y).predict_proba(X).shape == (200, 2)
    with pytest.raises(ValueError, match="LogisticClassifier: loss must be one of"):
        LogisticClassifier(loss="mse").fit(X, y)


def test_several_labels_are_as_many_logistic_regressions(X, labels):
    from sklearn.linear_model import LogisticRegression

    model = MLPClassifier((), lr=1.0, **EXACT).fit(X, labels)
    logits = []
    for k in range(2):
        exact = LogisticRegression(C=np.inf, tol=1e-10).fit(X, labels[:, k])
        np.testing.assert_allclose(model.coefs_[0][:, k], exact.coef_[0], atol=1e-4)
        np.testing.assert_allclose(model.predict_proba(X)[:, k], exact.predict_proba(X)[:, 1], atol=1e-4)
        logits.append(exact.decision_function(X))
    np.testing.assert_allclose(model.decision_function(X), np.stack(logits, axis=1), atol=1e-3)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-9)
    assert np.array_equal(model.predict(X), (model.predict_proba(X) > 0.5).astype(int))
    assert model.predict(X).dtype.kind == "i"
    assert model.score(X, labels) == np.mean(np.all(model.predict(X) == labels, axis=1))


def test_several_labels_in_all_that_a_network_does(X, labels):
    quick = {"max_iter": 5, "random_state": 0}
    model = MLPClassifier((4,), early_stopping=True, **quick).fit(X, labels)
    assert model.classes_.tolist() == [0, 1]
    assert len(model.validation_scores_) == 5
    plain = MLPClassifier((4,), **quick).fit(X, labels)
    thin = MLPClassifier((4,), **quick).fit(X, sparse.csr_matrix(labels))
    assert np.array_equal(plain.predict_proba(X), thin.predict_proba(X))
    repeated = MLPClassifier((4,), batch_size=500, **quick).fit(X.repeat(2, axis=0), labels.repeat(2, axis=0))
    weighted = MLPClassifier((4,), batch_size=500, **quick).fit(X, labels, np.full(200, 2.0))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    parts = MLPClassifier((4,), **quick)
    for _ in range(5):
        parts.partial_fit(X, labels, classes=[0, 1])
    assert parts.loss_curve_[-1] < parts.loss_curve_[0]
    with pytest.raises(ValueError, match="MLPClassifier: y must have as many dimensions as in the first call"):
        parts.partial_fit(X, labels[:, 0])
    with pytest.raises(ValueError, match=r"y must have a column for each of the classes \[0, 1\], got 3 columns"):
        parts.partial_fit(X, labels[:, [0, 1, 1]])
    with pytest.raises(ValueError, match=r"got 2 columns of int64, such as \[[02], [02]\]"):
        MLPClassifier().fit(X, 2 * labels)
    with pytest.raises(ValueError, match="got 2 columns of <U21, such as"):
        MLPClassifier().fit(X, labels.astype(str))
    with pytest.raises(ValueError, match="class_weight must be None where rows have several labels"):
        MLPClassifier(class_weight="balanced").fit(X, labels)
    with pytest.raises(ValueError, match=r"y must have a column for each of the classes \[0, 1\], got 3 columns"):
        MLPClassifier().partial_fit(X, labels[:, [0, 1, 1]], classes=[0, 1])
    objects = MLPClassifier((4,), **quick).fit(X, labels.astype(object))
    assert np.array_equal(objects.predict_proba(X), plain.predict_proba(X))
    back = model.fit(X, labels[:, 0])  # the same estimator, of one label again
    assert back.predict(X).shape == (200,)
    np.testing.assert_allclose(back.predict_proba(X).sum(axis=1), 1)


def test_losses_of_the_network(X, rng):
    from sklearn.linear_model import PoissonRegressor, QuantileRegressor

    y = 1e5 + 1e4 * (X @ [1.0, -2.0, 0.5]) + 5e3 * rng.standard_normal(200)
    options = {**EXACT, "n_iter_no_change": 3000, "lr": lambda t: 0.3 / (1 + t / 100)}
    exact = QuantileRegressor(quantile=0.8, alpha=0).fit(X, y)
    model = MLPRegressor((), loss="quantile", loss_parameters={"q": 0.8}, **options).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], exact.coef_, rtol=0.05)
    np.testing.assert_allclose(model.predict(X), exact.predict(X), rtol=0.01)
    counts = rng.poisson(np.exp(X @ [0.3, -0.2, 0.1] + 2)).astype(float)
    exact = PoissonRegressor(alpha=0, tol=1e-10).fit(X, counts)
    model = MLPRegressor((), loss="poisson", lr=0.05, **EXACT).fit(X, counts)
    np.testing.assert_allclose(model.predict(X), exact.predict(X), rtol=1e-4)
    assert model.score(X, counts) == pytest.approx(sklearn.metrics.r2_score(counts, model.predict(X)))
    outliers = y.copy()
    outliers[::10] += 1e6
    for loss, parameters in (("huber", {"delta": 1e3}), ("mae", None), ("smooth_l1", {"beta": 1e3})):
        robust = MLPRegressor((8,), loss=loss, loss_parameters=parameters, lr=0.02, random_state=0).fit(X, outliers)
        assert np.median(np.abs(robust.predict(X) - y)) < 1e4
    with pytest.raises(ValueError, match="MLPRegressor: y must be 0 or above with the loss poisson"):
        MLPRegressor(loss="poisson").fit(X, -y)
    with pytest.raises(ValueError, match="MLPRegressor: loss must be one of"):
        MLPRegressor(loss="hinge").fit(X, y)
    with pytest.raises(ValueError, match=r"MLPRegressor: delta must be in \(0, inf\), got -1.0"):
        MLPRegressor(loss="huber", loss_parameters={"delta": -1.0}).fit(X, y)


def test_dropout_is_of_training_only(X, labels):
    quick = {"max_iter": 10, "random_state": 0}
    for cls, y in ((MLPClassifier, labels[:, 0]), (MLPRegressor, X[:, 0])):
        plain, dropped = (cls((16,), dropout=rate, **quick).fit(X, y) for rate in (0.0, 0.5))
        assert dropped.loss_curve_[0] != plain.loss_curve_[0]
        assert np.array_equal(dropped.predict(X), dropped.predict(X))
        assert np.array_equal(dropped.predict(X), cls((16,), dropout=[0.5], **quick).fit(X, y).predict(X))
        with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\)"):
            cls(dropout=1.0).fit(X, y)


def test_sparse_rows_in_networks(X, labels):
    X = np.where(np.abs(X) > 0.7, X, 0)
    quick = {"max_iter": 5, "random_state": 0}
    for cls, y in ((MLPClassifier, labels[:, 0]), (MLPRegressor, 1e5 + 1e4 * X[:, 0])):
        for options in ({}, {"early_stopping": True}):
            dense = cls((8,), **quick, **options).fit(X, y)
            thin = cls((8,), **quick, **options).fit(sparse.csr_matrix(X), y)
            np.testing.assert_allclose(thin.predict(sparse.csc_array(X)), dense.predict(X), rtol=1e-9)
            thin.partial_fit(sparse.csr_array(X), y)


def test_validation_rows_are_stratified(X, monkeypatch):
    seen = []
    fit = base.fit

    def watched(model, X, y, optimizer, **options):
        seen.append((y, options["validation"][1]))
        return fit(model, X, y, optimizer, **options)

    monkeypatch.setattr(base, "fit", watched)
    rare = (np.arange(200) % 20 == 0).astype(int)
    for cls in (LogisticClassifier, SoftmaxClassifier, MLPClassifier):
        cls(early_stopping=True, max_iter=2, random_state=0).fit(X, rare)
        y, held = seen[-1]
        assert (y.sum(), held.sum(), len(held)) == (9, 1, 20)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 does not fit"):
        SoftmaxClassifier(early_stopping=True).fit(X, np.arange(200) == 0)  # one row of a class cannot be on both sides


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "ASGD"])
def test_partial_fit_goes_on_after_early_stopping(X, labels, optimizer):
    options = {"optimizer": optimizer, "early_stopping": True, "n_iter_no_change": 2, "lr": 0.05, "random_state": 0}
    for estimator, y in (
        (SoftmaxClassifier(**options), labels[:, 0]),
        (MLPClassifier((4,), **options), labels),
        (MLPRegressor((4,), **options), 1e5 + 1e4 * X[:, 0]),
    ):
        estimator.fit(X, y)
        epochs, before = estimator.n_iter_, estimator.predict(X)
        steps = estimator._optimizer.steps
        assert np.array_equal(estimator.predict(X), before)
        estimator.partial_fit(X, y)
        assert estimator._optimizer.steps == steps + 2  # of two batches
        assert estimator.n_iter_ == len(estimator.loss_curve_) == epochs + 1
        assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]


AVERAGING = [
    {"optimizer": "ASGD", "optimizer_options": {"t0": 1.0}, "lr": 0.05},
    {"optimizer_options": {"ema": 0.9}, "lr": 0.05},
    {"optimizer": "ScheduleFreeAdamW", "lr": 0.05},
]


@pytest.mark.parametrize("own", AVERAGING, ids=str)
def test_what_is_validated_is_what_predicts(X, monkeypatch, own):
    held = []
    fit = base.fit

    def watched(*arguments, **options):
        held[:] = options["validation"]
        return fit(*arguments, **options)

    monkeypatch.setattr(base, "fit", watched)
    y = 3 * X[:, 0] + 0.1 * X[:, 1]
    model = LinearRegressor(early_stopping=True, max_iter=5, random_state=0, **own).fit(X, y)
    score = model.score(held[0], model._units.factor * held[1] + model._units.offset)
    np.testing.assert_allclose(model.validation_scores_[-1], score, rtol=1e-9)


@pytest.mark.parametrize("own", AVERAGING, ids=str)
def test_averages_predict_and_parameters_train_on(X, labels, own):
    for estimator, y in (
        (LinearRegressor(random_state=0, max_iter=30, batch_size=200, **own), X @ [3.0, 1.0, -1.0]),
        (MLPClassifier((4,), random_state=0, max_iter=30, batch_size=200, **own), labels[:, 0]),
    ):
        whole = sklearn.clone(estimator).fit(X, y)
        average = "ema" if whole._optimizer.ema else "averaged"
        last = whole._aside[1]
        assert not np.array_equal(whole._trained.parameters.vector, last)
        parts, classes = sklearn.clone(estimator), {"classes": [0, 1]} if hasattr(estimator, "class_weight") else {}
        for _ in range(30):
            parts.partial_fit(X, y, **classes).predict(X)
        np.testing.assert_allclose(parts._aside[1], last, rtol=1e-6, atol=1e-9)  # what predicts did not disturb
        np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-6)
        whole._trained.parameters.vector[:] = last
        averages = getattr(whole._optimizer, f"{average}_params")()
        whole._trained.parameters.vector[:] = whole._aside[0]
        if isinstance(estimator, LinearRegressor):
            np.testing.assert_allclose(whole.coef_, averages["w"] * whole._units.factor, rtol=1e-12)
        else:
            assert np.array_equal(whole.coefs_[0], averages["W1"])
        whole.set_params(warm_start=True, max_iter=1).fit(X, y)
        parts.partial_fit(X, y)
        np.testing.assert_allclose(whole.predict(X), parts.predict(X), rtol=1e-6)  # both with the optimizer's state
        if isinstance(estimator, LinearRegressor):
            parts.set_params(lr=1e-9).partial_fit(X, y).coef_ = np.array([9.0, 9.0, 9.0])
            parts.partial_fit(X, y)
            np.testing.assert_allclose(parts.coef_, 9, rtol=1e-6)
            assert parts._optimizer.steps == 1


def test_arguments_stay_as_they_are(X):
    y = X @ [3.0, 1.0, -1.0] + 0.1
    plateau = gd.schedules.ReduceOnPlateau(0.05, patience=0, threshold=0.01)
    options = {"groups": [{"params": ["w"], "lr": plateau}]}
    model = LinearRegressor(lr=plateau, optimizer_options=options, random_state=0, max_iter=300)
    first = model.fit(X, y).coef_
    assert model._optimizer.schedules["lr"].reductions > 0
    assert plateau.reductions == 0
    assert np.array_equal(model.fit(X, y).coef_, first)
    before = model._optimizer.schedules["groups[0].lr"].reductions
    model.set_params(warm_start=True, max_iter=1).fit(X, y).partial_fit(X, y)
    assert model._optimizer.schedules["groups[0].lr"].reductions >= before  # its own go on
    options["groups"][0]["lr"] = 0.0
    coef = model.coef_
    assert np.array_equal(model.partial_fit(X, y).coef_, coef)
    model.set_params(lr=gd.schedules.ReduceOnPlateau(0.01), optimizer_options=None).partial_fit(X, y)
    assert model._optimizer.schedules["lr"].reductions == 0
    model.lr.lr = 0.0  # in place
    coef = model.coef_
    assert np.array_equal(model.partial_fit(X, y).coef_, coef)


def test_a_proximal_step_spares_the_intercept_in_groups_too(X):
    from sklearn.linear_model import Lasso

    y = X @ [3.0, 1.0, 0.0] + 0.1 * X[:, 0] ** 2 + 5
    exact = Lasso(alpha=0.25, tol=1e-12).fit(X, y)
    for groups in ((), [{"params": ["w", "b"]}], [{"params": ["w"]}], [{"params": ["b"], "lr": 0.05}]):
        options = {"proximal": True, "groups": groups}
        model = LinearRegressor(l1=0.5, **EXACT | {"optimizer_options": options, "lr": 0.1}).fit(X, y)
        np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-5)
        np.testing.assert_allclose(model.intercept_, exact.intercept_, rtol=1e-5)
    assert model._optimizer.groups[-1].lr == 0.05
    with pytest.raises(
        ValueError, match="LinearRegressor: with l1 and proximal: optimizer must be one of Momentum, Nes"
    ):
        model.set_params(optimizer="Adam").fit(X, y)
    with pytest.raises(
        ValueError, match=r"LinearRegressor: l1 must be given once, got 0.5 in optimizer_options as well"
    ):
        model.set_params(optimizer="SGD", optimizer_options={"proximal": True, "l1": 0.5}).fit(X, y)
    with pytest.raises(TypeError, match="SGD: groups must be a list of dicts, got 5"):
        model.set_params(optimizer_options={"proximal": True, "groups": 5}).fit(X, y)
    with pytest.raises(ValueError, match=r"MLPRegressor: weight_decay must be given once, got 0.1"):
        MLPRegressor(weight_decay=0.1, optimizer_options={"weight_decay": 0.1}).fit(X, y)
    assert (
        MLPRegressor((4,), max_iter=1, optimizer_options={"weight_decay": 0.1}).fit(X, y)._optimizer.weight_decay == 0.1
    )


def test_hidden_layer_sizes_are_any_sequence(X):
    expected = MLPRegressor((4, 3), max_iter=2, random_state=0).fit(X, X[:, 0]).predict(X)
    for sizes in (np.array([4, 3]), [4, 3], range(4, 2, -1)):
        model = MLPRegressor(sizes, max_iter=2, random_state=0).fit(X, X[:, 0])
        assert np.array_equal(model.predict(X), expected)
    model.partial_fit(X, X[:, 0])
    with pytest.raises(TypeError, match=r"hidden_layer_sizes\[0\] must be an integer, at least 1, got 4.5"):
        MLPRegressor(np.array([4.5])).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="LinearRegressor: fit_intercept must be True or False, got None"):
        LinearRegressor(fit_intercept=None).fit(X, X[:, 0])
