"""Base classes of the kinds of estimators: linear models and networks, classifiers and regressors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted

from ..activations import log_softmax, softmax
from ..checks import FLOATS, NON_NEGATIVE, check_choice, check_number, check_reals, check_size
from ..losses import ANY, COUNTS, LOSSES, check_loss
from ..models import MLP, LinearModel
from .base import Estimator, Rows, Values, all_or_nothing, naming
from .standardization import LOGARITHMIC, Standardization, Statistics, standardization, statistics


class Linear(Estimator):
    """Base class of the linear estimators."""

    coef_: NDArray[Any]
    intercept_: Any

    _fitted = "coef_", "intercept_"

    fit_intercept: bool

    def _linear(self, features: int, dtype: Any, outputs: int | None, loss: str, parameters: Any = None) -> LinearModel:
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

    def _start(self, X: Any, seed: int, options: Mapping[str, Any] | None = None) -> None:
        given = dict(self.optimizer_options or {})
        if self._takes_l1():  # of w alone
            l1 = check_number(type(self).__name__, "l1", self._penalties()[0], NON_NEGATIVE)
            given = {"l1": l1, "groups": [{"params": ["b"], "l1": 0.0}]} | given
        elif not given.keys() & {"l1", "groups"}:
            given.pop("proximal", None)  # there is nothing for it to take
        super()._start(X, seed, given)

    def _views(self) -> list[NDArray[Any]]:
        w, b = self._trained.parameters["w"].T, self._trained.parameters["b"]
        return [w, b[0, ...] if w.ndim == 1 else b]

    def _by_output(self, factor: NDArray[Any]) -> NDArray[Any]:
        return factor[:, np.newaxis]

    def _go_on(self, last: Mapping[str, Any]) -> None:
        forgotten = not self.fit_intercept and np.any(self.intercept_)
        super()._go_on({**last, "_optimizer": None} if forgotten else last)  # its momentum would move b
        if forgotten:
            self._trained.parameters["b"][...] = 0

    def _set(self, weights: list[NDArray[Any]], biases: list[NDArray[Any]]) -> None:
        self.coef_, self.intercept_ = np.ascontiguousarray(weights[0]), biases[0][()]

    def _given(self) -> list[tuple[str, Any]]:
        return [("coef_", self.coef_), ("intercept_", self.intercept_)]

    def _outputs(self, X: Rows) -> NDArray[Any]:
        check_is_fitted(self)
        coef, intercept = np.asarray(self.coef_), np.asarray(self.intercept_)
        rows = self._rows(X, coef.dtype if coef.dtype in FLOATS else np.float64)
        name, expected = type(self).__name__, (*coef.shape[:-1], rows.shape[1])
        if coef.shape != expected:
            raise ValueError(f"{name}: coef_ must have shape {expected}, got {coef.shape}")
        if intercept.shape not in (coef.shape[:-1], (1,)):
            raise ValueError(f"{name}: intercept_ must have shape {coef.shape[:-1]}, got {intercept.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            out = rows @ coef.T
            out += intercept
        return out


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

    def _set_classes(self, classes: Any) -> None:
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__}: y must hold at least 2 classes, got {len(classes)} class")
        self.classes_ = classes

    @all_or_nothing
    def partial_fit(
        self, X: Rows, y: Values, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch on X and y, with weights as in `fit`; return self.

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
        classes = np.asarray(self.classes_)
        if len(classes) <= indices.max():
            raise ValueError(
                f"{type(self).__name__}: classes_ must name all classes of the model, got {classes.tolist()}"
            )
        return classes[indices]

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

    loss: str
    loss_parameters: Mapping[str, Any] | None

    _losses = (*(name for name, loss in LOSSES.items() if not loss.labels and loss.targets in (ANY, COUNTS)), "squared")
    _several = True
    _shape: tuple[int, ...]  # of a row of y
    _kind: tuple[bool, bool]  # of the loss, and whether there are intercepts
    _statistics: Statistics  # of the targets that training began with
    _units: Standardization

    def _targets(self, y: NDArray[Any], dtype: np.dtype, reset: bool) -> NDArray[Any]:
        check_choice(type(self).__name__, "loss", self.loss, self._losses)
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

    def _prepare(self, y: Any, weights: NDArray[Any] | None, again: bool) -> None:
        name, loss = type(self).__name__, check_loss(type(self).__name__, self.loss)
        given = self.loss_parameters or {}
        check_reals(name, given, LOSSES[loss].parameters, np.dtype(np.float64))
        l1, l2 = (check_number(name, each, getattr(self, each), NON_NEGATIVE) for each in ("l1", "l2"))
        l1, l2 = (l1, l2) if isinstance(self, Linear) else (0.0, 0.0)  # a network's are the optimizer's
        kind = loss == LOGARITHMIC, getattr(self, "fit_intercept", True)
        if not again or kind != self._kind:
            self._kind, self._statistics = kind, statistics(y, weights, shifted=kind[1])
        self._units = standardization(loss, given, l1, l2, self._statistics)

    def _as_trained(self, y: Any) -> NDArray[Any]:
        return self._units.standardized(y, self._trained.dtype)

    def _loss_shown(self, loss: float, y: NDArray[Any], weights: NDArray[Any] | None) -> float:
        return self._units.loss_in_units(loss, float(np.mean(np.average(y, axis=0, weights=weights))))

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the predictions, shaped like y."""
        outputs = self._outputs(X)
        return np.exp(outputs) if getattr(self, "_trained", self).loss == LOGARITHMIC else outputs


class Network(Estimator):
    """Base class of the networks."""

    hidden_layer_sizes: int | Sequence[int]
    activation: str
    weight_decay: float
    dropout: float | Sequence[float]
    _fitted = "coefs_", "intercepts_"
    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]

    def _network(self, features: int, dtype: Any, seed: int, outputs: int, loss: str, parameters: Any = None) -> MLP:
        given = self.hidden_layer_sizes
        sizes: list[Any] = [*given] if isinstance(given, (tuple, list)) else [given]
        for k, size in enumerate(sizes):
            check_size(type(self).__name__, f"hidden_layer_sizes[{k}]", size)
        return MLP(
            [features, *sizes, outputs],
            self.activation,
            dropout=self.dropout,
            loss=loss,
            loss_parameters=parameters,
            dtype=dtype,
            seed=seed,
        )

    def _start(self, X: Any, seed: int) -> None:
        given = self.optimizer_options or {}
        name, names = type(self).__name__, ("l1", "l2", "weight_decay")
        penalties = {each: check_number(name, each, getattr(self, each), NON_NEGATIVE) for each in names}
        penalties = {each: value for each, value in penalties.items() if value}  # 0 leaves the optimizer's default
        super()._start(X, seed, {**penalties, **given})

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
        check_is_fitted(self)
        self._write()
        z = self._trained.forward(self._rows(X, self._trained.dtype))
        return z if self._units is None else (z * self._units.factor + self._units.offset).astype(z.dtype)
