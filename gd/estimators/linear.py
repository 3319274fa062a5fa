"""Linear models with scikit-learn's names, parameters and results: user code works with the import renamed."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from .base import Rows, Values
from .guards import all_or_nothing, keep
from .stochastic import LOSSES, PASSIVE, SEEDS, Stochastic, products

_REGRESSION = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")
Seed = int | np.random.RandomState | None


class LinearClassifier(ClassifierMixin):
    """Base class: decisions by the signs of outputs, or by the largest one."""

    classes_: NDArray[Any]
    coef_: Any
    intercept_: Any

    def decision_function(self, X: Rows) -> NDArray[Any]:
        """Return X w + b, of shape (rows,) for two classes, else (rows, classes)."""
        outputs = products(self, X) + self.intercept_
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the class of each row."""
        outputs = self.decision_function(X)
        return self.classes_[(outputs > 0).astype(int) if outputs.ndim == 1 else outputs.argmax(axis=1)]

    def _learn_classes(self, y: Any, classes: Any = None) -> None:
        check_classification_targets(y)
        self.classes_ = np.unique(y if classes is None else classes)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__}: y must hold at least 2 classes: The number of classes has to be greater than "
                f"one; got {len(self.classes_)} class"
            )


def shared(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return the probabilities of each class, from those of each against the rest; of two classes from the second's."""
    if outputs.ndim == 1:
        return np.stack([1 - outputs, outputs], axis=1)
    sums = outputs.sum(axis=1, keepdims=True)
    return np.divide(outputs, sums, out=np.full_like(outputs, 1 / outputs.shape[1]), where=sums > 0)


def _has_probabilities(model: Any) -> bool:
    if model.loss not in ("log_loss", "modified_huber"):
        raise AttributeError(f"probability estimates are not available for loss={model.loss!r}")
    return True


class SGDClassifier(LinearClassifier, Stochastic):
    """Linear classifiers by stochastic gradient descent, one row a step: scikit-learn's SGDClassifier.

    ::

        mean of loss(x w + b, y) + alpha (l1_ratio |w| + (1 - l1_ratio) / 2 |w|**2)

    More than two classes are learned one against the rest. Parameters, defaults, attributes and methods are those of
    scikit-learn 1.9; with the same random_state the results are equal but for rounding.

    Parameters
    ----------
    loss : str, default: "hinge"
        Or "log_loss", "modified_huber", "squared_hinge", "perceptron", or a loss for regression: "squared_error",
        "huber", "epsilon_insensitive", "squared_epsilon_insensitive".
    penalty : {"l2", "l1", "elasticnet", None}, default: "l2"
    alpha, l1_ratio : float, default: 1e-4, 0.15
        The penalty, and the share of l1 with "elasticnet".
    fit_intercept, shuffle : bool, default: True
    max_iter, tol, n_iter_no_change : int, float or None, int, default: 1000, 1e-3, 5
        Epochs at most; training ends after n_iter_no_change epochs in a row without an objective, or a score of the
        validation, that is better by tol. With None it takes all epochs.
    verbose : int, default: 0
        Print the objective of each epoch.
    epsilon : float, default: 0.1
        Of the losses for regression, in units of the outputs.
    n_jobs : int, optional
        Has no effect.
    random_state : int, RandomState or None, default: None
    learning_rate : {"optimal", "constant", "invscaling", "adaptive", "pa1", "pa2"}, default: "optimal"
        The rate of step t: 1 / (alpha (t0 + t)), eta0, eta0 / t**power_t, or eta0, which is divided by 5 whenever
        training would end. With pa1 and pa2 steps are as long as needed for the row's loss (Crammer et al. 2006).
    eta0, power_t : float, default: 0.01, 0.5
    early_stopping, validation_fraction : bool, float, default: False, 0.1
        Hold that share of the rows back, and validate each epoch.
    class_weight : dict or "balanced", optional
    warm_start : bool, default: False
        Start from the last fit's weights.
    average : bool or int, default: False
        Predict with the average of the weights after each step, from this step on.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (1 or classes, features), (1 or classes,)
    classes_ : ndarray
    n_iter_ : int
        Epochs, of the class that took the most.
    t_ : float
        Steps, plus 1.

    References
    ----------
    Bottou, "Stochastic Gradient Descent Tricks", 2012. Penalty l1: Tsuruoka, Tsujii & Ananiadou, ACL 2009.

    Examples
    --------
    >>> from gd.estimators import SGDClassifier
    >>> model = SGDClassifier(random_state=0).fit([[-2.0], [-1.0], [1.0], [2.0]], ["no", "no", "yes", "yes"])
    >>> model.predict([[3.0]]).tolist()
    ['yes']
    """

    class_weight: Any

    loss_functions = LOSSES
    _losses = LOSSES
    _rates = (*Stochastic._rates, *PASSIVE)

    def __init__(
        self,
        loss: str = "hinge",
        *,
        penalty: Literal["l2", "l1", "elasticnet"] | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        n_jobs: int | None = None,
        random_state: Seed = None,
        learning_rate: str = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        average: bool | int = False,
    ) -> None:
        keep(self, locals())

    @all_or_nothing
    def fit(
        self,
        X: Rows,
        y: Values,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on X, of shape (rows, features), and classes y, from given weights or from 0; return self."""
        self._check_arguments()
        start = self._last(coef_init, intercept_init)
        rows, targets, weights = self._checked(X, y, sample_weight, reset=True)
        self._learn_classes(targets)
        self._fit(rows, targets, weights, self.max_iter, start)
        self._warn()
        return self

    @all_or_nothing
    def partial_fit(
        self, X: Rows, y: Values, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch; return self. The first call needs all the classes."""
        name, first = f"{type(self).__name__}.partial_fit", not hasattr(self, "classes_")
        self._check_arguments(partial=True)
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
                "compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough "
                "sample of the full training set target to properly estimate the class frequency distributions. Pass "
                "the resulting weights as the class_weight parameter."
            )
        if first and classes is None:
            raise ValueError(f"{name}: classes must be passed on the first call to partial_fit")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"{name}: classes must be those of the first call, {self.classes_}, got {classes}")
        rows, targets, weights = self._checked(X, y, sample_weight, reset=first)
        if first:
            self._learn_classes(targets, classes)
        unknown = np.setdiff1d(targets, self.classes_)
        if unknown.size:
            raise ValueError(f"{name}: y must be one of {list(self.classes_)}, got {unknown[0]!r}")
        self._fit(rows, targets, weights, 1, [None, None] if first else None)
        return self

    def _fit(self, X: Any, y: Any, weights: Any, epochs: int, start: Any) -> None:
        of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)  # pyright: ignore[reportArgumentType]
        negative, rng = 0.0 if self.loss == "log_loss" else -1.0, check_random_state(self.random_state)
        if len(self.classes_) == 2:  # random numbers are drawn in the order in which scikit-learn does
            rng.randint(1, SEEDS)
            held = self._held_out(StratifiedShuffleSplit, y, weights)
            problems, of_rest, seeds = self.classes_[1:], of_class[:1], [rng.randint(SEEDS)]
            of_class = of_class[1:]
        else:
            held = self._held_out(StratifiedShuffleSplit, y, weights)
            problems, of_rest, seeds = self.classes_, np.ones(len(self.classes_)), []
            for each in map(np.random.RandomState, rng.randint(SEEDS, size=len(self.classes_))):
                each.randint(1, SEEDS)
                seeds.append(each.randint(SEEDS))
        ours = [y == each for each in problems]
        targets = [np.where(each, 1.0, negative) for each in ours]
        weights = [
            weights * np.where(each, own, rest).astype(X.dtype)
            for each, own, rest in zip(ours, of_class, of_rest, strict=True)
        ]
        self._train(X, targets, weights, seeds, epochs, held, start)

    def _judged(self, outputs: NDArray[Any], y: NDArray[Any], weights: NDArray[Any]) -> float:
        return float(np.average((outputs > 0) == (y > 0), weights=weights))

    @available_if(_has_probabilities)
    def predict_proba(self, X: Rows) -> NDArray[Any]:
        """Return the probability of each class, of shape (rows, classes): of the losses log_loss and modified_huber."""
        outputs = self.decision_function(X)
        return shared(expit(outputs) if self.loss == "log_loss" else (np.clip(outputs, -1, 1) + 1) / 2)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Rows) -> NDArray[Any]:
        """Return the logarithms of the probabilities."""
        return np.log(self.predict_proba(X))


class SGDRegressor(RegressorMixin, Stochastic):
    """Linear regression by stochastic gradient descent, one row a step: scikit-learn's SGDRegressor.

    Its objective and its parameters are those of `SGDClassifier`, with the defaults of scikit-learn 1.9.

    Parameters
    ----------
    loss : str, default: "squared_error"
        Half of the squared error; or "huber", "epsilon_insensitive", "squared_epsilon_insensitive".
    penalty, alpha, l1_ratio, fit_intercept, max_iter, tol, shuffle, verbose, epsilon, random_state
        As in `SGDClassifier`.
    learning_rate : {"invscaling", "constant", "optimal", "adaptive", "pa1", "pa2"}, default: "invscaling"
    eta0, power_t : float, default: 0.01, 0.25
    early_stopping, validation_fraction, n_iter_no_change, warm_start, average
        As in `SGDClassifier`.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (features,), (1,)
    n_iter_, t_ : int, float
        As in `SGDClassifier`.

    Examples
    --------
    >>> from gd.estimators import SGDRegressor
    >>> model = SGDRegressor(alpha=0, eta0=0.1, tol=1e-9, random_state=0)
    >>> model.fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]).predict([[10.0]]).round(1).tolist()
    [21.0]
    """

    loss_functions = {name: LOSSES[name] for name in _REGRESSION}  # noqa: RUF012
    _losses = _REGRESSION
    _rates = SGDClassifier._rates
    _passive_loss = "epsilon_insensitive"

    def __init__(
        self,
        loss: str = "squared_error",
        *,
        penalty: Literal["l2", "l1", "elasticnet"] | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        random_state: Seed = None,
        learning_rate: str = "invscaling",
        eta0: float = 0.01,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        average: bool | int = False,
    ) -> None:
        keep(self, locals())

    @all_or_nothing
    def fit(
        self,
        X: Rows,
        y: Values,
        coef_init: Any = None,
        intercept_init: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on X, of shape (rows, features), and targets y, from given weights or from 0; return self."""
        self._check_arguments()
        self._fit(X, y, sample_weight, self.max_iter, self._last(coef_init, intercept_init))
        self._warn()
        return self

    @all_or_nothing
    def partial_fit(self, X: Rows, y: Values, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch; return self."""
        self._check_arguments(partial=True)
        self._fit(X, y, sample_weight, 1, None if hasattr(self, "coef_") else [None, None])
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, epochs: int, start: Any) -> None:
        rows, targets, weights = self._checked(X, y, sample_weight, reset=start is not None)
        held = self._held_out(ShuffleSplit, targets, weights)
        seed = check_random_state(self.random_state).randint(0, SEEDS)
        self._train(rows, [targets], [weights], [seed], epochs, held, start)

    def _set(self, w: NDArray[Any], b: NDArray[Any]) -> None:
        self.coef_, self.intercept_ = w[0], b

    def _judged(self, outputs: NDArray[Any], y: NDArray[Any], weights: NDArray[Any]) -> float:
        return r2_score(y, outputs, sample_weight=weights)

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return X w + b, of shape (rows,)."""
        return np.ravel(products(self, X) + self.intercept_)
