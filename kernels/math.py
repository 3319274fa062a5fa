"""Elementary functions that vectorize: no call, no branch, the same algorithm in both precisions.

The functions of libm are called one element at a time from compiled loops. Those below are short
polynomials that the compiler turns into packed instructions: 0.13 instead of 1.25 ns per sigmoid.

They are used in rules like any scalar function, and outside of compiled code they are NumPy's and SciPy's.
Maximum errors in units in the last place (ULP), as `tests/test_math.py` bounds them; `tests/exhaustive.py`
runs through all float32 numbers:

    function         float32   float64
    exp, exp_minus      1.0       1.0
    expm1               1.4       1.5
    log                 0.9       0.9
    log1p               0.9       0.9
    tanh                1.6       1.6
    sigmoid             1.7       1.7
    softplus            2.2       2.0
    erf                 1.4       1.0
    normal_cdf          6.1       4.0
      and its density   2.8       2.7

NaN gives NaN and infinities give the limits. Results below the smallest normal number are right
to the nearest subnormal, and subnormal arguments are not flushed.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiler import device
from .machine_code import overload
from .settings import INTERPRETED


def cast(value, x):
    """Return a number in the type of x: `1 - x` would be float64 for a float32 x in compiled code."""
    return type(x)(value)


@overload(cast)
def _cast(value, x):
    real = x.dtype if isinstance(x, types.Array) else x
    return lambda value, x: real(value)


@intrinsic
def fma(typing_context, a, b, c):
    """Return a * b + c with one rounding."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return a(a, a, a), generate


@intrinsic
def copysign(typing_context, magnitude, sign):
    """Return magnitude with the sign bit of sign."""

    def generate(context, builder, signature, arguments):
        real = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.copysign", [real], ir.FunctionType(real, [real, real]))
        return builder.call(function, arguments)

    return magnitude(magnitude, magnitude), generate


@intrinsic
def bits_of(typing_context, x):
    """Return the bit pattern of a float as an integer of the same size."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))

    return integer(x), generate


@intrinsic
def float_of(typing_context, bits):
    """Return the float of a bit pattern."""
    real = types.float32 if bits == types.int32 else types.float64

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(real))

    return real(bits), generate


@intrinsic
def ordered(typing_context, x):
    """Return an integer for a float, such that integers are in the order of floats; NaN is beyond the ends."""
    integer = types.int32 if x == types.float32 else types.int64

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(integer.bitwidth))
        return _flip_negative(builder, bits)

    return integer(x), generate


@intrinsic
def unordered(typing_context, key):
    """Return the float that `ordered` made an integer of."""
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
    """Return the larger of two numbers, NaN if one is."""
    return x if x > y or x != x else y


@device
def clip(x, limit):
    """Return x within [-limit, limit]; NaN stays NaN."""
    return limit if x > limit else (-limit if x < -limit else x)


if INTERPRETED:  # without Numba there are no intrinsics: what the rules and rows use of them

    def fma(a, b, c):  # noqa: D103
        return a * b + c

    def ordered(x):  # noqa: D103
        return x

    copysign, unordered = np.copysign, ordered


def horner(x, coefficients):
    """Evaluate coefficients[0] + coefficients[1] * x + ... by fused multiply-adds."""


@overload(horner)
def _horner(x, coefficients):
    if len(coefficients) == 1:
        return lambda x, coefficients: coefficients[0]
    return lambda x, coefficients: fma(x, horner(x, coefficients[1:]), coefficients[0])


def exp(x):
    """Return e**x. Cody & Waite's reduction x = n ln 2 + r, then e**r = 1 + r + r**2 q(r)."""
    return np.exp(x)


def exp_minus(x):
    """Return e**-|x|, for less than e**x: it cannot overflow."""
    return np.exp(-abs(x))


def expm1(x):
    """Return e**x - 1, accurate for small x."""
    return np.expm1(x)


def log(x):
    """Return the natural logarithm: x = 2**k m, then log m = 2 atanh(s) with s = (m - 1) / (m + 1)."""
    return np.log(x)


def log1p(x):
    """Return log(1 + x), accurate for small x: what rounding took from 1 + x is added in the end."""
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
    """Return the error function: x p(x**2), from |x| = 1 on 1 - e**-x**2 erfcx(|x|)."""
    from scipy import special

    return special.erf(x)


def normal_cdf(x):
    """Return the standard normal distribution function, and its density.

    Both, as they share an exponential; the first is accurate in the lower tail, where 1 + erf(x) cancels.
    """
    from scipy import special

    return special.ndtr(x), np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


class _Format(NamedTuple):
    """What the functions need to know of a floating-point format.

    Polynomials interpolate at Chebyshev's nodes; their coefficients begin with the lowest power.
    """

    real: type
    integer: type
    mantissa_bits: int
    exponent_bias: int
    exp_range: tuple  # e**x is 0 below and infinite above
    expm1_min: float  # e**x - 1 is -1 below
    erf_max: float  # erf is 1 above
    normal_max: float  # the density is 0 above
    ln2_low: float  # what is missing from log(2)
    exp_q: tuple  # (e**r - 1 - r) / r**2 on |r| <= log(2) / 2
    log_r: tuple  # (2 atanh(s) - 2 s) / s**3 in s**2, on |s| <= 3 - sqrt(8)
    log1p_q: tuple  # (log(1 + e) - e) / e**2 on 0 <= e <= 1
    tanh_p: tuple  # (tanh(x) - x) / x**3 in x**2, on |x| <= 0.56
    erf_p: tuple  # erf(x) / x in x**2, on |x| <= 1; the first coefficient is left out
    cdf_p: tuple  # normal_cdf(-x) e**(x**2 / 2) / (1 - t) in t = (x - a) / (x + a), from x = 0 to normal_max
    cdf_a: float
    erfcx_p: tuple  # erfcx(x) / (1 - t) in t = (x - 2) / (x + 2), from x = 1 to where e**-x**2 is 0


def _functions(format):
    """Build the functions for one floating-point format."""
    real, integer, mantissa_bits = format.real, format.integer, format.mantissa_bits
    zero, half, one, two, four = map(real, (0, 0.5, 1, 2, 4))
    infinity, nan, smallest = real(np.inf), real(np.nan), np.finfo(real).smallest_normal
    exp_min, exp_max = map(real, format.exp_range)
    expm1_min, erf_max, normal_max = map(real, (format.expm1_min, format.erf_max, format.normal_max))
    tanh_small, tanh_max = real(0.56), real(20)  # tanh is 1 from there on
    log2_e, ln2_high, ln2_low = real(1 / np.log(2)), real(np.log(2)), real(format.ln2_low)
    exp_q, log_r, log1p_q = (tuple(map(real, each)) for each in (format.exp_q, format.log_r, format.log1p_q))
    tanh_p, erf_p = (tuple(map(real, each)) for each in (format.tanh_p, format.erf_p))
    cdf_p, erfcx_p = (tuple(map(real, each)) for each in (format.cdf_p, format.erfcx_p))
    cdf_a, twice_cdf_a = real(format.cdf_a), real(2 * format.cdf_a)
    erf_0, pdf_0, sqrt_half = real(2 / np.sqrt(np.pi)), real(1 / np.sqrt(2 * np.pi)), real(np.sqrt(0.5))
    # Adding 1.5 * 2**mantissa_bits rounds to an integer and leaves it in the lowest bits. Integers are
    # cast after each operation, since Numba widens the results to 64 bits.
    shifter = real(1.5 * 2**mantissa_bits)
    shifter_bits, sqrt_half_bits = shifter.view(integer), sqrt_half.view(integer)
    # For e**-x the shifter leaves the exponent of 2**n in the lowest bits. Where 2**n can be below the normal
    # numbers the exponent is raised meanwhile: one product brings it back.
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
        """Return shifter + n, r, and what rounding took from r, where x = n ln 2 + r."""
        shifted = fma(x, log2_e, shifter)
        n = shifted - shifter
        exact = fma(-n, ln2_high, x)
        r = fma(-n, ln2_low, exact)
        return shifted, r, fma(-n, ln2_low, exact - r)

    @device
    def exp_of(r):
        return fma(r, fma(r, horner(r, exp_q), one), one)

    @device
    def exp(x):
        x = exp_min if x < exp_min else x  # comparisons this way round let NaN through
        x = exp_max if x > exp_max else x
        shifted, r, _ = reduce(x, shifter)
        n = integer(bits_of(shifted) - shifter_bits)
        half_n = integer(n >> 1)  # two factors: 2**n itself can be beyond the normal numbers
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
        s = fma(r * r, horner(r, exp_q), lost)
        scale = power_of_two(integer(integer(bits_of(shifted) - shifter_bits) - 1))  # half of 2**n, which can overflow
        high = r + s
        low = s - (high - r)
        total = fma(scale, high, scale - half)
        low = fma(scale, low, fma(scale, high, (scale - half) - total))
        return copysign(two * (total + low), x)  # -0 stays -0

    @device
    def log_of(x, c):
        """Return n and a rest, the sum of n ln 2 and which is log(x) + c, for positive normal x and tiny c."""
        bits = integer(bits_of(x) - sqrt_half_bits)
        k = integer(bits >> mantissa_bits)
        f = float_of(integer(bits_of(x) - integer(k << mantissa_bits))) - one
        n = float_of(integer(k + shifter_bits)) - shifter
        square = half * f * f
        s = f / (two + f)
        z = s * s
        inner = fma(s, fma(z, horner(z, log_r), square), fma(n, ln2_low, c))
        return n, f - (square - inner)

    @device
    def log(x):
        small = x < smallest
        n, rest = log_of(x * subnormal_factor if small else x, zero)
        y = fma(n - subnormal_steps if small else n, ln2_high, rest)
        y = y if x < infinity else x  # NaN too
        return y if not x <= zero else (nan if x < zero else -infinity)

    @device
    def log1p(x):
        u = one + x
        c = one - (u - x) if x > one else x - (u - one)
        n, rest = log_of(u, c / u)
        y = fma(n, ln2_high, rest)
        y = y if x < infinity and abs(x) > smallest else x
        return y if not x <= -one else (nan if x < -one else -infinity)

    @device
    def tanh(x):
        size, square = abs(x), x * x
        held = tanh_max if tanh_max < size else size
        e = exp_of_minus(held + held, shifter_2n)
        small = fma(size * square, horner(square, tanh_p), size)
        return copysign(small if size < tanh_small else fma(-two, e / (one + e), one), x)

    @device
    def sigmoid(x):
        e = exp_minus(x)
        numerator = one if x > 0 else e
        return fma(-numerator, e / (one + e), numerator)  # e / (1 + e) or 1 / (1 + e), with less rounding

    @device
    def softplus(x):
        e = exp_minus(x)
        return (x if x > zero else zero) + fma(e * e, horner(e, log1p_q), e)

    @device
    def exp_minus_product(x, y):
        """Return e**-(x y) for x y >= 0, as exactly as if the product were not rounded."""
        product = x * y
        e = exp_minus(product)
        return fma(-fma(x, y, -product), e, e)

    @device
    def erf(x):
        size = abs(x)
        size = erf_max if size > erf_max else size
        small = fma(x, erf_0, x * horner(x * x, erf_p))
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


_FORMATS = {
    types.float32: _Format(
        np.float32,
        np.int32,
        mantissa_bits=23,
        exponent_bias=127,
        exp_range=(-105, 89),
        expm1_min=-18,
        erf_max=4.5,
        normal_max=14.5,
        ln2_low=-1.9046542e-09,
        exp_q=(0.5, 0.16666576, 0.041666556, 0.008363203, 0.0013926213),
        log_r=(0.6666667, 0.4000013, 0.2854997, 0.23353428),
        log1p_q=(
            -0.49999997,
            0.33332843,
            -0.24986526,
            0.19854106,
            -0.15847565,
            0.11561845,
            -0.06675772,
            0.025224054,
            -0.0044662114,
        ),
        tanh_p=(-0.3333333, 0.13333082, -0.05390335, 0.021272749, -0.006542542),
        erf_p=(-5.8635383e-08, -0.37612626, 0.11283594, -0.026854211, 0.0051890872, -0.00080168643, 7.875875e-05),
        cdf_a=2.5,
        cdf_p=(
            0.14133133,
            -0.0867384,
            0.026397405,
            0.0018471075,
            -0.0032773332,
            -0.00031993765,
            0.00050510524,
            0.00013670237,
            -6.265499e-05,
            -3.1623767e-05,
        ),
        erfcx_p=(
            0.25539568,
            -0.17179017,
            0.06986787,
            -0.009110615,
            -0.005374613,
            0.0016202064,
            0.0007521031,
            -0.00020777319,
            -0.000113775415,
        ),
    ),
    types.float64: _Format(
        np.float64,
        np.int64,
        mantissa_bits=52,
        exponent_bias=1023,
        exp_range=(-746, 710),
        expm1_min=-38,
        erf_max=6,
        normal_max=38.7,
        ln2_low=2.3190468138462996e-17,
        exp_q=(
            0.5000000000000001,
            0.16666666666666669,
            0.04166666666662399,
            0.008333333333330051,
            0.0013888888917281794,
            0.00019841269863105968,
            2.480152119021773e-05,
            2.7557268378684192e-06,
            2.7620138719733994e-07,
            2.5100424157005067e-08,
        ),
        log_r=(
            0.6666666666666666,
            0.40000000000001007,
            0.2857142857072325,
            0.22222222409750114,
            0.18181793732111753,
            0.15386342449645143,
            0.13266048812203002,
            0.131148348695975,
        ),
        log1p_q=(
            -0.49999999999999994,
            0.33333333333328546,
            -0.2499999999935962,
            0.19999999965822401,
            -0.1666666569676973,
            0.14285697368176903,
            -0.12499802193640867,
            0.11109469727104494,
            -0.09989940978337618,
            0.09044038405818781,
            -0.0816358369873179,
            0.07206052783890503,
            -0.06024571849605114,
            0.045718328874219644,
            -0.030006248922024147,
            0.016177448292083774,
            -0.006761419498849802,
            0.002030846248409763,
            -0.00038701111085803037,
            3.496499999517753e-05,
        ),
        tanh_p=(
            -0.3333333333333333,
            0.13333333333332467,
            -0.05396825396714515,
            0.021869488480722565,
            -0.008863234104802229,
            0.003592106586471979,
            -0.001455632070932804,
            0.000588792024475583,
            -0.0002342148186711548,
            8.443719567103072e-05,
            -2.0141494563083882e-05,
        ),
        erf_p=(
            1.533545961316588e-17,
            -0.37612638903183543,
            0.11283791670945006,
            -0.02686617064323777,
            0.0052239776071164225,
            -0.0008548325975389692,
            0.00012055294904839707,
            -1.492473690741966e-05,
            1.6447424703317362e-06,
            -1.6208483801871705e-07,
            1.3720064546777686e-08,
            -7.795898827002142e-10,
        ),
        cdf_a=5,
        cdf_p=(
            0.07691930497500629,
            -0.06653825028900567,
            0.049530561596997424,
            -0.03135331566712964,
            0.016502036617049742,
            -0.006911863870650093,
            0.0020795066797619543,
            -0.00029933767687916887,
            -7.97869375216991e-05,
            5.44899060362547e-05,
            -5.937586541444136e-06,
            -4.976284274479491e-06,
            1.6681705436903142e-06,
            3.981155259999038e-07,
            -2.770335921384588e-07,
            -3.374554312385797e-08,
            4.344751385328317e-08,
            4.372909714516211e-09,
            -6.67150496593067e-09,
            -1.061581801782573e-09,
            7.647443882306754e-10,
            2.2304911837475156e-10,
        ),
        erfcx_p=(
            0.25539567631050575,
            -0.17179017110345243,
            0.06986802313901319,
            -0.00911055787675773,
            -0.005377665472328547,
            0.0016197962688877375,
            0.0007726530127580706,
            -0.00020932406090410792,
            -0.00016576832093626593,
            8.593416543824556e-06,
            3.6116842206662176e-05,
            8.53338405239291e-06,
            -5.416707010751837e-06,
            -4.01604612335959e-06,
            -3.178081438385909e-07,
            8.89854962297418e-07,
            5.981975894543818e-07,
            -1.701956290011261e-08,
            -2.632835486071285e-07,
            -6.326893358821646e-09,
            3.9489123212504135e-08,
        ),
    ),
}
_IMPLEMENTATIONS = {real: _functions(format) for real, format in _FORMATS.items()}


def _declare(function):
    """Let rules call `function` and get the implementation for the type of its argument."""

    @overload(function)
    def choose(x):
        implementation = _IMPLEMENTATIONS[x][function.__name__]
        return lambda x: implementation(x)


for _function in (exp, exp_minus, expm1, log, log1p, tanh, sigmoid, softplus, erf, normal_cdf):
    _declare(_function)
