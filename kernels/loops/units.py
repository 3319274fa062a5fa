"""Units: how a block of rows of a hidden layer is activated, and differentiated, for bodies that have them at hand.

Each kind is a pair of loops, of which items are rows::

    activate: z, b, y, slopes, *parameters          y <- activation(z + b); z <- z + b where it is needed again
    differentiate: dy, z, y, slopes, dslopes, *parameters           z <- the gradient with respect to z + b

All are matrices with a row for each example but `b` and `slopes`, which have an entry for each column. `slopes` and
`dslopes`, the gradient of each example, have entries for prelu only.
"""

from ..compiler import NEVER, device, join, loop
from ..math import cast
from ..rules import activations as rules
from ..views import row_at, vector_at

ACTIVATE, DIFFERENTIATE = "x[:,:] x[:] x[:,:] x[:]", "x[:,:] x[:,:] x[:,:] x[:] x[:,:]"


def elementwise(rule, backward):
    """Return the kernels of an activation of one element; `backward` takes the output where its name says so.

    The output must be as it was, not changed by dropout.
    """
    if backward.__name__.endswith("_from_output"):
        return join(activate_keeping_output, rule), join(differentiate_at_output, backward)
    return join(activate_keeping_input, rule), join(differentiate_at_input, backward)


@loop(NEVER, given=ACTIVATE)
def activate_keeping_output(f):
    """Items are rows: add b to z and write the activation into y, from which its derivative follows."""

    def body(start, stop, arguments):
        z, b, y, _ = arguments[:4]
        parameters = arguments[4:]
        for i in range(start, stop):
            before, after = row_at(z, i), row_at(y, i)
            for j in range(b.size):
                after[j] = f(before[j] + b[j], *parameters)

    return body


@loop(NEVER, given=DIFFERENTIATE)
def differentiate_at_output(df):
    """Items are rows: write the gradient with respect to z, from the output y."""

    def body(start, stop, arguments):
        dy, dz, y = arguments[:3]
        parameters, first, n = arguments[5:], start * dz.shape[1], (stop - start) * dz.shape[1]
        dy, dz, y = vector_at(dy, first, n), vector_at(dz, first, n), vector_at(y, first, n)
        for i in range(n):
            dz[i] = df(dy[i], y[i], *parameters)

    return body


@loop(NEVER, given=ACTIVATE)
def activate_keeping_input(f):
    """Items are rows: add b to z, which is kept, and write the activation into y."""

    def body(start, stop, arguments):
        z, b, y, _ = arguments[:4]
        parameters = arguments[4:]
        for i in range(start, stop):
            before, after = row_at(z, i), row_at(y, i)
            for j in range(b.size):
                before[j] += b[j]
                after[j] = f(before[j], *parameters)

    return body


@loop(NEVER, given=DIFFERENTIATE)
def differentiate_at_input(df):
    """Items are rows: write the gradient with respect to z over z."""

    def body(start, stop, arguments):
        dy, z = arguments[:2]
        parameters, first, n = arguments[5:], start * z.shape[1], (stop - start) * z.shape[1]
        dy, z = vector_at(dy, first, n), vector_at(z, first, n)
        for i in range(n):
            z[i] = df(dy[i], z[i], *parameters)

    return body


_prelu, _prelu_backward = device(rules.prelu), device(rules.prelu_backward)


@loop(NEVER, given=ACTIVATE)
def prelu():
    """He et al. 2015, with a slope for each unit."""

    def body(start, stop, arguments):
        z, b, y, slopes = arguments
        for i in range(start, stop):
            before, after = row_at(z, i), row_at(y, i)
            for j in range(b.size):
                before[j] += b[j]
                after[j] = _prelu(before[j], slopes[j])

    return body


@loop(NEVER, given=DIFFERENTIATE)
def prelu_backward():
    """The gradient of `prelu`; that of a slope is dy z where z is not positive."""

    def body(start, stop, arguments):
        dy, z, _, slopes, dslopes = arguments
        for i in range(start, stop):
            given, before, of_slopes = row_at(dy, i), row_at(z, i), row_at(dslopes, i)
            for j in range(slopes.size):
                of_slopes[j] = cast(0, given[j]) if before[j] > 0 else given[j] * before[j]
                before[j] = _prelu_backward(given[j], before[j], slopes[j])

    return body


@loop(NEVER, given=ACTIVATE)
def maxout():
    """Goodfellow et al. 2013: a unit is the largest of neighbouring columns."""

    def body(start, stop, arguments):
        z, b, y, _ = arguments
        pieces = z.shape[1] // y.shape[1]
        for i in range(start, stop):
            before, after = row_at(z, i), row_at(y, i)
            for j in range(b.size):
                before[j] += b[j]
            for unit in range(after.size):
                after[unit] = before[_largest(before, unit * pieces, pieces)]

    return body


@loop(NEVER, given=DIFFERENTIATE)
def maxout_backward():
    """The gradient of `maxout`: all of it goes to the largest, the first of equals."""

    def body(start, stop, arguments):
        dy, z = arguments[:2]
        pieces = z.shape[1] // dy.shape[1]
        for i in range(start, stop):
            given, before = row_at(dy, i), row_at(z, i)
            for unit in range(given.size):
                best = _largest(before, unit * pieces, pieces)
                for j in range(unit * pieces, (unit + 1) * pieces):
                    before[j] = given[unit] if j == best else cast(0, before[j])

    return body


@device
def _largest(x, first, count):
    """Return where the largest of x[first : first + count] is; a NaN is the largest."""
    best = first
    for j in range(first + 1, first + count):
        if x[j] > x[best] or x[j] != x[j]:
            best = j
    return best
