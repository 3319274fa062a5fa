"""Estimators with scikit-learn's contract, for pipelines and searches."""

from .classes import LinearRegressor, LogisticClassifier, MLPClassifier, MLPRegressor, SoftmaxClassifier

__all__ = ["LinearRegressor", "LogisticClassifier", "MLPClassifier", "MLPRegressor", "SoftmaxClassifier"]
