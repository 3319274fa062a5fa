"""Model: the base class of all that `fit` can train."""

from collections.abc import Iterator
from math import isfinite
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..batches import cut
from ..checks import check_dtype
from ..files import CheckpointError, load, save
from ..kernels.interruption import Interruption
from ..optimizers import Optimizer
from ..parameters import ParameterVector
from ..typing import FilePath
from .evaluation import Evaluation, Targets, check_weights, uncounted
from .finite_differences import GradientCheck, gradient_check
from .linear_gradients import check_features


class Model:
    """The base class of `MLP` and `LinearModel`, which define the methods that are only declared here."""

    _unsaved: tuple[str, ...] = ("lock",)  # attributes that a copy or a pickle leaves out and makes again
    _repeatable: dict[str, Any] = {}  # noqa: RUF012  (keywords that make loss_and_gradients deterministic)
    parameters: ParameterVector
    loss: Any  # a key of LOSSES
    lock: Any  # an RLock, which fit and gradients of MLP hold

    if TYPE_CHECKING:

        def loss_and_gradients(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[float, ParameterVector]:
            """Return the mean loss of a batch and its gradient."""
            ...

        def write_gradients(
            self, X: Any, y: Targets, rows: NDArray[np.intp], step: int, out: ParameterVector, losses: Any = None
        ) -> float:
            """Write the gradient of the batch X[rows], y[rows] into `out`; return the mean loss."""
            ...

        def _evaluation(self, X: Any, y: Targets) -> Evaluation:
            """Return the loss and the score of what `check_data` returned."""
            ...

        def divisors(self, y: Targets, rows: Any) -> list[float]:
            """Return the divisors that turn the sums of the losses of some rows into means, by output."""
            ...

        def check_targets(self, where: str, y: Any, rows: int) -> Any:
            """Return the targets of so many rows as kernels take them, or raise."""
            ...

        def _plain_arguments(self) -> dict[str, Any]:
            """Return the arguments of the constructor, as `save` writes them."""
            ...

        @staticmethod
        def _shapes(**arguments: Any) -> dict[str, tuple[int, ...]]:
            """Return the shapes of the parameters."""
            ...

    def __init__(self) -> None:
        self.lock = RLock()

    @property
    def head_names(self) -> list[str]:
        """The names of the heads; empty if there is one output without a name."""
        return []

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters and data."""
        return self.parameters.dtype

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> Evaluation:
        """Return the mean loss and the score on data, without dropout and penalties; rows may have weights.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit the model.
        """
        return self._judged("evaluate", X, y, sample_weight)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score on data: accuracy, D**2 or R**2, as the loss has it (see `Evaluation`)."""
        return self._judged("score", X, y, sample_weight).score

    def _judged(self, method: str, X: Any, y: Any, sample_weight: Any) -> Evaluation:
        X, targets = self.check_data(f"{type(self).__name__}.{method}", X, y, sample_weight, least=0)
        rows = targets.counted
        return self._evaluation(X, targets) if rows is None else self._evaluation(X[rows], targets.some(rows))

    def check_inputs(self, where: str, X: Any, least: int = 0) -> Any:
        """Return X if it is a matrix of this model's dtype and features, of at least so many rows, else raise."""
        features = next(iter(self.parameters.shapes.values()))[0]
        return check_features(where, X, self.dtype, features, least)

    def check_data(self, where: str, X: Any, y: Any, sample_weight: Any = None, least: int = 1) -> tuple[Any, Targets]:
        """Return X, and y with its weights, as kernels take them, or raise if they do not fit this model."""
        X = self.check_inputs(where, X, least)
        weights = check_weights(where, sample_weight, X.shape[0], ("the model", self.dtype))
        if weights.size and not weights.any():
            raise ValueError(f"{where}: sample_weight must be above 0 for some row, got 0 for all")
        return X, Targets(self.check_targets(where, uncounted(where, y, weights), X.shape[0]), weights)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("activation", "loss", "outputs", "widths") and name in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: {name} is fixed at construction; make another with it")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in self._unsaved}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = RLock()

    def save(self, path: FilePath, keep: int = 1) -> None:
        """Write the model into a file with `gd.save`; `load` returns an equal model.

        Raises
        ------
        OSError
            If the file cannot be written.
        ImportError
            If safetensors is not installed.
        """
        save(path, self.tree(), keep)

    def tree(self) -> dict[str, Any]:
        """Return what `save` writes: the parameters, and as "model" the class and its arguments."""
        kind = {"class": type(self).__name__, "arguments": self._plain_arguments()}
        return {"model": kind, **self.parameters}

    @staticmethod
    def _from_plain(arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the constructor, from those that `save` wrote."""
        return arguments

    @classmethod
    def load(cls, path: FilePath) -> Self:
        """Return the model that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        CheckpointError
            If the file is damaged, or holds no model of this class.
        """
        return cls.of_tree(load(path), path)

    @classmethod
    def of_tree(cls, arrays: dict[str, Any], path: FilePath) -> Self:
        """Return the model of a tree as `tree` returns it, or raise CheckpointError; `path` is for messages."""
        kind = arrays.pop("model", None)
        if not isinstance(kind, dict) or kind.get("class") != cls.__name__:
            raise CheckpointError(f"{cls.__name__}.load: {path} holds no {cls.__name__}")
        try:
            arguments = cls._from_plain(kind["arguments"])
            dtype = check_dtype(cls.__name__, arguments["dtype"])
            expected = {name: (shape, dtype) for name, shape in cls._shapes(**arguments).items()}
            found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            model = cls(**arguments) if found == expected else None  # others may need huge memory
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{cls.__name__}.load: {path} holds no valid model: {error}") from error
        if model is None:
            raise CheckpointError(f"{cls.__name__}.load: {path} has parameters that are not of its own model")
        for name, array in arrays.items():
            model.parameters[name][...] = array
        return model

    def gradient_check(self, X: Any, y: Any, coordinates: int = 200, seed: int = 0) -> GradientCheck:
        """Return `gd.gradient_check` of `loss_and_gradients` at the current parameters; use float64 for precision."""
        with self.lock:
            _, gradients = self.loss_and_gradients(X, y, **self._repeatable)
            loss = lambda _: self.loss_and_gradients(X, y, **self._repeatable)[0]  # noqa: E731
            return gradient_check(loss, self.parameters, gradients, coordinates, seed)

    @property
    def adds_l1(self) -> bool:
        """True if the gradient holds that of a penalty l1 |w|."""
        return False

    def with_means(self, y: Targets) -> Targets:
        """Return targets whose weights count beside the mean weight of all rows, rather than of each mini-batch."""
        if not y.weights.size:
            return y
        y, rows = y.relative(), np.flatnonzero(y.weights)
        pairs = zip(self.divisors(y, rows), self.divisors(y._replace(weights=y.weights[:0]), rows), strict=True)
        return y._replace(means=tuple(weighted / count if count else 1.0 for weighted, count in pairs))

    def descend(
        self,
        X: Any,
        y: Targets,
        order: NDArray[np.intp],
        batch_size: int,
        optimizer: Optimizer,
        accumulate: int = 1,
        losses: NDArray[np.float64] | None = None,
    ) -> Iterator[tuple[float, int, float]]:
        """Take a step for every `accumulate` mini-batches of `order`; yield (mean loss, rows, their weight) of each.

        No step is taken for a batch whose loss is not finite, unless the optimizer itself handles that. If `losses` is
        given, the loss of each row is written into it. The arguments are not checked.
        """
        gradients = self.parameters.zeros_like()
        total = gradients if accumulate == 1 else self.parameters.zeros_like()
        waiting = 0.0  # the weight of the rows in total
        for k, rows in enumerate(cut(order, batch_size), start=1):
            step = optimizer.steps * accumulate + (k - 1) % accumulate
            loss = self.write_gradients(X, y, rows, step, gradients, losses)
            weight = y.weight(rows)
            if not isfinite(loss) and not optimizer.skip_nonfinite:
                yield loss, rows.size, weight
                return
            waiting += weight
            if accumulate > 1:
                g, of_all = gradients.vector, total.vector
                of_all += self.dtype.type(weight) * g
            if k % accumulate == 0 or k * batch_size >= order.size:
                with Interruption():
                    if optimizer.step(total, 1.0 if accumulate == 1 else 1 / waiting):
                        self.constrain()
                if accumulate > 1:
                    total.vector[:] = 0
                waiting = 0.0
            yield loss, rows.size, weight

    def constrain(self) -> None:
        """Enforce the constraints on the parameters after a step; here there are none."""
