"""Rules that compute next to nothing: benchmarks and profiles use them to measure the speed of memory."""

from .stages import NoCoefficients


def copy(x):
    """Return x: the walk reads one array and writes another."""
    return x


def add(x, y):
    """Return x + y: the walk reads two arrays and writes a third."""
    return x + y


def touch(p, g, c: NoCoefficients):
    """Read two arrays and write one of them, like an optimizer without state."""
    return (p + g,)


def touch_1(p, g, s, c: NoCoefficients):
    """Read and write one array of state as well."""
    return p + g, s + g


def touch_2(p, g, s, t, c: NoCoefficients):
    """Read and write two arrays of state, like Adam."""
    return p + g, s + g, t + g


def touch_3(p, g, s, t, u, c: NoCoefficients):
    """Read and write three arrays of state."""
    return p + g, s + g, t + g, u + g


TOUCH = (touch, touch_1, touch_2, touch_3)
