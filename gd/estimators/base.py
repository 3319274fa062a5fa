"""What the estimators share: validation by scikit-learn, training by `gd.fit`, its end, and warm starts."""

import functools
import re
import warnings
from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError('gd.estimators needs scikit-learn 1.6 or later: python -m pip install "gd[train]"') from error

from ..activations import softmax
from ..checks import NON_NEGATIVE, OPEN_UNIT, check_choice, check_flag, check_integer, check_number, check_size, lent
from ..models import MLP, LinearModel
from ..optimizers import OPTIMIZERS
from ..training import EarlyStopping, fit

CHOICES = sorted(OPTIMIZERS.keys() - {"ScheduleFreeAdamW"})  # of which the parameters are not the result


def keep(estimator, arguments):
    """Set every argument of a constructor as an attribute of the same name, as scikit-learn asks for."""
    for name, value in arguments.items():
        if name != "self":
            setattr(estimator, name, value)


@contextmanager
def naming(estimator, *names):
    """Let what scikit-learn and NumPy raise in this context name an argument."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if any(re.search(rf"\b{name}\b", str(error)) for name in names):
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{type(estimator).__name__}: {' or '.join(names)} is not as expected: {error}") from error


def _all_or_nothing(method):
    """Leave the estimator as it was if the method raises."""

    @functools.wraps(method)
    def guarded(self, *arguments, **keywords):
        before = dict(vars(self))
        try:
            return method(self, *arguments, **keywords)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return guarded


class Estimator(BaseEstimator):
    """What all estimators share: the training, its end, and warm starts."""

    _several = False  # whether y may be a matrix
    _sparse = False  # what scikit-learn is to accept of sparse X

    def _targets(self, y, dtype, reset):
        """Return targets as `gd.fit` takes them; note the classes or the number of outputs."""

    def _model(self, features, dtype, seed):
        """Return an untrained model."""

    def _read(self):
        """Note as attributes what training has changed."""

    @_all_or_nothing
    def fit(self, X, y):
        """Train on X, of shape (rows, features), and targets y; return self.

        With warm_start, from the parameters of the last fit on, by the hyper-parameters as they are now; the
        optimizer's state is kept if it is of the same optimizer.
        """
        rule, epochs, share = self._arguments()
        last = (self._trained, self._optimizer, getattr(self, "classes_", None)) if self._goes_on() else None
        X, y = self._checked(X, y, reset=True)
        y = self._targets(y, X.dtype, reset=True)
        rng = self._rng()
        self._start(X, rng)
        if last:
            self._go_on(*last)
        validation = None
        if self.early_stopping:
            labels = y if hasattr(self, "classes_") else None
            try:
                X, held_X, y, held_y = train_test_split(X, y, test_size=share, random_state=rng, stratify=labels)
            except ValueError as error:
                raise ValueError(f"{type(self).__name__}: validation_fraction={share} does not fit: {error}") from None
            validation = held_X, held_y
        history = self._run(X, y, epochs, rng, validation, rule)
        self.n_iter_, self.loss_curve_ = len(history.loss), history.loss
        self.validation_scores_ = history.score if self.early_stopping else None
        if epochs > 1 and not history.stopped:
            warnings.warn(
                f"{type(self).__name__}: training ended by max_iter={epochs}, before it reached a plateau",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._read()
        return self

    def partial_fit(self, X, y):
        """Go through X and y once more; return self."""
        return self._partial_fit(X, y)

    @_all_or_nothing
    def _partial_fit(self, X, y, reset_targets=None):
        first = not hasattr(self, "_optimizer")
        self._arguments()
        X, y = self._checked(X, y, reset=first)
        X = X if first else self._in_dtype(X)
        y = self._targets(y, X.dtype, reset=first if reset_targets is None else reset_targets)
        rng = self._rng()
        if first:
            self._start(X, rng)
            self.n_iter_, self.loss_curve_, self.validation_scores_ = 0, [], None
        history = self._run(X, y, 1, rng, None, None)
        self.n_iter_ += 1
        self.loss_curve_ = [*self.loss_curve_, *history.loss]
        self._read()
        return self

    def _rng(self):
        with naming(self, "random_state"):
            return check_random_state(self.random_state)

    def _arguments(self):
        """Return the rule of stopping, epochs and the validation's share, once all arguments were checked."""
        name = type(self).__name__
        patience = check_integer(name, "n_iter_no_change", self.n_iter_no_change, 1)
        tol = check_number(name, "tol", self.tol, NON_NEGATIVE)
        for flag in ("early_stopping", "warm_start", "verbose"):
            check_flag(name, flag, getattr(self, flag))
        for mapping in ("optimizer_options", "loss_parameters"):
            given = getattr(self, mapping, None)
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{name}: {mapping} must be a dict, got {given!r}")
        for argument in ("lr", "params"):
            if argument in (self.optimizer_options or {}):
                raise TypeError(f"{name}: optimizer_options must not hold {argument!r}")
        check_choice(name, "optimizer", self.optimizer, CHOICES)
        check_integer(name, "batch_size", self.batch_size, 1)
        share = check_number(name, "validation_fraction", self.validation_fraction, OPEN_UNIT)
        rule = EarlyStopping(patience, tol, restore_best=bool(self.early_stopping))
        return rule, check_integer(name, "max_iter", self.max_iter, 1), share

    def _start(self, X, rng, options=None):
        optimizer = OPTIMIZERS[self.optimizer]
        options = self.optimizer_options or {} if options is None else options
        seed = int(rng.randint(2**31 - 1))
        self._trained = self._model(X.shape[1], X.dtype, seed)
        self._optimizer = optimizer(self._trained.parameters, lr=self.lr, **options)

    def _goes_on(self):
        """Whether this fit begins where the last one ended."""
        return self.warm_start and hasattr(self, "_optimizer")

    def _go_on(self, model, optimizer, classes):
        """Take over the parameters of a model, and its optimizer's state, as far as they fit."""
        own = self._trained.parameters
        if own.shapes != model.parameters.shapes or not np.array_equal(classes, getattr(self, "classes_", None)):
            raise ValueError(
                f"{type(self).__name__}: with warm_start X and y must be like those of the last fit: "
                "the same features, outputs and classes"
            )
        own.vector[:] = model.parameters.vector
        if type(optimizer) is type(self._optimizer) and model.dtype == own.dtype:
            state = optimizer.state_dict()
            if state.keys() == self._optimizer.state_dict().keys():
                self._optimizer.load_state_dict(state)

    def _run(self, X, y, epochs, rng, validation, rule):
        return fit(
            self._trained,
            X,
            y,
            self._optimizer,
            batch_size=self.batch_size,
            epochs=epochs,
            validation=validation,
            early_stopping=rule,
            progress=bool(self.verbose),
            seed=int(rng.randint(2**31 - 1)),
        )

    def _checked(self, X, y, reset):
        several = {"multi_output": self._several, "y_numeric": self._several}
        name = type(self).__name__
        X, y = lent(name, "X", X), lent(name, "y", y)
        with naming(self, "X", "y"):
            return validate_data(self, X, y, **self._checks(), reset=reset, **several)

    def _checks(self):
        return {"dtype": [np.float64, np.float32], "order": "C", "accept_sparse": self._sparse}

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_iter_")

    def _outputs(self, X):
        """Return the model's outputs for rows that are checked here."""
        rows = self._rows(X)
        return self._trained.forward(rows)

    def _rows(self, X):
        """Return rows to predict as the model takes them, once all was checked."""
        check_is_fitted(self)
        X = lent(type(self).__name__, "X", X)
        with naming(self, "X"):
            return self._in_dtype(validate_data(self, X, **self._checks(), reset=False))

    def _in_dtype(self, X):
        """Return the rows in the dtype that the model was trained in."""
        return X if X.dtype == self._trained.dtype else X.astype(self._trained.dtype)


class Linear(Estimator):
    """What the linear estimators share."""

    _sparse = "csr"

    def _linear(self, features, dtype, outputs, loss, parameters=None):
        return LinearModel(features, outputs, loss, l1=self.l1, l2=self.l2, dtype=dtype, **(parameters or {}))

    def _read(self):
        w, b = self._trained.parameters["w"], self._trained.parameters["b"]
        self.coef_, self.intercept_ = w.T.copy(), b.copy()
        if w.ndim == 1:
            self.intercept_ = b.dtype.type(b[0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class Classifier(ClassifierMixin):
    """What the classifiers share: classes of any type."""

    def _targets(self, y, dtype, reset):
        name = type(self).__name__
        with naming(self, "y"):
            check_classification_targets(y)
        if reset:
            self._set_classes(unique_labels(y))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"{name}: y must be one of {self.classes_.tolist()}, got {unknown[0]!r}")
        return np.searchsorted(self.classes_, y)

    def _set_classes(self, classes):
        if len(classes) < 2:
            raise ValueError(f"{type(self).__name__}: y must hold 2 classes at least, got {len(classes)} class")
        self.classes_ = classes

    @_all_or_nothing
    def partial_fit(self, X, y, classes=None):
        """Go through X and y once more; the first call takes all `classes` that there will be. Return self."""
        first = not hasattr(self, "_optimizer")
        if first and classes is None:
            raise ValueError(f"{type(self).__name__}.partial_fit: classes must be given in the first call")
        if classes is not None:
            with naming(self, "classes"):
                classes = np.unique(classes)
        if first:
            self._set_classes(classes)
        elif classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(f"{type(self).__name__}.partial_fit: classes must be those of the first call")
        return self._partial_fit(X, y, reset_targets=False)

    def predict(self, X):
        """Return the class of each row."""
        indices = self._indices(self._outputs(X))
        return self.classes_[indices]

    def predict_proba(self, X):
        """Return the probability of each class, of shape (rows, classes)."""
        return self._probabilities(self._outputs(X))

    def predict_log_proba(self, X):
        """Return the logarithms of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def decision_function(self, X):
        """Return the logits: of shape (rows, classes), or (rows,), of the second class, where there are two."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 2 else outputs

    def _indices(self, outputs):
        return outputs.argmax(axis=1)

    def _probabilities(self, outputs):
        return softmax(outputs)


class Regressor(MultiOutputMixin, RegressorMixin):
    """What the regressors share: one output or several."""

    _several = True

    def _targets(self, y, dtype, reset):
        shape = y.shape[1:]
        if reset:
            self._shape = shape
        elif shape != self._shape:
            raise ValueError(f"{type(self).__name__}: y has shape {y.shape}, expected {('rows', *self._shape)}")
        if y.dtype.kind not in "biuf":
            raise ValueError(f"{type(self).__name__}: y must hold numbers, got dtype {y.dtype}")
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(y, dtype)
        if not np.isfinite(converted).all():
            raise ValueError(f"{type(self).__name__}: y must be finite as {dtype}, like X")
        return converted

    def predict(self, X):
        """Return the predictions: like y."""
        rows = self._rows(X)
        return self._trained.predict(rows)


class Network(Estimator):
    """What the networks share."""

    def _network(self, features, dtype, seed, outputs, loss):
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
        for k, size in enumerate(sizes):
            check_size(type(self).__name__, f"hidden_layer_sizes[{k}]", size)
        return MLP([features, *sizes, outputs], activation=self.activation, loss=loss, dtype=dtype, seed=seed)

    def _start(self, X, rng):
        given = self.optimizer_options or {}
        name, penalties = type(self).__name__, ("l1", "l2", "weight_decay")
        penalties = {each: check_number(name, each, getattr(self, each), NON_NEGATIVE) for each in penalties}
        penalties = {each: value for each, value in penalties.items() if value}  # an optimizer has defaults of its own
        super()._start(X, rng, penalties | given)

    def _read(self):
        views = self._trained.parameters
        self.coefs_ = [views[name].copy() for name in views if name.startswith("W")]
        self.intercepts_ = [views[name].copy() for name in views if name.startswith("b")]
