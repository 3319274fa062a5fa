"""A linear one-class support vector machine with scikit-learn's name, parameters and results."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state

from .base import Rows
from .guards import all_or_nothing, keep
from .linear import Seed
from .stochastic import SEEDS, Stochastic, products


class SGDOneClassSVM(OutlierMixin, Stochastic):
    """A linear one-class support vector machine by stochastic gradient descent: scikit-learn's SGDOneClassSVM.

    ::

        mean of max(0, offset - x w) + nu / 2 |w|**2 - nu offset

    Parameters
    ----------
    nu : float, default: 0.5
        In (0, 1]: about the share of the rows that are outliers.
    fit_intercept, max_iter, tol, shuffle, verbose, random_state, learning_rate, eta0, power_t, warm_start, average
        As in `SGDClassifier`, but for pa1 and pa2.

    Attributes
    ----------
    coef_, offset_ : ndarray of shape (features,), (1,)
    n_iter_, t_ : int, float
        As in `SGDClassifier`.

    Examples
    --------
    >>> from gd.estimators import SGDOneClassSVM
    >>> SGDOneClassSVM(random_state=0).fit([[1.0, 1.0], [1.1, 0.9]]).predict([[1.0, 1.0], [-1.0, -1.0]]).tolist()
    [1, -1]
    """

    nu: float
    loss = "hinge"

    def __init__(
        self,
        nu: float = 0.5,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        random_state: Seed = None,
        learning_rate: str = "optimal",
        eta0: float = 0.01,
        power_t: float = 0.5,
        warm_start: bool = False,
        average: bool | int = False,
    ) -> None:
        keep(self, locals())

    def _strength(self) -> float:
        return self.nu

    _pull = property(_strength)

    def _given(self) -> list[Any]:
        return [self.coef_, 1 - self.offset_]

    def _set(self, w: NDArray[Any], b: NDArray[Any]) -> None:
        self.coef_, self.offset_ = w[0], 1 - b

    @all_or_nothing
    def fit(
        self,
        X: Rows,
        y: Any = None,
        coef_init: Any = None,
        offset_init: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on X, of shape (rows, features), from given weights or from 0; return self."""
        self._check_arguments()
        start = self._last(coef_init, None if offset_init is None else 1 - np.asarray(offset_init))
        self._fit(X, sample_weight, self.max_iter, start)
        self._warn()
        return self

    @all_or_nothing
    def partial_fit(self, X: Rows, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch; return self."""
        self._check_arguments(partial=True)
        self._fit(X, sample_weight, 1, None if hasattr(self, "coef_") else [None, None])
        return self

    def _fit(self, X: Any, sample_weight: Any, epochs: int, start: Any) -> None:
        rows, targets, weights = self._checked(X, None, sample_weight, reset=start is not None)
        seed = check_random_state(self.random_state).randint(0, SEEDS)
        start = [start[0], 1.0 if start[1] is None else start[1]] if start else None
        self._train(rows, [targets], [weights], [seed], epochs, None, start)

    def decision_function(self, X: Rows) -> NDArray[Any]:
        """Return x w - offset: below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def score_samples(self, X: Rows) -> NDArray[Any]:
        """Return x w."""
        return np.ravel(products(self, X))

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return -1 for outliers and 1 for others."""
        return np.where(self.decision_function(X) >= 0, 1, -1).astype(np.int32)
