"""Maps: out[i] = rule(x[i], y[i], ..., a, b, ...) for arrays x, y, ... and scalars a, b, ..."""

from ..compiler import device, loop
from .operands import load, part

PARALLEL_FROM = 32_768


@loop(PARALLEL_FROM)
def map_elements(rule):
    """Write into an array that shares no memory with the operands; arguments: out, *operands."""
    write = _write(rule)

    def body(start, stop, arguments):
        write(arguments[0][start:stop], part(arguments[1:], start, stop))

    return body


@loop(PARALLEL_FROM)
def map_elements_over_first(rule):
    """Write over the first operand; arguments: operands."""
    return _over(0, rule)


@loop(PARALLEL_FROM)
def map_elements_over_second(rule):
    """Write over the second operand; arguments: operands."""
    return _over(1, rule)


def _over(position, rule):
    """Return the body that names the memory to write over once: under two names it would not vectorize."""
    write = _write(rule)

    def body(start, stop, arguments):
        operands = part(arguments, start, stop)
        write(operands[position], operands)

    return body


def _write(rule):
    @device
    def write(out, operands):
        for i in range(out.size):
            out[i] = rule(*load(operands, i))

    return write
