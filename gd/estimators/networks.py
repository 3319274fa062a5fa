"""The networks among the estimators: trained by `gd.fit`, or by scikit-learn's solvers if its parameters are given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from ..models import MLP
from ..typing import Rate
from .base import Rows
from .documentation import documented
from .guards import keep
from .kinds import Classifier, Regressor, sigmoids
from .solvers import SolvedNetwork, steps


@documented(lr=0.001)
class MLPClassifier(Classifier, SolvedNetwork):
    """A network of dense layers with a softmax output, trained by gradient descent: `gd.MLP`.

    If y is a matrix of 0 and 1, rows have several labels or none: each column has a sigmoid output of its own.
    Predictions and probabilities are then of shape (rows, labels).

    Parameters
    ----------
    <network>
    <class_weight>
    <solver>
    <shared>
    classes_ : ndarray of shape (classes,)
        Of several labels the numbers of the columns.
    coefs_, intercepts_ : list of ndarray
        Weights of shape (fan_in, fan_out), and biases, of each layer.
    loss_, best_loss_, best_validation_score_, t_, n_layers_, n_outputs_, out_activation_
        As scikit-learn's, with a solver.

    Examples
    --------
    >>> import numpy as np
    >>> from gd.estimators import MLPClassifier
    >>> X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), ["same", "other", "other", "same"]
    >>> MLPClassifier((16,), lr=0.05, max_iter=300, random_state=0).fit(X, y).predict(X).tolist()
    ['same', 'other', 'other', 'same']
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: Any = "relu",
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float | Sequence[float] = 0.0,
        optimizer: str | type = "Adam",
        lr: Rate = 0.001,
        optimizer_options: Mapping[str, Any] | None = None,
        batch_size: int | Literal["auto"] | None = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        solver: Literal["adam", "sgd", "lbfgs"] | None = None,
        alpha: float | None = None,
        learning_rate: Literal["constant", "invscaling", "adaptive"] | None = None,
        learning_rate_init: float | None = None,
        power_t: float | None = None,
        shuffle: bool | None = None,
        momentum: float | None = None,
        nesterovs_momentum: bool | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        max_fun: int | None = None,
    ) -> None:
        keep(self, locals())

    _several = True
    _multilabel = False

    def _model(self, features: int, dtype: np.dtype, seed: int) -> MLP:
        one = len(self.classes_) == 2 and self._solver() is not None  # an output for two classes
        loss = "binary_cross_entropy_with_logits" if one or self._multilabel else "softmax_cross_entropy"
        return self._network(features, dtype, seed, 1 if one and not self._multilabel else len(self.classes_), loss)

    def _targets(self, y: Any, dtype: np.dtype, reset: bool) -> NDArray[Any]:
        several, where = y.ndim == 2 and y.shape[1] > 1, type(self).__name__
        if reset or not hasattr(self, "_optimizer"):
            self._multilabel = several
        if several != self._multilabel:
            raise ValueError(f"{where}: y must have as many dimensions as in the first call, got shape {y.shape}")
        if not several:
            return super()._targets(column_or_1d(y, warn=True) if y.ndim == 2 else y, dtype, reset)
        y = y.toarray() if issparse(y) else y
        if reset:
            self.classes_ = np.arange(y.shape[1])
        if y.shape[1] != len(self.classes_):
            classes = np.asarray(self.classes_).tolist()
            raise ValueError(
                f"{where}: y must have a column for each of the classes {classes}, got {y.shape[1]} columns"
            )
        if y.dtype.kind not in "biufO" or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"{where}: y must hold labels of one dimension, or 0 and 1 in a column for each of several labels, "
                f"got {y.shape[1]} columns of {y.dtype}, such as {y[0].tolist()}"
            )
        return np.ascontiguousarray(y, dtype)

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the class of each row; of several labels 0 or 1 for each, of shape (rows, labels)."""
        return (self.decision_function(X) > 0).astype(int) if self._multilabel else super().predict(X)

    def decision_function(self, X: Rows) -> NDArray[Any]:
        """Return the logits as other classifiers do; of several labels of shape (rows, labels)."""
        return self._outputs(X) if self._multilabel else super().decision_function(X)

    def _outputs(self, X: Rows) -> NDArray[Any]:
        outputs = super()._outputs(X)
        return np.hstack([0 * outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def _probabilities(self, outputs: NDArray[Any], function: Callable[..., Any]) -> NDArray[Any]:
        return sigmoids(outputs, function) if self._multilabel else function(outputs)

    partial_fit: Any = available_if(steps)(Classifier.partial_fit)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented(lr=0.001)
class MLPRegressor(Regressor, SolvedNetwork):
    """A network of dense layers with a linear output, trained by gradient descent: `gd.MLP`.

    <targets>

    Parameters
    ----------
    <network>
    loss, loss_parameters : str, default: "mse"; dict, optional
        As in `LinearRegressor`.
    <solver>
    <shared>
    coefs_, intercepts_ : list of ndarray
        Weights of shape (fan_in, fan_out), and biases, of each layer.
    loss_, best_loss_, best_validation_score_, t_, n_layers_, n_outputs_, out_activation_
        As scikit-learn's, with a solver.

    Examples
    --------
    >>> import numpy as np
    >>> from gd.estimators import MLPRegressor
    >>> X = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> model = MLPRegressor((32,), lr=0.01, tol=1e-5, max_iter=1000, random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.score(X, X[:, 0] ** 2) > 0.99
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: Any = "relu",
        *,
        loss: Any = "mse",
        loss_parameters: Mapping[str, Any] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float | Sequence[float] = 0.0,
        optimizer: str | type = "Adam",
        lr: Rate = 0.001,
        optimizer_options: Mapping[str, Any] | None = None,
        batch_size: int | Literal["auto"] | None = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        solver: Literal["adam", "sgd", "lbfgs"] | None = None,
        alpha: float | None = None,
        learning_rate: Literal["constant", "invscaling", "adaptive"] | None = None,
        learning_rate_init: float | None = None,
        power_t: float | None = None,
        shuffle: bool | None = None,
        momentum: float | None = None,
        nesterovs_momentum: bool | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        max_fun: int | None = None,
    ) -> None:
        keep(self, locals())

    def predict(self, X: Rows) -> NDArray[Any]:
        """Return the predictions, shaped like y."""
        predictions = super().predict(X)
        return predictions if self._shape else predictions[:, 0]

    def _as_trained(self, y: Any) -> NDArray[Any]:
        return super()._as_trained(y).reshape(len(y), -1)

    def _model(self, features: int, dtype: np.dtype, seed: int) -> MLP:
        outputs, units = self._shape[0] if self._shape else 1, self._units
        loss, parameters = (units.loss, units.parameters) if units else (self.loss, self.loss_parameters)
        return self._network(features, dtype, seed, outputs, loss, parameters)

    partial_fit: Any = available_if(steps)(Regressor.partial_fit)
