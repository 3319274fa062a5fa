"""Maps: out[i] = rule(x[i], y[i], ..., a, b, ...) for arrays x, y, ... and scalars a, b, ..."""

from ..compiler import loop
from .operands import load, part

PARALLEL_FROM = 32_768


@loop(parallel_from=PARALLEL_FROM)
def map_elements(rule):
    """Write into an array that shares no memory with the operands; arguments: out, *operands."""

    def body(start, stop, arguments):
        out, operands = arguments[0][start:stop], part(arguments[1:], start, stop)
        for i in range(out.size):
            out[i] = rule(*load(operands, i))

    return body


@loop(parallel_from=PARALLEL_FROM)
def map_elements_in_place(rule):
    """Write over the first operand; arguments: operands. (A second name for the same memory would not vectorize.)"""

    def body(start, stop, arguments):
        operands = part(arguments, start, stop)
        for i in range(operands[0].size):
            operands[0][i] = rule(*load(operands, i))

    return body
