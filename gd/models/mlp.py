"""MLP: a network of dense layers whose parameters lie in one flat vector."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, Activation
from ..batches import cut
from ..checks import (
    NON_NEGATIVE,
    POSITIVE,
    aligned_empty,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
    check_real,
    is_sparse,
    plain,
    restored,
)
from ..initializers import INITIALIZERS
from ..kernels.compiler import join
from ..kernels.interruption import Interruption
from ..kernels.loops import dense, weight_tiles
from ..losses import Loss, check_loss
from ..optimizers import Optimizer
from ..parameters import ParameterVector, check_unfrozen
from ..runtime import single_threaded_blas
from ..typing import Array, DTypeLike
from .architecture import ONLY, Architecture, Sizes
from .base import Model
from .evaluation import Evaluation, Targets
from .heads import Head
from .passes import pass_for, weighted

Given = Array | Mapping[str, Array | None]  # targets
Outputs = NDArray[Any] | Any  # with heads a dict of arrays

DENSE = 2**24  # elements of a sparse matrix that are made dense at a time


class MLP(Model):
    """A multilayer perceptron: dense layers, an activation after each but the last, and dropout.

    ::

        a_0 = dropout(X),  a_k = dropout(activation(a_{k-1} W_k + b_k)),  output = a_{L-1} W_L + b_L

    With `heads`, several outputs share the hidden layers. Each head has its own output weights and loss; the network's
    loss is the weighted sum of theirs.

    Parameters
    ----------
    widths : list of int
        Features, hidden units of each layer, outputs (none with heads). ``[784, 10]`` is softmax regression.
    activation : str or Activation, default: "relu"
        A name of `gd.activations.ACTIVATIONS` except softmax and log_softmax, or what `gd.activation` returned.
        The slopes of prelu are learned, one for each unit; maxout takes the largest of `pieces` columns.
    initializer : str or callable, optional
        Initializer of the weights: a name of `gd.initializers.INITIALIZERS`, or a function like them. The default suits
        the activation: He for the relu family, Glorot for sigmoid and tanh, LeCun for others. Biases start from 0.
    dropout : float or sequence of float, default: 0
        The probability in [0, 1) that a hidden unit is dropped, in training only; or one for each hidden layer. If
        there is one more, the first is for the features.
    heads : dict of str to int or Head, optional
        Outputs by name, as ``{"ner": 9, "pos": gd.Head(17, weight=0.5)}``. Targets are then a dict of arrays, in
        which a row's target may be missing: a label of -1, or NaN in the whole row. Such a row counts neither in
        the head's loss nor in its mean. Outputs, predictions and scores are then dicts, too.
    loss : str or Loss, default: "softmax_cross_entropy"
        A name of `gd.losses.LOSSES`, an alias as in `gd.linear_model_gradient`, or what `gd.loss` returned; a mean.
        With softmax_cross_entropy targets are class labels 0 to outputs - 1; with others they are like the outputs.
    dtype : dtype, default: float32
        The dtype of parameters and data: float32 or float64.
    seed : int, default: 0
        The seed of the initial weights and of dropout.
    output : str, default: "identity"
        The activation of the outputs: softmax, log_softmax, or an elementwise one without parameters whose
        derivative follows from its value (sigmoid, tanh, scaled_tanh, relu, ...). The losses softmax_cross_entropy and
        binary_cross_entropy_with_logits contain softmax and sigmoid already: training computes such a pair as one.
    activation_parameters, loss_parameters : dict, optional
        Such as ``{"negative_slope": 0.2}``, ``{"pieces": 3}``, ``{"weight": 0.1}`` (prelu's initial slopes);
        ``{"q": 0.9}``, ``{"label_smoothing": 0.1, "class_weights": w}``.
    max_norm : float, optional
        The largest Euclidean norm of a unit's incoming weights: after each step of `fit`, weights with a larger norm
        are scaled down to it (see `constrain`).

    Attributes
    ----------
    parameters : ParameterVector
        W1, b1, W2, b2, ...; W_k has shape (fan_in, fan_out). With heads also W_ner, b_ner, ..., with prelu a1, a2, ...

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    Rumelhart, Hinton & Williams, 1986. Heads: Caruana, 1997. Dropout and max-norm: Srivastava et al., JMLR 2014.

    Examples
    --------
    >>> import gd, numpy as np
    >>> model = gd.MLP([2, 8, 1], activation="tanh", loss="mse", dtype=np.float64)
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array([[0.0], [1.0], [1.0], [0.0]])
    >>> history = gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), epochs=300, progress=False)
    >>> np.abs(np.round(model.predict(X))).ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    _unsaved = ("lock", "_plan", "_pass")
    _repeatable = {"step": 0}  # noqa: RUF012

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Activation = "relu",
        initializer: str | Callable[..., Any] | None = None,
        dropout: float | Sequence[float] = 0.0,
        heads: Mapping[str, int | Head] | None = None,
        loss: str | Loss = "softmax_cross_entropy",
        dtype: DTypeLike = np.float32,
        seed: int = 0,
        *,
        output: str | Activation = "identity",
        activation_parameters: Mapping[str, Any] | None = None,
        loss_parameters: Mapping[str, Any] | None = None,
        max_norm: float | None = None,
    ) -> None:
        arguments: dict[str, Any] = {
            "widths": widths,
            "activation": str(activation) if isinstance(activation, str) else activation,
            "dropout": dropout,
            "heads": heads,
            "loss": loss,
            "dtype": check_dtype("MLP", dtype),
            "output": output,
            "activation_parameters": activation_parameters,
            "loss_parameters": loss_parameters,
        }
        self._arguments = deepcopy(arguments)  # the caller may change theirs later
        self._plan = Architecture(**self._arguments)
        self.widths: list[int] = self._plan.widths
        self.activation: Any = self._plan.activation
        self.loss: Any = check_loss("MLP", loss)
        self.seed: int = check_integer("MLP", "seed", seed, 0)
        self.max_norm: float | None = None
        if max_norm is not None:
            self.max_norm = float(check_real("MLP", "max_norm", max_norm, POSITIVE, self._plan.dtype))
        self.parameters: ParameterVector = ParameterVector(self._plan.shapes, dtype)
        self._initialize(initializer)
        self._calls = 0  # calls of loss_and_gradients: each has its own dropout
        self._pass: Any = None  # guarded by the lock
        super().__init__()

    def _initialize(self, initializer):
        if initializer is None:
            initializer = ACTIVATIONS[self.activation].initializer
        if not callable(initializer):
            initializer = INITIALIZERS[check_choice("MLP", "initializer", initializer, INITIALIZERS)]
        rng = np.random.default_rng(self.seed)
        for name, view in self.parameters.items():
            if name.startswith("a"):
                view[...] = self._plan.slope
            elif name.startswith("W"):
                weights = np.asarray(initializer(view.shape, rng, self.dtype))
                if weights.shape != view.shape or weights.dtype.kind not in "iuf":
                    expected, got = f"{name} of shape {view.shape}", f"{weights.dtype} of shape {weights.shape}"
                    raise ValueError(f"MLP: initializer must return {expected}, got {got}")
                view[...] = weights

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plan, self._pass = Architecture(**self._arguments), None

    def _plain_arguments(self):
        heads = self._arguments["heads"]
        if heads is not None:
            heads = {name: plain(vars(head)) if isinstance(head, Head) else head for name, head in heads.items()}
        dropout = np.asarray(self._arguments["dropout"]).tolist()
        own = {"dropout": dropout, "heads": heads, "dtype": str(self.dtype)}
        return plain(self._arguments) | own | {"seed": self.seed, "max_norm": self.max_norm}

    @staticmethod
    def _from_plain(arguments: dict[str, Any]) -> dict[str, Any]:
        heads = arguments["heads"]
        if heads is not None:
            heads = {name: Head(**restored(head)) if isinstance(head, dict) else head for name, head in heads.items()}
        return restored(arguments) | {"heads": heads, "initializer": "zeros"}

    @staticmethod
    def _shapes(widths, activation, heads, activation_parameters, **_):
        return Sizes(widths, activation, heads, activation_parameters).shapes

    def _as_given(self, by_head: dict[str, Any]) -> Any:
        """Return results by head, or the only result if there are no named heads."""
        return by_head[ONLY] if self._plan.single else by_head

    def forward(self, X: Array) -> Outputs:
        """Return the outputs, without dropout, after the activation `output` (logits by default).

        Parameters
        ----------
        X : ndarray or sparse matrix (CSR) of shape (rows, features)
            Of a sparse matrix some rows at a time are made dense.

        Returns
        -------
        ndarray of shape (rows, outputs), or dict of them
        """
        return self._as_given(self._forward(self.check_inputs("MLP.forward", X)))

    def predict(self, X: Array) -> Outputs:
        """Return the class of each row if the loss takes labels, e**output with poisson, else the outputs."""
        outputs = self._forward(self.check_inputs("MLP.predict", X))
        return self._as_given({name: self._plan.outputs[name].predicted(y) for name, y in outputs.items()})

    def layer_outputs(self, X: Array) -> list[NDArray[Any]]:
        """Return the outputs of each hidden layer, without dropout: a list of ndarrays of shape (rows, width)."""
        a = self.check_inputs("MLP.layer_outputs", X)
        outputs, parameters = [], self._arguments["activation_parameters"] or {}
        for k in range(1, len(self._plan.hidden) + 1):
            if self.activation == "prelu":
                parameters = {"weight": self.parameters[f"a{k}"]}
            with np.errstate(over="ignore", invalid="ignore"):
                z = a @ self.parameters[f"W{k}"] + self.parameters[f"b{k}"]
            a = ACTIVATIONS[self.activation].forward(z, **parameters)
            outputs.append(a)
        return outputs

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """Return parameter groups for an optimizer, in which each layer has the learning rate lr / sqrt(fan_in).

        LeCun et al. 1998, section 4.7: units with many inputs need smaller steps, as those of all weights add up.

        Examples
        --------
        >>> import gd
        >>> model = gd.MLP([16, 4, 2])
        >>> optimizer = gd.SGD(model.parameters, groups=model.groups(lr=0.4))
        >>> [group.lr for group in optimizer.groups]
        [0.1, 0.2]
        """
        lr, groups = check_number("MLP.groups", "lr", lr, NON_NEGATIVE), []
        for name, shape in self.parameters.shapes.items():
            if name.startswith("W"):
                groups.append({"params": [], "lr": lr / sqrt(shape[0])})
            groups[-1]["params"].append(name)
        return groups

    @property
    def head_names(self) -> list[str]:
        """The names of the heads; empty if there is one output without a name."""
        return [] if self._plan.single else list(self._plan.outputs)

    def scores(self, X: Array, y: Given, sample_weight: Array | None = None) -> Any:
        """Return the score of each head over the rows that have a target for it; None if no row has."""
        return self._as_given(self._judged("scores", X, y, sample_weight).scores)

    def _evaluation(self, X: Any, y: Targets) -> Evaluation:
        return self._plan.judged(self._forward(X, raw=True), y)

    def loss_and_gradients(
        self, X: Array, y: Given, step: int | None = None, *, sample_weight: Array | None = None
    ) -> tuple[float, ParameterVector]:
        """Return the mean loss of a batch and its gradient as a ParameterVector like `parameters`.

        Parameters
        ----------
        X : ndarray of shape (rows, features)
        y : ndarray of int, shape (rows,), or ndarray of shape (rows, outputs); with heads a dict of them
            Labels if the loss takes them, or probabilities of all classes; else targets like the outputs. None in a
            dict if no row has a target for that head.
        step : int, optional
            Determines the dropout pattern, together with the model's seed; `fit` passes the optimizer's step. By
            default each call has its own pattern.
        sample_weight : ndarray of shape (rows,), optional
            As in `fit`.

        Returns
        -------
        loss : float
        gradients : ParameterVector
        """
        inputs, targets = self.check_data("MLP.loss_and_gradients", X, y, sample_weight, least=0)
        if step is not None:
            step = check_integer("MLP.loss_and_gradients", "step", step, 0)
        gradients = self.parameters.zeros_like()
        with self.lock, single_threaded_blas():
            if step is None:
                step = self._calls
                self._calls += 1
            rows = np.arange(inputs.shape[0]) if targets.counted is None else targets.counted
            loss = self.write_gradients(inputs, targets.relative(), rows, step, gradients) if rows.size else 0.0
        return loss, gradients

    def write_gradients(
        self, X: Any, y: Targets, rows: NDArray[np.intp], step: int, out: ParameterVector, losses: Any = None
    ) -> float:
        """Write the gradient of the batch X[rows], y[rows] into a ParameterVector; return the mean loss."""
        loss, vector = self.backpropagate(X, y, rows, step, losses), self.parameters.vector
        for piece in self._pass.pieces(vector):
            join(weight_tiles.store_gradients)(*piece, vector, out.vector)
        return loss

    def backpropagate(
        self, X: Any, y: Targets, rows: NDArray[np.intp], step: int, losses: Any = None, bound: Any = None
    ) -> float:
        """Run the batch X[rows], y[rows] forward and backward; return the mean loss.

        `pieces` of the pass then yields the factors of the weights' gradients. `bound` are the losses bound to y, if
        known. Nothing is checked, and BLAS should be limited to one thread.
        """
        plan, work = self._plan, pass_for(self._plan, rows.size, self._pass)
        self._pass, scales, key = work, plan.scales(self.divisors(y, rows)), plan.key(self.seed, step)
        work.run(X, bound or plan.bound_losses(y), rows, self.parameters.vector, np.array(scales, self.dtype), key)
        values = work.values[:, : rows.size]
        if losses is not None:
            losses[rows] = np.dot([head.weight for head in plan.outputs.values()], values)
        return weighted(values, scales)

    def divisors(self, y: Targets, rows: NDArray[np.intp]) -> list[float]:
        """Return the divisors that turn the sums of the losses of some rows into means, by head."""
        weights, heads = y.divisor_weights, zip(self._plan.outputs.values(), y.arrays, strict=True)
        divisors = [head.divisor(each, rows, weights) for head, each in heads]
        return [divisor * mean for divisor, mean in zip(divisors, y.means, strict=True)] if y.means else divisors

    def descend(
        self, X: Any, y: Any, order: Any, batch_size: int, optimizer: Optimizer, accumulate: int = 1, losses: Any = None
    ) -> Iterator[tuple[float, int, float]]:
        """Work as `Model.descend`, but step each tile of the gradient while it is in cache, if this is possible."""
        if accumulate > 1 or not optimizer.inside.is_possible:
            yield from super().descend(X, y, order, batch_size, optimizer, accumulate, losses)
            return
        bound = self._plan.bound_losses(y)
        if not (self._plan.by_layer or is_sparse(X) or losses is not None or self.max_norm):
            self._pass = pass_for(self._plan, min(batch_size, order.size), self._pass)
            data = X, y, bound, order, batch_size
            yield from self._pass.train(*data, self.parameters.vector, partial(self.divisors, y), self.seed, optimizer)
            return
        for rows in cut(order, batch_size):
            loss = self.backpropagate(X, y, rows, optimizer.steps, losses, bound)
            if isfinite(loss):
                with Interruption():
                    optimizer.inside.step(weight_tiles.update_weights, self._pass.pieces(self.parameters.vector))
                    self.constrain()
            yield loss, rows.size, y.weight(rows)

    def constrain(self) -> None:
        """Scale the incoming weights of each unit down to `max_norm` if their norm is larger."""
        if self.max_norm is not None:
            limit = self.dtype.type(self.max_norm)
            check_unfrozen("MLP.constrain", [("parameters.vector", self.parameters.vector), *self.parameters.items()])
            for name, weights in self.parameters.items():
                if name.startswith("W"):
                    join(dense.limit_columns)(-(-weights.shape[1] // dense.GROUP), weights, limit)

    def check_targets(self, where: str, y: Any, rows: int) -> tuple[NDArray[Any], ...]:
        """Return the targets of each head for so many rows as kernels take them, or raise."""
        return self._plan.check_targets(where, y, rows)

    def _forward(self, X: Any, raw: bool = False) -> dict[str, NDArray[Any]]:
        """Return the outputs of each head; `raw` before the activation."""
        if is_sparse(X):
            some = max(1, DENSE // X.shape[1])
            parts = [self._forward(X[k : k + some].toarray(), raw) for k in range(0, max(1, X.shape[0]), some)]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        widths = [head.width for head in self._plan.outputs.values()]
        out = aligned_empty(len(X) * sum(widths), self.dtype)
        with single_threaded_blas():
            join(dense.predict)(
                -(-len(X) // dense.BATCH_BLOCK),
                out,
                X,
                self.parameters.vector,
                self._plan.layout,
                len(self._plan.hidden),
                self._plan.bound_units[0],
            )
        pieces = np.split(out, len(X) * np.cumsum(widths)[:-1])
        heads = zip(self._plan.outputs.items(), pieces, strict=True)
        found = {name: z.reshape(-1, head.width) for (name, head), z in heads}
        return found if raw else {name: self._plan.outputs[name].activated(z) for name, z in found.items()}

    def __repr__(self) -> str:
        given: dict[str, Any] = {"activation": self.activation}
        if self._plan.rates.any():
            given["dropout"] = self._arguments["dropout"]
        if not self._plan.single:
            given["heads"] = {name: head.width for name, head in self._plan.outputs.items()}
        given["loss"] = self.loss
        text = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"MLP({self.widths}, {text}, dtype={self.dtype})"
