"""The linear estimators, with scikit-learn's API and trained by `gd.fit`: for pipelines and searches."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from ..losses import LOSSES, PROBABILITIES, check_loss
from ..models import LinearModel
from ..typing import Rate
from .base import Rows
from .documentation import documented
from .guards import keep
from .kinds import Classifier, Linear, Regressor, sigmoids

_LOGISTIC = "binary_cross_entropy_with_logits", "logistic"


@documented(lr=0.01)
class LinearRegressor(Regressor, Linear):
    """Linear regression by gradient descent: predictions X w + b.

    <targets>

    Parameters
    ----------
    loss : str, default: "mse"
        "mse" (or "squared"), "mae", "huber" (delta), "smooth_l1" (beta), "epsilon_insensitive" (epsilon),
        "quantile" (q) or "poisson", whose predictions are e**(X w + b); see `gd.linear_model_gradient`.
    loss_parameters : dict, optional
        Parameters of the loss, such as ``{"delta": 1.0}``.
    l1, l2 : float, default: 0
        Penalties l1 |w| + l2 / 2 |w|**2 added to the mean loss. (scikit-learn's Ridge has alpha = rows * l2 / 2 with
        the loss "mse".)
    fit_intercept : bool, default: True
        If False, intercepts stay 0, and targets are not shifted.
    <shared>
    coef_ : ndarray of shape (features,) or (outputs, features)
    intercept_ : float or ndarray of shape (outputs,)

    Examples
    --------
    >>> import numpy as np
    >>> from gd.estimators import LinearRegressor
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = LinearRegressor(optimizer="SGD", lr=0.1, tol=1e-9).fit(X, 2 * X[:, 0] + 1)
    >>> model.predict([[10.0]]).round(3).tolist()
    [21.0]
    """

    def __init__(
        self,
        loss: Any = "mse",
        *,
        loss_parameters: Mapping[str, Any] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        optimizer: str | type = "Adam",
        lr: Rate = 0.01,
        optimizer_options: Mapping[str, Any] | None = None,
        batch_size: int = 128,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        keep(self, locals())

    def _model(self, features: int, dtype: np.dtype, seed: int) -> LinearModel:
        outputs = self._shape[0] if self._shape else None
        return self._linear(features, dtype, outputs, self._units.loss, self._units.parameters)


@documented(lr=0.01)
class LogisticClassifier(Classifier, Linear):
    """Logistic regression of two classes by gradient descent: the logits X w + b of the second class.

    Parameters
    ----------
    loss : str, default: "binary_cross_entropy_with_logits"
        Or "hinge" or "squared_hinge", of linear support vector machines without probabilities; or a loss of `gd.loss`.
    l1, l2 : float, default: 0
        Penalties l1 |w| + l2 / 2 |w|**2 added to the mean loss. (scikit-learn's C is 1 / (rows * l2).)
    fit_intercept : bool, default: True
        If False, intercepts stay 0.
    <class_weight>
    <shared>
    classes_ : ndarray of shape (2,)
    coef_ : ndarray of shape (1, features)
    intercept_ : ndarray of shape (1,)

    Examples
    --------
    >>> import numpy as np
    >>> from gd.estimators import LogisticClassifier
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticClassifier(lr=0.1, tol=1e-3, random_state=0).fit(X, ["no", "no", "yes", "yes"])
    >>> model.predict([[3.0]]).tolist()
    ['yes']
    """

    loss: Any
    coef_: NDArray[Any]
    intercept_: NDArray[Any]

    def __init__(
        self,
        *,
        loss: Any = "binary_cross_entropy_with_logits",
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        optimizer: str | type = "Adam",
        lr: Rate = 0.01,
        optimizer_options: Mapping[str, Any] | None = None,
        batch_size: int = 128,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        keep(self, locals())

    def _set_classes(self, classes: NDArray[Any]) -> None:
        if len(classes) > 2:
            raise ValueError(
                f"LogisticClassifier: Only binary classification is supported, y has {len(classes)} classes; "
                "use SoftmaxClassifier"
            )
        super()._set_classes(classes)

    def _targets(self, y: NDArray[Any], dtype: np.dtype, reset: bool) -> NDArray[Any]:
        check_loss("LogisticClassifier", self.loss, (*_LOGISTIC, "hinge", "squared_hinge"))
        return super()._targets(y, dtype, reset).astype(np.int8)

    def _as_trained(self, y: Any) -> NDArray[Any]:
        return y if LOSSES[self._trained.loss].targets is PROBABILITIES else 2 * y - 1

    def _model(self, features: int, dtype: np.dtype, seed: int) -> LinearModel:
        return self._linear(features, dtype, None, self.loss)

    def _views(self) -> list[NDArray[Any]]:
        return [self._trained.parameters["w"][np.newaxis], self._trained.parameters["b"]]

    def _outputs_shape(self, coef: NDArray[Any]) -> tuple[int, ...]:
        self._check_classes(2)
        return (1,)

    def _outputs(self, X: Rows) -> NDArray[Any]:
        return super()._outputs(X)[:, 0]

    @available_if(lambda self: self.loss in _LOGISTIC)
    def predict_proba(self, X: Rows) -> NDArray[Any]:
        """Return the probability of each class, of shape (rows, 2)."""
        return super().predict_proba(X)

    @available_if(lambda self: self.loss in _LOGISTIC)
    def predict_log_proba(self, X: Rows) -> NDArray[Any]:
        """Return the logarithms of the probabilities."""
        return super().predict_log_proba(X)

    def _indices(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return (outputs > 0).astype(np.intp)

    def _probabilities(self, outputs: NDArray[Any], function: Callable[..., Any]) -> NDArray[Any]:
        return sigmoids(np.stack([-outputs, outputs], axis=1), function)  # the sigmoid is the softmax of (0, z)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


@documented(lr=0.01)
class SoftmaxClassifier(Classifier, Linear):
    """Softmax regression (multinomial logistic regression) by gradient descent: logits X W + b.

    Parameters
    ----------
    l1, l2 : float, default: 0
        Penalties l1 |W| + l2 / 2 |W|**2 added to the mean loss. (scikit-learn's C is 1 / (rows * l2).)
    fit_intercept : bool, default: True
        If False, intercepts stay 0.
    <class_weight>
    <shared>
    classes_ : ndarray of shape (classes,)
    coef_ : ndarray of shape (classes, features)
    intercept_ : ndarray of shape (classes,)

    Examples
    --------
    >>> import numpy as np
    >>> from gd.estimators import SoftmaxClassifier
    >>> X = np.array([[-2.0], [0.0], [2.0]])
    >>> model = SoftmaxClassifier(lr=0.1, tol=1e-3, max_iter=1000, random_state=0).fit(X, [3, 5, 7])
    >>> model.predict([[-3.0], [3.0]]).tolist()
    [3, 7]
    """

    def __init__(
        self,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        fit_intercept: bool = True,
        optimizer: str | type = "Adam",
        lr: Rate = 0.01,
        optimizer_options: Mapping[str, Any] | None = None,
        batch_size: int = 128,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        keep(self, locals())

    def _model(self, features: int, dtype: np.dtype, seed: int) -> LinearModel:
        return self._linear(features, dtype, len(self.classes_), "softmax_cross_entropy")
