"""Maps: out[i] = rule(x[i], y[i], ..., a, b, ...) for arrays x, y, ... and scalars a, b, ..."""

from ..compiler import device, loop
from .operands import load, part

PARALLEL_FROM = 32_768


@loop(PARALLEL_FROM)
def map_elements(rule):
    """Write into an array that shares no memory with the operands; arguments: out, *operands."""

    def body(start, stop, arguments):
        write(arguments[0][start:stop], part(arguments[1:], start, stop))

    write = _write(rule)
    return body


@loop(PARALLEL_FROM)
def map_elements_over_first(rule):
    """Write over the first operand; arguments: operands. A second name for its memory would not vectorize."""

    def body(start, stop, arguments):
        operands = part(arguments, start, stop)
        write(operands[0], operands)

    write = _write(rule)
    return body


@loop(PARALLEL_FROM)
def map_elements_over_second(rule):
    """Write over the second operand; arguments: operands."""

    def body(start, stop, arguments):
        operands = part(arguments, start, stop)
        write(operands[1], operands)

    write = _write(rule)
    return body


def _write(rule):
    @device
    def write(out, operands):
        for i in range(out.size):
            out[i] = rule(*load(operands, i))

    return write
