"""Estimators with scikit-learn's contract, for pipelines and searches."""

from ..version import to_install

try:
    from sklearn.utils.validation import validate_data
except ImportError as error:
    raise ImportError(f"gd.estimators needs scikit-learn 1.6 or later: {to_install('train')}") from error
del validate_data

from .classes import LinearRegressor, LogisticClassifier, MLPClassifier, MLPRegressor, SoftmaxClassifier  # noqa: E402

from .linear import SGDClassifier, SGDOneClassSVM, SGDRegressor  # noqa: E402

__all__ = ["LinearRegressor", "LogisticClassifier", "MLPClassifier", "MLPRegressor", "SGDClassifier", "SGDOneClassSVM", "SGDRegressor", "SoftmaxClassifier"]
