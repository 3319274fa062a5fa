"""Estimators with scikit-learn's names and parameters: they come to its results, step by step."""

from copy import deepcopy

import numpy as np
import pytest
from scipy import sparse

sklearn = pytest.importorskip("sklearn", minversion="1.8")

import sklearn_suites  # noqa: E402
from sklearn import linear_model, neural_network  # noqa: E402
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression  # noqa: E402

import gd.estimators  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
ROWS = 120
TWO = make_classification(ROWS, 8, random_state=1)
THREE = make_classification(ROWS, 8, n_informative=5, n_classes=3, random_state=1)
LABELS = make_multilabel_classification(ROWS, 8, n_classes=4, random_state=0)
NUMBERS = make_regression(ROWS, 8, noise=5.0, random_state=1)
NUMBERS = NUMBERS[0], NUMBERS[1] / NUMBERS[1].std()
WEIGHTS = np.random.default_rng(0).random(ROWS)
RATES = "optimal", "constant", "invscaling", "adaptive"


def compared(name, X, y, weights=None, rtol=1e-10, **arguments):
    """Fit both, and compare all attributes that scikit-learn documents; return gd's."""
    module = neural_network if "MLP" in name else linear_model
    given = {} if y is None else {"y": y}
    expected = getattr(module, name)(**arguments).fit(X, sample_weight=weights, **given)
    model = getattr(gd.estimators, name)(**arguments).fit(X, sample_weight=weights, **given)
    for attribute, value in vars(expected).items():
        if attribute[-1] != "_" or attribute[0] == "_" or attribute.endswith("function_"):
            continue
        found = getattr(model, attribute)
        if value is None or isinstance(value, str):
            assert found == value
        elif isinstance(value, list) and isinstance(value[0], np.ndarray):
            for one, other in zip(found, value, strict=True):
                np.testing.assert_allclose(one, other, rtol, rtol, err_msg=attribute)
        elif attribute in ("coef_", "intercept_", "offset_", "loss_", "loss_curve_", "best_loss_"):
            np.testing.assert_allclose(found, value, rtol, rtol * np.abs(value).max(), err_msg=attribute)
            assert np.shape(found) == np.shape(value)
        else:
            np.testing.assert_allclose(found, value, err_msg=attribute)
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(expected, method):
            np.testing.assert_allclose(getattr(model, method)(X), getattr(expected, method)(X), 1e-8, 1e-8)
    return model


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("loss", list(gd.estimators.SGDClassifier.loss_functions))
def test_sgd_classifiers_step_alike(loss, rate):
    given = {"loss": loss, "learning_rate": rate, "eta0": 0.002, "alpha": 0.01, "random_state": 3, "max_iter": 15}
    if rate == "optimal":  # its first rates are large: rounding grows from step to step
        given |= {"max_iter": 1}
        if loss in gd.estimators.SGDRegressor.loss_functions or "squared" in loss or "modified" in loss:
            pytest.skip("diverges, in both")
    for k, penalty in enumerate(("l2", "l1", "elasticnet", None)):
        compared("SGDClassifier", *TWO, penalty=penalty, average=(False, 7)[k % 2], **given)
        compared("SGDClassifier", *THREE, WEIGHTS, penalty=penalty, shuffle=False, class_weight="balanced", **given)
    thin = sparse.csr_matrix(np.where(np.abs(TWO[0]) > 1, TWO[0], 0))
    compared("SGDClassifier", thin, TWO[1], penalty="elasticnet", average=True, **given)


@pytest.mark.parametrize("rate", RATES[1:])
@pytest.mark.parametrize("loss", list(gd.estimators.SGDRegressor.loss_functions))
def test_sgd_regressors_step_alike(loss, rate):
    given = {"loss": loss, "learning_rate": rate, "eta0": 0.002, "random_state": 3, "max_iter": 15}
    for k, penalty in enumerate(("l2", "l1", "elasticnet", None)):
        compared("SGDRegressor", *NUMBERS, WEIGHTS, penalty=penalty, average=(False, 7)[k % 2], **given)
    compared("SGDRegressor", *NUMBERS, early_stopping=True, penalty=None, fit_intercept=False, **given)


@pytest.mark.parametrize("rate", ["pa1", "pa2"])
def test_passive_aggressive_steps_are_alike(rate):
    given = {"learning_rate": rate, "random_state": 3, "max_iter": 10, "eta0": 0.1}
    compared("SGDRegressor", *NUMBERS, loss="epsilon_insensitive", average=5, **given)
    compared("SGDClassifier", *TWO, penalty=None, **given)
    for cls, loss in (("SGDClassifier", "log_loss"), ("SGDRegressor", "huber")):
        with pytest.raises(ValueError, match=f"Learning rate '{rate}' only works with loss"):
            getattr(gd.estimators, cls)(loss=loss, **given).fit(*TWO)


@pytest.mark.parametrize("rate", RATES)
def test_one_class_machines_step_alike(rate):
    for X in (TWO[0], sparse.csr_matrix(TWO[0])):
        compared("SGDOneClassSVM", X, None, nu=0.3, learning_rate=rate, random_state=0, average=5, max_iter=15)


def test_calls_go_on_alike():
    def both(name, **arguments):
        return [getattr(module, name)(**arguments, random_state=0) for module in (linear_model, gd.estimators)]

    for average in (False, 30):  # of regressors: scikit-learn's classifiers forget intercepts that are averaged
        expected, model = both("SGDRegressor", average=average, eta0=0.001)
        for _ in range(3):
            expected.partial_fit(*NUMBERS), model.partial_fit(*NUMBERS)
        np.testing.assert_allclose(model.coef_, expected.coef_, 1e-10)
        np.testing.assert_allclose(model.intercept_, expected.intercept_, 1e-10)
        assert model.t_ == expected.t_ == 3 * ROWS + 1
    for data, classes in ((TWO, [0, 1]), (THREE, [0, 1, 2])):
        expected, model = both("SGDClassifier")
        for _ in range(3):
            expected.partial_fit(*data, classes=classes), model.partial_fit(*data, classes=classes)
        np.testing.assert_allclose(model.coef_, expected.coef_, 1e-10)
        np.testing.assert_allclose(model.intercept_, expected.intercept_, 1e-10)
    for own in ({"coef_init": np.ones((1, 8))}, {"intercept_init": 3.0}):
        models = both("SGDClassifier", warm_start=True, max_iter=3)
        expected, model = (each.fit(*TWO, **deepcopy(own)).fit(*TWO) for each in models)  # scikit-learn writes into it
        np.testing.assert_allclose(model.coef_, expected.coef_, 1e-10)
    fitted = model.sparsify()
    assert sparse.issparse(fitted.coef_)
    assert np.array_equal(fitted.predict(TWO[0]), fitted.densify().predict(TWO[0]))


NETWORKS = {
    "adam": {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "alpha": 0.1},
    "batches": {"solver": "adam", "batch_size": 32, "shuffle": False, "learning_rate_init": 0.01},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.7, "activation": "tanh"},
    "nesterov": {"solver": "sgd", "activation": "logistic", "alpha": 1.0},
    "plain": {"solver": "sgd", "momentum": 0.0, "activation": "identity"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.1},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "max_iter": 60,
        "n_iter_no_change": 2,
        "tol": 0.05,
        "learning_rate_init": 0.05,
    },
    "early": {"solver": "adam", "early_stopping": True, "max_iter": 40, "n_iter_no_change": 3},
    "lbfgs": {"solver": "lbfgs", "max_iter": 5},
}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_networks_step_alike(options, weights):
    given = {"random_state": 3, "max_iter": 6, "hidden_layer_sizes": (12, 7)} | options
    two = np.stack([NUMBERS[1], 1 - NUMBERS[1]], axis=1)
    for name, X, y in (("Classifier", *TWO), ("Classifier", *THREE), ("Classifier", *LABELS), ("Regressor", *NUMBERS)):
        compared(f"MLP{name}", X, y, weights, **given)
    compared("MLPRegressor", NUMBERS[0], two, weights, **given)


def test_rates_of_counts_are_learned_alike():
    X = NUMBERS[0]
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0] * 0.3)).astype(float)
    compared("MLPRegressor", X, y, WEIGHTS, loss="poisson", solver="adam", max_iter=10, random_state=0)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_networks_go_on_alike(solver):
    rng, attributes = np.random.default_rng(0), []
    coefs, intercepts = [rng.standard_normal((8, 4)), rng.standard_normal((4, 3))], [np.zeros(4), np.ones(3)]
    for module in (neural_network, gd.estimators):
        model = module.MLPClassifier((4,), solver=solver, warm_start=True, shuffle=False, max_iter=4, alpha=0.1)
        model.fit(*THREE)
        model.coefs_, model.intercepts_ = [each.copy() for each in coefs], [each.copy() for each in intercepts]
        model.fit(*THREE, sample_weight=WEIGHTS)
        for _ in range(3):
            model.partial_fit(*THREE)
        attributes.append([*model.coefs_, *model.intercepts_])
        assert (model.t_, model.n_iter_, model.n_layers_, model.out_activation_) == (11 * ROWS, 1, 3, "softmax")
    for found, expected in zip(*attributes[::-1], strict=True):
        np.testing.assert_allclose(found, expected, 1e-10, 1e-12)


LOGISTIC = [{}, {"C": 0.01}, {"C": np.inf}, {"l1_ratio": 1.0, "C": 0.1}, {"l1_ratio": 0.5, "C": 0.1}]
LOGISTIC += [{"fit_intercept": False}, {"class_weight": "balanced"}, {"solver": "liblinear", "intercept_scaling": 3.0}]


@pytest.mark.parametrize("options", LOGISTIC, ids=str)
def test_logistic_regressions_have_one_minimum(options):
    thin = sparse.csr_matrix(THREE[0])
    for X, y, weights in ((*TWO, WEIGHTS), (*THREE, None), (thin, THREE[1], None)):
        if "solver" in options and y is THREE[1]:
            continue
        given = {"tol": 1e-10, "max_iter": 5000} | options
        solver = {"solver": "saga"} if "l1_ratio" in options else {}
        expected = linear_model.LogisticRegression(**solver | given).fit(X, y, weights)
        model = gd.estimators.LogisticRegression(**given).fit(X, y, weights)
        np.testing.assert_allclose(model.coef_, expected.coef_, 1e-4, 1e-5)
        assert np.array_equal(model.coef_ == 0, expected.coef_ == 0)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), 1e-4, 1e-5)
        assert model.intercept_.shape == expected.intercept_.shape


def test_both_kinds_of_names_are_not_mixed():
    X, y = TWO
    for own in ({"l2": 0.1}, {"optimizer": "SGD"}, {"optimizer_options": {"clip_norm": 1.0}}):
        with pytest.raises(ValueError, match=f"MLPClassifier: {next(iter(own))} must be left out with solver"):
            gd.estimators.MLPClassifier(solver="adam", **own).fit(X, y)
    with pytest.raises(ValueError, match="lr must be left out with learning_rate_init"):
        gd.estimators.MLPClassifier(learning_rate_init=0.1, lr=0.5).fit(X, y)
    one = gd.estimators.MLPClassifier((4,), max_iter=2, alpha=0.1, lr=0.1, random_state=0)
    other = sklearn.clone(one).set_params(lr=0.001, learning_rate_init=0.1)
    assert np.array_equal(one.fit(X, y).coefs_[0], other.fit(X, y).coefs_[0])
    assert [each.shape for each in one.coefs_] == [(8, 4), (4, 1)]
    assert one.set_params(alpha=None, learning_rate_init=None).fit(X, y).coefs_[1].shape == (4, 2)  # gd's own training


@pytest.mark.parametrize("suite", sklearn_suites.SUITES)
def test_tests_of_scikit_learn_pass(suite):
    passed, failed = sklearn_suites.run(suite)
    unexpected = {test: error for test, error in failed.items() if test.partition("[")[0] not in sklearn_suites.REASONS}
    assert not unexpected
    assert len(passed) >= {"test_mlp": 45, "test_sgd": 250}[suite]
