"""Base classes of the kinds of estimators: linear models and networks, classifiers and regressors."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted

from ..activations import log_sigmoid, log_softmax, sigmoid, softmax
from ..checks import NON_NEGATIVE, check_choice, check_number, check_reals, check_size
from ..losses import ANY, COUNTS, LOSSES, check_loss, rates
from ..models import MLP, LinearModel
from .base import Estimator, Rows, Values
from .guards import all_or_nothing, naming, real_array
from .standardization import LOGARITHMIC, Standardization, Statistics, standardization, statistics


class Linear(Estimator):
    """Base class of the linear estimators."""

    coef_: NDArray[Any]
    intercept_: Any

    _fitted = "coef_", "intercept_"

    fit_intercept: bool

    def _linear(self, features: int, dtype: Any, outputs: int | None, loss: Any, parameters: Any = None) -> LinearModel:
        l1, l2 = self._penalties()
        given: Any = parameters or {}
        model = LinearModel(features, outputs, loss, l1, l2, dtype, fit_intercept=self.fit_intercept, **given)
        if self._takes_l1():
            model._leave_l1()
        return model

    def _penalties(self) -> tuple[float, float]:
        """Return l1 and l2 beside the loss of training."""
        return self._units.penalties(self.l1, self.l2) if self._units else (self.l1, self.l2)

    def _takes_l1(self) -> bool:
        """Return True if the optimizer takes l1 by its proximal step."""
        return bool(self.l1 and (self.optimizer_options or {}).get("proximal"))

    def _options(self) -> dict[str, Any]:
        given, name = super()._options(), type(self).__name__
        if not self._takes_l1():
            if not given.keys() & {"l1", "groups"}:
                given.pop("proximal", None)  # there is nothing for it to take
            return given
        check_choice(f"{name}: with l1 and proximal", "optimizer", self.optimizer, ("SGD", "Momentum", "Nesterov"))
        _check_once(name, "l1", given)
        given["l1"] = check_number(name, "l1", self._penalties()[0], NON_NEGATIVE)
        groups, b = given.get("groups", ()), {"l1": 0.0}  # of w alone
        if not isinstance(groups, (list, tuple)) or not all(isinstance(each, Mapping) for each in groups):
            return given  # which the optimizer refuses
        others = []
        for group in groups:
            keys = group.get("params")
            if isinstance(keys, (list, tuple)) and "b" in keys:
                b |= group
                group = {**group, "params": [key for key in keys if key != "b"]}
            others += [group] if group.get("params") != [] else []
        return given | {"groups": [*others, b | {"params": ["b"]}]}

    def _views(self) -> list[NDArray[Any]]:
        w, b = self._trained.parameters["w"].T, self._trained.parameters["b"]
        return [w, b[0, ...] if w.ndim == 1 else b]

    def _by_output(self, factor: NDArray[Any]) -> NDArray[Any]:
        return factor[:, np.newaxis]

    def _carry(self, last: Mapping[str, Any], X: Any, y: Any, weights: Any) -> Any:
        former = super()._carry(last, X, y, weights)
        if self.fit_intercept or not np.any(self.intercept_):
            return former
        self._trained.parameters["b"][...] = 0
        return None  # its momentum would move b

    def _set(self, weights: list[NDArray[Any]], biases: list[NDArray[Any]]) -> None:
        self.coef_, self.intercept_ = np.ascontiguousarray(weights[0]), biases[0][()]

    def _given(self) -> list[tuple[str, Any]]:
        return [("coef_", self.coef_), ("intercept_", self.intercept_)]

    def _outputs(self, X: Rows) -> NDArray[Any]:
        check_is_fitted(self)
        where = type(self).__name__
        coef = real_array(where, "coef_", self.coef_)
        rows, outputs = self._rows(X, coef.dtype), self._outputs_shape(coef)
        coef = real_array(where, "coef_", coef, (*outputs, rows.shape[1]))
        intercept = real_array(where, "intercept_", self.intercept_, outputs)
        with np.errstate(over="ignore", invalid="ignore"):
            out = rows @ coef.T
            out += intercept
        return out

    def _outputs_shape(self, coef: NDArray[Any]) -> tuple[int, ...]:
        """Return the shape of the intercepts."""
        classes = len(getattr(self, "classes_", ()))
        return (classes,) if classes else getattr(self, "_shape", coef.shape[:-1])


def _check_once(name: str, penalty: str, options: Mapping[str, Any]) -> None:
    """Raise if a penalty that is an argument is one of the optimizer's options, too."""
    if penalty in options:
        raise ValueError(f"{name}: {penalty} must be given once, got {options[penalty]!r} in optimizer_options as well")


def sigmoids(outputs: NDArray[Any], function: Callable[..., Any]) -> NDArray[Any]:
    """Return the sigmoids in place of a softmax, or their logarithms."""
    return sigmoid(outputs) if function is softmax else log_sigmoid(outputs)


class Classifier(ClassifierMixin, Estimator):
    """Base class of the classifiers: classes of any type."""

    class_weight: Mapping[Any, float] | str | None
    classes_: NDArray[Any]

    def _class_weights(self, y: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        given, name = self.class_weight, f"{type(self).__name__}: class_weight"
        if given is None:
            return None
        if y.ndim == 2:
            raise ValueError(f"{name} must be None where rows have several labels, got {given!r}")
        if isinstance(given, str) and given == "balanced":
            counts = np.bincount(y, weights, len(self.classes_))
            return np.divide(counts.sum() / np.count_nonzero(counts), counts, where=counts > 0, out=0 * counts)[y]
        if not isinstance(given, Mapping):
            raise TypeError(f'{name} must be a dict, "balanced" or None, got {given!r}')
        for each, value in given.items():
            check_number(type(self).__name__, f"class_weight[{each!r}]", value, NON_NEGATIVE)
        classes = np.asarray(self.classes_).tolist()
        unknown = given.keys() - set(classes)
        if unknown and not given.keys() >= set(classes):  # else some classes are not in y, as in a part of the data
            raise ValueError(f"{name} must be of the classes {classes}, got {min(map(str, unknown))}")
        return np.array([given.get(each, 1.0) for each in classes])[y]

    def _targets(self, y: NDArray[Any], dtype: np.dtype, reset: bool) -> NDArray[Any]:
        name = type(self).__name__
        with naming(self, "y"):
            check_classification_targets(y)
        if reset:
            self._set_classes(unique_labels(y))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"{name}: y must be one of {list(self.classes_)}, got {unknown[0]!r}")
        order = np.argsort(self.classes_)  # which users may have set
        return order[np.searchsorted(self.classes_, y, sorter=order)]

    def __sklearn_is_fitted__(self) -> bool:
        return super().__sklearn_is_fitted__() and "classes_" in vars(self)

    def _write(self) -> None:
        self._check_classes(max(2, self._views()[-1].size))
        super()._write()

    def _check_classes(self, count: int) -> None:
        """Raise unless `classes_` names so many classes."""
        if len(self.classes_) != count:
            classes = np.asarray(self.classes_).tolist()
            raise ValueError(
                f"{type(self).__name__}: classes_ must name the {count} classes of the model, got {classes}"
            )

    def _set_classes(self, classes: Any) -> None:
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__}: y must hold at least 2 classes, got {len(classes)} class")
        self.classes_ = classes

    @all_or_nothing
    def partial_fit(
        self, X: Rows, y: Values, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch on X and y; return self. Weights multiply the losses of rows, and so the steps.

        The first call needs all `classes` of all calls. class_weight must not be "balanced", which needs all rows.
        """
        first = not hasattr(self, "_optimizer")
        if first and classes is None:
            raise ValueError(f"{type(self).__name__}.partial_fit: classes must be given in the first call")
        if classes is not None:
            with naming(self, "classes"):
                classes = np.unique(classes)
        if first:
            self._set_classes(classes)
        elif classes is not None and not np.array_equal(classes, np.sort(self.classes_)):
            raise ValueError(f"{type(self).__name__}.partial_fit: classes must be those of the first call")
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}.partial_fit: class_weight must be a dict or None, got {self.class_weight!r}; "
                "sklearn.utils.class_weight.compute_class_weight makes one of all labels"
            )
        return self._partial_fit(X, y, sample_weight, reset_targets=False)

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the class of each row."""
        indices = self._indices(self._outputs(X))
        return np.asarray(self.classes_)[indices]

    def predict_proba(self, X: Rows) -> NDArray[Any]:
        """Return the probability of each class, of shape (rows, classes)."""
        return self._probabilities(self._outputs(X), softmax)

    def predict_log_proba(self, X: Rows) -> NDArray[Any]:
        """Return the logarithms of the probabilities."""
        return self._probabilities(self._outputs(X), log_softmax)  # finite where a probability underflows

    def decision_function(self, X: Rows) -> NDArray[Any]:
        """Return the logits, of shape (rows, classes); for two classes those of the second, of shape (rows,)."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 2 else outputs

    def _indices(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs.argmax(axis=1)

    def _probabilities(self, outputs: NDArray[Any], function: Callable[..., Any]) -> NDArray[Any]:
        return function(outputs)


class Regressor(MultiOutputMixin, RegressorMixin, Estimator):
    """Base class of the regressors: one output or several, trained on standardized targets."""

    loss: Any
    loss_parameters: Mapping[str, Any] | None

    _losses = (
        *(name for name, loss in LOSSES.items() if not loss.labels and loss.targets in (ANY, COUNTS)),
        "squared",
        "squared_error",
    )
    _several = True
    _shape: tuple[int, ...]  # of a row of y
    _kind: tuple[bool, bool, tuple[int, ...]]  # of the loss, whether there are intercepts, and of the outputs
    _seen: Statistics  # of all targets so far
    _units: Standardization

    def _targets(self, y: NDArray[Any], dtype: np.dtype, reset: bool) -> NDArray[Any]:
        loss = check_loss(type(self).__name__, self.loss, self._losses)
        if LOSSES[loss].targets not in (ANY, COUNTS):
            raise ValueError(f"{type(self).__name__}: loss must take any numbers, or counts, as targets, got {loss!r}")
        shape = y.shape[1:]
        if reset:
            self._shape = shape
        elif shape != self._shape:
            raise ValueError(f"{type(self).__name__}: y has shape {y.shape}, expected {('rows', *self._shape)}")
        if issparse(y) or y.dtype.kind not in "biuf":
            raise ValueError(f"{type(self).__name__}: y must be a dense array of numbers, got {type(y)} of {y.dtype}")
        with np.errstate(over="ignore"):
            if not np.isfinite(y.astype(dtype)).all():
                raise ValueError(f"{type(self).__name__}: y must be finite as {dtype}, like X")
        if self.loss == LOGARITHMIC and np.min(y) < 0:
            raise ValueError(f"{type(self).__name__}: y must be 0 or above with the loss poisson, got {np.min(y)}")
        return y.astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.loss == LOGARITHMIC
        return tags

    def _prepare(self, y: Any, weights: NDArray[Any] | None, last: Mapping[str, Any], more: bool) -> None:
        name, loss = type(self).__name__, check_loss(type(self).__name__, self.loss)
        kind = loss == LOGARITHMIC, getattr(self, "fit_intercept", True), self._shape
        self._seen = statistics(y, weights, shifted=kind[1])
        used = last.get("_statistics") if kind == last.get("_kind") else None
        if used:
            self._seen = last["_seen"].merged(self._seen) if more else self._seen
            used = used if used.suits(self._seen) else None  # else the units are found anew
        if used and more and self._made == self._making():
            return
        self._kind, self._statistics = kind, used or self._seen
        given = self.loss_parameters or {}
        check_reals(name, given, LOSSES[loss].parameters, np.dtype(np.float64))
        l1, l2 = (check_number(name, each, getattr(self, each), NON_NEGATIVE) for each in ("l1", "l2"))
        l1, l2 = (l1, l2) if isinstance(self, Linear) else (0.0, 0.0)  # a network's are the optimizer's
        self._units, spread = standardization(loss, given, l1, l2, self._statistics)
        if spread > 30:
            warnings.warn(
                f"{name}: all outputs share one scale with the loss {loss} or penalties, but theirs differ by a factor "
                f"of {spread:.2g}, so that the smaller ones are hardly learned; scale the columns of y, or fit a model "
                "for each output, as sklearn.multioutput.MultiOutputRegressor does",
                UserWarning,
                stacklevel=4,
            )

    def _as_trained(self, y: Any) -> NDArray[Any]:
        return self._units.standardized(y, self._trained.dtype)

    def _loss_shown(self, loss: float, y: NDArray[Any], weights: NDArray[Any] | None) -> float:
        return self._units.loss_in_units(loss, float(np.mean(np.average(y, axis=0, weights=weights))))

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the predictions, shaped like y."""
        outputs = self._outputs(X)
        return rates(outputs) if getattr(self, "_trained", self).loss == LOGARITHMIC else outputs


class Network(Estimator):
    """Base class of the networks."""

    hidden_layer_sizes: int | Sequence[int]
    activation: Any
    weight_decay: float
    dropout: float | Sequence[float]
    _fitted = "coefs_", "intercepts_"
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]

    def _network(self, features: int, dtype: Any, seed: int, outputs: int, loss: Any, parameters: Any = None) -> MLP:
        given: Any = self.hidden_layer_sizes
        given = given.tolist() if isinstance(given, np.ndarray) else given
        sizes: list[Any] = [*given] if isinstance(given, (tuple, list, range)) else [given]
        for k, size in enumerate(sizes):
            check_size(type(self).__name__, f"hidden_layer_sizes[{k}]", size)
        return MLP(
            [features, *sizes, outputs],
            "sigmoid" if self.activation == "logistic" else self.activation,
            dropout=self.dropout,
            loss=loss,
            loss_parameters=parameters,
            dtype=dtype,
            seed=seed,
        )

    def _options(self) -> dict[str, Any]:
        options, name = super()._options(), type(self).__name__
        for each in ("l1", "l2", "weight_decay"):
            value = check_number(name, each, getattr(self, each), NON_NEGATIVE)
            if value:  # 0 leaves the optimizer's default
                _check_once(name, each, options)
                options[each] = value
        return options

    def _views(self) -> list[NDArray[Any]]:
        return [view for name, view in self._trained.parameters.items() if name[0] in "Wb"]

    def _set(self, weights: list[NDArray[Any]], biases: list[NDArray[Any]]) -> None:
        self.coefs_, self.intercepts_ = weights, biases

    def _given(self) -> list[tuple[str, Any]]:
        layers, name = len(self._views()) // 2, type(self).__name__
        for attribute in self._fitted:
            with naming(self, attribute):
                count = len(getattr(self, attribute))
            if count != layers:
                raise ValueError(f"{name}: {attribute} must hold {layers} arrays, got {count}")
        pairs = enumerate(zip(self.coefs_, self.intercepts_, strict=True))
        return [each for k, (w, b) in pairs for each in ((f"coefs_[{k}]", w), (f"intercepts_[{k}]", b))]

    def _outputs(self, X: Rows) -> NDArray[Any]:
        check_is_fitted(self, "_trained")
        self._write()
        z = self._trained.forward(self._rows(X, self._trained.dtype))
        return z if self._units is None else (z * self._units.factor + self._units.offset).astype(z.dtype)
