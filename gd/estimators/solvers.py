"""Networks trained as scikit-learn's are, by its solvers, from its random numbers, on gd's gradients."""

import warnings
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import shuffle

from ..batches import cut
from ..checks import (
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    UNIT,
    check_choice,
    check_flag,
    check_integer,
    check_number,
)
from ..kernels.compiler import join
from ..kernels.interruption import Interruption
from ..kernels.loops.linear_training import penalize
from ..losses import rates
from ..models import Targets
from ..optimizers import Adam, Momentum, Nesterov
from ..runtime import single_threaded_blas
from .guards import all_or_nothing, real_array
from .kinds import Network
from .standardization import LOGARITHMIC

DEFAULTS: dict[str, Any] = {  # of the parameters that have scikit-learn's names; one that is given chooses its training
    "solver": "adam",
    "alpha": 0.0001,
    "learning_rate": "constant",
    "learning_rate_init": None,  # that is lr
    "power_t": 0.5,
    "shuffle": True,
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "max_fun": 15000,
}
_OWN = {"optimizer": "Adam", "optimizer_options": None, "l1": 0.0, "l2": 0.0, "weight_decay": 0.0}
_RANGES = {"alpha": NON_NEGATIVE, "learning_rate_init": POSITIVE, "power_t": NON_NEGATIVE, "momentum": UNIT}
_RANGES |= {"beta_1": UNIT, "beta_2": UNIT, "epsilon": POSITIVE, "tol": NON_NEGATIVE, "validation_fraction": OPEN_UNIT}
MOST = 200  # rows of a batch


def steps(network: Any) -> bool:
    """Return True if a network's solver takes steps, so that partial_fit can take some more."""
    if network.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
    return True


class SolvedNetwork(Network):
    """Base class of networks that have scikit-learn's parameters, too."""

    loss_: float
    best_loss_: float | None
    best_validation_score_: float | None
    out_activation_: str
    n_layers_: int
    n_outputs_: int
    t_: int

    _best: NDArray[Any]  # the parameters of the best score
    _no_improvement_count: int

    def _solver(self) -> Any:
        """Return the parameters that have scikit-learn's names, if one of them is given, else None."""
        given = {name: getattr(self, name) for name in DEFAULTS if getattr(self, name) is not None}
        if not given and not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            return None
        name = type(self).__name__
        others = [each for each, default in _OWN.items() if getattr(self, each) != default]
        if others:
            raise ValueError(f"{name}: {others[0]} must be left out with {', '.join(given)}, which choose a solver")
        own = SimpleNamespace(**DEFAULTS | {"learning_rate_init": self.lr} | given)
        if own.learning_rate_init != self.lr != 0.001:
            raise ValueError(f"{name}: lr must be left out with learning_rate_init, got {self.lr!r}")
        for argument, allowed in _RANGES.items():
            check_number(name, argument, getattr(own, argument, getattr(self, argument, None)), allowed)
        check_choice(name, "solver", own.solver, ("adam", "sgd", "lbfgs"))
        check_choice(name, "learning_rate", own.learning_rate, ("constant", "invscaling", "adaptive"))
        for argument in ("shuffle", "nesterovs_momentum"):
            check_flag(name, argument, getattr(own, argument))
        for argument in ("early_stopping", "warm_start"):
            check_flag(name, argument, getattr(self, argument))
        check_integer(name, "max_iter", self.max_iter, 1)
        check_integer(name, "max_fun", own.max_fun, 1)
        if self.n_iter_no_change != np.inf:
            check_integer(name, "n_iter_no_change", self.n_iter_no_change, 1)
        if self.batch_size not in (None, "auto"):
            check_integer(name, "batch_size", self.batch_size, 1)
        return own

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on X, of shape (rows, features), and targets y; return self.

        A row of weight 2 counts like two equal rows, and one of weight 0 not at all. With warm_start, training starts
        from the last fit's parameters, and from its optimizer's state if that fits (with a solver, without it).
        """
        own = self._solver()
        return super().fit(X, y, sample_weight) if own is None else self._solve(own, X, y, sample_weight)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, reset_targets: bool | None = None) -> Self:
        own = self._solver()
        if own is None:
            return super()._partial_fit(X, y, sample_weight, reset_targets)
        if self.early_stopping:
            raise ValueError(f"{type(self).__name__}: partial_fit does not support early_stopping=True")
        return self._solve(own, X, y, sample_weight, True, reset_targets)

    @all_or_nothing
    def _solve(self, own: Any, X: Any, y: Any, sample_weight: Any, more: bool = False, reset: Any = None) -> Self:
        """Train by a solver; `more` for one more epoch, `reset` if its targets are the first ones."""
        name, last = type(self).__name__, dict(vars(self))
        known = {"coefs_", "intercepts_"} <= last.keys() and (self.warm_start or more)
        X, y = self._checked(X, y, reset=not (known and "n_features_in_" in last))
        if known and not more and "classes_" in last and y.ndim == 1:
            found = np.unique(y)
            if not np.array_equal(found, self.classes_):  # pyright: ignore[reportAttributeAccessIssue]
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {last['classes_']}, `y` has {found}"
                )
        self._units, self._aside, self._statistics = None, None, None
        reset = not (known and last.keys() & {"classes_", "_shape"}) if reset is None else reset
        y = self._targets(y, X.dtype, reset)
        weights, rng = self._weights_of_rows(y, sample_weight), self._rng()
        weights = np.empty(0, X.dtype) if weights is None else weights.astype(X.dtype)
        model = self._trained = self._model(X.shape[1], X.dtype, 0)
        y = self._as_trained(y) if model.loss == "softmax_cross_entropy" else y.reshape(len(y), -1).astype(X.dtype)
        self._optimizer = self._made_for(own, model.parameters, last.get("_optimizer") if more and known else None)
        self._begin(own, rng, known, last.keys())
        held: Any = None
        if self.early_stopping and own.solver != "lbfgs":
            arrays = [X, y, weights] if weights.size else [X, y]
            stratify = y.astype(bool) if hasattr(self, "classes_") and y.shape[1:] == (1,) else None
            share = self.validation_fraction
            parts: list[Any] = train_test_split(*arrays, random_state=rng, test_size=share, stratify=stratify)
            X, y, weights, held = parts[0], parts[2], [*parts[4:5], weights][0], parts[1::2]
            if held[0].shape[0] < 2:
                raise ValueError(
                    f"{name}: The validation set is too small. Increase 'validation_fraction' or the size of your "
                    "dataset."
                )
        targets = model.check_targets(name, y, X.shape[0])
        with single_threaded_blas():
            if own.solver == "lbfgs":
                self._minimize(own, X, Targets(targets, weights))
            else:
                self._descend(own, X, Targets(targets, weights), held, rng, more)
        if not np.isfinite(model.parameters.vector).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        arrays = [array.copy() for array in self._views()]
        self._set(arrays[::2], arrays[1::2])
        return self

    @staticmethod
    def _made_for(own: Any, parameters: Any, last: Any) -> Any:
        """Return the optimizer of a solver, with the state and the rate of the last one if it is given and fits."""
        if own.solver == "sgd":
            kind = Nesterov if own.nesterovs_momentum else Momentum
            optimizer = kind(parameters, own.learning_rate_init, own.momentum)
        else:
            betas = own.beta_1, own.beta_2
            optimizer = Adam(parameters, own.learning_rate_init, betas, own.epsilon, eps_hat=True)
        if type(last) is type(optimizer) and last.params.shapes == parameters.shapes:
            optimizer.load_state_dict(last.state_dict())
            optimizer.lr = last.lr
        return optimizer

    def _begin(self, own: Any, rng: np.random.RandomState, known: bool, attributes: Any) -> None:
        """Take over the parameters that are known, or draw them uniformly (Glorot & Bengio 2010)."""
        name, views = type(self).__name__, self._views()
        if known:
            for (attribute, value), view in zip(self._given(), views, strict=True):
                view[...] = real_array(name, attribute, value, view.shape)
        else:
            for w, b in zip(views[::2], views[1::2], strict=True):
                bound = np.sqrt((2 if self.activation == "logistic" else 6) / sum(w.shape))
                w[...], b[...] = rng.uniform(-bound, bound, w.shape), rng.uniform(-bound, bound, b.shape)
        self._best = self._trained.parameters.vector.copy()
        self.n_layers_, self.n_outputs_ = len(views) // 2 + 1, views[-1].size
        loss = self._trained.loss
        outputs = {"softmax_cross_entropy": "softmax", "binary_cross_entropy_with_logits": "logistic"}
        self.out_activation_ = outputs.get(loss, "exp" if loss == LOGARITHMIC else "identity")
        if known and {"t_", "loss_curve_", "best_loss_"} <= attributes:
            self._no_improvement_count = getattr(self, "_no_improvement_count", 0)
            self.loss_curve_ = [*self.loss_curve_]
            self.validation_scores_ = [*(self.validation_scores_ or [])] if self.early_stopping else None
            return
        self.t_ = self._no_improvement_count = 0
        self.loss_curve_, self.validation_scores_ = [], [] if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _gradient(self, own: Any, X: Any, y: Targets, rows: Any, out: Any) -> tuple[float, float]:
        """Write the gradient of a batch without its scale; return scikit-learn's loss, and the scale.

        The loss is the mean over rows and the sum over outputs, but half of the mean square over both; the gradient is
        that of the sum. The penalty of a batch is alpha / 2 times the squares of all weights, but no biases, divided by
        the sum of the weights of its rows.
        """
        model, outputs = self._trained, self.n_outputs_
        value = model.write_gradients(X, y, rows, self._optimizer.steps, out)
        count = float(y.weights[rows].sum()) if y.weights.size else rows.size
        scale = {"softmax_cross_entropy": 1.0, "mse": outputs / 2}.get(model.loss, float(outputs))
        value *= 0.5 if model.loss == "mse" else scale
        if model.loss == LOGARITHMIC:  # the deviance, which is 0 at its minimum
            (t,) = y.arrays
            each = (xlogy(t, t) - t).sum(axis=1)[rows]
            value += float(np.average(each, weights=y.weights[rows] if y.weights.size else None))
        strength = model.dtype.type(own.alpha / count / scale)
        if own.alpha:
            for key, w in model.parameters.items():
                if key[0] == "W":
                    flat = w.reshape(-1)
                    join(penalize)(w.size, out[key].reshape(-1), flat, 0 * strength, strength)
                    value += own.alpha / count / 2 * float(flat @ flat)
        return value, scale

    def _minimize(self, own: Any, X: Any, y: Targets) -> None:
        """Minimize the loss of all rows by L-BFGS."""
        model, out, rows = self._trained, self._trained.parameters.zeros_like(), np.arange(X.shape[0])

        def loss_and_gradient(x: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
            model.parameters.vector[:] = x
            loss, scale = self._gradient(own, X, y, rows, out)
            return loss, out.vector.astype(np.float64) * scale

        options = {"maxiter": self.max_iter, "maxfun": own.max_fun, "gtol": self.tol}
        start = model.parameters.vector.astype(np.float64)
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        model.parameters.vector[:] = found.x
        self.n_iter_, self.loss_ = min(found.nit, self.max_iter), float(found.fun)
        if not found.success:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): {found.message}. Increase the number of "
                "iterations (max_iter, max_fun) or scale the data",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _descend(self, own: Any, X: Any, y: Targets, held: Any, rng: np.random.RandomState, more: bool) -> None:
        """Take the steps of all epochs, or of one more."""
        model, optimizer, n = self._trained, self._optimizer, X.shape[0]
        out, order = model.parameters.zeros_like(), np.arange(n)
        size: Any = MOST if self.batch_size in (None, "auto") else self.batch_size
        if size > n and self.batch_size not in (None, "auto"):
            warnings.warn(f"batch_size={size} is larger than the {n} rows: it is clipped", UserWarning, stacklevel=5)
        epochs, self.n_iter_ = 1 if more else self.max_iter, 0
        while self.n_iter_ < epochs:
            total, order = 0.0, np.asarray(shuffle(order, random_state=rng)) if own.shuffle else order
            for rows in cut(order, min(size, n)):
                loss, scale = self._gradient(own, X, y, rows, out)
                total += loss * rows.size
                with Interruption():
                    optimizer.step(out, scale)
            self.n_iter_, self.t_, self.loss_ = self.n_iter_ + 1, self.t_ + n, total / n
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            self._judge(held)
            if own.solver == "sgd" and own.learning_rate == "invscaling":
                optimizer.lr = own.learning_rate_init / (self.t_ + 1) ** own.power_t
            if self._no_improvement_count > self.n_iter_no_change:
                if own.solver != "sgd" or own.learning_rate != "adaptive" or optimizer.lr <= 1e-6:
                    break
                optimizer.lr, self._no_improvement_count = optimizer.lr / 5, 0
            if self.n_iter_ == self.max_iter and not more:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                    "converged yet.",
                    ConvergenceWarning,
                    stacklevel=5,
                )
        if held is not None:
            model.parameters.vector[:] = self._best

    def _judge(self, held: Any) -> None:
        """Count the epochs without a loss, or with a score on the rows held back, that is better by tol."""
        if held is None:
            now, best = -self.loss_, -np.inf if self.best_loss_ is None else -self.best_loss_
            worse = now < best + self.tol
            self.best_loss_ = max(now, best) * -1
        else:
            now, best = self._score_of(*held), self.best_validation_score_
            best = -np.inf if best is None else best
            self.validation_scores_ = [*(self.validation_scores_ or []), now]
            worse = now < best + self.tol
            if now > best:
                self._best[:] = self._trained.parameters.vector
                best = now
            self.best_validation_score_ = best
            if self.verbose:
                print(f"Validation score: {now:f}")
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0

    def _score_of(self, X: Any, y: Any, weights: Any = None) -> float:
        """Return the accuracy, or R**2, on targets as the model takes them; NaN if outputs are not finite."""
        outputs = self._trained.forward(X)
        if hasattr(self, "classes_"):
            found = outputs.argmax(axis=1) if self._trained.loss == "softmax_cross_entropy" else outputs > 0
            return float(accuracy_score(y, found, sample_weight=weights))
        outputs = rates(outputs) if self._trained.loss == LOGARITHMIC else outputs
        return float(r2_score(y, outputs, sample_weight=weights)) if np.isfinite(outputs).all() else np.nan
