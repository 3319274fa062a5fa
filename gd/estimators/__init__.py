"""Estimators with scikit-learn's contract, for pipelines and searches."""

try:
    from sklearn.utils.validation import validate_data
except ImportError as error:
    raise ImportError('gd.estimators needs scikit-learn 1.6 or later: python -m pip install "gd[train]"') from error
del validate_data

from .classes import LinearRegressor, LogisticClassifier, MLPClassifier, MLPRegressor, SoftmaxClassifier  # noqa: E402

__all__ = ["LinearRegressor", "LogisticClassifier", "MLPClassifier", "MLPRegressor", "SoftmaxClassifier"]
