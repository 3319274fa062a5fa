"""MLP: a network of dense layers whose parameters lie in one flat vector."""

from itertools import pairwise
from math import isfinite

import numpy as np

from .activations import ACTIVATIONS
from .arrays import aligned_empty, check_array, check_dtype, check_labels
from .batches import cut
from .initializers import INITIALIZERS
from .kernels.compiler import join
from .kernels.loops import dense
from .losses import LOSSES, r_squared, total
from .model import Model
from .parameters import ParameterVector
from .ranges import check_choice, check_integer
from .threads import single_threaded_blas


class MLP(Model):
    """A multilayer perceptron: dense layers, an activation between them, a linear output.

    ::

        a0 = X,  a_k = activation(a_{k-1} W_k + b_k),  output = a_{L-1} W_L + b_L

    Parameters
    ----------
    widths : list of int
        Features, hidden units of each layer, outputs. ``[784, 10]`` is a linear model: softmax regression.
    activation : str, default: "relu"
        A name of `gd.activations.ACTIVATIONS`, of those that are elementwise, with its default parameters.
    initializer : str or callable, optional
        Of the weights: a name of `gd.initializers.INITIALIZERS`, or a function like them. By default
        what suits the activation: He for the relu family, Glorot for sigmoid and tanh, LeCun else.
        Biases start from 0.
    loss : str, default: "softmax_cross_entropy"
        A name of `gd.losses.LOSSES`. With softmax_cross_entropy the outputs are logits and the targets class
        labels 0 to outputs - 1; with others the targets have the shape of the outputs. Means over the batch.
    dtype : dtype, default: float32
        Of parameters and data, float32 or float64.
    seed : int, default: 0
        Of the initial weights.

    Attributes
    ----------
    parameters : ParameterVector
        W1, b1, W2, b2, ...; W_k has shape (fan_in, fan_out).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

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

    _unsaved = ("lock", "_workspace")

    def __init__(
        self,
        widths,
        activation="relu",
        initializer=None,
        loss="softmax_cross_entropy",
        dtype=np.float32,
        seed=0,
    ):
        if not isinstance(widths, (list, tuple)) or len(widths) < 2:
            raise ValueError(f"MLP: widths must be a list of two integers at least, got {widths!r}")
        self.widths = [check_integer("MLP", f"widths[{k}]", width, 1) for k, width in enumerate(widths)]
        self.activation = check_choice("MLP", "activation", activation, _elementwise())
        self.loss = check_choice("MLP", "loss", loss, LOSSES)
        dtype = check_dtype("MLP", dtype)
        if initializer is None:
            initializer = self._activation.initializer
        if not callable(initializer):
            initializer = INITIALIZERS[check_choice("MLP", "initializer", initializer, INITIALIZERS)]
        shapes = {}
        for k, (fan_in, fan_out) in enumerate(pairwise(self.widths), start=1):
            shapes |= {f"W{k}": (fan_in, fan_out), f"b{k}": (fan_out,)}
        self.parameters = ParameterVector(shapes, dtype)
        rng = np.random.default_rng(check_integer("MLP", "seed", seed, 0))
        for name, view in self.parameters.items():
            if name.startswith("W"):
                weights = initializer(view.shape, rng, self.dtype)
                if np.shape(weights) != view.shape:
                    raise ValueError(
                        f"MLP: initializer must return {name} of shape {view.shape}, got {np.shape(weights)}"
                    )
                view[...] = weights
        self._layout = _layout(self.widths)
        self._constants = self._activation.values("MLP", {}, self.dtype)
        self._workspace = None  # the lock is its
        super().__init__()

    @property
    def _activation(self):
        return ACTIVATIONS[self.activation]

    @property
    def _loss(self):
        return LOSSES[self.loss]

    def __setstate__(self, state):
        super().__setstate__(state)
        self._workspace = None

    def forward(self, X):
        """Return the outputs: logits, or predictions with another loss.

        Parameters
        ----------
        X : ndarray of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows, outputs)
        """
        self.check_inputs("MLP.forward", X)
        return self._outputs(X)

    def predict(self, X):
        """Return the class of each row (the largest logit), or the outputs with another loss."""
        self.check_inputs("MLP.predict", X)
        outputs = self._outputs(X)
        return outputs.argmax(axis=1) if self._loss.labels else outputs

    def score(self, X, y):
        """Return the accuracy, or with another loss the coefficient of determination R**2.

        R**2 is 1 - (squared errors) / (squared distances from the mean), over all outputs; where the targets
        are constant it is 1 for perfect predictions and 0 for others.
        """
        y = self.check_data("MLP.score", X, y)
        outputs = self._outputs(X)
        if self._loss.labels:
            return float(np.mean(outputs.argmax(axis=1) == y))
        return r_squared(y, outputs)

    def loss_and_gradients(self, X, y):
        """Return the mean loss of a batch and its gradient as a ParameterVector like `parameters`.

        Parameters
        ----------
        X : ndarray of shape (rows, features)
        y : ndarray of int, shape (rows,), or ndarray of shape (rows, outputs)
            Labels, or targets with another loss.

        Returns
        -------
        loss : float
        gradients : ParameterVector
        """
        y = self.check_data("MLP.loss_and_gradients", X, y)
        gradients = self.parameters.zeros_like()
        with self.lock, single_threaded_blas():
            loss = self.backpropagate(X, y, np.arange(len(X)))
            self.store_gradients(gradients)
        return loss, gradients

    def backpropagate(self, X, y, rows):
        """Run the batch X[rows], y[rows] forward and backward; return the mean loss.

        The gradients of the weights are then a product away: `each_weight_tile`. The arguments are not
        checked, and BLAS should be limited to one thread.
        """
        work = self._workspace
        if work is None or work.capacity < rows.size:
            work = self._workspace = _Workspace(rows.size, self.widths, self.dtype)
        work.rows = rows.size
        scale = 1 / (rows.size if self._loss.labels else rows.size * self.widths[-1])
        activation, backward, from_output = self._activation.rules
        join(dense.forward_backward, activation, from_output or backward, self._loss.row)(
            -(-rows.size // dense.BLOCK),
            work.values,
            work.activations,
            work.deltas,
            work.capacity,
            X,
            y,
            rows,
            self.parameters.vector,
            self._layout,
            self.dtype.type(scale),
            *self._constants,
            *map(self.dtype.type, self._loss.parameters),
        )
        return total(work.values[: rows.size]) * scale

    def descend(self, X, y, order, batch_size, optimizer):
        """Take a step for each mini-batch of `order`; yield (mean loss before it, rows).

        A batch whose loss is not finite is not stepped, unless the optimizer decides that itself. The arguments
        are not checked.
        """
        gradients = None if optimizer.steps_inside else self.parameters.zeros_like()
        for rows in cut(order, batch_size):
            loss = self.backpropagate(X, y, rows)
            if isfinite(loss) or optimizer.skip_nonfinite:
                if gradients is None:
                    self.each_weight_tile(
                        lambda tiles, *arguments: optimizer.step_inside(
                            dense.update_weights, len(tiles), tiles, *arguments
                        )
                    )
                else:
                    self.store_gradients(gradients)
                    optimizer.step(gradients)
            yield loss, rows.size

    def each_weight_tile(self, walk):
        """Call walk(tiles, layout, activations, deltas, capacity, rows) for the batch last backpropagated."""
        work = self._workspace
        if work.rows not in work.tiles:
            work.tiles[work.rows] = dense.weight_tiles(self._layout, work.rows)
        walk(work.tiles[work.rows], self._layout, work.activations, work.deltas, work.capacity, work.rows)

    def store_gradients(self, out):
        """Write the gradient of the batch last backpropagated into a ParameterVector."""
        self.each_weight_tile(
            lambda tiles, *arguments: join(dense.store_gradients)(len(tiles), tiles, *arguments, out.vector)
        )

    def check_inputs(self, where, X):
        """Raise unless X is a matrix of this model's dtype and number of features."""
        check_array(where, "X", X, dtype=("the model", self.dtype), ndim=2)
        if X.shape[1] != self.widths[0]:
            raise ValueError(f"{where}: X has {X.shape[1]} columns, the model has {self.widths[0]} features")

    def check_data(self, where, X, y):
        """Raise unless X and y fit this model; return y as kernels take it."""
        self.check_inputs(where, X)
        if self._loss.labels:
            return check_labels(where, "y", y, len(X), self.widths[-1])
        expected = ("the output", (len(X), self.widths[-1]))
        return check_array(where, "y", y, dtype=("the model", self.dtype), shape=expected)

    def _outputs(self, X):
        out = aligned_empty(len(X) * self.widths[-1], self.dtype).reshape(len(X), -1)
        with single_threaded_blas():
            join(dense.predict, self._activation.rules[0])(
                -(-len(X) // dense.BLOCK), out, X, self.parameters.vector, self._layout, *self._constants
            )
        return out

    def __repr__(self):
        return f"MLP({self.widths}, activation={self.activation!r}, loss={self.loss!r}, dtype={self.dtype})"


def _elementwise():
    """The names of the activations that hidden layers can have."""
    return [name for name, each in ACTIVATIONS.items() if each.elementwise]


class _Workspace:
    """Arrays that a training step needs and that stay for the next one."""

    def __init__(self, capacity, widths, dtype):
        self.capacity, self.rows, self.tiles = capacity, 0, {}
        self.values = np.empty(capacity)
        self.activations, self.deltas = (aligned_empty(capacity * sum(widths), dtype) for _ in range(2))


def _layout(widths):
    """Return the layout of `kernels.loops.dense` for these widths."""
    rows, start, before = [], 0, 0
    for fan_in, fan_out in pairwise(widths):
        bias = start + fan_in * fan_out
        rows.append((fan_in, fan_out, start, bias, before))
        start, before = bias + fan_out, before + fan_in
    return np.array(rows)
