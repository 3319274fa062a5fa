"""The optimizer step: p[i], slots[k][i] = rule(p[i], gradient, slots[k][i], coefficients).

The stages of `rules.stages` stand between the given gradient and the rule, or behind it. If there is one more state
array than the rule takes, it holds averages of the parameters.
"""

import inspect
import typing

from ..compiler import device, loop
from ..machine_code import overload
from ..rules.stages import CommonCoefficients, averaged
from ..storage import read as element
from ..views import load, numbers, part, store, vector_at


@loop(parallel_from=16_384, flush=True, traffic="- r - rw", given="x[:] x[:] int")
def update(rule, *stages):
    """Step a flat vector; arguments: coefficients, g, first (the element of p at which g begins), p, *slots."""
    step = update_slices(rule, *stages)

    def body(start, stop, arguments):
        coefficients, g, first, p = arguments[:4]
        n = stop - start
        step(coefficients, vector_at(p, start, n), vector_at(g, start - first, n), part(arguments[4:], start, stop))

    return body


def update_slices(rule, *stages):
    """Return the walk itself, for loops that have a piece of the gradient ready."""
    scalars, taken = unpack(rule), slots_of(rule)
    prepared, finished = around(stages)

    @device
    def step(coefficients, p, g, slots):
        common, c = scalars(coefficients)
        own, averages = slots[:taken], slots[taken:]
        for i in range(p.size):
            gradient, parameter = prepared(common.scale * element(g, i, coefficients), p[i], common)
            new = rule(parameter, gradient, *load(own, i), c)
            p[i] = finished(new[0], common)
            store(own, i, new[1:])
            average(averages, i, p[i], common)

    return step


def around(stages):
    """Return the stages before a rule as one, f(g, p, c) -> (g, p), and the one after it, f(p, c) -> p."""
    before = [each for each in stages if "g" in _arguments(each)]
    return chained(before), next((each for each in stages if "g" not in _arguments(each)), _unchanged)


_unchanged = device(lambda p, c: p)


def average(averages, i, p, c):
    """Average the parameter into averages[0][i], if there is an array of averages."""
    for each in averages:
        each[i] = averaged(each[i], p, c)


_averaged = device(averaged)


@overload(average)
def _average(averages, i, p, c):
    if len(averages) == 0:
        return lambda averages, i, p, c: None

    def average_first(averages, i, p, c):
        averages[0][i] = _averaged(averages[0][i], p, c)

    return average_first


def coefficients_of(rule):
    """Return the named tuple of scalars that a rule takes as its last argument, from its annotation."""
    return typing.get_type_hints(getattr(rule, "py_func", rule))["c"]


def unpack(rule):
    """Return f(vector) -> (common coefficients, the rule's own), which travel as one vector in the dtype of p."""
    common, own = numbers(CommonCoefficients, 0), numbers(coefficients_of(rule), len(CommonCoefficients._fields))
    return device(lambda vector: (common(vector), own(vector)))


def slots_of(rule):
    """Return how many state arrays a rule takes: all arguments but p, g and c."""
    return len(_arguments(rule)) - 3


def _arguments(rule):
    return inspect.signature(getattr(rule, "py_func", rule)).parameters


def chained(stages):
    """Return one stage that runs the given stages one after the other."""
    if not stages:
        return device(lambda g, p, c: (g, p))
    first, rest = stages[0], chained(stages[1:])

    @device
    def both(g, p, c):
        g, p = first(g, p, c)
        return rest(g, p, c)

    return both
