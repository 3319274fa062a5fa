"""activation: an activation of a user's own, from scalar rules."""

import sys
from collections.abc import Callable
from typing import Any

from ..checks import declared_parameters, shown
from ..kernels.user_rules import copied, declare
from .base import Activation


def activation(
    name: str,
    forward: Callable[..., float],
    backward: Callable[..., float],
    backward_from_output: Callable[..., float] | None = None,
    *,
    initializer: str = "he_normal",
    formula: str | None = None,
    **parameters: Any,
) -> Activation:
    """Return a new elementwise activation, from the formulas for one element.

    It is taken wherever the name of one of gd's own is: by `MLP`, `Head`, `dropout`, estimators and `gd train`. It is
    also a function of arrays, ``y = cubic(x)``, with a method ``cubic.backward(dy, x)``.

    Parameters
    ----------
    name : str
    forward, backward : function
        ``forward(x, *parameters)`` returns the activation of a number; ``backward(dy, x, *parameters)`` dy times the
        derivative at x. They may call `gd.math`; see `gd.optimizer` for what rules may do.
    backward_from_output : function, optional
        ``backward_from_output(dy, y, *parameters)`` returns the same from the output y, where that is possible; so a
        network keeps one array of a layer, not two.
    initializer : str, default: "he_normal"
        The default initializer of the weights before it: a name of `gd.initializers.INITIALIZERS`.
    formula : str, optional
        For the docstrings.
    **parameters : float, or (float, (low, high))
        The parameters that the rules take, in their order, with defaults, and ranges low <= value < high.

    Returns
    -------
    Activation
        Assign it to a variable of a module, by which files and pickles name it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; at the first call, if a rule cannot be compiled.

    Examples
    --------
    >>> import gd, numpy as np
    >>> def forward(x, scale):
    ...     return scale * x * x * x
    >>> def backward(dy, x, scale):
    ...     return dy * gd.math.cast(3, x) * scale * x * x
    >>> cubic = gd.activation("cubic", forward, backward, scale=0.5)
    >>> cubic(np.array([1.0, -2.0])).tolist()
    [0.5, -4.0]
    >>> model = gd.MLP([3, 8, 2], activation=cubic)
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"activation: name must be an identifier, got {shown(name)}")
    for given, value in (("initializer", initializer), ("formula", formula or "")):
        if not isinstance(value, str) and not (given == "initializer" and callable(value)):
            raise TypeError(f"activation: {given} must be a str, got {shown(value)}")
    numbers, rules = declared_parameters("activation", parameters), []
    for end, takes, rule in (
        ("", ("x",), forward),
        ("_backward", ("dy", "x"), backward),
        ("_backward_from_output", ("dy", "y"), backward_from_output),
    ):
        if rule is not None or not end.endswith("output"):
            rule = copied(rule, f"activation: {end[1:] or 'forward'}", name + end)
            declare(rule, f"{name}'s {end[1:] or 'forward'}", (*takes, *numbers), 0, None, "activation")
        rules.append(rule)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    declared: Any = {"rules": tuple(rules), "module": module, **numbers}
    return Activation(name, formula or f"{name}(x)", initializer, **declared)
