"""Architecture: what the arguments of a network mean to its kernels."""

from collections.abc import Mapping

import numpy as np

from .activations import ACTIVATIONS
from .arrays import check_dtype
from .heads import OUTPUTS, Head, Output
from .kernels.loops import dense, units
from .losses import LOSSES
from .ranges import UNIT, check_choice, check_integer, check_number

ONLY = "output"  # the head of a network that has no named ones
CACHED = 1_000_000  # weights of a layer that rows of a batch may read again and again
UNITS = tuple(name for name, each in ACTIVATIONS.items() if each.elementwise or name == "maxout")


class Architecture:
    """The checked arguments of an `MLP`, and what follows from them. It holds functions: it is made anew from a pickle.

    Attributes
    ----------
    widths, hidden : list of int
        As given, and of the hidden layers.
    single : bool
        Whether there is one output without a name.
    outputs : dict of str to Output
    rates : ndarray of float, shape (hidden layers + 1,)
        Of dropout of the features, and of each hidden layer.
    units : tuple of callable
        The pair of `kernels.loops.units`.
    drop : callable
        And what is done to the inputs of layers.
    numbers : tuple
        Parameters of the activation, as kernels take them.
    shapes : dict of str to tuple of int
        Of the parameters.
    layout : ndarray of int
        As in `kernels.loops.dense`.
    tiles : ndarray of int
        Those of the gradients.
    by_layer : bool
        Whether weights are too many for a cache: see `kernels.loops.layers`.
    slope : float
        The first slopes of prelu.
    """

    def __init__(self, widths, activation, dropout, heads, loss, dtype, output, activation_parameters, loss_parameters):
        least = 2 if heads is None else 1
        if not isinstance(widths, (list, tuple)) or len(widths) < least:
            raise ValueError(f"MLP: widths must be a list of {least} integers at least, got {widths!r}")
        self.widths = [check_integer("MLP", f"widths[{k}]", width, 1) for k, width in enumerate(widths)]
        self.activation = check_choice("MLP", "activation", activation, UNITS)
        self.dtype, self.single = check_dtype("MLP", dtype), heads is None
        defaults = {
            "loss": loss,
            "output": output,
            "loss_parameters": _checked_dict("loss_parameters", loss_parameters),
        }
        check_choice("MLP", "loss", loss, LOSSES)
        check_choice("MLP", "output", output, OUTPUTS)
        self.outputs = self._made_outputs(heads, defaults)
        self.hidden = self.widths[1:-1] if self.single else self.widths[1:]
        self.rates = self._checked_rates(dropout)
        self.drop = units.dropped if self.rates.any() else units.undropped
        self._choose_units(_checked_dict("activation_parameters", activation_parameters))
        self._lay_out()

    def _made_outputs(self, heads, defaults):
        if self.single:
            return {ONLY: Output("MLP", Head(self.widths[-1]).completed(**defaults), self.dtype, optional=False)}
        if not isinstance(heads, Mapping) or not heads or not all(isinstance(name, str) and name for name in heads):
            raise TypeError(f"MLP: heads must be a dict of names to numbers of outputs, got {heads!r}")
        completed = {
            name: (head if isinstance(head, Head) else Head(head)).completed(**defaults) for name, head in heads.items()
        }
        return {
            name: Output(f"MLP: heads[{name!r}]", head, self.dtype, optional=True) for name, head in completed.items()
        }

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
        each, self.numbers, self.slope, self._pieces = ACTIVATIONS[self.activation], (), None, 1
        if self.activation == "maxout":
            for name in given.keys() - {"pieces"}:
                raise TypeError(f"MLP: unexpected keyword {name!r}")
            self.units = units.maxout, units.maxout_backward
            self._pieces = check_integer("MLP", "pieces", given.get("pieces", 2), 1)
            return
        (forward, numbers), (backward, _), (from_output, _) = (each.chosen(form, "MLP", given) for form in range(3))
        values = tuple(each.values("MLP", numbers, self.dtype))
        if self.activation == "prelu":
            self.units, (self.slope,) = (units.prelu, units.prelu_backward), values
        else:
            undropped = self.drop is units.undropped  # a dropped output is scaled: limits such as 6 would not be met
            self.units = units.elementwise(forward, (undropped and from_output) or backward)
            self.numbers = values

    def _lay_out(self):
        """Place every layer in the parameter vector and in workspaces."""
        layers = [(str(k), width, self._pieces * width) for k, width in enumerate(self.hidden, start=1)]
        for name, head in self.outputs.items():
            layers.append((str(len(layers) + 1) if self.single else f"_{name}", head.width, head.width))
        self.shapes, rows, start, delta = {}, [], 0, 0
        fan_in, source, place = self.widths[0], 0, self.widths[0]
        for k, (name, width, columns) in enumerate(layers):
            weights, bias, slopes = start, start + fan_in * columns, -1
            start = bias + columns
            self.shapes |= {f"W{name}": (fan_in, columns), f"b{name}": (columns,)}
            is_hidden = k < len(self.hidden)
            if is_hidden and self.slope is not None:
                self.shapes[f"a{name}"], slopes, start = (width,), start, start + width
            rows.append((fan_in, columns, width, weights, bias, slopes, source, place, delta))
            if is_hidden:
                fan_in, source = width, place
            place, delta = place + width, delta + columns
        self.layout = np.array(rows)
        self.tiles = dense.weight_tiles(self.layout)
        self.by_layer = bool((self.layout[:, dense.FAN_IN] * self.layout[:, dense.COLUMNS]).max() > CACHED)

    def arguments_of_heads(self, targets):
        """Return what kernels take for the heads: the targets of each, and the parameters of its loss."""
        heads = zip(self.outputs.values(), targets, strict=True)
        return [argument for head, each in heads for argument in (each, *head.numbers)]


def _checked_dict(name, given):
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"MLP: {name} must be a dict, got {type(given).__name__}")
    return dict(given or {})
