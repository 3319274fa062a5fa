"""The optimizer step of many arrays in one walk, by the addresses of their memory."""

from ..addresses import load_pointer, matching, vector
from ..compiler import device, loop
from ..views import allocate, release, row_at
from ..words import HEAD, bound_at, invoke, word_of


def _traffic(size, starts, coefficients, rows, g, places, step):
    return (1 + 2 * len(places)) * size * coefficients.itemsize


@loop(parallel_from=16_384, flush=True, traffic=_traffic)
def update_many():
    """Step several vectors, as if they were one; arguments: starts, coefficients, rows, g, places, step.

    Items are the elements of all vectors, one after the other: vector k has items starts[k] to starts[k + 1] and is
    stepped with coefficients[rows[k]]. Its gradient lies at the address g[k], the vector and its slots at the addresses
    places[:, k]. All have the dtype of the coefficients. `step` is an `update` bound to vectors of any size.
    """

    def body(start, stop, arguments):
        starts, coefficients, rows, g, places, step = arguments
        words = allocate(starts, HEAD + 2 * len(places))  # of the update as bound to one vector: addresses and sizes
        for j in range(HEAD):
            words[j] = word_of(step, j)
        k = _last_up_to(starts, start)
        while start < stop:
            first, last = start - starts[k], min(stop, starts[k + 1]) - starts[k]
            for j in range(len(places)):
                words[HEAD + 2 * j], words[HEAD + 2 * j + 1] = places[j, k], starts[k + 1] - starts[k]
            gradient = vector(coefficients, g[k], last)
            invoke(bound_at(words), first, last, (row_at(coefficients, rows[k]), gradient, 0))
            k += 1
            start = starts[k]
        release(words)

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
    """Find the memory of many array objects; arguments: found, objects, likes, none.

    Sets found[k] to the address of the elements of the k-th object, to 0 if it is None, and to -1 if it does not match
    the k-th of `likes`. `objects` and `likes` are addresses of tables of objects' addresses; `none` is None's address.
    """

    def body(start, stop, arguments):
        found, objects, likes, none = arguments
        for k in range(start, stop):
            array = load_pointer(objects + k * 8)
            found[k] = 0 if array == none else matching(array, load_pointer(likes + k * 8))

    return body
