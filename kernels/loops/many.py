"""The optimizer step of many arrays in one walk, by the addresses of their memory."""

from ..addresses import POINTER, load_pointer, matching, vector, vectors
from ..compiler import device, loop
from .update import update_slices


def _traffic(size, starts, coefficients, rows, p, g, *slots):
    return (3 + 2 * len(slots)) * size * coefficients.itemsize


@loop(parallel_from=16_384, flush=True, traffic=_traffic)
def update_many(rule, *stages):
    """Step several vectors, as if they were one; arguments: starts, coefficients, rows, p, g, *slots.

    Items are the elements of all vectors, one after the other: those of vector k are starts[k] to starts[k + 1].
    It is stepped with coefficients[rows[k]], and lies, with its gradient and its slots, at the addresses p[k], g[k],
    slots[...][k]; all are of the dtype of the coefficients.
    """
    step = update_slices(rule, *stages)

    def body(start, stop, arguments):
        starts, coefficients, rows, p, g = arguments[:5]
        k = _last_up_to(starts, start)
        while start < stop:
            first, last = start - starts[k], min(stop, starts[k + 1]) - starts[k]
            parameter, gradient = vector(coefficients, p[k], first, last), vector(coefficients, g[k], first, last)
            step(coefficients[rows[k]], parameter, gradient, vectors(coefficients, arguments[5:], k, first, last))
            k += 1
            start = starts[k]

    return body


@device
def _last_up_to(starts, i):
    """Return the last k with starts[k] <= i, of ascending numbers."""
    low, high = 0, starts.size
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= i:
            low = middle
        else:
            high = middle
    return low


def _traffic_of_objects(size, found, objects, likes, none):
    return 8 * size


@loop(parallel_from=2**40, traffic=_traffic_of_objects)
def match():
    """Look at array objects; arguments: found, objects, likes, none.

    Sets found[k] to where the elements of the k-th array lie, 0 for None, -1 if it does not match the k-th of the
    others. The addresses of the objects lie one after the other at objects and at likes; that of None is none.
    """

    def body(start, stop, arguments):
        found, objects, likes, none = arguments
        for k in range(start, stop):
            array = load_pointer(objects + k * POINTER)
            found[k] = 0 if array == none else matching(array, load_pointer(likes + k * POINTER))

    return body
