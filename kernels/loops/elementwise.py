"""Maps: out[i] = rule(x[i], y[i], ..., a, b, ...) for arrays x, y, ... and scalars a, b, ..."""

import numpy as np

from ..break_even import faster
from ..compiler import device, join, loop
from ..math import cast
from ..random_numbers import random_bits
from ..streaming import STREAM_FROM, before_line, finish, stream
from ..views import load, local, part

PARALLEL_FROM = 32_768
CHUNK = 256  # elements that are computed before they are streamed
chunk_of = local(CHUNK)


@loop(PARALLEL_FROM, traffic="w r")
def map_elements(rule):
    """Write into an array that shares no memory with the operands; arguments: out, *operands."""
    write = _write(rule)

    def body(start, stop, arguments):
        write(arguments[0][start:stop], part(arguments[1:], start, stop))

    return body


@loop(PARALLEL_FROM, traffic="w r")
def map_elements_streaming(rule):
    """Write past the caches into an array that shares no memory with the operands; arguments: out, *operands."""
    write = _write(rule)

    @device
    def write_chunk(out, operands):
        for i in range(CHUNK):
            out[i] = rule(*load(operands, i))

    def body(start, stop, arguments):
        out, operands = arguments[0][start:stop], part(arguments[1:], start, stop)
        first = before_line(out)
        whole = first + (out.size - first) // CHUNK * CHUNK
        chunk = chunk_of(out)
        write(out[:first], part(operands, 0, first))
        for begin in range(first, whole, CHUNK):
            write_chunk(chunk, part(operands, begin, begin + CHUNK))
            stream(chunk, out[begin : begin + CHUNK])
        write(out[whole:], part(operands, whole, out.size))
        finish()

    return body


@loop(PARALLEL_FROM, traffic="rw r")
def map_elements_over_first(rule):
    """Write over the first operand; arguments: operands."""
    return _over(0, rule)


@loop(PARALLEL_FROM, traffic="r rw r")
def map_elements_over_second(rule):
    """Write over the second operand; arguments: operands."""
    return _over(1, rule)


def map_into(out, rule):
    """Return the kernel that writes into an array of the size of out, which shares no memory with the operands."""
    plain = join(map_elements, rule)
    return plain if out.nbytes < STREAM_FROM else faster(join(map_elements_streaming, rule), plain)


def _over(position, rule):
    """Return a body that names the memory to overwrite only once: with two names it would not vectorize."""

    def body(start, stop, arguments):
        operands = part(arguments, start, stop)
        for i in range(operands[position].size):
            operands[position][i] = rule(*load(operands, i))

    return body


@loop(PARALLEL_FROM, traffic="w - - - r")
def map_dropped(rule):
    """Map with dropout; arguments: out, key, threshold, scale, *operands.

    out[i] = scale * rule(...), or 0 where bits(key, i) < threshold. `out` may be the first of the operands.
    """

    def body(start, stop, arguments):
        key, threshold, scale = arguments[1:4]
        out, operands = arguments[0][start:stop], part(arguments[4:], start, stop)
        chunk = chunk_of(out)
        for begin in range(0, out.size, CHUNK):
            count = min(CHUNK, out.size - begin)
            pieces, result = part(operands, begin, begin + count), out[begin : begin + count]
            position = np.uint64(start + begin)
            for i in range(count):
                value = scale * rule(*load(pieces, i))
                chunk[i] = cast(0, value) if bits(key, position + np.uint64(i)) < threshold else value
            for i in range(count):
                result[i] = chunk[i]

    return body


@device
def drop(x, key, start, threshold, scale):
    """Set x[i] = scale * x[i], or 0 where bits(key, start + i) < threshold: the pattern of `map_dropped`."""
    for i in range(x.size):
        x[i] = cast(0, x[i]) if bits(key, start + np.uint64(i)) < threshold else scale * x[i]


bits = device(random_bits)


def _write(rule):
    @device
    def write(out, operands):
        for i in range(out.size):
            out[i] = rule(*load(operands, i))

    return write
