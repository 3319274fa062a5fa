"""Activations: forward and backward, elementwise, on arrays of any shape."""

from .arrays import check_array, check_out, same_memory
from .kernels.compiler import join
from .kernels.loops.elementwise import map_elements, map_elements_over_first, map_elements_over_second
from .kernels.rules import activations as rules
from .ranges import NON_NEGATIVE, check_number

ACTIVATIONS = {}  # name -> Activation
_IN_PLACE = (map_elements_over_first, map_elements_over_second)


class Activation:
    """One activation: its functions, its parameters, and what a network needs to know of it.

    Attributes
    ----------
    name : str
    parameters : dict of str to (default, Range)
    forward, backward : callable
        ``forward(x, out=None, **parameters)`` and ``backward(dy, x, out=None, **parameters)``.
    backward_from_output : callable or None
        ``backward_from_output(dy, y, out=None, **parameters)`` where the derivative follows from the output.
    rules : tuple of callable
        The scalar rules of the three (None for the last where there is none).
    initializer : str
        The initializer of weights before this activation.
    """

    def __init__(self, name, formula, initializer, source="", **parameters):
        self.name, self.parameters, self.initializer = name, parameters, initializer
        names = (name, f"{name}_backward", f"{name}_backward_from_output")
        self.rules = tuple(getattr(rules, each, None) for each in names)

        def forward(x, out=None, **parameters):
            return self._apply(0, names[0], {"x": x}, out, parameters)

        def backward(dy, x, out=None, **parameters):
            return self._apply(1, names[1], {"dy": dy, "x": x}, out, parameters)

        def backward_from_output(dy, y, out=None, **parameters):
            return self._apply(2, names[2], {"dy": dy, "y": y}, out, parameters)

        self.forward, self.backward = forward, backward
        self.backward_from_output = backward_from_output if self.rules[2] else None
        texts = (
            (forward, f"Return {formula}, elementwise.", ("x",)),
            (backward, f"Return dy times the derivative of {formula} at x.", ("dy", "x")),
            (backward_from_output, f"Return dy times the derivative of y = {formula}, from y.", ("dy", "y")),
        )
        for function_name, (function, summary, operands) in zip(names, texts, strict=True):
            function.__name__ = function.__qualname__ = function_name
            function.__doc__ = _documentation(summary, operands, parameters, source)
        ACTIVATIONS[name] = self

    def values(self, where, given, dtype):
        """Return the parameters in order, checked and in the dtype of the arrays."""
        for name in given:
            if name not in self.parameters:
                raise TypeError(f"{where}: unexpected keyword {name!r}")
        numbers = [check_number(where, k, given.get(k, default), r) for k, (default, r) in self.parameters.items()]
        return [dtype.type(number) for number in numbers]

    def _apply(self, form, where, operands, out, parameters):
        """Check the operands, choose the loop for where the result goes, and run it."""
        (name, x), others = list(operands.items())[-1], list(operands.items())[:-1]
        check_array(where, name, x)
        for other, operand in others:
            check_array(where, other, operand, dtype=(name, x.dtype), shape=(name, x.shape))
        values = self.values(where, parameters, x.dtype)
        out = check_out(where, out, x, operands.items())
        flat = [operand.reshape(-1) for operand in operands.values()]
        over = [k for k, operand in enumerate(operands.values()) if same_memory(out, operand)]
        if not over:
            join(map_elements, self.rules[form])(x.size, out.reshape(-1), *flat, *values)
        else:
            flat[over[0]] = out.reshape(-1)  # the same memory, and writeable
            join(_IN_PLACE[over[0]], self.rules[form])(x.size, *flat, *values)
        return out

    def __repr__(self):
        return f"<activation {self.name}>"


def _documentation(summary, names, parameters, source):
    lines = [summary, "", "Parameters", "----------"]
    lines += [f"{', '.join(names)} : ndarray", "    float32 or float64, any shape, contiguous in C order."]
    lines += ["out : ndarray, optional", f"    Where to write: like {names[-1]}, or {' or '.join(names)} itself."]
    for name, (default, allowed) in parameters.items():
        lines += [f"{name} : float, default: {default:g}", f"    In {allowed}."]
    lines += ["", "Returns", "-------", "ndarray", f"    `out`, or a new array like {names[-1]}."]
    lines += ["", "Raises", "------", "TypeError, ValueError", "    If an array does not fit; nothing is written then."]
    if source:
        lines += ["", "References", "----------", source]
    return "\n".join(lines)


_identity = Activation("identity", "x", "lecun_normal")
_sigmoid = Activation("sigmoid", "1 / (1 + e**-x)", "glorot_uniform")
_tanh = Activation("tanh", "tanh(x)", "glorot_uniform")
_relu = Activation("relu", "max(x, 0)", "he_normal", "Nair & Hinton, ICML 2010.")
_leaky_relu = Activation(
    "leaky_relu",
    "x for x > 0, else negative_slope * x",
    "he_normal",
    "Maas, Hannun & Ng, ICML 2013.",
    negative_slope=(0.01, NON_NEGATIVE),
)
_elu = Activation(
    "elu",
    "x for x > 0, else alpha * (e**x - 1)",
    "he_normal",
    "Clevert, Unterthiner & Hochreiter, ICLR 2016.",
    alpha=(1.0, NON_NEGATIVE),
)

identity, identity_backward = _identity.forward, _identity.backward
sigmoid, sigmoid_backward = _sigmoid.forward, _sigmoid.backward
tanh, tanh_backward = _tanh.forward, _tanh.backward
relu, relu_backward = _relu.forward, _relu.backward
leaky_relu, leaky_relu_backward = _leaky_relu.forward, _leaky_relu.backward
elu, elu_backward = _elu.forward, _elu.backward
