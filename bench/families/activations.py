"""Activations: forward and backward, each into an existing array if the library can."""

from functools import partial

import numpy as np

from gd import reference
from gd.activations import ACTIVATIONS

from .. import ceilings
from ..cases import Family, Side, vectors
from ..libraries import in_dtype, torch_compiled

BACKWARD = "_backward"
COLUMNS = 100  # of softmax and log_softmax, if the size allows
ELEMENTWISE = tuple(name for name, each in ACTIVATIONS.items() if each.elementwise and name != "prelu")
NAMES = (*ELEMENTWISE, "softmax", "log_softmax")
SELU = 1.6732632423543772, 1.0507009873554805
FROM_OUTPUT = ("sigmoid", "tanh", "relu", "softmax", "log_softmax")  # PyTorch derives them from the output
TORCH = {  # PyTorch's kernels; if one cannot write into an array, it returns one
    "sigmoid": lambda aten, x, out: aten.sigmoid.out(x, out=out),
    "tanh": lambda aten, x, out: aten.tanh.out(x, out=out),
    "relu": lambda aten, x, out: aten.relu.out(x, out=out),
    "leaky_relu": lambda aten, x, out: aten.leaky_relu.out(x, out=out),
    "elu": lambda aten, x, out: aten.elu.out(x, out=out),
    "selu": lambda aten, x, out: aten.elu.out(x, *SELU, 1.0, out=out),
    "celu": lambda aten, x, out: aten.celu(x),
    "gelu": lambda aten, x, out: aten.gelu.out(x, out=out),
    "silu": lambda aten, x, out: aten.silu.out(x, out=out),
    "mish": lambda aten, x, out: aten.mish.out(x, out=out),
    "softplus": lambda aten, x, out: aten.softplus.out(x, out=out),
    "log_sigmoid": lambda aten, x, out: aten.log_sigmoid.out(x, out=out),
    "hard_sigmoid": lambda aten, x, out: aten.hardsigmoid.out(x, out=out),
    "hard_tanh": lambda aten, x, out: aten.hardtanh.out(x, out=out),
    "hard_swish": lambda aten, x, out: aten.hardswish.out(x, out=out),
    "relu6": lambda aten, x, out: aten.hardtanh.out(x, 0.0, 6.0, out=out),
    "softmax": lambda aten, x, out: aten._softmax.out(x, -1, False, out=out),
    "log_softmax": lambda aten, x, out: aten._log_softmax.out(x, -1, False, out=out),
}
TORCH_BACKWARD = {  # for names in FROM_OUTPUT, x is the output
    "sigmoid": lambda aten, dy, x, out: aten.sigmoid_backward.grad_input(dy, x, grad_input=out),
    "tanh": lambda aten, dy, x, out: aten.tanh_backward.grad_input(dy, x, grad_input=out),
    "relu": lambda aten, dy, x, out: aten.threshold_backward.grad_input(dy, x, 0.0, grad_input=out),
    "leaky_relu": lambda aten, dy, x, out: aten.leaky_relu_backward.grad_input(dy, x, 0.01, False, grad_input=out),
    "elu": lambda aten, dy, x, out: aten.elu_backward.grad_input(dy, 1.0, 1.0, 1.0, False, x, grad_input=out),
    "selu": lambda aten, dy, x, out: aten.elu_backward.grad_input(dy, *SELU, 1.0, False, x, grad_input=out),
    "gelu": lambda aten, dy, x, out: aten.gelu_backward.grad_input(dy, x, grad_input=out),
    "silu": lambda aten, dy, x, out: aten.silu_backward.grad_input(dy, x, grad_input=out),
    "mish": lambda aten, dy, x, out: aten.mish_backward(dy, x),
    "softplus": lambda aten, dy, x, out: aten.softplus_backward.grad_input(dy, x, 1.0, 20.0, grad_input=out),
    "hard_sigmoid": lambda aten, dy, x, out: aten.hardsigmoid_backward.grad_input(dy, x, grad_input=out),
    "hard_tanh": lambda aten, dy, x, out: aten.hardtanh_backward.grad_input(dy, x, -1.0, 1.0, grad_input=out),
    "hard_swish": lambda aten, dy, x, out: aten.hardswish_backward(dy, x),
    "relu6": lambda aten, dy, x, out: aten.hardtanh_backward.grad_input(dy, x, 0.0, 6.0, grad_input=out),
    "softmax": lambda aten, dy, x, out: aten._softmax_backward_data.out(dy, x, -1, dy.dtype, grad_input=out),
    "log_softmax": lambda aten, dy, x, out: aten._log_softmax_backward_data.out(dy, x, -1, dy.dtype, out=out),
}
COMPILED = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus")
JAX = {
    name: name
    for name in ("sigmoid", "relu", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "softplus", "log_sigmoid")
} | {"tanh": "tanh", "softsign": "soft_sign", "relu6": "relu6", "softmax": "softmax", "log_softmax": "log_softmax"}
NUMEXPR = {
    "sigmoid": "1 / (1 + exp(-x))",
    "tanh": "tanh(x)",
    "relu": "where(x > 0, x, 0)",
    "leaky_relu": "where(x > 0, x, 0.01 * x)",
    "elu": "where(x > 0, x, expm1(x))",
    "silu": "x / (1 + exp(-x))",
    "softplus": "log1p(exp(x))",
    "softsign": "x / (1 + abs(x))",
}
THINC = {"sigmoid": "sigmoid", "relu": "relu", "mish": "mish", "silu": "swish"}


class Activations(Family):
    """Each activation and its derivative, whose `what` ends in "_backward"."""

    name = "activations"
    quick = (100_000, 4_000_000)
    headline = tuple(
        name + end for name in ("sigmoid", "tanh", "relu", "gelu", "silu", "mish", "softplus") for end in ("", BACKWARD)
    )
    whats = tuple(name + end for name in NAMES for end in ("", BACKWARD))

    def makers(self, case):
        """Return a maker for each library that has the activation."""
        name, backward = split(case.what)
        made = {"gd": self._gd, "numpy": self._numpy}
        made |= {"torch": self._torch} if name in (TORCH_BACKWARD if backward else TORCH) else {}
        made |= {"jax": self._jax} if name in JAX and case.dtype == "float32" else {}
        if not backward:
            made |= {"torch compiled": self._torch_compiled} if name in COMPILED else {}
            made |= {"numexpr": self._numexpr} if name in NUMEXPR else {}
            made |= {"thinc": self._thinc} if name in THINC and case.dtype == "float32" else {}
        return {library: partial(maker, case, name, backward) for library, maker in made.items()}

    def ceiling(self, case):
        """Return a copy, or a sum of two arrays; none for functions of rows."""
        name, backward = split(case.what)
        if not ACTIVATIONS[name].elementwise:
            return None, None
        mix = "2r1w" if backward else "1r1w"
        return mix, Side(ceilings.walk(mix, vectors(case, 3 if backward else 2)))

    def arrays(self, case):
        """Return the number of arrays: three for each library."""
        return 21

    def _arrays(self, case, name):
        """Return x, dy, out."""
        arrays = vectors(case, 3)
        if ACTIVATIONS[name].elementwise:
            return arrays
        columns = COLUMNS if case.size % COLUMNS == 0 else 1 if case.size < COLUMNS else 31
        rows = case.size // columns
        return [each[: rows * columns].reshape(rows, columns) for each in arrays]

    def _gd(self, case, name, backward):
        activation, (x, dy, out) = ACTIVATIONS[name], self._arrays(case, name)
        if not backward:
            return Side(lambda: activation.forward(x, out), lambda: [out])
        if name in FROM_OUTPUT and activation.backward_from_output:
            y = activation.forward(x)
            return Side(lambda: activation.backward_from_output(dy, y, out), lambda: [out])
        return Side(lambda: activation.backward(dy, x, out), lambda: [out])

    def _numpy(self, case, name, backward):
        x, dy, out = self._arrays(case, name)
        if not ACTIVATIONS[name].elementwise:
            forward, derivative = reference.ROW_ACTIVATIONS[name]
            call = (lambda: np.copyto(out, derivative(dy, x))) if backward else lambda: np.copyto(out, forward(x))
            return Side(call, lambda: [out])
        forward, derivative = reference.ACTIVATIONS[name]
        if backward:
            return Side(lambda: np.multiply(dy, derivative(x), out=out), lambda: [out])
        return Side(lambda: np.copyto(out, forward(x)), lambda: [out])

    def _torch(self, case, name, backward):
        import torch

        aten = torch.ops.aten
        x, dy, out = (torch.from_numpy(each) for each in self._arrays(case, name))
        if not backward:
            return returned(lambda: TORCH[name](aten, x, out), np.asarray)
        if name in FROM_OUTPUT:
            x = TORCH[name](aten, x, torch.empty_like(x))
        return returned(lambda: TORCH_BACKWARD[name](aten, dy, x, out), np.asarray)

    def _torch_compiled(self, case, name, backward):
        import torch

        compiled, (x, _, _) = torch_compiled(getattr(torch.nn.functional, name)), self._arrays(case, name)
        tensor = torch.from_numpy(x)
        return returned(lambda: compiled(tensor), np.asarray)

    def _jax(self, case, name, backward):
        import jax

        function = getattr(jax.nn, JAX[name])
        x, dy, _ = (jax.numpy.array(each) for each in self._arrays(case, name))
        if backward:
            compiled, arguments = jax.jit(lambda dy, x: jax.vjp(function, x)[1](dy)[0]), (dy, x)
        else:
            compiled, arguments = jax.jit(function), (x,)
        return returned(lambda: compiled(*arguments).block_until_ready(), np.asarray)

    def _numexpr(self, case, name, backward):
        import numexpr

        x, _, out = self._arrays(case, name)
        expression, numbers = in_dtype(NUMEXPR[name], x.dtype)
        return Side(lambda: numexpr.evaluate(expression, {"x": x, **numbers}, out=out), lambda: [out])

    def _thinc(self, case, name, backward):
        from thinc.backends import NumpyOps

        function, (x, _, _) = getattr(NumpyOps(), THINC[name]), self._arrays(case, name)
        return returned(lambda: function(x), np.asarray)


def returned(function, to_numpy):
    """Return the side of a function that returns its result."""
    y = []

    def call():
        y[:] = [function()]

    return Side(call, lambda: [to_numpy(y[0])])


def split(what):
    """Return (name, True for the derivative)."""
    return what.removesuffix(BACKWARD), what.endswith(BACKWARD)
