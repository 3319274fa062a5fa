"""One walk over many arrays, by the addresses of their memory: a kernel is bound to each, and all are called at once.

The arrays of a call lie in a matrix of words: each row is a body bound to the arguments of one array (see `words`),
behind which follow the words of what the body is given.
"""

from ..addresses import load_pointer, matching
from ..compiler import device, loop
from ..views import row_at
from ..words import invoke_words


def _traffic(size, starts, rows, given, work, moved, body):
    return moved


def _work(size, starts, rows, given, work, moved, body):
    return size * work


@loop(parallel_from=16_384, flush=True, work=_work, traffic=_traffic)
def update_many():
    """Walk bound bodies as if they were one; arguments: starts, rows, given, work, moved, body.

    Items are those of all bodies, one after the other: body k has items starts[k] to starts[k + 1], and its words are
    rows[k], with those of its given arguments from word `given` on. For profiles, `moved` is the number of bytes that
    move and `body` any of the bound bodies; `work` is the number of elements of an item.
    """

    def body(start, stop, arguments):
        _walk(start, stop, *arguments[:3])

    return body


@loop(parallel_from=16_384, work=_work, traffic=_traffic)
def measure_many():
    """As `update_many`, for bodies that keep subnormal results."""

    def body(start, stop, arguments):
        _walk(start, stop, *arguments[:3])

    return body


@device
def _walk(start, stop, starts, rows, given):
    k = last_up_to(starts, start)
    while start < stop:
        invoke_words(row_at(rows, k), given, start - starts[k], min(stop, starts[k + 1]) - starts[k])
        k += 1
        start = starts[k]


@device
def last_up_to(starts, i):
    """Return the last k with starts[k] <= i, of ascending numbers."""
    low, high = 0, starts.size
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= i:
            low = middle
        else:
            high = middle
    return low


def _traffic_of_objects(size, found, objects, likes, none, written):
    return 8 * size


@loop(parallel_from=2**40, traffic=_traffic_of_objects)
def match():
    """Find the memory of many array objects; arguments: found, objects, likes, none, written.

    Sets found[k] to the address of the elements of the k-th object, to 0 if it is None, and to -1 if it does not match
    the k-th of `likes`. `objects` and `likes` are addresses of tables of objects' addresses; `none` is None's address.
    With `written`, arrays must be writeable.
    """

    def body(start, stop, arguments):
        found, objects, likes, none, written = arguments
        for k in range(start, stop):
            array = load_pointer(objects + k * 8)
            found[k] = 0 if array == none else matching(array, load_pointer(likes + k * 8), written)

    return body


def _traffic_of_addresses(size, are_apart, found, *others):
    return found.nbytes


@loop(parallel_from=2**40, traffic=_traffic_of_addresses)
def apart():
    """Look for arrays that overlap; arguments: are_apart, found, sizes, begins, ends, order.

    Sets are_apart[0] to True unless an array of sizes[k] bytes at the address found[k] overlaps one of the ranges
    begins[j] to ends[j], which ascend, or an address is negative. If there is an `order` in which `found` ascends, the
    arrays must not overlap each other either. An address of 0 stands for no array.
    """

    def body(start, stop, arguments):
        are_apart, found, sizes, begins, ends, order = arguments
        good = True
        for k in range(found.size):
            begin, end = found[k], found[k] + sizes[k]
            if begin < 0:
                good = False
            elif begin > 0 and begins.size > 0 and begins[0] < end:
                last = last_up_to(begins, end - 1)
                good &= ends[last] <= begin
        before = 0
        for k in order:
            if found[k] > 0 and sizes[k] > 0:
                good &= before <= found[k]
                before = found[k] + sizes[k]
        are_apart[0] = good

    return body
