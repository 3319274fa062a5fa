"""Table of the activations: name, formula, parameters and source of each; the rules are in kernels/rules."""

from collections.abc import Callable
from math import inf
from typing import Any

from ..checks import NON_NEGATIVE, POSITIVE, REAL, Range
from .base import ACTIVATIONS, Activation, ColumnActivation, RowActivation
from .parametric import Maxout, maxout, maxout_backward, prelu, prelu_backward

Activation("identity", "x", "lecun_normal")
Activation("sigmoid", "1 / (1 + e**-x)", "glorot_uniform")
Activation("log_sigmoid", "log(1 / (1 + e**-x))", "glorot_uniform")
Activation("hard_sigmoid", "min(max(x + 3, 0), 6) / 6", "glorot_uniform")
Activation("tanh", "tanh(x)", "glorot_uniform")
Activation("scaled_tanh", "1.7159 tanh(2 x / 3)", "lecun_normal", "LeCun, Bottou, Orr & Müller, 1998.")
Activation("hard_tanh", "min(max(x, min), max)", "glorot_uniform", min=(-1.0, REAL), max=(1.0, REAL))
Activation("relu", "max(x, 0)", "he_normal", "Nair & Hinton, ICML 2010.")
Activation(
    "leaky_relu",
    "x for x > 0, else negative_slope * x",
    "he_normal",
    "Maas, Hannun & Ng, ICML 2013.",
    negative_slope=(0.01, NON_NEGATIVE),
)
ColumnActivation(
    "prelu", "x for x > 0, else weight * x", "he_normal", "He, Zhang, Ren & Sun, ICCV 2015.", weight=(0.25, REAL)
)
Activation("relu6", "min(max(x, 0), 6)", "he_normal")
Activation(
    "elu",
    "x for x > 0, else alpha * (e**x - 1)",
    "he_normal",
    "Clevert, Unterthiner & Hochreiter, ICLR 2016.",
    alpha=(1.0, NON_NEGATIVE),
)
Activation(
    "selu",
    "1.0507 * (x for x > 0, else 1.6733 * (e**x - 1))",
    "lecun_normal",
    "Klambauer, Unterthiner, Mayr & Hochreiter, NeurIPS 2017.",
)
Activation(
    "celu", "x for x > 0, else alpha * (e**(x / alpha) - 1)", "he_normal", "Barron, 2017.", alpha=(1.0, POSITIVE)
)
Activation(
    "gelu",
    "x times the normal distribution function of x",
    "he_normal",
    "Hendrycks & Gimpel, 2016. approximate=True is x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2.",
    variant=("approximate", "gelu_tanh"),
)
Activation("silu", "x / (1 + e**-x)", "he_normal", "Elfwing, Uchibe & Doya, 2018.")
Activation("hard_swish", "x min(max(x + 3, 0), 6) / 6", "he_normal", "Howard et al., ICCV 2019.")
Activation("mish", "x tanh(log(1 + e**x))", "he_normal", "Misra, BMVC 2020.")
Activation(
    "softplus",
    "log(1 + e**(beta x)) / beta, and x where beta x > threshold",
    "he_normal",
    "Dugas et al., NeurIPS 2001.",
    beta=(1.0, POSITIVE),
    threshold=(20.0, REAL),
)
Activation("softsign", "x / (1 + abs(x))", "glorot_uniform", "Turian, Bergstra & Bengio, 2009.")
Activation("unit_step", "0 for x < 0, else 1", "lecun_normal")
RowActivation("softmax", "e**x / sum e**x", "glorot_uniform", "Bridle, NeurIPS 1989.")
RowActivation("log_softmax", "x - log(sum e**x)", "glorot_uniform")
Maxout(
    "maxout",
    "the largest of every `pieces` neighbours",
    "he_normal",
    "Goodfellow et al., ICML 2013.",
    pieces=(2, Range(1, inf)),
)


for _form, _function in (("forward", maxout), ("backward", maxout_backward)):
    getattr(ACTIVATIONS["maxout"], _form).__doc__ = _function.__doc__


def public_functions() -> dict[str, Callable[..., Any]]:
    """Return the public functions of all activations, by name."""
    found: dict[str, Callable[..., Any]] = {}
    for name, each in ACTIVATIONS.items():
        found |= {name: each.forward, f"{name}_backward": each.backward}
    own = prelu, prelu_backward, maxout, maxout_backward  # their arguments and results differ
    return found | {function.__name__: function for function in own}
