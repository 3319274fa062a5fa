"""Units: how a block of rows of a hidden layer is activated, and differentiated.

Each kind is a pair of functions::

    activate(z, b, y, slopes, parameters)           y <- activation(z + b); z <- z + b where it is needed again
    differentiate(dy, z, y, slopes, dslopes, parameters)                z <- the gradient with respect to z + b

All are matrices with a row for each example but `b` and `slopes`, which have an entry for each column. `slopes` and
`dslopes`, the gradient of each example, have entries for prelu only.
"""

import functools
import inspect

import numpy as np

from ..compiler import device
from ..math import cast
from ..rules import activations as rules
from ..rules.dropout import random_bits
from .elementwise import drop


@functools.cache
def elementwise(rule, backward):
    """Return the pair of an activation of one element; `backward` takes the output where its name says so.

    The output must be as it was, not changed by dropout.
    """
    f, df = device(rule), device(backward)

    def activate_keeping_output(z, b, y, slopes, parameters):
        for i in range(len(z)):
            before, after = z[i], y[i]
            for j in range(b.size):
                after[j] = f(before[j] + b[j], *parameters)

    def differentiate_at_output(dy, z, y, slopes, dslopes, parameters):
        dy, dz, y = dy.reshape(dy.size), z.reshape(z.size), y.reshape(y.size)
        for i in range(dz.size):
            dz[i] = df(dy[i], y[i], *parameters)

    def activate_keeping_input(z, b, y, slopes, parameters):
        for i in range(len(z)):
            before, after = z[i], y[i]
            for j in range(b.size):
                before[j] += b[j]
                after[j] = f(before[j], *parameters)

    def differentiate_at_input(dy, z, y, slopes, dslopes, parameters):
        dy, z = dy.reshape(dy.size), z.reshape(z.size)
        for i in range(z.size):
            z[i] = df(dy[i], z[i], *parameters)

    if backward.__name__.endswith("_from_output"):
        pair = activate_keeping_output, differentiate_at_output
    else:
        pair = activate_keeping_input, differentiate_at_input
    for function, of in zip(pair, (rule, backward), strict=True):
        function.__name__ = function.__qualname__ = f"{of.__name__}_units"
        function.parameters = len(inspect.signature(rule).parameters) - 1
    return pair


_prelu, _prelu_backward = device(rules.prelu), device(rules.prelu_backward)


def prelu(z, b, y, slopes, parameters):
    """He et al. 2015, with a slope for each unit."""
    for i in range(len(z)):
        before, after = z[i], y[i]
        for j in range(b.size):
            before[j] += b[j]
            after[j] = _prelu(before[j], slopes[j])


def prelu_backward(dy, z, y, slopes, dslopes, parameters):
    """The gradient of `prelu`; that of a slope is dy z where z is not positive."""
    for i in range(len(z)):
        given, before, of_slopes = dy[i], z[i], dslopes[i]
        for j in range(slopes.size):
            of_slopes[j] = cast(0, given[j]) if before[j] > 0 else given[j] * before[j]
            before[j] = _prelu_backward(given[j], before[j], slopes[j])


def maxout(z, b, y, slopes, parameters):
    """Goodfellow et al. 2013: a unit is the largest of neighbouring columns."""
    pieces = z.shape[1] // y.shape[1]
    for i in range(len(z)):
        before, after = z[i], y[i]
        for j in range(b.size):
            before[j] += b[j]
        for unit in range(after.size):
            after[unit] = before[_largest(before, unit * pieces, pieces)]


def maxout_backward(dy, z, y, slopes, dslopes, parameters):
    """The gradient of `maxout`: all of it goes to the largest, the first of equals."""
    pieces = z.shape[1] // dy.shape[1]
    for i in range(len(z)):
        given, before = dy[i], z[i]
        for unit in range(given.size):
            best = _largest(before, unit * pieces, pieces)
            for j in range(unit * pieces, (unit + 1) * pieces):
                before[j] = given[unit] if j == best else cast(0, before[j])


@device
def _largest(x, first, count):
    """Return where the largest of x[first : first + count] is; a NaN is the largest."""
    best = first
    for j in range(first + 1, first + count):
        if x[j] > x[best] or x[j] != x[j]:
            best = j
    return best


def dropped(x, first, rate, key, layer):
    """Drop from rows of a layer's input, of which the first is number `first` of the batch."""
    if rate > 0:
        threshold, scale = np.uint64(rate * 2.0**64), x.dtype.type(1 / (1 - rate))
        drop(x.reshape(x.size), _bits(key, layer), np.uint64(first * x.shape[1]), threshold, scale)


def undropped(x, first, rate, key, layer):
    """Leave all as it is: in a network without dropout there shall be no code for it."""


_bits = device(random_bits)

for _kind in (prelu, maxout):
    _kind.parameters = 0
