"""Elementary functions that vectorize: no call, no branch, the same algorithm in both precisions.

Compiled loops call the functions of libm for one element at a time. The functions below are short
polynomials that the compiler turns into packed instructions: 0.13 instead of 1.25 ns per sigmoid.

Rules use them like any scalar function; outside of compiled code they are NumPy's and SciPy's functions.
Maximum errors in units in the last place (ULP), as `tests/test_math.py` bounds them; `tests/exhaustive.py`
tests all float32 numbers:

                     with fused multiply-adds    without
    function             float32    float64      float32    float64
    exp, exp_minus           1.0        1.0          1.3        1.3
    expm1                    1.4        1.5          1.6        1.5
    log, log1p               0.9        0.9          0.9        0.9
    tanh                     1.6        1.6          1.6        1.7
    sigmoid                  1.7        1.7          2.2        2.0
    softplus                 2.2        2.0          2.7        2.4
    erf                      1.4        1.5          2.5        2.4
    normal_cdf               6.1        8.0          6.6        8.0
      and its density        2.8        2.9          3.0        3.0

Processors without fused multiply-adds, such as Intel's before Haswell and many virtual machines, take more time.
NaN gives NaN and infinities give the limits. Results below the smallest normal number are right
to the nearest subnormal, and subnormal arguments are not flushed.
"""

import numpy as np
from llvmlite import ir
from numba import types

from .compiler import device
from .machine_code import overload
from .multiply_add import fma, horner, multiply_add
from .polynomials import FORMATS
from .words import intrinsic_or


def cast(value, x):
    """Return a number in the type of x: `1 - x` would be float64 for a float32 x in compiled code."""
    return type(x)(value)


@overload(cast)
def _cast(value, x):
    real = x.dtype if isinstance(x, types.Array) else x
    return lambda value, x: real(value)


@intrinsic_or(np.copysign)
def copysign(typing_context, magnitude, sign):
    """Return magnitude with the sign bit of sign."""

    def generate(context, builder, signature, arguments):
        real = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [real], ir.FunctionType(real, [real, real]))
        return builder.call(function, arguments)

    return magnitude(magnitude, magnitude), generate


@intrinsic_or(lambda x: x.view(f"i{x.itemsize}"))
def bits_of(typing_context, x):
    """Return the bit pattern of a float as an integer of the same size."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))

    return integer(x), generate


@intrinsic_or(lambda bits: bits.view(f"f{bits.itemsize}"))
def float_of(typing_context, bits):
    """Return the float of a bit pattern."""
    real = types.float32 if bits == types.int32 else types.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(real))

    return real(bits), generate


@intrinsic_or(lambda x: x)
def ordered(typing_context, x):
    """Return an integer for a float, so that the integers have the order of the floats; NaN is beyond both ends."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))
        return _flip_negative(builder, bits)

    return integer(x), generate


@intrinsic_or(lambda key: key)
def unordered(typing_context, key):
    """Return the float that `ordered` turned into this integer."""
    real = types.float32 if key == types.int32 else types.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(_flip_negative(builder, arguments[0]), context.get_value_type(real))

    return real(key), generate


def _flip_negative(builder, bits):
    """Invert all bits but the sign where the sign is set."""
    width = bits.type.width
    signs = builder.ashr(bits, ir.Constant(bits.type, width - 1))
    return builder.xor(bits, builder.and_(signs, ir.Constant(bits.type, 2 ** (width - 1) - 1)))


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
    """Return e**x, by Cody & Waite's reduction x = n ln 2 + r and e**r = 1 + r + r**2 q(r)."""
    return np.exp(x)


def exp_minus(x):
    """Return e**-|x|, which is cheaper than e**x because it cannot overflow."""
    return np.exp(-abs(x))


def expm1(x):
    """Return e**x - 1, accurate for small x."""
    return np.expm1(x)


def log(x):
    """Return the natural logarithm: x = 2**k m, then log m = 2 atanh(s) with s = (m - 1) / (m + 1)."""
    return np.log(x)


def log1p(x):
    """Return log(1 + x), accurate for small x: the rounding error of 1 + x is added at the end."""
    return np.log1p(x)


def tanh(x):
    """Return the hyperbolic tangent: 1 - 2 e / (1 + e) with e = e**-2|x|, and x + x**3 p(x**2) near 0."""
    return np.tanh(x)


def sigmoid(x):
    """Return 1 / (1 + e**-x)."""
    return 1 / (1 + np.exp(-x))


def softplus(x):
    """Return log(1 + e**x) as max(x, 0) + log1p(e**-|x|)."""
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def erf(x):
    """Return the error function: x p(x**2) for |x| < 1, else sign(x) (1 - e**-x**2 erfcx(|x|))."""
    from scipy import special

    return special.erf(x)


def normal_cdf(x):
    """Return the standard normal distribution function and its density, which share an exponential.

    The first is accurate in the lower tail, where 1 + erf(x) cancels.
    """
    from scipy import special

    return special.ndtr(x), np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _functions(format):
    """Build the functions for one floating-point format."""
    real, integer, mantissa_bits = format.real, format.integer, format.mantissa_bits
    zero, half, one, two, four = map(real, (0, 0.5, 1, 2, 4))
    infinity, nan, smallest = real(np.inf), real(np.nan), np.finfo(real).smallest_normal
    exp_min, exp_max = map(real, format.exp_range)
    expm1_min, erf_max, normal_max = map(real, (format.expm1_min, format.erf_max, format.normal_max))
    tanh_small, tanh_max = real(0.56), real(20)  # tanh is 1 from there on
    log2_e, ln2_high, ln2_low = map(real, (1 / np.log(2), format.ln2_high, format.ln2_low))
    exp_q, log_r, log1p_q = (tuple(map(real, each)) for each in (format.exp_q, format.log_r, format.log1p_q))
    tanh_p, erf_p = (tuple(map(real, each)) for each in (format.tanh_p, format.erf_p))
    cdf_p, erfcx_p = (tuple(map(real, each)) for each in (format.cdf_p, format.erfcx_p))
    cdf_a, twice_cdf_a = real(format.cdf_a), real(2 * format.cdf_a)
    erf_0, pdf_0, sqrt_half = real(2 / np.sqrt(np.pi)), real(1 / np.sqrt(2 * np.pi)), real(np.sqrt(0.5))
    # Adding 1.5 * 2**mantissa_bits rounds to an integer and leaves it in the lowest bits. Integers are
    # cast after each operation, since Numba widens the results to 64 bits.
    shifter = real(1.5 * 2**mantissa_bits)
    shifter_bits, sqrt_half_bits = shifter.view(integer), sqrt_half.view(integer)
    # For e**-x the shifter leaves the exponent of 2**n in the lowest bits. Where 2**n can be subnormal, the exponent
    # is raised first, and one product lowers the result again.
    raising = format.exponent_bias // 2 + 1
    shifter_2n = shifter + real(format.exponent_bias)
    shifter_up, lowering = shifter_2n + real(raising), real(2.0**-raising)
    subnormal_shift, exponent_bias = mantissa_bits + 2, format.exponent_bias
    subnormal_factor, subnormal_steps = real(2.0**subnormal_shift), real(subnormal_shift)

    @device
    def power_of_two(n):
        return float_of(integer((n + exponent_bias) << mantissa_bits))

    @device
    def reduce(x, shifter):
        """Return shifter + n, r, and the rounding error of r, where x = n ln 2 + r."""
        shifted = multiply_add(x, log2_e, shifter)
        n = shifted - shifter
        exact = multiply_add(-n, ln2_high, x)
        r = multiply_add(-n, ln2_low, exact)
        return shifted, r, multiply_add(-n, ln2_low, exact - r)

    @device
    def exp_of(r):
        return multiply_add(r, multiply_add(r, horner(r, exp_q), one), one)

    @device
    def exp(x):
        x = exp_min if x < exp_min else x  # comparisons written this way let NaN through
        x = exp_max if x > exp_max else x
        shifted, r, _ = reduce(x, shifter)
        n = integer(bits_of(shifted) - shifter_bits)
        half_n = integer(n >> 1)  # two factors: 2**n itself can overflow or be subnormal
        return exp_of(r) * power_of_two(half_n) * power_of_two(integer(n - half_n))

    @device
    def exp_of_minus(size, shifter):
        shifted, r, _ = reduce(-size, shifter)
        return exp_of(r) * float_of(integer(bits_of(shifted) << mantissa_bits))

    @device
    def exp_minus(x):
        size = abs(x)
        return exp_of_minus(-exp_min if -exp_min < size else size, shifter_up) * lowering

    @device
    def expm1(x):
        x = expm1_min if x < expm1_min else x
        x = exp_max if x > exp_max else x
        shifted, r, lost = reduce(x, shifter)
        s = multiply_add(r * r, horner(r, exp_q), lost)
        scale = power_of_two(integer(integer(bits_of(shifted) - shifter_bits) - 1))  # half of 2**n, which can overflow
        high = r + s
        low = s - (high - r)
        total = multiply_add(scale, high, scale - half)
        low = multiply_add(scale, low, multiply_add(scale, high, (scale - half) - total))
        return copysign(two * (total + low), x)  # -0 stays -0

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
        size, square = abs(x), x * x
        held = tanh_max if tanh_max < size else size
        e = exp_of_minus(held + held, shifter_2n)
        small = multiply_add(size * square, horner(square, tanh_p), size)
        return copysign(small if size < tanh_small else multiply_add(-two, e / (one + e), one), x)

    @device
    def sigmoid(x):
        e = exp_minus(x)
        numerator = one if x > 0 else e
        return multiply_add(-numerator, e / (one + e), numerator)  # e / (1 + e) or 1 / (1 + e), with less rounding

    @device
    def softplus(x):
        e = exp_minus(x)
        return (x if x > zero else zero) + multiply_add(e * e, horner(e, log1p_q), e)

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
    def normal_cdf(x):
        size = abs(x)
        size = normal_max if size > normal_max else size
        e = exp_minus_product(half * size, size)
        rest = twice_cdf_a / (size + cdf_a)
        tail = e * (rest * horner(one - rest, cdf_p))
        return (one - tail if x > zero else tail), pdf_0 * e

    return {
        "exp": exp,
        "exp_minus": exp_minus,
        "expm1": expm1,
        "log": log,
        "log1p": log1p,
        "tanh": tanh,
        "sigmoid": sigmoid,
        "softplus": softplus,
        "erf": erf,
        "normal_cdf": normal_cdf,
    }


_IMPLEMENTATIONS = {real: _functions(format) for real, format in FORMATS.items()}


def _declare(function):
    """Let rules call `function` and get the implementation for the type of its argument."""

    @overload(function)
    def choose(x):
        implementation = _IMPLEMENTATIONS[x][function.__name__]
        return lambda x: implementation(x)


for _function in (exp, exp_minus, expm1, log, log1p, tanh, sigmoid, softplus, erf, normal_cdf):
    _declare(_function)
