"""Linear models that step at each single example, with the parameters and the results of scikit-learn's."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from ..checks import (
    CLOSED_UNIT,
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    REAL,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    kernel_arguments,
    lent,
)
from ..kernels.compiler import join
from ..kernels.loops import single_examples as steps
from ..kernels.loops.linear import losses_of_numbers
from ..kernels.rules import losses as rules
from .guards import real_array

LOSSES: dict[str, tuple[Any, ...]] = {  # rule and parameters, of which a name is that of an argument
    "hinge": (rules.margin, 1.0),
    "squared_hinge": (rules.squared_hinge,),
    "perceptron": (rules.margin, 0.0),
    "log_loss": (rules.logistic, 1.0),  # of targets 0 and 1
    "modified_huber": (rules.modified_huber,),
    "squared_error": (rules.half_squared,),
    "huber": (rules.huber, "epsilon"),
    "epsilon_insensitive": (rules.epsilon_insensitive, "epsilon"),
    "squared_epsilon_insensitive": (rules.squared_epsilon_insensitive, "epsilon"),
}
PASSIVE = {"pa1": 1, "pa2": 2}
SEEDS = 2**31 - 1
CHECKS: Any = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "order": "C"}
SPARSE_DECAY = 0.01  # of the intercept's rate, as a weight of sparse rows steps much less often
_RANGES = {
    "alpha": NON_NEGATIVE,
    "nu": CLOSED_UNIT,
    "epsilon": NON_NEGATIVE,
    "power_t": REAL,
    "validation_fraction": OPEN_UNIT,
}
_AVERAGING = "_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept"


def products(estimator: Any, X: Any) -> NDArray[Any]:
    """Check rows for a fitted estimator; return their products with its weights, of shape (rows, outputs)."""
    check_is_fitted(estimator)
    rows: Any = validate_data(estimator, lent(type(estimator).__name__, "X", X), **CHECKS, reset=False)
    return safe_sparse_dot(rows, estimator.coef_.T, dense_output=True)


class ExampleWeights:
    """Base class of linear models whose rows have weights, and whose weights may be sparse."""

    coef_: Any

    def _checked(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> Any:
        """Return checked rows, targets and weights of rows; `reset` if they are the first ones."""
        name = type(self).__name__
        alone = isinstance(self, OutlierMixin)
        given: Any = [lent(name, *each) for each in (("X", X), ("y", y))[: 1 if alone else 2]]
        found: Any = validate_data(self, *given, **CHECKS, accept_large_sparse=False, reset=reset)
        X, y = (found, np.ones(found.shape[0])) if alone else found
        weights = np.ones(X.shape[0], X.dtype)
        if sample_weight is not None:
            weights = real_array(name, "sample_weight", sample_weight).astype(X.dtype)
            weights = np.full(X.shape[0], weights) if weights.ndim == 0 else weights
        if weights.shape != (X.shape[0],):
            raise ValueError(f"{name}: sample_weight must have shape ({X.shape[0]},), got {weights.shape}")
        if not np.isfinite(weights).all():
            raise ValueError(f"{name}: sample_weight must be finite, got NaN or infinity")
        if not getattr(self, "early_stopping", False) and not weights.any():
            raise ValueError(f"{name}: sample_weight must be other than zero for some row, got zero for all")
        return X, y, weights

    def sparsify(self) -> Any:
        """Make `coef_` a sparse matrix, which takes less memory if l1 made most weights 0; return self."""
        check_is_fitted(self)
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Any:
        """Make `coef_` an array, as it is at first; return self."""
        check_is_fitted(self)
        self.coef_ = self.coef_.toarray() if issparse(self.coef_) else self.coef_
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # pyright: ignore[reportAttributeAccessIssue]
        tags.input_tags.sparse = True
        return tags


class Stochastic(ExampleWeights, BaseEstimator):
    """Base class: the steps, their rates, when they end, and averages of the weights."""

    loss: str
    alpha: float
    fit_intercept: bool
    max_iter: int
    tol: float | None
    shuffle: bool
    verbose: int
    random_state: int | np.random.RandomState | None
    learning_rate: str
    eta0: float
    power_t: float
    validation_fraction: float
    warm_start: bool
    average: bool | int
    penalty: str | None = "l2"
    l1_ratio: float | None = 0.0
    early_stopping = False
    n_iter_no_change = 5
    coef_: Any
    intercept_: Any
    t_: float

    _rates = ("constant", "optimal", "invscaling", "adaptive")
    _losses: Iterable[str] = ("hinge",)
    _passive_loss = "hinge"
    _pull = 0.0  # the derivative by the intercept of what the objective of one class has beside the losses

    def _check_arguments(self, partial: bool = False) -> None:
        name = type(self).__name__
        for argument in _RANGES.keys() & vars(self).keys():
            check_number(name, argument, getattr(self, argument), _RANGES[argument])
        for argument in ("fit_intercept", "shuffle", "warm_start", "early_stopping"):
            check_flag(name, argument, getattr(self, argument))
        for argument in ("max_iter", "n_iter_no_change"):
            check_integer(name, argument, getattr(self, argument), 1)
        check_choice(name, "learning_rate", self.learning_rate, self._rates)
        check_choice(name, "loss", self.loss, tuple(self._losses))
        check_number(name, "eta0", self.eta0, NON_NEGATIVE if self.learning_rate == "optimal" else POSITIVE)
        if self.tol is not None:
            check_number(name, "tol", self.tol, NON_NEGATIVE)
        if not isinstance(self.average, (bool, np.bool_)):
            check_integer(name, "average", self.average, 0)
        if self.penalty is not None:
            check_choice(name, "penalty", self.penalty, ("l2", "l1", "elasticnet"))
        if self.l1_ratio is not None:
            check_number(name, "l1_ratio", self.l1_ratio, CLOSED_UNIT)
        elif self.penalty == "elasticnet":
            raise ValueError(f"{name}: l1_ratio must be set when penalty is 'elasticnet', got None")
        if partial and self.early_stopping:
            raise ValueError(f"{name}: early_stopping should be False with partial_fit, which sees a part of the data")
        if self.learning_rate == "optimal" and self._strength() == 0:
            raise ValueError(f"{name}: alpha must be > 0 since learning_rate is 'optimal', whose rates are 1 / alpha")
        if self.learning_rate in PASSIVE and self.loss != self._passive_loss:
            only = f"only works with loss {self._passive_loss!r}"
            raise ValueError(f"{name}: Learning rate {self.learning_rate!r} {only}, got {self.loss!r}")
        if self.power_t < 0:
            warnings.warn(
                "Negative values for `power_t` are deprecated: the rates would grow with each step",
                FutureWarning,
                stacklevel=4,
            )

    def _strength(self) -> float:
        return self.alpha

    def _penalties(self) -> tuple[float, float]:
        """Return l1 and l2 of the objective: mean loss + l1 |w| + l2 / 2 |w|**2."""
        share = {"l2": 0.0, "l1": 1.0, "elasticnet": self.l1_ratio}.get(self.penalty or "")
        return (0.0, 0.0) if share is None else (share * self._strength(), (1 - share) * self._strength())

    def _held_out(self, splitter: Any, y: Any, weights: Any) -> Any:
        """Return where the rows are that early stopping holds back, or None."""
        if not self.early_stopping:
            return None
        split = splitter(test_size=self.validation_fraction, random_state=self.random_state)
        held = np.zeros(len(y), bool)
        held[next(split.split(np.zeros((len(y), 1)), y))[1]] = True
        if not weights[held].any():
            raise ValueError(
                "The sample weights for validation set are all zero, consider using a different random state."
            )
        return held

    def _given(self) -> list[Any]:
        """Return weights and intercepts as the attributes have them."""
        return [self.coef_, self.intercept_]

    def _last(self, *inits: Any) -> list[Any]:
        """Return where a fit starts: what was given, else with warm_start the attributes; None are zeros."""
        last = self._given() if self.warm_start and hasattr(self, "coef_") else [None, None]
        for name in ("coef_", "intercept_", "offset_", "classes_", "t_", *_AVERAGING):
            vars(self).pop(name, None)
        return [old if new is None else new for new, old in zip(inits, last, strict=True)]

    def _start(self, kind: str, value: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return a copy of weights or intercepts in the shape of all problems, or zeros for None."""
        value = np.zeros(shape) if value is None else np.asarray(value.toarray() if issparse(value) else value)
        if value.shape != shape and (shape[0] > 1 or value.shape not in (shape[1:], ())):
            what = f"{kind}_init does not match dataset. It must have shape {shape}, got {value.shape}"
            raise ValueError(f"{type(self).__name__}: Provided {what}")
        return np.array(value.reshape(shape), dtype, order="C")

    def _train(self, X: Any, targets: Any, weights: Any, seeds: Any, epochs: int, held: Any, start: Any) -> None:
        """Train a problem for each of the targets, and set the attributes.

        It starts with weights and intercepts, None for zeros; if `start` itself is None, it goes on from the last call.
        """
        shape, t, averages = (len(targets), X.shape[1]), 1.0, [None, None]
        if start is None:
            start, t = self._given(), self.t_
            if hasattr(self, _AVERAGING[0]):
                start, averages = [getattr(self, k) for k in _AVERAGING[:2]], [getattr(self, k) for k in _AVERAGING[2:]]
        dtype, sizes = X.dtype, (shape, shape[:1])
        arrays = [
            self._start(kind, value, size, dtype)
            for kind, value, size in zip(("coef", "intercept") * 2, [*start, *averages], sizes * 2, strict=True)
        ]
        problems = zip(targets, weights, seeds, range(shape[0]), strict=True)
        self.n_iter_ = max([self._descend(X, *problem, t, epochs, held, *arrays) for problem in problems])
        self.t_ = t + self.n_iter_ * X.shape[0]
        self._set(*(arrays[2:] if self.average and self.average <= self.t_ - 1 else arrays[:2]))
        if self.average:
            vars(self).update(zip(_AVERAGING, arrays, strict=True))

    def _set(self, w: NDArray[Any], b: NDArray[Any]) -> None:
        self.coef_, self.intercept_ = w, b

    def _descend(self, X, y, weights, seed, k, t, epochs, held, coef, intercept, average, of_intercept) -> int:
        """Train row k of the weights, in place; return how many epochs it took. Rows in `held` are for validation."""
        n, w, dtype, passive = X.shape[0], coef[k], X.dtype, PASSIVE.get(self.learning_rate, 0)
        (l1, l2), y = self._penalties(), y.astype(dtype)
        rule, *parameters = LOSSES[self.loss]
        numbers = [dtype.type(getattr(self, each) if isinstance(each, str) else each) for each in parameters]
        state = np.zeros(steps.STATE)
        state[[steps.B, steps.AVERAGE_B, steps.SCALE, steps.DIVISOR]] = intercept[k], of_intercept[k], 1, 1
        state[steps.SQUARES], state[steps.SIZES] = w @ w, np.abs(w).sum()
        arguments = {
            "state": state,
            "w": w,
            "average": average[k] if self.average else w[:0],
            "missed": np.zeros_like(w) if l1 else w[:0],
            "weights": weights,
            "l1": float(l1),
            "l2": float(l2),
            "decay": (SPARSE_DECAY if issparse(X) else 1.0) * bool(self.fit_intercept),
            "pull": self._pull,
            "passive": passive,
            "smallest": 1e-6 if dtype == np.float32 else 1e-9,
            "losses": join(losses_of_numbers, rule).bind(dtype, y, y[:0], *numbers),
            **kernel_arguments(X),
        }
        kernel = join(steps.step_by_sparse_examples if issparse(X) else steps.step_by_examples)
        order, again = np.arange(n), np.arange(n)
        if self.shuffle:
            join(steps.permute)(n, again, int(seed) or 1)
        epoch, eta, best, waited = 0, self.eta0, np.inf, 0
        while epoch < epochs:
            epoch, order = epoch + 1, order[again]
            rows = order if held is None else order[~held[order]]
            state[[steps.LOSS, steps.PENALTY]] = 0
            of_epoch = {"order": rows, "rates": self._rates_from(t, rows.size, eta), "averaged": int(t) - self.average}
            kernel(rows.size, *(of_epoch | arguments).values())
            t += rows.size
            if not np.isfinite(state[steps.B]) or not np.isfinite(w).all():
                raise ValueError(
                    f"{type(self).__name__}: Floating-point under-/overflow occurred at epoch #{epoch}. Scaling input "
                    "data with StandardScaler or MinMaxScaler might help."
                )
            figure = (state[steps.LOSS] + (0 if passive else state[steps.PENALTY])) / rows.size
            if held is not None:
                figure = -self._judged(X[held] @ w * state[steps.SCALE] + state[steps.B], y[held], weights[held])
            if self.verbose:
                print(f"-- Epoch {epoch}: {'objective' if held is None else 'minus the validation score'} {figure:.6f}")
            waited = waited + 1 if self.tol is not None and figure > best - self.tol else 0
            best = min(best, figure)
            if waited >= self.n_iter_no_change:
                if self.learning_rate != "adaptive" or eta <= 1e-6:
                    break
                eta, waited = eta / 5, 0
        if self.average:
            average[k] = (average[k] + state[steps.FACTOR] * w) / state[steps.DIVISOR]
        w *= dtype.type(state[steps.SCALE])
        intercept[k], of_intercept[k] = state[steps.B], state[steps.AVERAGE_B]
        return epoch

    def _rates_from(self, t: float, n: int, eta: float) -> NDArray[Any]:
        """Return the rates of n steps, of which the first is step t."""
        if self.learning_rate == "invscaling":
            return self.eta0 / (t + np.arange(n)) ** self.power_t
        if self.learning_rate != "optimal":
            return np.full(n, float(eta))
        alpha = self._strength()  # at first the rate is of the size that Bottou expects of the weights
        return 1 / (alpha * (np.sqrt(np.sqrt(alpha)) / alpha + (t + np.arange(n)) - 1))

    def _judged(self, outputs: NDArray[Any], y: NDArray[Any], weights: NDArray[Any]) -> float:
        """Return the score of a validation."""
        raise NotImplementedError

    def _warn(self) -> None:
        """Warn if a fit took all its epochs."""
        if self.tol is not None and self.n_iter_ == self.max_iter:
            warnings.warn(
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve the "
                "fit.",
                ConvergenceWarning,
                stacklevel=4,
            )
