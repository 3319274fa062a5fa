"""Elementary functions that vectorize: no call, no branch, the same algorithm in both precisions.

Compiled loops call the functions of libm for one element at a time. The functions below are short
polynomials that the compiler turns into packed instructions: 0.13 instead of 1.25 ns per sigmoid.

Rules use them like any scalar function; outside of compiled code they are NumPy's and SciPy's functions.
Maximum errors in units in the last place (ULP), as `tests/test_math.py` bounds them; `tests/exhaustive.py`
tests all float32 numbers:

                            with fused multiply-adds    without
    function                    float32    float64      float32    float64
    exp, exp_minus                 1.0        1.0          1.0        1.0
    exp_minus_and_product          1.4        1.4          1.4        1.4
    expm1_minus                    0.8        0.8          0.8        0.8
    log, log1p                     0.9        0.9          0.9        0.9
    tanh                           0.6        0.6          0.6        0.6
    sigmoid                        1.7        1.7          1.9        1.9
    silu                           2.5        2.5          2.5        2.5
    softplus                       1.4        1.4          1.4        1.4
    erf                            1.4        1.5          2.5        2.4
    gelu                           6.5        9.0          7.5        9.0
    gelu_slope                     6.5        9.0          7.0        9.0

Processors without fused multiply-adds, such as Intel's before Haswell and many virtual machines, take more time.
NaN gives NaN and infinities give the limits. Results below the smallest normal number are right
to the nearest subnormal, and subnormal arguments are not flushed.
"""

import numpy as np
from numba import types

from .bits import bits_of, copysign, float_of
from .compiler import device
from .machine_code import overload
from .multiply_add import by_pairs, fma, horner, multiply_add
from .polynomials import FORMATS

FAR = 800  # e**-x is 0 from there on, in both precisions


def cast(value, x):
    """Return a number in the type of x: `1 - x` would be float64 for a float32 x in compiled code."""
    return type(x)(value)


@overload(cast)
def _cast(value, x):
    real = x.dtype if isinstance(x, types.Array) else x
    return lambda value, x: real(value)


@device
def sign(x):
    """Return 1, -1, or x itself where it is 0 or NaN."""
    return cast(1, x) if x > 0 else (cast(-1, x) if x < 0 else x)


@device
def maximum(x, y):
    """Return the larger of two numbers, NaN if either is NaN."""
    return x if x > y or x != x else y


@device
def clip(x, limit):
    """Return x within [-limit, limit]; NaN stays NaN."""
    return limit if x > limit else (-limit if x < -limit else x)


def exp(x):
    """Return e**x, by Cody & Waite's reduction -x = n ln 2 + r and e**-r = 1 - r + r**2 q(r)."""
    return np.exp(x)


def exp_minus(x):
    """Return e**-|x|, which is cheaper than e**x because it cannot overflow."""
    return np.exp(-abs(x))


def exp_minus_and_product(x):
    """Return e**-|x| and |x| e**-|x|, the second as accurate as the first; both are 0 at infinity."""
    e = np.exp(-abs(x))
    return e, np.minimum(abs(x), FAR) * e


def expm1_minus(x):
    """Return e**-|x| - 1, accurate for small x."""
    return np.expm1(-abs(x))


def log(x):
    """Return the natural logarithm: x = 2**k m, then log m = 2 atanh(s) with s = (m - 1) / (m + 1)."""
    return np.log(x)


def log1p(x):
    """Return log(1 + x), accurate for small x: the rounding error of 1 + x is added at the end."""
    return np.log1p(x)


def tanh(x):
    """Return the hyperbolic tangent: ((1 - s) + (1 + s) t) / ((1 + s) + (1 - s) t) with s = 2**-n and t = tanh(r).

    |x| = n ln 2 / 2 + r. The remainder of the quotient corrects it.
    """
    return np.tanh(x)


def sigmoid(x):
    """Return 1 / (1 + e**-x)."""
    return 1 / (1 + np.exp(-x))


def silu(x):
    """Return x / (1 + e**-x)."""
    return np.maximum(x, -FAR) / (1 + np.exp(-x))


def softplus(x):
    """Return log(1 + e**x) = max(x, 0) + 2 atanh(e / (2 + e)) with e = e**-|x|, the quotient corrected as in tanh."""
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def erf(x):
    """Return the error function: x p(x**2) for |x| < 1, else sign(x) (1 - e**-x**2 erfcx(|x|))."""
    from scipy import special

    return special.erf(x)


def gelu(x):
    """Return x times the normal distribution function: max(x, 0) - |x| e**(-x**2 / 2) p(|x|) / q(|x|)."""
    from scipy import special

    return np.maximum(x, -FAR) * special.ndtr(x)


def gelu_slope(x):
    """Return the derivative of gelu: e**(-x**2 / 2) (a - |x|) p(|x|) / q(|x|) where x <= 0, and 1 minus that elsewhere.

    It is 0 at x = -a: so it is accurate there, too.
    """
    from scipy import special

    x = np.clip(x, -FAR, FAR)
    return special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _functions(format):
    """Build the functions for one floating-point format."""
    real, integer, mantissa_bits = format.real, format.integer, format.mantissa_bits
    zero, half, one, two, four = map(real, (0, 0.5, 1, 2, 4))
    infinity, nan, smallest = real(np.inf), real(np.nan), np.finfo(real).smallest_normal
    exp_min, exp_max = map(real, format.exp_range)
    expm1_max, erf_max, normal_max = map(real, (-format.expm1_min, format.erf_max, format.normal_max))
    tanh_max, sure = real(20), real(40)  # tanh and sigmoid are 1 from there on
    minus_log2_e, ln2_high, ln2_low = map(real, (-1 / np.log(2), format.ln2_high, format.ln2_low))
    exp_q, expm1_p, tanh_p = (tuple(map(real, each)) for each in (format.exp_q, format.expm1_p, format.tanh_p))
    log_r, atanh_p, coth_p = (tuple(map(real, each)) for each in (format.log_r, format.atanh_p, format.coth_p))
    gelu_p, gelu_q = (tuple(map(real, each)) for each in (format.gelu_p, format.gelu_q))
    slope_p, slope_q = (tuple(map(real, each)) for each in (format.slope_p, format.slope_q))
    slope_zero, slope_zero_low = map(real, format.slope_zero)
    erf_p, erfcx_p = (tuple(map(real, each)) for each in (format.erf_p, format.erfcx_p))
    erf_0, sqrt_half = real(2 / np.sqrt(np.pi)), real(np.sqrt(0.5))
    # Adding 1.5 * 2**mantissa_bits rounds to an integer and leaves it in the lowest bits. Integers are
    # cast after each operation, since Numba widens the results to 64 bits.
    shifter = real(1.5 * 2**mantissa_bits)
    shifter_bits, sqrt_half_bits = shifter.view(integer), sqrt_half.view(integer)
    # For e**-x the shifter leaves the exponent of 2**-n in the lowest bits, raised or lowered by so much that the power
    # is a normal number; a product with one of the two factors undoes it.
    raising, bias = format.exponent_bias // 2 + 1, format.exponent_bias
    lowering, lifting = real(2.0**-raising), real(2.0**raising)
    lowered, to_power, raised = (shifter + real(each) for each in (bias - raising, bias, bias + raising))
    shifter_raised = shifter + real(raising)
    first_digits = real(1.5 * 2.0 ** (mantissa_bits // 3))  # so few that products of a quotient of them are exact
    subnormal_shift = mantissa_bits + 2
    subnormal_factor, subnormal_steps = real(2.0**subnormal_shift), real(subnormal_shift)

    @device
    def power_of(shifted):
        return float_of(integer(bits_of(shifted) << mantissa_bits))

    @device
    def reduce(x, shifter, unit):
        """Return shifter - n, -n, and r but for the term n unit ln2_low, where x = n unit ln 2 + r."""
        shifted = multiply_add(x, minus_log2_e / unit, shifter)
        minus_n = shifted - shifter
        return shifted, minus_n, multiply_add(minus_n, unit * ln2_high, x)

    @device
    def power_and_rest(x, shifter):
        """Return s and t with e**-x = s + s t, where s is a power of two."""
        shifted, minus_n, high = reduce(x, shifter, one)
        low = minus_n * ln2_low
        r = high + low
        square = r * r
        return power_of(shifted), multiply_add(square, by_pairs(r, square, exp_q), -low) - high

    @device
    def parts_of_exp_minus(size):
        """Return the same for x = size >= 0; the power can be subnormal."""
        s, t = power_and_rest(size, raised)
        return s * lowering, t

    @device
    def exp(x):
        x = exp_min if x < exp_min else x  # comparisons written this way let NaN through
        x = exp_max if x > exp_max else x
        positive = x > zero
        s, t = power_and_rest(-x, lowered if positive else raised)  # the power alone can overflow or be subnormal
        return multiply_add(s, t, s) * (lifting if positive else lowering)

    @device
    def within(size):
        return -exp_min if -exp_min < size else size

    @device
    def exp_minus(x):
        s, t = parts_of_exp_minus(within(abs(x)))
        return multiply_add(s, t, s)

    @device
    def exp_minus_and_product(x):
        size = within(abs(x))
        s, t = power_and_rest(size, raised)
        product, s = s * size * lowering, s * lowering
        return multiply_add(s, t, s), multiply_add(product, t, product)

    @device
    def expm1_minus(x):
        size = abs(x)
        shifted, minus_n, r_high = reduce(expm1_max if expm1_max < size else size, to_power, one)
        r_low, s = minus_n * ln2_low, power_of(shifted)
        r = r_high + r_low
        square = r * r
        halved = half * r_high
        second = halved * r_high
        high = second - r_high
        low = (second - (high + r_high)) + fma(halved, r_high, -second)
        low = multiply_add(square * r, by_pairs(r, square, expm1_p), multiply_add(r_low, r_high - one, low))
        below_one = s - one
        total = multiply_add(s, high, below_one)
        return total + multiply_add(s, low, multiply_add(s, high, below_one - total))

    @device
    def log_of(x, c, steps):
        """Return n and rest with n ln 2 + rest = log(x / 2**steps) + c, for positive normal x and tiny c."""
        bits = integer(bits_of(x) - sqrt_half_bits)
        k = integer(bits >> mantissa_bits)
        f = float_of(integer(bits_of(x) - integer(k << mantissa_bits))) - one
        n = float_of(integer(k + shifter_bits)) - shifter - steps
        square = half * f * f
        s = f / (two + f)
        z = s * s
        inner = multiply_add(s, multiply_add(z, horner(z, log_r), square), multiply_add(n, ln2_low, c))
        return n, f - (square - inner)

    @device
    def log(x):
        small = x < smallest
        n, rest = log_of(x * subnormal_factor if small else x, zero, subnormal_steps if small else zero)
        y = multiply_add(n, ln2_high, rest)
        y = y if x < infinity else x  # NaN too
        return y if not x <= zero else (nan if x < zero else -infinity)

    @device
    def log1p(x):
        u = one + x
        c = one - (u - x) if x > one else x - (u - one)
        n, rest = log_of(u, c / u, zero)
        y = multiply_add(n, ln2_high, rest)
        y = y if x < infinity and abs(x) > smallest else x
        return y if not x <= -one else (nan if x < -one else -infinity)

    @device
    def tanh(x):
        size = abs(x)
        shifted, minus_n, high = reduce(tanh_max if tanh_max < size else size, to_power, half)
        s, low = power_of(shifted), minus_n * (half * ln2_low)
        r = high + low
        square = r * r
        low = multiply_add(r * square, horner(square, tanh_p), low)  # high + low = tanh(r)
        t, less, more = high + low, one - s, one + s
        reciprocal = one / multiply_add(less, t, more)
        first = multiply_add(multiply_add(more, t, less), reciprocal, first_digits) - first_digits
        below, above = one - first, one + first
        rest = fma(high, multiply_add(s, above, below), multiply_add(-s, above, below))
        rest = multiply_add(low, multiply_add(s, above, below), rest)
        return copysign(multiply_add(rest, reciprocal, first), x)

    @device
    def sigmoid(x):
        e = exp_minus(x)
        numerator = one if x > 0 else e
        return multiply_add(-numerator, e / (one + e), numerator)  # e / (1 + e) or 1 / (1 + e), with less rounding

    @device
    def silu(x):
        held = exp_min if x < exp_min else x
        held = sure if held > sure else held
        s, t = power_and_rest(held, lowered)
        return x if x > sure else held / multiply_add(s, t, lowering + s) * lowering

    @device
    def softplus(x):
        s, t = parts_of_exp_minus(within(abs(x)))
        e = multiply_add(s, t, s)
        e_low, half_y = multiply_add(s, t, s - e), e / (two + e)
        y, less, square = half_y + half_y, one - half_y, half_y * half_y
        rest = multiply_add(e_low, less, fma(-e, half_y, e - y))  # the remainder e + e_low - half_y (2 + e + e_low)
        low = multiply_add(rest, less, half_y * square * horner(square, atanh_p))
        return (zero if x < zero else x) + (y + low)

    @device
    def exp_minus_product(x, y):
        """Return e**-(x y) for x y >= 0, as accurately as if the product were not rounded."""
        product = x * y
        e = exp_minus(product)
        return multiply_add(-fma(x, y, -product), e, e)

    @device
    def erf(x):
        size = abs(x)
        size = erf_max if size > erf_max else size
        small = multiply_add(x, erf_0, x * horner(x * x, erf_p))
        rest = four / (size + two)
        large = one - exp_minus_product(size, size) * (rest * horner(one - rest, erfcx_p))
        return copysign(small if size < one else large, x)

    @device
    def exp_of_square(size):
        """Return size**2, and numerator and denominator of e**(-size**2 / 2), the numerator raised.

        With the sum c of the even powers of r coth(r / 4), e**(-r / 2) = (c - r) / (c + r).
        """
        square = size * size
        shifted = multiply_add(square, half * minus_log2_e, shifter_raised)
        minus_n = shifted - shifter_raised
        r = multiply_add(minus_n, two * ln2_low, fma(size, size, minus_n * (two * ln2_high)))
        square_of_r = r * r
        c = multiply_add(square_of_r, horner(square_of_r, coth_p), four)
        return square, float_of(integer(bits_of(c - r) + integer(bits_of(shifted) << mantissa_bits))), c + r

    @device
    def gelu(x):
        size = abs(x)
        size = normal_max if normal_max < size else size
        square, numerator, denominator = exp_of_square(size)
        numerator = numerator * size * by_pairs(size, square, gelu_p)
        rest = numerator / (denominator * by_pairs(size, square, gelu_q))
        return multiply_add(-lowering, rest, zero if x < zero else x)

    @device
    def gelu_slope(x):
        size = abs(x)
        size = normal_max if normal_max < size else size
        square, numerator, denominator = exp_of_square(size)
        numerator = numerator * (((slope_zero - size) + slope_zero_low) * by_pairs(size, square, slope_p))
        slope = numerator / (denominator * by_pairs(size, square, slope_q)) * lowering
        return one - slope if x > zero else slope

    found = locals()
    return {function.__name__: found[function.__name__] for function in _FUNCTIONS}


_FUNCTIONS = (
    exp,
    exp_minus,
    exp_minus_and_product,
    expm1_minus,
    log,
    log1p,
    tanh,
    sigmoid,
    silu,
    softplus,
    erf,
    gelu,
    gelu_slope,
)
_IMPLEMENTATIONS = {real: _functions(format) for real, format in FORMATS.items()}


def _declare(function):
    """Let rules call `function` and get the implementation for the type of its argument."""

    @overload(function)
    def choose(x):
        implementation = _IMPLEMENTATIONS[x][function.__name__]
        return lambda x: implementation(x)


for _function in _FUNCTIONS:
    _declare(_function)
