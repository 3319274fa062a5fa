"""Logistic regression with scikit-learn's name, parameters and results, by L-BFGS on gd's gradients."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import compute_class_weight

from ..checks import CLOSED_UNIT, NON_NEGATIVE, POSITIVE, check_choice, check_flag, check_integer, check_number
from ..models import LinearModel, Targets
from .base import Rows, Values
from .guards import all_or_nothing, keep
from .linear import LinearClassifier, Seed, shared
from .stochastic import ExampleWeights

_SOLVERS = ("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga")


class LogisticRegression(LinearClassifier, ExampleWeights, BaseEstimator):
    """Logistic regression at the minimum of its penalized loss: scikit-learn's LogisticRegression.

    ::

        C sum of w_i loss(x_i w + b, y_i) + l1_ratio |w| + (1 - l1_ratio) / 2 |w|**2

    The loss is that of two classes, or the cross-entropy of the softmax of all classes. Whatever `solver` says, L-BFGS
    finds the minimum (with l1 that of Byrd, Lu, Nocedal & Zhu 1995, which keeps bounds), so solvers do not limit
    penalties. `LogisticClassifier` and `SoftmaxClassifier` are for data that do not suit it: they step by mini-batches.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet", None}, default: "l2"
        With "l2" the penalty follows from l1_ratio.
    C : float, default: 1.0
        The weight of the losses beside the penalty; infinite for none.
    l1_ratio : float, default: 0.0
        The share of l1.
    dual, random_state, n_jobs
        Have no effect: there is one minimum.
    tol : float, default: 1e-4
        The largest element of the gradient, of the objective divided by C and the sum of weights, at the end.
    fit_intercept : bool, default: True
    intercept_scaling : float, default: 1
        With the solver "liblinear" the intercept is penalized, too: as the weight of a feature of this value.
    class_weight : dict or "balanced", optional
    solver : str, default: "lbfgs"
        "liblinear", "newton-cg", "newton-cholesky", "sag" or "saga"; with "liblinear" classes are learned one against
        the rest.
    max_iter : int, default: 100
    multi_class : {"auto", "multinomial", "ovr"}, default: "auto"
        "ovr" learns each class against the rest.
    verbose : int, default: 0
    warm_start : bool, default: False
        Start from the last fit's weights.

    Attributes
    ----------
    coef_, intercept_ : ndarray of shape (1 or classes, features), (1 or classes,)
    classes_ : ndarray
    n_iter_ : ndarray of int

    Examples
    --------
    >>> from gd.estimators import LogisticRegression
    >>> LogisticRegression().fit([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1]).predict_proba([[0.0]]).round(6).tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self,
        penalty: Literal["l2", "l1", "elasticnet"] | None = "l2",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        random_state: Seed = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        multi_class: Literal["auto", "multinomial", "ovr"] = "auto",
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        keep(self, locals())

    def _check_arguments(self) -> tuple[float, float]:
        """Check all arguments; return the weights of l1 and l2 beside the sum of losses."""
        own: Any = self
        name = type(self).__name__
        check_choice(name, "solver", own.solver, _SOLVERS)
        check_choice(name, "multi_class", own.multi_class, ("auto", "multinomial", "ovr"))
        if own.penalty is not None:
            check_choice(name, "penalty", own.penalty, ("l2", "l1", "elasticnet"))
        for flag in ("dual", "fit_intercept", "warm_start"):
            check_flag(name, flag, getattr(self, flag))
        check_number(name, "tol", own.tol, NON_NEGATIVE)
        check_number(name, "intercept_scaling", own.intercept_scaling, POSITIVE)
        check_integer(name, "max_iter", own.max_iter, 0)
        ratio = 0.0 if own.l1_ratio is None else check_number(name, "l1_ratio", own.l1_ratio, CLOSED_UNIT)
        if own.penalty == "elasticnet" and own.l1_ratio is None:
            raise ValueError(f"{name}: l1_ratio must be specified when penalty is elasticnet, got None")
        strength = 0.0 if own.penalty is None or np.inf == own.C else 1 / check_number(name, "C", own.C, POSITIVE)
        share = 1.0 if own.penalty == "l1" else ratio
        return share * strength, (1 - share) * strength

    @all_or_nothing
    def fit(self, X: Rows, y: Values, sample_weight: ArrayLike | None = None) -> Self:
        """Find the minimum for X, of shape (rows, features), and classes y; return self."""
        own: Any = self
        penalties, last = self._check_arguments(), dict(vars(self))
        rows, labels, weights = self._checked(X, y, sample_weight, reset=True)
        self._learn_classes(labels)
        index = np.searchsorted(self.classes_, labels)
        if isinstance(own.class_weight, str) and own.class_weight == "balanced":
            counts = np.bincount(index, weights)
            of_class = counts.sum() / (counts.size * counts)
        else:
            of_class = compute_class_weight(own.class_weight, classes=self.classes_, y=labels)
        weights = np.empty(0, rows.dtype) if sample_weight is None and own.class_weight is None else weights
        weights = weights * of_class[index].astype(rows.dtype) if weights.size else weights
        features, outputs = rows.shape[1], len(self.classes_) if len(self.classes_) > 2 else 1
        if outputs == 1 or self._against_rest():
            targets = [(index == k).astype(rows.dtype) for k in range(outputs == 1, len(self.classes_))]
        else:
            targets = [index]
        start = np.zeros((outputs, features + 1))
        if own.warm_start and "coef_" in last and np.shape(self.coef_) == (outputs, features):
            start = np.column_stack([self.coef_, np.broadcast_to(self.intercept_, outputs)])
        found = [
            self._minimum(rows, each, weights, penalties, part)
            for each, part in zip(targets, np.split(start, len(targets)), strict=True)
        ]
        self.n_iter_ = np.array([steps for *_, steps in found], np.int32)
        self.coef_ = np.concatenate([w for w, *_ in found])
        self.intercept_ = np.concatenate([b for _, b, _ in found])
        return self

    def _minimum(self, X: Any, y: NDArray[Any], weights: NDArray[Any], penalties: Any, start: NDArray[Any]) -> Any:
        """Return weights, intercepts and the number of iterations of one problem."""
        own: Any = self
        classes = len(start) if len(start) > 1 else None
        loss = "softmax_cross_entropy" if classes else "binary_cross_entropy_with_logits"
        model = LinearModel(X.shape[1], classes, loss, dtype=X.dtype, fit_intercept=own.fit_intercept)
        parameters, out = model.parameters, model.parameters.zeros_like()
        targets, rows = Targets(model.check_targets("fit", y, len(y)), weights), np.arange(len(y))
        l1, l2 = np.array(penalties) / float(weights.sum() if weights.size else len(y))
        unit, penalized = np.ones(out.vector.size), np.ones(out.vector.size)
        intercepts, scale = slice(out["w"].size, None), float(own.intercept_scaling)
        unit[intercepts], penalized[intercepts] = (scale, 1) if own.solver == "liblinear" else (1, 0)

        def objective(x: NDArray[Any]) -> tuple[float, NDArray[Any]]:
            parameters.vector[:] = x * unit
            value = model.write_gradients(X, targets, rows, 0, out)
            shrunk = penalized * x
            return value + l2 / 2 * float(shrunk @ x), out.vector * unit + l2 * shrunk

        def in_halves(x: NDArray[Any]) -> tuple[float, NDArray[Any]]:
            above, below = np.split(x, 2)  # two weights, 0 or above, in place of each: |w| is their sum
            value, slope = objective(above - below)
            cost = l1 * penalized
            return value + float(cost @ (above + below)), np.concatenate([cost + slope, cost - slope])

        x = np.concatenate([start[:, :-1].T.ravel(), start[:, -1]]) / unit
        bounds = None
        if l1:
            x = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)])
            bounds = [(0, None)] * x.size
        options = {"maxiter": own.max_iter, "maxls": 50, "gtol": own.tol, "ftol": 64 * np.finfo(float).eps}
        found = minimize(in_halves if l1 else objective, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if own.verbose:
            print(f"{type(self).__name__}: {found.nit} iterations, objective {found.fun:.6f}: {found.message}")
        if not found.success:
            warnings.warn(
                f"lbfgs failed to converge after {found.nit} iteration(s): {found.message}. Increase the number of "
                "iterations to improve the convergence (max_iter), or scale the data",
                ConvergenceWarning,
                stacklevel=5,
            )
        x = np.subtract(*np.split(found.x, 2)) if l1 else found.x
        parameters.vector[:] = x * unit
        w = np.ascontiguousarray(np.atleast_2d(parameters["w"].T))
        return w, parameters["b"].copy(), min(found.nit, own.max_iter)

    def predict_proba(self, X: Rows) -> NDArray[Any]:
        """Return the probability of each class, of shape (rows, classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Rows) -> NDArray[Any]:
        """Return the logarithms of the probabilities."""
        outputs = self.decision_function(X)
        if outputs.ndim == 1:
            return log_expit(np.stack([-outputs, outputs], axis=1))
        return np.log(shared(expit(outputs))) if self._against_rest() else log_softmax(outputs, axis=1)

    def _against_rest(self) -> bool:
        own: Any = self
        return own.multi_class == "ovr" or own.solver == "liblinear"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
