"""Activation: the class of all activations, and their registry `ACTIVATIONS`."""

from collections.abc import Callable, Collection, Mapping
from inspect import Parameter, Signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    FLOATS,
    OfUser,
    Range,
    Registry,
    check_alike,
    check_array,
    check_choice,
    check_flag,
    check_out,
    check_reals,
    lent,
)
from ..kernels import user_rules
from ..kernels.compiler import join
from ..kernels.gates import Gate
from ..kernels.loops import rows
from ..kernels.loops.elementwise import map_elements_over_first, map_elements_over_second, map_into
from ..kernels.rules import activations as rules
from ..kernels.streaming import STREAM_FROM

ACTIVATIONS: "Registry[Activation]" = Registry(lambda value: isinstance(value, Activation))
NOTHING = Range(np.inf, -np.inf)  # two numbers that must be in order are compared in Python
_IN_PLACE = (map_elements_over_first, map_elements_over_second)


class Activation(OfUser):
    """One activation: its functions and parameters, and the initializer that suits it.

    Attributes
    ----------
    name : str
    parameters : dict of str to (default, Range)
    forward, backward : callable
        ``forward(x, out=None, **parameters)`` and ``backward(dy, x, out=None, **parameters)``.
    backward_from_output : callable or None
        ``backward_from_output(dy, y, out=None, **parameters)`` where the derivative follows from the output.
    rules : tuple of callable
        The scalar rules of the three functions; the last is None where `backward_from_output` is.
    initializer : str
        The default initializer of the weights before this activation.
    """

    elementwise: bool = True
    name: str
    parameters: dict[str, tuple[float, Range]]
    initializer: str
    rules: tuple[Callable[..., Any] | None, ...]
    forward: Callable[..., NDArray[Any]]
    backward: Callable[..., NDArray[Any]]
    backward_from_output: Callable[..., NDArray[Any]] | None

    def __init__(
        self,
        name: str,
        formula: str,
        initializer: str,
        source: str = "",
        *,
        variant: tuple[str | None, str | None] = (None, None),
        rules: tuple[Callable[..., Any] | None, ...] = (),
        module: str = "gd.activations",
        **parameters: tuple[float, Range],
    ) -> None:
        self.name, self.parameters, self.initializer, self.__module__ = name, parameters, initializer, module
        self.of_user, self.rules = bool(rules), rules or self._find(name)
        self._flag, other = variant  # if this keyword is True, the rules of the other name apply
        self._others = self._find(other) if other else ()
        self._defaults = {dtype: check_reals(name, {}, parameters, dtype) for dtype in FLOATS}
        names = (name, f"{name}_backward", f"{name}_backward_from_output")
        numbers = tuple(
            (default, NOTHING if "min" in parameters else allowed) for default, allowed in parameters.values()
        )
        how: dict[str, Any] = {"below": STREAM_FROM} if self.elementwise else {"rows": True}
        gates = self._gates = [Gate(operands, numbers, **how) for operands in (1, 2, 2)]
        defaults = {name: default for name, (default, _) in parameters.items()}

        def forward(x, out=None, **parameters):
            numbers = (defaults | parameters).values() if parameters else ()
            result = gates[0].enter(0, out, x, *numbers) if parameters else gates[0].enter(0, out, x)
            if result is None:
                result = gates[0].split(out, x, *numbers)
            return self._apply(0, names[0], (("x", x),), out, parameters) if result is None else result

        def backward(dy, x, out=None, **parameters):
            numbers = (defaults | parameters).values() if parameters else ()
            result = gates[1].enter(0, out, dy, x, *numbers) if parameters else gates[1].enter(0, out, dy, x)
            if result is None:
                result = gates[1].split(out, dy, x, *numbers)
            return self._apply(1, names[1], (("dy", dy), ("x", x)), out, parameters) if result is None else result

        def backward_from_output(dy, y, out=None, **parameters):
            numbers = (defaults | parameters).values() if parameters else ()
            result = gates[2].enter(0, out, dy, y, *numbers) if parameters else gates[2].enter(0, out, dy, y)
            if result is None:
                result = gates[2].split(out, dy, y, *numbers)
            return self._apply(2, names[2], (("dy", dy), ("y", y)), out, parameters) if result is None else result

        self.forward, self.backward = forward, backward
        self.backward_from_output = backward_from_output if self.rules[2] else None
        along = "elementwise" if self.elementwise else "along the last axis"
        texts = (
            (forward, f"Return {formula}, {along}.", ("x",)),
            (backward, f"Return dy times the derivative of {formula} at x.", ("dy", "x")),
            (backward_from_output, f"Return dy times the derivative of y = {formula}, from y.", ("dy", "y")),
        )
        for function_name, (function, summary, operands) in zip(names, texts, strict=True):
            function.__name__ = function.__qualname__ = function_name
            function.__module__ = module  # where it is found again, as by pickle
            function.__doc__ = _documentation(summary, operands, parameters, self._flag, source)
            function.__signature__ = _signature(operands, parameters, self._flag)
        if not rules:
            ACTIVATIONS[name] = self

    def __call__(self, x, out=None, **parameters):
        """Return `forward` of an array."""
        return self.forward(x, out, **parameters)

    def _find(self, name: str) -> tuple[Callable[..., Any] | None, ...]:
        return tuple(getattr(rules, name + end, None) for end in ("", "_backward", "_backward_from_output"))

    def values(self, where: str, given: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """Return the parameters in order, checked and in the dtype of the arrays."""
        if not given:
            return self._defaults[dtype]
        values = check_reals(where, given, self.parameters, dtype)
        if {"min", "max"} <= self.parameters.keys() and values[0] > values[1]:
            raise ValueError(f"{where}: min must be at most max, got {values[0]:g} and {values[1]:g}")
        return values

    def chosen(
        self, form: int, where: str, parameters: Mapping[str, Any]
    ) -> tuple[Callable[..., Any] | None, Mapping[str, Any]]:
        """Return the rule that the parameters choose, and the parameters that are numbers.

        `form` is 0 for forward, 1 for backward, 2 for backward_from_output.
        """
        flag = self._flag
        if flag is not None and flag in parameters:
            given = dict(parameters)
            return (self._others if check_flag(where, flag, given.pop(flag)) else self.rules)[form], given
        return self.rules[form], parameters

    def _apply(self, form, where, operands, out, parameters):
        """Check the operands, and run the loop that writes into a new array, `out` or an operand."""
        rule = self.rules[form]
        if parameters:
            rule, parameters = self.chosen(form, where, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        values = self.values(where, parameters, x.dtype)
        out, over = check_out(where, out, x, operands)
        flat = [operand.ravel() for _, operand in operands]
        if over is None:
            kernel, arguments = map_into(out, rule), (out.ravel(), *flat, *values)
        else:
            flat[over] = out.ravel()  # the same memory, and writeable
            kernel, arguments = join(_IN_PLACE[over], rule), (*flat, *values)
        kernel(x.size, *arguments)
        if rule is self.rules[form] and x.nbytes < STREAM_FROM:
            self._gates[form].admit(kernel, arguments, x.dtype, over)
        return out

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


def check_activation(where: str, name: str, value: Any, choices: Collection[str]) -> Any:
    """Return a key of ACTIVATIONS, one of the names or a user's activation, else raise."""
    known = ACTIVATIONS.key(value)
    if known is None or isinstance(known, str):
        return check_choice(where, name, known or value, choices)
    for rule in filter(None, known.rules):
        user_rules.check_globals(rule)
    return known


class RowActivation(Activation):
    """Activation that needs the whole last axis: softmax and its logarithm."""

    elementwise = False

    def _find(self, name):
        return tuple(getattr(rows, name + end) for end in ("", "_backward", "_backward_from_output"))

    def _apply(self, form, where, operands, out, parameters):
        rule, parameters = self.chosen(form, where, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        self.values(where, parameters, x.dtype)
        out, over = check_out(where, out, x, operands)
        if not _has_rows(where, operands[-1]):
            return out
        shape, kernel = (-1, x.shape[-1]), join(rows.map_rows if over is None else rows.map_rows_over, rule)
        arguments = tuple(a.reshape(shape) for a in (out, *(operand for _, operand in operands)))
        kernel(x.size // x.shape[-1], *arguments)
        self._gates[form].admit(kernel, arguments, x.dtype, over)
        return out


class ColumnActivation(Activation):
    """Activation whose weight may have one entry per column of the last axis."""

    def _apply(self, form, where, operands, out, parameters):
        weight = lent(where, "weight", parameters.get("weight"))
        if not isinstance(weight, np.ndarray):
            return super()._apply(form, where, operands, out, parameters)
        operands = check_alike(where, operands, -1)
        x = operands[-1][1]
        self.values(where, parameters | {"weight": 0.0}, x.dtype)  # checks the other parameters
        check_array(where, "weight", weight, dtype=("x", x.dtype), shape=("the last axis of x", x.shape[-1:]))
        out, _ = check_out(where, out, x, operands)
        if np.may_share_memory(out, weight):
            raise ValueError(f"{where}: out overlaps weight in memory")
        if not _has_rows(where, operands[-1]):
            return out
        shape = (-1, x.shape[-1])
        flat = (operand.reshape(shape) for _, operand in operands)
        join(rows.map_columns, self.rules[form])(x.size // x.shape[-1], out.reshape(shape), weight, *flat)
        return out


def _has_rows(where, operand):
    """Return True unless an array is empty; raise if it has no last axis."""
    name, x = operand
    if not x.ndim:
        raise ValueError(f"{where}: {name} must have at least one dimension, got shape ()")
    return x.size > 0


def _signature(operands, parameters, flag):
    """Return the signature of one function, in which each parameter is named."""
    found = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation="Array") for name in operands]
    found.append(Parameter("out", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation="Array | None"))
    for name, (default, _) in parameters.items():
        found.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=type(default)))
    if flag:
        found.append(Parameter(flag, Parameter.KEYWORD_ONLY, default=False, annotation=bool))
    return Signature(found, return_annotation="NDArray[Any]")


def _documentation(summary, names, parameters, flag, source):
    lines = [summary, "", "Parameters", "----------"]
    lines += [f"{', '.join(names)} : ndarray", "    float32 or float64, any shape, contiguous in C order."]
    lines += ["out : ndarray, optional", f"    Where to write: like {names[-1]}, or {' or '.join(names)} itself."]
    for name, (default, allowed) in parameters.items():
        lines += [f"{name} : float, default: {default:g}", f"    In {allowed}."]
    if flag:
        lines += [f"{flag} : bool, default: False", "    Use the other formula of the references."]
    lines += ["", "Returns", "-------", "ndarray", f"    `out`, or a new array like {names[-1]}."]
    lines += ["", "Raises", "------", "TypeError, ValueError", "    If an array does not fit; then nothing is written."]
    if source:
        lines += ["", "References", "----------", source]
    return "\n".join(lines)
