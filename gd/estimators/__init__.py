"""Estimators with scikit-learn's contract, for pipelines and searches."""

from ..version import to_install

try:
    from sklearn.utils.validation import validate_data
except ImportError as error:
    raise ImportError(f"gd.estimators needs scikit-learn 1.6 or later: {to_install('train')}") from error
del validate_data

from .classes import LinearRegressor, LogisticClassifier, SoftmaxClassifier  # noqa: E402
from .linear import SGDClassifier, SGDRegressor  # noqa: E402
from .logistic import LogisticRegression  # noqa: E402
from .networks import MLPClassifier, MLPRegressor  # noqa: E402
from .one_class import SGDOneClassSVM  # noqa: E402

__all__ = [
    "LinearRegressor", "LogisticClassifier", "LogisticRegression", "MLPClassifier", "MLPRegressor", "SGDClassifier",
    "SGDOneClassSVM", "SGDRegressor", "SoftmaxClassifier",
]  # fmt: skip
