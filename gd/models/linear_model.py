"""LinearModel: a linear model whose weights and intercepts lie in one vector, for `fit`."""

from collections.abc import Iterator
from copy import deepcopy
from math import nan
from typing import Any, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..batches import cut
from ..checks import (
    NON_NEGATIVE,
    aligned_empty,
    check_dtype,
    check_flag,
    check_real,
    check_size,
    kernel_arguments,
    plain,
    restored,
)
from ..kernels.compiler import join
from ..kernels.loops import linear as loops
from ..kernels.loops.linear_training import TRAINING, penalize
from ..losses import LOSSES, Loss, check_loss, rates, total
from ..optimizers import Optimizer
from ..parameters import LARGEST, ParameterVector
from ..typing import Array, Integers, LossParameters
from .base import Model
from .evaluation import Evaluation, Targets
from .linear_gradients import ALL_ROWS, OfLinear, check_targets, compute, gradient_loop

COMPILED = 2_000_000  # products of a mini-batch; larger ones are worth several threads each
CHUNK = 50_000_000  # products until compiled code returns to Python, which may have been interrupted
STEP = 5_000  # products that the rest of a step takes as long as, at least


class LinearModel(Model):
    """A linear model X w + b, its loss, and penalties of its weights.

    ::

        mean of loss(x w + b, y) + l1 |w| + l2 / 2 |w|**2

    Parameters
    ----------
    features : int
    outputs : int, optional
        With it w is a matrix and predictions have a column for each output; else there is one, and w is a vector.
    loss : str or Loss, default: "mse"
        As in `gd.linear_model_gradient`, or what `gd.loss` returned; "softmax_cross_entropy" needs outputs.
    l1, l2 : float, default: 0
        Penalties of w, not of b; 0 or above. (An optimizer's own l1 and l2 penalize both, but in groups. With
        ``proximal=True`` its own l1 makes w exactly 0; this l1, a part of the gradient, does not.)
    dtype : dtype, default: float32
        Of parameters and data, float32 or float64.
    fit_intercept : bool, default: True
        If False, b stays 0.
    **parameters
        Of the loss, such as ``delta=1.0``.

    Attributes
    ----------
    parameters : ParameterVector
        w and b, at first 0. The loss is convex: training needs no random start.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import gd, numpy as np
    >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
    >>> model = gd.LinearModel(1, dtype=np.float64)
    >>> optimizer = gd.SGD(model.parameters, lr=0.2, momentum=0.5)
    >>> history = gd.fit(model, X, y, optimizer, batch_size=3, epochs=200, progress=False)
    >>> model.predict(np.array([[10.0]])).round(6).tolist()
    [21.0]
    """

    _unsaved = ("lock", "_loss")

    def __init__(
        self,
        features: int,
        outputs: int | None = None,
        loss: str | Loss = "mse",
        l1: float = 0.0,
        l2: float = 0.0,
        dtype: DTypeLike = np.float32,
        *,
        fit_intercept: bool = True,
        **parameters: Unpack[LossParameters],
    ) -> None:
        where = "LinearModel"
        shapes = self._shapes(features, outputs)
        self.outputs = shapes["w"][1:]
        self.loss = check_loss(where, loss)
        if outputs is None and LOSSES[self.loss].labels:
            raise TypeError(f"{where}: outputs must be the number of classes with the loss {loss}, got None")
        dtype = check_dtype(where, dtype)
        self._penalties = (
            check_real(where, "l1", l1, NON_NEGATIVE, dtype),
            check_real(where, "l2", l2, NON_NEGATIVE, dtype),
        )
        self._added = self._penalties  # whose gradients are added
        self.fit_intercept = check_flag(where, "fit_intercept", fit_intercept)
        given = {"features": features, "outputs": outputs, "loss": loss, "l1": l1, "l2": l2}
        self._arguments = given | ({} if fit_intercept else {"fit_intercept": False})
        self._loss_parameters = deepcopy(parameters)  # the caller may change theirs later
        self._loss = OfLinear(where, self.loss, self._loss_parameters, self.outputs, dtype)
        self.parameters = ParameterVector(shapes, dtype)
        super().__init__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._loss = OfLinear("LinearModel", self.loss, self._loss_parameters, self.outputs, self.dtype)

    def _plain_arguments(self) -> dict[str, Any]:
        return plain(self._arguments) | self._loss_parameters | {"dtype": str(self.dtype)}

    @staticmethod
    def _from_plain(arguments: dict[str, Any]) -> dict[str, Any]:
        return restored(arguments)

    @staticmethod
    def _shapes(features, outputs, **_):
        features = check_size("LinearModel", "features", features, high=LARGEST)
        outputs = () if outputs is None else (check_size("LinearModel", "outputs", outputs, high=LARGEST // features),)
        return {"w": (features, *outputs), "b": outputs or (1,)}

    def forward(self, X: Any) -> NDArray[Any]:
        """Return X w + b: of shape (rows,), or (rows, outputs)."""
        return self._outputs(self.check_inputs("LinearModel.forward", X))

    def _outputs(self, X):
        with np.errstate(over="ignore", invalid="ignore"):
            out = X @ self.parameters["w"]
            out += self.parameters["b"]
        return out

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row with softmax_cross_entropy, e**(X w + b) with poisson, else as `forward`."""
        return self._predictions(self.forward(X))

    def _predictions(self, outputs):
        if self._loss.labels:
            return outputs.argmax(axis=1)
        return rates(outputs) if self.loss == "poisson" else outputs

    def _evaluation(self, X: Any, y: Targets) -> Evaluation:
        if not X.shape[0]:
            return Evaluation(nan, nan, {}, {})
        judged = LOSSES[self.loss].judged(self._outputs(X), y.arrays, y.weights, self._loss_parameters)
        return Evaluation(*judged, {}, {})

    def loss_and_gradients(
        self, X: Any, y: Array, *, sample_weight: Array | None = None
    ) -> tuple[float, ParameterVector]:
        """Return the mean loss with penalties, and its gradient as a ParameterVector like `parameters`."""
        X, targets = self.check_data("LinearModel.loss_and_gradients", X, y, sample_weight, least=0)
        gradients = self.parameters.zeros_like()
        rows = ALL_ROWS if targets.counted is None else targets.counted
        return self._gradient(X, targets.relative(), rows, gradients.vector), gradients

    @property
    def adds_l1(self) -> bool:
        """True if the gradient holds that of the penalty l1 |w|."""
        return bool(self._added[0])

    def _leave_l1(self) -> None:
        """Leave l1 out of the gradient, for an optimizer whose proximal step takes it; losses still count it."""
        self._added = 0 * self._penalties[0], self._penalties[1]

    def penalty(self) -> float:
        """Return l1 |w| + l2 / 2 |w|**2, of all outputs."""
        l1, l2 = map(float, self._penalties)
        w = self.parameters["w"]
        value = l1 * float(np.sum(np.abs(w), dtype=np.float64)) if l1 else 0.0
        return value + (l2 / 2 * float(np.sum(np.square(w), dtype=np.float64)) if l2 else 0.0)

    def write_gradients(
        self, X: Any, y: Targets, rows: Integers, step: int, out: ParameterVector, losses: Any = None
    ) -> float:
        """Write the gradient of the batch X[rows], y[rows] into a ParameterVector; return the mean loss."""
        return self._gradient(X, y, rows if rows.size < X.shape[0] else ALL_ROWS, out.vector)

    def _gradient(self, X, y, rows, out):
        w, value = self.parameters["w"], 0.0
        if X.shape[0]:
            (divisor,) = self.divisors(y, rows)
            value = compute(X, y.arrays, w, self.parameters["b"], self._loss, rows, y.weights, out, divisor)
        if any(self._added):
            join(penalize)(w.size, out[: w.size], w.reshape(-1), *self._added)
        if not self.fit_intercept:
            out[w.size :] = 0
        return value + self.penalty()

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
        """Take a step for every `accumulate` mini-batches of `order`; yield (mean loss before them, rows, weight).

        What is yielded covers several steps where they ran in compiled code; these are the same to the bit. A batch
        whose loss is not finite is not stepped, unless the optimizer decides that itself. A batch of all rows takes
        them as they lie. The arguments are not checked.
        """
        products = batch_size * self.parameters["w"].size
        plain = accumulate == 1 and batch_size < order.size and self._added == self._penalties
        if optimizer.inside.is_possible and plain and products <= COMPILED:
            return self._descend_compiled(X, y, order, batch_size, optimizer, max(1, CHUNK // (products + STEP)))
        return super().descend(X, y, order, batch_size, optimizer, accumulate)

    def _descend_compiled(self, X, y, order, batch_size, optimizer, chunk):
        """The same, `chunk` steps at a time."""
        w = self.parameters["w"]
        loop, outputs = TRAINING[gradient_loop(X, w.ndim)], self.parameters["b"].size
        vector = aligned_empty(self.parameters.vector.size, self.dtype)
        sizes = {batch_size, order.size % batch_size or batch_size}  # the shorter batch can have more blocks
        blocks = max(-(-rows // loops.block_rows(rows, vector.size)) for rows in sizes)
        partial = np.empty((blocks, vector.size), self.dtype)
        work = {"values": np.empty(blocks), "gradients": partial, "gradient": vector}
        losses_of, of_target = self._loss.bound(y.arrays, y.weights)
        data = kernel_arguments(X).values()
        of_blocks = join(gradient_loop(X, w.ndim)).bind(self.dtype, *data, losses_of, of_target)
        of_example = loops.of_examples(tuple(data), order) // order.size + of_target
        for start in range(0, order.size, chunk * batch_size):
            rows = order[start : start + chunk * batch_size]
            steps = -(-rows.size // batch_size)
            losses, divisors = np.zeros(steps), self._divisors_of_batches(y, rows, batch_size)
            taken = optimizer.inside.run(
                loop,
                steps,
                batch_size * w.size,
                losses=losses,
                **work,
                order=rows,
                batch=batch_size,
                of_example=of_example,
                outputs=outputs,
                fit_intercept=self.fit_intercept,
                divisors=divisors,
                l1=self._penalties[0],
                l2=self._penalties[1],
                of_blocks=of_blocks,
            )
            if taken < steps:
                count = min(batch_size, rows.size - taken * batch_size)
                yield float(losses[taken]) / float(divisors[taken]), count, count
                return
            weights = divisors
            if self._loss.class_weights is not None:  # as in the uncompiled loop
                weights = np.array([y.weight(each) for each in cut(rows, batch_size)])
                losses *= np.divide(weights, divisors, out=np.zeros(steps), where=divisors > 0)
            yield total(losses) / (total(weights) or 1.0), rows.size, y.weight(rows)

    def divisors(self, y: Targets, rows: Any) -> list[float]:
        """Return the divisor that turns the sum of the losses of some rows into their mean."""
        divisor = self._loss.divisor(y.arrays, rows, rows.size or len(y.arrays), y.divisor_weights)
        return [divisor * y.means[0] if y.means else divisor]

    def _divisors_of_batches(self, y, rows, batch_size):
        """Return what turns the sum of the losses of each mini-batch into a mean."""
        shares, starts = self._loss.shares(y.arrays, rows, y.divisor_weights), np.arange(0, rows.size, batch_size)
        (mean,) = y.means or (1.0,)
        if shares is not None:
            return np.add.reduceat(shares, starts) * mean
        return np.minimum(batch_size, rows.size - starts) * (self._loss.terms * mean)

    def check_targets(self, where: str, y: Any, rows: int) -> NDArray[Any]:
        """Return the targets of so many rows as kernels take them, or raise."""
        return check_targets(where, y, rows, self.outputs, LOSSES[self.loss], ("the model", self.dtype))

    def __repr__(self):
        shape, intercept = self.parameters["w"].shape, "" if self.fit_intercept else ", fit_intercept=False"
        return f"LinearModel({', '.join(map(str, shape))}, loss={self.loss!r}, dtype={self.dtype}{intercept})"
