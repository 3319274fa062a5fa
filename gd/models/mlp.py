"""MLP: a network of dense layers whose parameters lie in one flat vector."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from math import isfinite, sqrt

import numpy as np

from ..activations import ACTIVATIONS
from ..batches import cut
from ..checks import (
    NON_NEGATIVE,
    POSITIVE,
    aligned_empty,
    check_array,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
    check_real,
)
from ..initializers import INITIALIZERS
from ..kernels.compiler import join
from ..kernels.loops import dense
from ..kernels.random_numbers import key_of
from ..losses import check_loss, total
from ..parameters import ParameterVector
from ..runtime import single_threaded_blas
from .architecture import ONLY, Architecture, Sizes
from .base import Model
from .heads import Head
from .passes import new_pass


class MLP(Model):
    """A multilayer perceptron: dense layers, an activation after each but the last, and dropout.

    ::

        a_0 = dropout(X),  a_k = dropout(activation(a_{k-1} W_k + b_k)),  output = a_{L-1} W_L + b_L

    With `heads` there are several outputs on one trunk: each has weights of its own, and a loss; the network's loss
    is the sum of theirs, times their weights.

    Parameters
    ----------
    widths : list of int
        Features, hidden units of each layer, outputs; without outputs where there are heads. ``[784, 10]`` is a
        linear model: softmax regression.
    activation : str, default: "relu"
        A name of `gd.activations.ACTIVATIONS` but softmax and log_softmax. The slopes of prelu are learned, one for
        each unit; maxout takes the largest of `pieces` columns for each unit.
    initializer : str or callable, optional
        Of the weights: a name of `gd.initializers.INITIALIZERS`, or a function like them. By default
        what suits the activation: He for the relu family, Glorot for sigmoid and tanh, LeCun else.
        Biases start from 0.
    dropout : float or sequence of float, default: 0
        The probability in [0, 1) that a hidden unit is left out, in training only; or one for each hidden layer; with
        one more, the first is that of the features.
    heads : dict of str to int or Head, optional
        Outputs by name, as ``{"ner": 9, "pos": gd.Head(17, weight=0.5)}``. Targets are then a dict of arrays, in
        which a row's target may be missing: a label of -1, or NaN in the whole row. Such a row counts neither in
        the head's loss nor in its mean. What is computed for outputs comes as a dict, too.
    loss : str, default: "softmax_cross_entropy"
        A name of `gd.losses.LOSSES`, or an alias as in `gd.linear_model_gradient`. With softmax_cross_entropy the
        targets are class labels 0 to outputs - 1;
        with others they have the shape of the outputs. Means over the batch.
    dtype : dtype, default: float32
        Of parameters and data, float32 or float64.
    seed : int, default: 0
        Of the initial weights and of dropout.
    output : str, default: "identity"
        The activation of the outputs: softmax, log_softmax, or an elementwise one without parameters whose
        derivative follows from its value (sigmoid, tanh, scaled_tanh, relu, ...). softmax with the loss
        softmax_cross_entropy, and sigmoid with binary_cross_entropy_with_logits, are what the loss contains already:
        training computes the two as one.
    activation_parameters, loss_parameters : dict, optional
        Such as ``{"negative_slope": 0.2}``, ``{"pieces": 3}``, ``{"weight": 0.1}`` (prelu's first slopes);
        ``{"q": 0.9}``, ``{"label_smoothing": 0.1, "class_weights": w}``.
    max_norm : float, optional
        The largest Euclidean norm of a unit's incoming weights: after each step of `fit`, longer ones are
        scaled down to it (see `constrain`).

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
    Rumelhart, Hinton & Williams, Nature 1986. Heads: Caruana, "Multitask learning", 1997. Dropout and max-norm:
    Srivastava et al., JMLR 2014.

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
        widths,
        activation="relu",
        initializer=None,
        dropout=0.0,
        heads=None,
        loss="softmax_cross_entropy",
        dtype=np.float32,
        seed=0,
        *,
        output="identity",
        activation_parameters=None,
        loss_parameters=None,
        max_norm=None,
    ):
        arguments = {
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
        self._arguments = deepcopy(arguments)  # the caller may change his
        self._plan = Architecture(**self._arguments)
        self.widths, self.activation, self.loss = self._plan.widths, activation, check_loss("MLP", loss)
        self.seed = check_integer("MLP", "seed", seed, 0)
        self.max_norm = (
            None if max_norm is None else float(check_real("MLP", "max_norm", max_norm, POSITIVE, self._plan.dtype))
        )
        self.parameters = ParameterVector(self._plan.shapes, dtype)
        self._initialize(initializer)
        self._calls = 0  # of loss_and_gradients, for dropout
        self._pass = None  # the lock is its
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

    def __setstate__(self, state):
        super().__setstate__(state)
        self._plan, self._pass = Architecture(**self._arguments), None

    def _plain_arguments(self):
        heads = self._arguments["heads"]
        if heads is not None:
            heads = {name: asdict(head) if isinstance(head, Head) else head for name, head in heads.items()}
        dropout = np.asarray(self._arguments["dropout"]).tolist()
        own = {
            "dropout": dropout,
            "heads": heads,
            "dtype": str(self.dtype),
            "seed": self.seed,
            "max_norm": self.max_norm,
        }
        return self._arguments | own

    @staticmethod
    def _from_plain(arguments):
        heads = arguments["heads"]
        if heads is not None:
            heads = {name: Head(**head) if isinstance(head, dict) else head for name, head in heads.items()}
        return arguments | {"heads": heads, "initializer": "zeros"}

    @staticmethod
    def _shapes(widths, activation, heads, activation_parameters, **_):
        return Sizes(widths, activation, heads, activation_parameters).shapes

    def _as_given(self, by_head):
        """Return what was computed for each head: by name, or of the only one by itself."""
        return by_head[ONLY] if self._plan.single else by_head

    def forward(self, X):
        """Return the outputs, without dropout: logits, or what `output` says.

        Parameters
        ----------
        X : ndarray of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows, outputs), or dict of them
        """
        return self._as_given(self._forward(self.check_inputs("MLP.forward", X)))

    def predict(self, X):
        """Return the class of each row (the largest output), or the outputs with a loss that is not of classes."""
        outputs = self._forward(self.check_inputs("MLP.predict", X))
        return self._as_given({name: self._plan.outputs[name].predicted(y) for name, y in outputs.items()})

    def layer_outputs(self, X):
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

    def groups(self, lr):
        """Return groups for an optimizer, in which each layer has the learning rate lr / sqrt(fan_in).

        That is the advice of LeCun et al. 1998, section 4.7, for units that are far from saturated: a weight's
        gradient is a sum over the unit's inputs in effect, so that units of many inputs need smaller steps.

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

    def score(self, X, y):
        """Return the accuracy, or with a loss that is not of classes the coefficient of determination R**2.

        R**2 is 1 - (squared errors) / (squared distances from the mean), over all outputs; where the targets
        are constant it is 1 for perfect predictions and 0 for others. With heads it is the mean of theirs.
        """
        scores = [each for each in self._scores("MLP.score", X, y).values() if each is not None]
        return sum(scores) / len(scores) if scores else np.nan

    def scores(self, X, y):
        """Return the score of each head, of the rows that have a target for it; None where none has."""
        return self._as_given(self._scores("MLP.scores", X, y))

    def _scores(self, where, X, y):
        X, targets = self.check_data(where, X, y)
        outputs = self._forward(X)
        heads = self._plan.outputs.items()
        return {name: head.score(each, outputs[name]) for (name, head), each in zip(heads, targets, strict=True)}

    def loss_and_gradients(self, X, y, step=None):
        """Return the mean loss of a batch and its gradient as a ParameterVector like `parameters`.

        Parameters
        ----------
        X : ndarray of shape (rows, features)
        y : ndarray of int, shape (rows,), or ndarray of shape (rows, outputs); with heads a dict of them
            Labels, or targets with a loss that is not of classes.
        step : int, optional
            Names the pattern of dropout, together with the seed of the model; `fit` takes the optimizer's steps. By
            default every call has its own.

        Returns
        -------
        loss : float
        gradients : ParameterVector
        """
        X, y = self.check_data("MLP.loss_and_gradients", X, y)
        if step is not None:
            step = check_integer("MLP.loss_and_gradients", "step", step, 0)
        gradients = self.parameters.zeros_like()
        with self.lock, single_threaded_blas():
            if step is None:
                step = self._calls
                self._calls += 1
            loss = self.write_gradients(X, y, np.arange(len(X)), step, gradients)
        return loss, gradients

    def write_gradients(self, X, y, rows, step, out, losses=None):
        """Write the gradient of the batch X[rows], y[rows] into a ParameterVector; return the mean loss."""
        loss, vector = self.backpropagate(X, y, rows, step, losses), self.parameters.vector
        for piece in self._pass.pieces(vector):
            join(dense.store_gradients)(*piece, vector, out.vector)
        return loss

    def backpropagate(self, X, y, rows, step, losses=None):
        """Run the batch X[rows], y[rows] forward and backward; return the mean loss.

        The gradients of the weights are then a product away: the pieces of the pass. The arguments are not
        checked, and BLAS should be limited to one thread.
        """
        work = self._pass
        if work is None or work.capacity < rows.size:
            work = self._pass = new_pass(self._plan, rows.size)
        outputs = self._plan.outputs.values()
        scales = [head.scale(targets, rows) for head, targets in zip(outputs, y, strict=True)]
        key = key_of(self.seed, step) if self._plan.rates.any() else np.uint64(0)
        work.run(X, y, rows, self.parameters.vector, np.array(scales, self.dtype), key)
        if losses is not None:
            losses[rows] = np.dot([head.weight for head in outputs], work.values[:, : rows.size])
        return sum(total(values[: rows.size]) * scale for values, scale in zip(work.values, scales, strict=True))

    def descend(self, X, y, order, batch_size, optimizer, accumulate=1, losses=None):
        """Take a step for every `accumulate` mini-batches of `order`; yield (mean loss, rows) of each batch.

        Where it can, the optimizer steps each tile of the gradient while that is in cache, and the gradient is never
        in memory as a whole. Else as `Model.descend`.
        """
        if accumulate > 1 or not optimizer.inside.is_possible:
            yield from super().descend(X, y, order, batch_size, optimizer, accumulate, losses)
            return
        for rows in cut(order, batch_size):
            loss = self.backpropagate(X, y, rows, optimizer.steps, losses)
            if isfinite(loss):
                optimizer.inside.step(dense.update_weights, self._pass.pieces(self.parameters.vector))
                self.constrain()
            yield loss, rows.size

    def constrain(self):
        """Scale the incoming weights of each unit down to `max_norm`, where they are longer."""
        if self.max_norm is not None:
            limit = self.dtype.type(self.max_norm)
            for name, weights in self.parameters.items():
                if name.startswith("W"):
                    join(dense.limit_columns)(-(-weights.shape[1] // dense.GROUP), weights, limit)

    def check_inputs(self, where, X):
        """Return X if it is a matrix of this model's dtype and number of features, else raise."""
        X = check_array(where, "X", X, dtype=("the model", self.dtype), ndim=2)
        if X.shape[1] != self.widths[0]:
            raise ValueError(f"{where}: X has {X.shape[1]} columns, the model has {self.widths[0]} features")
        return X

    def check_data(self, where, X, y):
        """Return X, and the targets of each head, as kernels take them, or raise if they do not fit this model."""
        X = self.check_inputs(where, X)
        if self._plan.single:
            return X, (self._plan.outputs[ONLY].check(where, "y", y, len(X)),)
        if not isinstance(y, Mapping) or y.keys() != self._plan.outputs.keys():
            given = list(y) if isinstance(y, Mapping) else type(y).__name__
            raise ValueError(
                f"{where}: y must be a dict of targets for the heads {list(self._plan.outputs)}, got {given}"
            )
        heads = self._plan.outputs.items()
        return X, tuple(head.check(where, f"y[{name!r}]", y[name], len(X)) for name, head in heads)

    def _forward(self, X):
        """Return the outputs of each head."""
        widths = [head.width for head in self._plan.outputs.values()]
        out = aligned_empty(len(X) * sum(widths), self.dtype)
        with single_threaded_blas():
            join(dense.predict)(
                -(-len(X) // dense.BLOCK),
                out,
                X,
                self.parameters.vector,
                self._plan.layout,
                len(self._plan.hidden),
                self._plan.bound_units[0],
            )
        pieces = np.split(out, len(X) * np.cumsum(widths)[:-1])
        heads = zip(self._plan.outputs.items(), pieces, strict=True)
        return {name: head.activated(z.reshape(-1, head.width)) for (name, head), z in heads}

    def __repr__(self):
        given = {"activation": self.activation}
        if self._plan.rates.any():
            given["dropout"] = self._arguments["dropout"]
        if not self._plan.single:
            given["heads"] = {name: head.width for name, head in self._plan.outputs.items()}
        given["loss"] = self.loss
        text = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"MLP({self.widths}, {text}, dtype={self.dtype})"
