"""Rules that compute next to nothing: walks by them show how fast memory is."""

from .stages import NoCoefficients


def copy(x):
    """Read one array, write another."""
    return x


def add(x, y):
    """Read two arrays, write a third."""
    return x + y


def touch(p, g, c: NoCoefficients):
    """Read two arrays, write one of them: an optimizer without state."""
    return (p + g,)


def touch_1(p, g, s, c: NoCoefficients):
    """The same with one array of state."""
    return p + g, s + g


def touch_2(p, g, s, t, c: NoCoefficients):
    """With two, as Adam."""
    return p + g, s + g, t + g


def touch_3(p, g, s, t, u, c: NoCoefficients):
    """With three."""
    return p + g, s + g, t + g, u + g


TOUCH = (touch, touch_1, touch_2, touch_3)
