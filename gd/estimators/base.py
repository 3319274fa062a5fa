"""Base classes of the estimators: scikit-learn validates, `gd.fit` trains."""

import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from ..batches import cut, shuffled
from ..checks import NON_NEGATIVE, OPEN_UNIT, check_flag, check_integer, check_number, lent
from ..kernels.interruption import Interruption
from ..models import MLP, LinearModel
from ..optimizers import OPTIMIZERS, Optimizer, check_optimizer
from ..training import EarlyStopping, History, averaged, fit, schedules_of
from ..typing import Array, Rate
from .guards import all_or_nothing, in_dtype, naming, real_array, snapshot

Values = Array | ArrayLike
_MAKING = ("l1", "l2", "weight_decay", "optimizer", "lr", "optimizer_options", "loss", "loss_parameters", "dropout")
_MAKING += ("fit_intercept", "hidden_layer_sizes", "activation")  # arguments of models and optimizers
Rows = Values | csr_array | csr_matrix


def _seed(rng: np.random.RandomState) -> int:
    return int(rng.randint(2**31 - 1))


def _advice(X: Any, batch_size: int) -> str:
    """Return what may help a training that did not reach a plateau."""
    advice = "raise max_iter or lr" + (", or lower batch_size" if X.shape[0] < 16 * batch_size else "")
    sizes = np.ones(1) if issparse(X) else np.abs(X).max(axis=0)
    if np.any((sizes > 30) | ((sizes < 0.3) & (sizes > 0))):  # not those of one-hot columns, nor of standardized ones
        return f"scale the columns of X, as sklearn.preprocessing.StandardScaler does, or {advice}"
    return advice


class Estimator(BaseEstimator):
    """Base class of all estimators: checks, training, stopping and warm starts."""

    l1: float
    l2: float
    optimizer: str | type
    lr: Rate
    optimizer_options: Mapping[str, Any] | None
    batch_size: int | str | None
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool
    validation_fraction: float
    warm_start: bool
    random_state: int | np.random.RandomState | None
    verbose: bool
    n_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    n_features_in_: int
    _batch: int  # rows of a batch
    _trained: Any  # a LinearModel, or an MLP of one head
    _optimizer: Optimizer

    _fitted: tuple[str, ...]  # attributes that are enough to predict
    _made: dict[str, Any]  # the arguments that model and optimizer were made of
    _aside: tuple[NDArray[Any], NDArray[Any]] | None  # averages, which predict, and the parameters that train on
    _units: Any = None  # a Standardization of regressors
    _statistics: Any = None  # those of the targets that the units come from
    _several = False  # True if y may be a matrix

    def _targets(self, y: NDArray[Any], dtype: np.dtype, reset: bool) -> NDArray[Any]:
        """Return checked targets; store the classes or the number of outputs."""
        raise NotImplementedError

    def _class_weights(self, y: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the weight of each row's class, if classes have weights."""
        return None

    def _prepare(self, y: Any, weights: NDArray[Any] | None, last: Mapping[str, Any], more: bool) -> None:
        """Learn from the targets, before the model is made; `more` if they are added to those of the `last` call."""

    def _as_trained(self, y: Any) -> NDArray[Any]:
        """Return checked targets as `gd.fit` takes them."""
        return y

    def _loss_shown(self, loss: float, y: NDArray[Any], weights: NDArray[Any] | None) -> float:
        """Return a mean loss of training, on targets as `gd.fit` takes them, in units of y."""
        return loss

    def _model(self, features: int, dtype: np.dtype, seed: int) -> MLP | LinearModel:
        """Return an untrained model."""
        raise NotImplementedError

    def _views(self) -> list[NDArray[Any]]:
        """Return the weights and biases of each layer in turn: views of what is trained, shaped as the attributes."""
        raise NotImplementedError

    def _set(self, weights: list[NDArray[Any]], biases: list[NDArray[Any]]) -> None:
        """Set the attributes of the parameters."""
        raise NotImplementedError

    def _given(self) -> list[tuple[str, Any]]:
        """Return names and values of the attributes in the order of `_views`."""
        raise NotImplementedError

    def _in_units(self) -> list[NDArray[Any]]:
        """Return `_views`, or copies in units of y of the last layer's."""
        arrays = self._views()
        if self._units:
            factor, offset = self._units.factor, self._units.offset
            w, b = arrays[-2:]
            arrays[-2:] = self._like(w, w * self._by_output(factor)), self._like(b, b * factor + offset)
        return arrays

    def _by_output(self, factor: NDArray[Any]) -> NDArray[Any]:
        """Return factors of the outputs as they multiply the last layer's weights."""
        return factor

    @staticmethod
    def _like(array: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
        return value.reshape(array.shape).astype(array.dtype)

    def _read(self) -> None:
        """Set the attributes of the trained parameters, or of their averages."""
        vector, self._aside = self._trained.parameters.vector, None
        if self._average() != "parameters":
            with averaged(self._optimizer, self._average()):
                average = vector.copy()
            self._aside = average, vector.copy()
            vector[:] = average
        arrays = [array.copy() for array in self._in_units()]
        self._set(arrays[::2], arrays[1::2])

    def _average(self) -> Any:
        """Return what is evaluated, as `gd.fit` takes it: the parameters or an average of them."""
        return self._optimizer.evaluated if self._optimizer.ema is None else "ema"

    def _write(self) -> None:
        """Write attributes that users changed, those that are not what `_read` set, into the parameters."""
        views, where = self._views(), type(self).__name__
        for k, ((name, value), known, view) in enumerate(zip(self._given(), self._in_units(), views, strict=True)):
            value = real_array(where, name, value, known.shape)
            if not np.array_equal(value if self._units else value.astype(view.dtype, copy=False), known):
                if self._units and k == len(views) - 2:
                    value = (value / self._by_output(self._units.factor)).reshape(view.shape)
                elif self._units and k == len(views) - 1:
                    value = ((value - self._units.offset) / self._units.factor).reshape(view.shape)
                view[...] = value

    def _edited(self) -> bool:
        """Return True if averages were edited: training then goes on from these, not from the parameters aside."""
        return self._aside is not None and not np.array_equal(self._trained.parameters.vector, self._aside[0])

    @all_or_nothing
    def fit(self, X: Rows, y: Values, sample_weight: ArrayLike | None = None) -> Self:
        """Train on X, of shape (rows, features), and targets y; return self.

        A row of weight 2 counts like two equal rows, and one of weight 0 not at all. With warm_start, training starts
        from the last fit's parameters, and from its optimizer's state if that fits.
        """
        rule, epochs, share = self._arguments()
        last = dict(vars(self)) if self.warm_start and self.__sklearn_is_fitted__() else {}
        rows, targets = self._checked(X, y, reset=True)
        targets = self._targets(targets, rows.dtype, reset=True)
        rows, targets, weights = self._counted(rows, targets, sample_weight)
        rng = self._rng()
        seed = _seed(rng)
        held = None
        if self.early_stopping:
            labels = targets if hasattr(self, "classes_") and targets.ndim == 1 else None
            arrays = [rows, targets] if weights is None else [rows, targets, weights]
            try:
                parts: list[Any] = train_test_split(*arrays, test_size=share, random_state=rng, stratify=labels)
            except ValueError as error:
                raise ValueError(f"{type(self).__name__}: validation_fraction={share} does not fit: {error}") from None
            rows, targets, *of_rows = parts[::2]
            weights, held = of_rows[0] if of_rows else None, parts[1::2]
        self._prepare(targets, weights, last, more=False)
        self._start(rows, targets, weights, seed, last)
        validation = None if held is None else (held[0], self._as_trained(held[1]), *held[2:])
        history = self._run(rows, self._as_trained(targets), weights, epochs, rng, validation, rule)
        self.n_iter_, self.loss_curve_ = len(history.loss), history.loss
        self.validation_scores_ = history.score if self.early_stopping else None
        self._read()
        return self

    def partial_fit(self, X: Rows, y: Values, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch on X and y; return self. Weights multiply the losses of rows, and so the steps."""
        return self._partial_fit(X, y, sample_weight)

    @all_or_nothing
    def _partial_fit(self, X: Rows, y: Values, sample_weight: Any, reset_targets: bool | None = None) -> Self:
        last = dict(vars(self)) if self.__sklearn_is_fitted__() else {}
        first = "_optimizer" not in last
        self._arguments()
        rows, targets = self._checked(X, y, reset=first)
        rows = rows if first else in_dtype(type(self).__name__, rows, self._trained.dtype)
        targets = self._targets(targets, rows.dtype, reset=first if reset_targets is None else reset_targets)
        rows, targets, weights = self._counted(rows, targets, sample_weight, relative=False)
        rng = self._rng()
        if first:
            self.n_iter_, self.loss_curve_, self.validation_scores_ = 0, [], None
        self._prepare(targets, weights, last, more=True)
        goes_on = not first and self._statistics is last.get("_statistics") and self._made == self._making()
        if goes_on:
            self._write()
            goes_on = not self._edited()
        if not goes_on:
            self._start(rows, targets, weights, _seed(rng), last)
        vector, optimizer = self._trained.parameters.vector, self._optimizer
        before, state = vector.copy(), optimizer.state_dict()
        try:
            if goes_on and self._aside:
                vector[:] = self._aside[1]
            history = self._run(rows, self._as_trained(targets), weights, 1, rng, None, None, relative=False)
            self.n_iter_ += 1
            self.loss_curve_ = [*self.loss_curve_, *history.loss]
            self._read()
        except BaseException:
            with Interruption():
                vector[:] = before
                optimizer.load_state_dict(state)
            raise
        return self

    def _rng(self) -> np.random.RandomState:
        with naming(self, "random_state"):
            return check_random_state(self.random_state)

    def _arguments(self) -> tuple[EarlyStopping, int, float]:
        """Check all arguments; return the stopping rule, the number of epochs and the validation fraction."""
        name = type(self).__name__
        patience = check_integer(name, "n_iter_no_change", self.n_iter_no_change, 1)
        tol = check_number(name, "tol", self.tol, NON_NEGATIVE)
        for flag in ("early_stopping", "warm_start", "verbose", "fit_intercept"):
            check_flag(name, flag, getattr(self, flag, True))
        for mapping in ("optimizer_options", "loss_parameters"):
            given = getattr(self, mapping, None)
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{name}: {mapping} must be a dict, got {given!r}")
        for argument in ("lr", "params"):
            if argument in (self.optimizer_options or {}):
                raise TypeError(f"{name}: optimizer_options must not hold {argument!r}")
        check_optimizer(name, "optimizer", self.optimizer)
        self._batch = 128 if self.batch_size is None else check_integer(name, "batch_size", self.batch_size, 1)
        share = check_number(name, "validation_fraction", self.validation_fraction, OPEN_UNIT)
        rule = EarlyStopping(patience, tol, restore_best=bool(self.early_stopping))
        return rule, check_integer(name, "max_iter", self.max_iter, 1), share

    def _options(self) -> dict[str, Any]:
        """Return the optimizer's arguments, but for lr."""
        return dict(self.optimizer_options or {})

    def _making(self) -> dict[str, Any]:
        """Return the arguments for making model and optimizer, as they are now."""
        return {name: snapshot(getattr(self, name)) for name in _MAKING if hasattr(self, name)}

    def _start(self, X: Any, y: Any, weights: Any, seed: int, last: Mapping[str, Any]) -> None:
        """Make model and optimizer; go on from the attributes of the last call, and from its optimizer if that fits."""
        model = self._trained = self._model(X.shape[1], X.dtype, seed)
        former: Any = self._carry(last, X, y, weights) if last else None
        lr, options = deepcopy((self.lr, self._options()))  # schedules such as ReduceOnPlateau change
        optimizer = self._optimizer = OPTIMIZERS[self.optimizer](model.parameters, lr=lr, **options)
        self._made = self._making()
        state = former.state_dict() if type(former) is type(optimizer) else {}
        if state.keys() != optimizer.state_dict().keys():
            return
        optimizer.load_state_dict(state)
        if self._aside:
            model.parameters.vector[:] = self._aside[1]
        schedules = schedules_of(former)
        for name, each in schedules_of(optimizer).items():
            if hasattr(each, "state_dict") and type(each) is type(schedules.get(name)):
                counted = schedules[name].state_dict()
                if snapshot(vars(each) | counted) == snapshot(vars(schedules[name])):  # else another one is given
                    each.load_state_dict(counted)

    def _carry(self, last: Mapping[str, Any], X: Any, y: Any, weights: Any) -> Any:
        """Take over parameters by the attributes; return the optimizer of the last call, if it can go on, or None."""
        own, model = self._trained.parameters, last.get("_trained")
        if model is not None:
            try:
                alike = [np.shape(value) for _, value in self._given()] == [view.shape for view in self._views()]
            except ValueError:  # there are more layers, or fewer
                alike = False
            if not alike or not np.array_equal(last.get("classes_"), getattr(self, "classes_", None)):  # pyright: ignore[reportArgumentType]
                raise ValueError(
                    f"{type(self).__name__}: X, y and hidden_layer_sizes must be like those of the last fit, to go on "
                    "from it: the same features, outputs and classes, and the same hidden layers"
                )
            if own.shapes == model.parameters.shapes:  # slopes of prelu are not among the attributes
                own.vector[:] = model.parameters.vector
        kept = own.vector.copy()
        self._write()
        if model is None or own.shapes != model.parameters.shapes:
            return None
        if self._statistics is not last.get("_statistics"):  # the function in units of y, or its form: the better one
            carried, losses = own.vector.copy(), []
            for vector in (kept, carried):
                own.vector[:] = vector
                with np.errstate(all="ignore"):
                    losses.append(self._trained.evaluate(X, self._as_trained(y), weights).loss)
            if not losses[1] <= losses[0]:
                own.vector[:] = kept
            return None
        return None if model.dtype != own.dtype or self._edited() else last["_optimizer"]

    def _counted(self, X: Any, y: Any, sample_weight: Any, relative: bool = True) -> tuple[Any, Any, Any]:
        """Return the rows that count, their targets and weights; these are None if all are equal, or 1 if absolute."""
        weights = self._weights_of_rows(y, sample_weight)
        weights = np.ones(len(y)) if weights is None else weights
        weights = (weights / weights.max() if relative else weights).astype(X.dtype)
        if not weights.all():
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        return X, y, None if (weights == (weights[0] if relative else 1)).all() else weights

    def _weights_of_rows(self, y: Any, sample_weight: Any) -> NDArray[np.float64] | None:
        """Return the checked weights of rows times those of their classes, or None if there are neither."""
        name, weights = type(self).__name__, np.ones(len(y))
        if sample_weight is not None:
            weights = real_array(name, "sample_weight", lent(name, "sample_weight", sample_weight)).astype(np.float64)
            weights = np.full(len(y), weights) if weights.ndim == 0 else weights
            if weights.shape != (len(y),):
                raise ValueError(f"{name}: sample_weight must have shape {(len(y),)}, got {weights.shape}")
            if not np.all((weights >= 0) & (weights < np.inf)):
                raise ValueError(
                    f"{name}: sample_weight must be finite and 0 or above, got {weights.min()} to {weights.max()}"
                )
        of_classes = self._class_weights(y, weights)
        weights = weights if of_classes is None else weights * of_classes
        if not weights.any():
            factors = "sample_weight" if of_classes is None else "sample_weight times class_weight"
            raise ValueError(f"{name}: {factors} must be above zero for some row, got zero for all")
        return None if sample_weight is None and of_classes is None else weights

    def _run(self, X, y, weights, epochs: int, rng: np.random.RandomState, validation, rule, relative=True) -> History:
        seed, data = _seed(rng), (X, y)
        given: dict[str, Any] = {"batch_size": self._batch, "seed": seed, "sample_weight": weights}
        if weights is not None and not relative:  # batches take them as they are: the mean of all rows is not known
            order = list(cut(shuffled(len(weights), seed, 0), self._batch))
            data = ((X[rows], y[rows], weights[rows]) for rows in order), None
            given = {"steps_per_epoch": len(order)}
        history = fit(
            self._trained,
            *data,
            self._optimizer,
            epochs=epochs,
            validation=validation,
            early_stopping=rule,
            evaluate=self._average(),
            progress=bool(self.verbose),
            **given,
        )
        first, last = history.loss[0], history.loss[-1]
        diverged = not last <= first + max(self.tol, abs(first) / 10)  # less is noise, as of a start at the minimum
        history.loss = [self._loss_shown(loss, y, weights) for loss in history.loss]
        if epochs > 1 and (diverged or not history.stopped):
            what = f"ended by max_iter={epochs}, before the loss reached a plateau; {_advice(X, self._batch)}"
            if diverged:
                what = f"diverged: the loss rose from {history.loss[0]:.3g} to {history.loss[-1]:.3g}; lower lr, or "
                what += "scale the columns of X, as sklearn.preprocessing.StandardScaler does"
            warnings.warn(f"{type(self).__name__}: training {what}", ConvergenceWarning, stacklevel=4)
        return history

    def _checked(self, X, y, reset: bool) -> Any:
        several = {"multi_output": self._several, "y_numeric": isinstance(self, RegressorMixin)}
        name = type(self).__name__
        X, y = lent(name, "X", X), lent(name, "y", y)
        with naming(self, "X", "y"):
            return validate_data(self, X, y, **self._checks(), reset=reset, **several)  # pyright: ignore[reportArgumentType]

    def _checks(self) -> dict[str, Any]:
        return {"dtype": [np.float64, np.float32], "order": "C", "accept_sparse": "csr"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return all(name in vars(self) for name in self._fitted)

    def _outputs(self, X: Rows) -> NDArray[Any]:
        """Check rows; return the outputs for them by the attributes, in units of y."""
        raise NotImplementedError

    def _rows(self, X: Rows, dtype: Any) -> Any:
        """Check rows; return them in a dtype."""
        X = lent(type(self).__name__, "X", X)
        with naming(self, "X"):
            rows: Any = validate_data(self, X, **self._checks(), reset=False)  # pyright: ignore[reportArgumentType]
        return in_dtype(type(self).__name__, rows, dtype)
