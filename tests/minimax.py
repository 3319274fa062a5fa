"""Computes polynomials and quotients of `kernels/polynomials.py`: ``python tests/minimax.py`` prints them (a minute).

Each is nearest to its function by the largest weighted error on an interval. It is found by least squares, whose
weights grow where the error is large (Lawson 1961); a quotient's denominator is that of the round before (Sanathanan &
Koerner 1963). Then one coefficient after the other is rounded, the lowest powers first, and the rest is fitted again.
"""

from functools import cache
from typing import NamedTuple

import mpmath
import numpy as np
from mpmath import mpf

DIGITS, ROUNDS, TINY = 60, 16, mpf("1e-12")
LN2 = mpf("0.6931471805599453094172321214581765680755001343602552541206800095")
SLACK = mpf("1.0001")  # arguments are reduced in rounded arithmetic


class Fit(NamedTuple):
    """What to approximate by p / q on [0, high] or [-high, high]."""

    function: object
    weight: object  # of the error, as a function of x
    high: object
    powers: tuple  # of p
    divisor: tuple = ()  # powers of q, whose constant is 1
    both_signs: bool = False


def exp_q(r):
    """(e**-r - 1 + r) / r**2."""
    return (mpmath.exp(-r) - 1 + r) / r**2


def expm1_p(r):
    """(e**-r - 1 + r - r**2 / 2) / r**3."""
    return (exp_q(r) - mpf(1) / 2) / r


def tanh_p(square):
    """(tanh r - r) / r**3 for r**2."""
    r = mpmath.sqrt(square)
    return (mpmath.tanh(r) - r) / r**3


def atanh_p(square):
    """(2 atanh(s) - 2 s) / s**3 for s**2."""
    s = mpmath.sqrt(square)
    return (2 * mpmath.atanh(s) - 2 * s) / s**3


def coth_p(square):
    """(r coth(r / 4) - 4) / r**2 for r**2."""
    r = mpmath.sqrt(square)
    return (r * mpmath.coth(r / 4) - 4) / square


def tail(x):
    """normal_cdf(-x) e**(x**2 / 2)."""
    return mpmath.erfc(x / mpmath.sqrt(2)) * mpmath.exp(x * x / 2) / 2


def _slope(x):
    return tail(x) - x / mpmath.sqrt(2 * mpmath.pi)


@cache
def slope_zero():
    """Return where normal_cdf(-x) = x density(x)."""
    return mpmath.findroot(_slope, mpf("0.75"))


def slope(x):
    """(normal_cdf(-x) - x density(x)) e**(x**2 / 2) / (slope_zero() - x)."""
    return _slope(x) / (slope_zero() - x)


def fits(double):
    """Return the fits for float64 or float32; errors are weighted by their part in the result."""
    r, far = LN2 / 2 * SLACK, mpf("38.7" if double else "14.7")

    def relative(function):
        return lambda x: 1 / abs(function(x))

    def numbers(of_double, of_single):
        return tuple(range(of_double if double else of_single))

    return {
        "exp_q": Fit(exp_q, lambda x: x * x, r, numbers(10, 5), both_signs=True),
        "expm1_p": Fit(expm1_p, lambda x: x * x, r, numbers(10, 5), both_signs=True),
        "tanh_p": Fit(tanh_p, lambda x: x, (r / 2) ** 2, numbers(6, 3)),
        "atanh_p": Fit(atanh_p, lambda x: x, SLACK / 9, numbers(10, 4)),
        "coth_p": Fit(coth_p, lambda x: x ** mpf(1.5), (2 * r) ** 2, numbers(5, 2)),
        "gelu": Fit(tail, relative(tail), far, numbers(10, 5), numbers(11, 6)[1:]),
        "slope": Fit(slope, relative(slope), far, numbers(10, 5), numbers(10, 5)[1:]),
    }


def value(polynomial, x):
    return sum(c * x**power for power, c in polynomial.items())


def nodes(fit):
    """Return Chebyshev nodes with the function and the weight there."""
    count = 6 * (len(fit.powers) + len(fit.divisor)) + 20
    low = -fit.high if fit.both_signs else mpf(0)
    middle, half = (fit.high + low) / 2, (fit.high - low) / 2
    xs = [middle + half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) + TINY * fit.high for k in range(count)]
    return [(x, fit.function(x), fit.weight(x)) for x in xs]


def nearest(fit, points, p, q):
    """Return p and q with the coefficients that they lack, and the largest error."""
    ps, qs = [k for k in fit.powers if k not in p], [k for k in fit.divisor if k not in q]
    importance, below, best = [mpf(1)] * len(points), [mpf(1)] * len(points), None
    for _ in range(ROUNDS):
        rows, sides = [], []
        for (x, f, weight), important, divided in zip(points, importance, below, strict=True):
            scale = mpmath.sqrt(important) * weight / abs(divided)
            rows.append([scale * x**k for k in ps] + [-scale * f * x**k for k in qs])
            sides.append(scale * (f * value(q, x) - value(p, x)))
        solution = list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(sides)))
        found = p | dict(zip(ps, solution, strict=False)), q | dict(zip(qs, solution[len(ps) :], strict=True))
        below = [value(found[1], x) for x, _, _ in points]
        errors = [w * abs(value(found[0], x) / d - f) for (x, f, w), d in zip(points, below, strict=True)]
        worst = max(errors)
        if best is None or worst < best[2]:
            best = *found, worst
        total = sum(a * e for a, e in zip(importance, errors, strict=True))
        importance = [a * e / total for a, e in zip(importance, errors, strict=True)]
    return best


def rounded(fit, real):
    """Return p and q with coefficients that are numbers of a type, and the error of the last fit."""
    p, q, points = {}, {0: mpf(1)}, nodes(fit)
    for k in range(max(*fit.powers, *fit.divisor, 0) + 1):
        for mine, powers, position in ((p, fit.powers, 0), (q, fit.divisor, 1)):
            if k in powers:
                *found, error = nearest(fit, points, p, q)
                mine[k] = mpf(float(real(float(found[position][k]))))
    return p, q, error


def constants(real, names=None):
    """Return {name: coefficients} as `kernels/polynomials.py` has them, and print the errors in ULP of 1."""
    with mpmath.workdps(DIGITS):
        found, zero = {}, slope_zero()
        for name, fit in fits(real is np.float64).items():
            if names is None or name in names:
                p, q, error = rounded(fit, real)
                print(f"# {real.__name__} {name}: {float(error / np.finfo(real).eps):.2g} ULP", flush=True)
                found[f"{name}_p" if fit.divisor else name] = _floats(real, p)
                found |= {f"{name}_q": _floats(real, q)} if fit.divisor else {}
        high = real(float(zero))
        return found | {"slope_zero": (float(str(high)), float(str(real(float(zero - mpf(float(high)))))))}


def _floats(real, polynomial):
    return tuple(float(str(real(float(polynomial[k])))) for k in sorted(polynomial))


if __name__ == "__main__":
    for real in (np.float32, np.float64):
        for name, numbers in constants(real).items():
            print(f"{name}={numbers!r},")
