"""Architecture: the checked arguments of an `MLP`, and the layout of its layers for the kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, check_activation
from ..checks import UNIT, check_dtype, check_number, check_size
from ..kernels.compiler import join
from ..kernels.loops import dense, units, weight_tiles
from ..kernels.loops.losses import loss_of_rows
from ..kernels.random_numbers import NOTHING, key_of
from ..kernels.traffic import of_rows
from ..kernels.words import address
from ..losses import check_loss
from ..typing import DTypeLike
from .evaluation import Evaluation, Targets, combined
from .heads import Head, Output, check_output

ONLY = "output"  # the name of the head if there are no named heads
MONITORED = ("loss", "score", "validation_loss")  # what `EarlyStopping` monitors under these names
WIDEST = 2**30  # the largest number of columns of a layer
CACHED = 1_000_000  # the most weights of a layer that blocks of rows can read from a cache again and again
UNITS = tuple(name for name, each in ACTIVATIONS.items() if each.elementwise or name == "maxout")


class Sizes:
    """The checked arguments of an `MLP` that determine its size; memory is allocated only afterwards.

    Attributes
    ----------
    widths, hidden : list of int
        All widths as given, and those of the hidden layers.
    activation : str
    activation_parameters : dict
    pieces : int
        Columns of a hidden unit.
    single : bool
        True if there is one output without a name.
    heads : dict of str to Head
        The heads as given, or the one head of the output without a name.
    shapes : dict of str to tuple of int
        The shapes of the parameters.
    """

    widths: list[int]
    hidden: list[int]
    activation: Any  # a key of ACTIVATIONS
    activation_parameters: dict[str, Any]
    pieces: int
    single: bool
    heads: dict[str, Head]
    shapes: dict[str, tuple[int, ...]]

    def __init__(
        self,
        widths: Sequence[int],
        activation: Any,
        heads: Mapping[str, int | Head] | None,
        activation_parameters: Mapping[str, Any] | None,
    ) -> None:
        least = 2 if heads is None else 1
        if not isinstance(widths, (list, tuple)) or len(widths) < least:
            raise ValueError(f"MLP: widths must be a list of at least {least} integers, got {widths!r}")
        self.widths = [check_size("MLP", f"widths[{k}]", width, high=WIDEST) for k, width in enumerate(widths)]
        self.activation = check_activation("MLP", "activation", activation, UNITS)
        given = self.activation_parameters = _checked_dict("activation_parameters", activation_parameters)
        self.pieces = check_size("MLP", "pieces", given.get("pieces", 2), high=WIDEST) if activation == "maxout" else 1
        self.single = heads is None
        self.heads = {ONLY: Head(self.widths[-1])} if self.single else _checked_heads(heads)
        self.hidden = self.widths[1:-1] if self.single else self.widths[1:]
        self.shapes, fan_in = {}, self.widths[0]
        for k, width in enumerate(self.hidden, start=1):
            columns = self.pieces * width
            self.shapes |= {f"W{k}": (fan_in, columns), f"b{k}": (columns,)}
            if activation == "prelu":
                self.shapes[f"a{k}"] = (width,)
            fan_in = width
        for name, head in self.heads.items():
            end = str(len(self.widths) - 1) if self.single else f"_{name}"
            self.shapes |= {f"W{end}": (fan_in, head.outputs), f"b{end}": (head.outputs,)}


class Architecture(Sizes):
    """All checked arguments of an `MLP`, and the kernels and layout that follow from them.

    It holds functions, so it is not pickled: an unpickled model makes it again.

    Attributes
    ----------
    outputs : dict of str to Output
    rates : ndarray of float, shape (hidden layers + 1,)
        Dropout rates of the features and of each hidden layer.
    units : tuple of Kernel
        The forward and backward kernel of `kernels.loops.units`.
    numbers : tuple
        Parameters of the activation, as kernels take them.
    layers : list of dense.Layer
    layout : ndarray of int
        The layers, as kernels take them.
    by_layer : bool
        True if the weights are too many for a cache: see `kernels.loops.layers`.
    slope : float
        The initial slopes of prelu.
    """

    dtype: np.dtype[Any]
    outputs: dict[str, Output]
    rates: NDArray[np.float64]
    units: tuple[Any, Any]
    numbers: tuple[Any, ...]
    layers: list[Any]
    layout: NDArray[Any]
    by_layer: bool
    slope: Any

    def __init__(
        self,
        widths: Sequence[int],
        activation: Any,
        dropout: float | Sequence[float],
        heads: Mapping[str, int | Head] | None,
        loss: Any,
        dtype: DTypeLike,
        output: Any,
        activation_parameters: Mapping[str, Any] | None,
        loss_parameters: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(widths, activation, heads, activation_parameters)
        self.dtype = check_dtype("MLP", dtype)
        loss = check_loss("MLP", loss)
        output = check_output("MLP", output)
        given = _checked_dict("loss_parameters", loss_parameters)
        heads = {name: head.completed(loss, output, given) for name, head in self.heads.items()}
        if given and all(head.loss_parameters is not given for head in heads.values()):
            raise ValueError(
                "MLP: loss_parameters must be None where each head has a loss or loss_parameters of its own, "
                f"got {list(given)}"
            )
        self.outputs = {}
        for name, head in heads.items():
            where = "MLP" if self.single else f"MLP: heads[{name!r}]"
            self.outputs[name] = Output(where, head, self.dtype, optional=not self.single)
        self.rates = self._checked_rates(dropout)
        self._choose_units(self.activation_parameters)
        self._lay_out()

    def _checked_rates(self, dropout):
        layers = len(self.hidden)
        if np.ndim(dropout) == 0:
            rate = check_number("MLP", "dropout", dropout.item() if isinstance(dropout, np.ndarray) else dropout, UNIT)
            if rate and not layers:
                raise ValueError(
                    f"MLP: dropout must be 0, or a list of one rate for the features, got {dropout!r}: "
                    "there is no hidden layer"
                )
            return np.array([0.0] + [rate] * layers)
        if len(dropout) not in (layers, layers + 1):
            raise ValueError(f"MLP: dropout must be a number, or {layers} or {layers + 1} of them, got {dropout!r}")
        rates = [check_number("MLP", f"dropout[{k}]", rate, UNIT) for k, rate in enumerate(dropout)]
        return np.array([0.0] * (layers + 1 - len(rates)) + rates)

    def _choose_units(self, given):
        each, self.numbers, self.slope = ACTIVATIONS[self.activation], (), None
        if self.activation == "maxout":
            for name in given.keys() - {"pieces"}:
                raise TypeError(f"MLP: unexpected keyword {name!r}")
            self.units = join(units.maxout), join(units.maxout_backward)
            return
        (forward, numbers), (backward, _), (from_output, _) = (each.chosen(form, "MLP", given) for form in range(3))
        values = each.values("MLP", numbers, self.dtype)
        if self.activation == "prelu":
            self.units, (self.slope,) = (join(units.prelu), join(units.prelu_backward)), values
        else:
            undropped = not self.rates.any()  # dropout scales outputs, so that limits such as 6 are not met
            self.units = units.elementwise(forward, (undropped and from_output) or backward)
            self.numbers = values

    def _lay_out(self):
        """Assign each layer its places in the parameter vector and in the workspaces."""
        begins, begin = {}, 0
        for name, shape in self.shapes.items():
            begins[name], begin = begin, begin + prod(shape)
        rows, source, place, delta = [], 0, self.widths[0], 0
        for k, name in enumerate(name for name in self.shapes if name.startswith("W")):
            fan_in, columns = self.shapes[name]
            width = columns // self.pieces if k < len(self.hidden) else columns
            own = begins[name], begins[f"b{name[1:]}"], begins.get(f"a{name[1:]}", -1)
            rows.append(dense.Layer(fan_in, columns, width, *own, source, place, delta))
            if k < len(self.hidden):
                source = place
            place, delta = place + width, delta + columns
        self.layers, self.layout = rows, np.array(rows)
        self.by_layer = max(layer.fan_in * layer.columns for layer in rows) > CACHED

    def check_targets(self, where: str, y: Any, rows: int) -> tuple[NDArray[Any], ...]:
        """Return the targets of each head as kernels take them, or raise."""
        if self.single:
            return (self.outputs[ONLY].check(where, "y", y, rows),)
        if not isinstance(y, Mapping) or y.keys() != self.outputs.keys():
            given = list(y) if isinstance(y, Mapping) else type(y).__name__
            raise ValueError(f"{where}: y must be a dict of targets for the heads {list(self.outputs)}, got {given}")
        return tuple(head.check(where, f"y[{name!r}]", y[name], rows) for name, head in self.outputs.items())

    def judged(self, z: Mapping[str, NDArray[Any]], y: Targets) -> Evaluation:
        """Return the evaluation of outputs before their activation, by head."""
        heads = zip(self.outputs.items(), y.arrays, strict=True)
        judged = {name: head.judged(each, z[name], y.weights) for (name, head), each in heads}
        losses, scores = ({name: each[k] for name, each in judged.items()} for k in range(2))
        return combined(losses, scores, {name: head.weight for name, head in self.outputs.items()})

    @cached_property
    def tiles(self) -> NDArray[Any]:
        """Tiles of the gradients, as in `kernels.loops.dense`; only training needs them."""
        return weight_tiles.weight_tiles(self.layout)

    @cached_property
    def bound_units(self) -> tuple[Any, ...]:
        """The forward and backward kernel of the units, as other kernels take them."""
        return tuple(each.bind(self.dtype, *self.numbers) for each in self.units)

    def scales(self, divisors: Sequence[float]) -> list[float]:
        """Return what the sum of the losses of a mini-batch is multiplied by, for each head."""
        return [head.weight / n if n else 0.0 for head, n in zip(self.outputs.values(), divisors, strict=True)]

    def key(self, seed: int, step: int) -> np.uint64:
        """Return the key of the dropout of a step."""
        return key_of(seed, step) if self.rates.any() else NOTHING

    def bound_losses(self, targets: Targets) -> tuple[list[Any], NDArray[np.intp], int]:
        """Return the loss of each head, to be kept; their addresses, for kernels; the bytes of one row of targets."""
        losses, (arrays, weights, _) = [], targets
        for head, y in zip(self.outputs.values(), arrays, strict=True):
            row, numbers = head.row(y)
            losses.append(join(loss_of_rows, row).bind(self.dtype, y, weights, *numbers))
        of_row = sum(of_rows(each, 1) for each in (*arrays, weights))
        return losses, np.array([address(each) for each in losses]), of_row


def _checked_dict(name: str, given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"MLP: {name} must be a dict, got {type(given).__name__}")
    return dict(given or {})


def _checked_heads(given: Any) -> dict[str, Head]:
    if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) and name for name in given):
        raise TypeError(f"MLP: heads must be a dict of names to numbers of outputs, got {given!r}")
    for name in given.keys() & MONITORED:
        raise ValueError(f"MLP: heads must not be named {', '.join(MONITORED)}, which monitor means, got {name!r}")
    heads = {name: head if isinstance(head, Head) else Head(head) for name, head in given.items()}
    return {
        name: replace(head, outputs=check_size(f"MLP: heads[{name!r}]", "outputs", head.outputs, high=WIDEST))
        for name, head in heads.items()
    }
