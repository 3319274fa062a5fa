"""Estimators: scikit-learn's own checks, and what they promise beyond."""

import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from gd.estimators import (  # noqa: E402
    LinearRegressor,
    LogisticClassifier,
    MLPClassifier,
    MLPRegressor,
    SoftmaxClassifier,
)

QUICK = {"random_state": 0, "max_iter": 100}
ESTIMATORS = [
    LinearRegressor(lr=0.1, **QUICK),
    LogisticClassifier(lr=0.1, **QUICK),
    SoftmaxClassifier(lr=0.1, **QUICK),
    MLPClassifier((16,), lr=0.02, **QUICK),
    MLPRegressor((16,), lr=0.02, **QUICK),
]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks(ESTIMATORS)
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)
