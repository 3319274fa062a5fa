"""Activations against plain NumPy, finite differences and PyTorch, in place and out of place."""

import functools

import numpy as np
import pytest

import gd
from gd import reference
from gd.activations.functions import ACTIVATIONS
from gd.kernels.compiler import splitting
from gd.kernels.loops import elementwise

NAMES = [name for name, each in ACTIVATIONS.items() if each.elementwise]
ROWS = [name for name, each in ACTIVATIONS.items() if not each.elementwise]
OTHER_PARAMETERS = {
    "leaky_relu": {"negative_slope": 0.2},
    "prelu": {"weight": -0.5},
    "elu": {"alpha": 0.5},
    "celu": {"alpha": 2.0},
    "gelu": {"approximate": True},
    "hard_tanh": {"min": -2.0, "max": 0.5},
    "softplus": {"beta": 3.0},
}
CASES = [(name, {}) for name in NAMES] + list(OTHER_PARAMETERS.items())
KINKS = {
    "hard_sigmoid": (-3, 3),
    "hard_swish": (-3, 3),
    "hard_tanh": (-2, -1, 0.5, 1),
    "relu6": (6,),
    "softplus": (5 / 3,),
}


def ulps(found, exact):
    """The largest error in units in the last place of the exact value's own size."""
    return np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(found.dtype)).astype(exact.dtype))


def test_every_activation_has_a_reference_and_functions_of_its_name():
    assert set(reference.ACTIVATIONS) == set(NAMES)
    assert set(reference.ROW_ACTIVATIONS) == set(ROWS)
    for name in set(ACTIVATIONS) - {"prelu", "maxout"}:
        assert getattr(gd, name) is ACTIVATIONS[name].forward
        assert getattr(gd, f"{name}_backward") is ACTIVATIONS[name].backward
    for name in ACTIVATIONS:
        assert getattr(gd, name).__name__ == name
        assert all(parameter in getattr(gd, name).__doc__ for parameter in ACTIVATIONS[name].parameters)


@pytest.mark.parametrize("name, parameters", CASES)
def test_equals_plain_numpy(name, parameters, rng, dtype, size):
    activation, (forward, derivative) = ACTIVATIONS[name], reference.ACTIVATIONS[name]
    x, dy = (4 * rng.standard_normal((2, size))).astype(dtype)
    wide_x, wide_dy = x.astype(np.longdouble), dy.astype(np.longdouble)
    tolerance = 2e-6 if dtype == np.float32 else 4e-15
    tiny = np.finfo(dtype).tiny
    y = activation.forward(x, **parameters)
    dx = activation.backward(dy, x, **parameters)
    assert y.dtype == dx.dtype == dtype
    tail = 20 if name == "gelu" else 1  # SciPy's ndtr is off in its tail, and the cubic of the approximate form
    np.testing.assert_allclose(y, forward(wide_x, **parameters).astype(float), rtol=tail * tolerance, atol=tiny)
    expected = (wide_dy * derivative(wide_x, **parameters)).astype(float)
    crosses_zero = name in ("gelu", "silu", "mish", "hard_swish")
    atol = tolerance * np.abs(dy).max() / 4 if crosses_zero else tiny
    np.testing.assert_allclose(dx, expected, rtol=2 * tolerance, atol=atol)
    if activation.backward_from_output:
        found = activation.backward_from_output(dy, y, **parameters)
        np.testing.assert_allclose(found, expected, rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize("name, parameters", CASES)
def test_backward_is_the_derivative(name, parameters, rng):
    activation, h = ACTIVATIONS[name], 1e-6
    x = rng.uniform(-4, 7, 1000)
    x = x[np.min([np.abs(x - kink) for kink in (0, *KINKS.get(name, ()))], axis=0) > 1e-3]
    difference = (activation.forward(x + h, **parameters) - activation.forward(x - h, **parameters)) / (2 * h)
    np.testing.assert_allclose(activation.backward(np.ones_like(x), x, **parameters), difference, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_in_place_and_into_out_give_the_bits_of_a_new_array(name, rng, size):
    dtype = np.float32
    activation = ACTIVATIONS[name]
    x, dy = rng.standard_normal((2, size)).astype(dtype)
    functions = [(activation.forward, (x,)), (activation.backward, (dy, x))]
    if activation.backward_from_output:
        functions.append((activation.backward_from_output, (dy, activation.forward(x))))
    for function, operands in functions:
        before = [operand.copy() for operand in operands]
        expected = function(*operands)
        out = np.full_like(x, np.nan)
        assert function(*operands, out=out) is out
        assert np.array_equal(out, expected)
        assert all(np.array_equal(a, b) for a, b in zip(before, operands, strict=True))
        for k in range(len(operands)):
            copies = [operand.copy() for operand in operands]
            assert function(*copies, out=copies[k]) is copies[k]
            assert np.array_equal(copies[k], expected)
            assert all(np.array_equal(copies[j], operands[j]) for j in range(len(operands)) if j != k)


@pytest.mark.parametrize("name", NAMES)
def test_serial_parallel_and_streamed_give_the_same_bits(name, rng, monkeypatch):
    activation = ACTIVATIONS[name]
    x, dy = rng.standard_normal((2, 10_007)).astype(np.float32)
    with splitting(np.inf):
        expected = activation.forward(x), activation.backward(dy, x)
    with splitting(1):
        assert np.array_equal(activation.forward(x), expected[0])
        assert np.array_equal(activation.backward(dy, x), expected[1])
    monkeypatch.setattr(elementwise, "STREAM_FROM", 0)
    for shift in (0, 1, 5):
        out = np.empty(10_007 + shift, np.float32)[shift:]
        assert np.array_equal(activation.forward(x, out), expected[0])


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_kept_and_slices_give_the_same_bits(name, rng, dtype):
    x = rng.standard_normal((13, 7, 5)).astype(dtype)
    y = ACTIVATIONS[name].forward(x)
    assert y.shape == x.shape
    assert np.array_equal(ACTIVATIONS[name].forward(x[3:8]), y[3:8])


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan_and_infinity_gives_the_limit(name, dtype):
    x = np.array([np.nan, np.inf, -np.inf], dtype)
    y = ACTIVATIONS[name].forward(x)
    selu = np.float64(1.0507009873554805 * 1.6732632423543772).astype(dtype)
    limits = {
        "sigmoid": (1, 0),
        "log_sigmoid": (0, -np.inf),
        "hard_sigmoid": (1, 0),
        "tanh": (1, -1),
        "scaled_tanh": (dtype.type(1.7159), dtype.type(-1.7159)),
        "hard_tanh": (1, -1),
        "relu": (np.inf, 0),
        "relu6": (6, 0),
        "elu": (np.inf, -1),
        "selu": (np.inf, -selu),
        "celu": (np.inf, -1),
        "gelu": (np.inf, 0),
        "silu": (np.inf, 0),
        "hard_swish": (np.inf, 0),
        "mish": (np.inf, 0),
        "softplus": (np.inf, 0),
        "softsign": (1, -1),
        "unit_step": (1, 0),
    }
    assert np.isnan(y[0])
    assert tuple(y[1:]) == limits.get(name, (np.inf, -np.inf))
    slopes = ACTIVATIONS[name].backward(np.ones_like(x), x)[1:]
    linear = {"leaky_relu": 0.01, "prelu": 0.25, "log_sigmoid": 1, "identity": 1}
    expected = (
        1.0507009873554805 if name == "selu" else float(np.isinf(y[1]) or name == "identity"),
        linear.get(name, 0),
    )
    np.testing.assert_array_equal(slopes, np.array(expected, dtype))


@pytest.mark.parametrize("name", ["gelu"])
def test_other_forms_have_the_same_limits(name, dtype):
    x = np.array([np.inf, -np.inf, 1e30, -1e30], dtype)
    assert ACTIVATIONS[name].forward(x, approximate=True).tolist() == [np.inf, 0, x[2], 0]
    assert ACTIVATIONS[name].backward(np.ones_like(x), x, approximate=True).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("sigmoid", -80, 80),
        ("tanh", -40, 40),
        ("gelu", -12, -2),
        ("silu", -80, -3),
        ("mish", -80, -3),
        ("selu", -80, 80),
    ],
)
def test_nothing_cancels_in_the_tails(name, low, high, rng):
    x = rng.uniform(low, high, 100_000).astype(np.float32)
    forward, derivative = reference.ACTIVATIONS[name]
    assert ulps(ACTIVATIONS[name].forward(x), forward(x.astype(float))) <= 8
    assert ulps(ACTIVATIONS[name].backward(np.ones_like(x), x), derivative(x.astype(float))) <= 9


TORCH = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hard_tanh": "nn.functional.hardtanh",
    "hard_sigmoid": "nn.functional.hardsigmoid",
    "hard_swish": "nn.functional.hardswish",
    "log_sigmoid": "nn.functional.logsigmoid",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("identity", "scaled_tanh", "unit_step")])
def test_equals_pytorch(name, rng):
    torch = pytest.importorskip("torch")
    function = functools.reduce(getattr, TORCH.get(name, f"nn.functional.{name}").split("."), torch)
    x, dy = 3 * rng.standard_normal((2, 1000))
    x[:8] = -3, 3, 0, 6, -1, 1, 20, 25
    tensor = torch.tensor(x, requires_grad=True)
    y = function(tensor, torch.tensor([0.25], dtype=torch.float64)) if name == "prelu" else function(tensor)
    y.backward(torch.from_numpy(dy))
    rtol = 1e-7 if name.startswith("hard_s") else 1e-12  # its 1 / 6 is a float32
    np.testing.assert_allclose(ACTIVATIONS[name].forward(x), y.detach().numpy(), rtol=rtol, atol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(dy, x), tensor.grad.numpy(), rtol=rtol, atol=1e-14)


def test_approximate_gelu_equals_pytorch(rng):
    torch = pytest.importorskip("torch")
    x = 3 * rng.standard_normal(1000)
    tensor = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.gelu(tensor, approximate="tanh")
    y.sum().backward()
    np.testing.assert_allclose(gd.gelu(x, approximate=True), y.detach().numpy(), rtol=1e-11, atol=1e-15)
    dx = gd.gelu_backward(np.ones_like(x), x, approximate=True)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=1e-11, atol=1e-13)


# --- Along the last axis

WIDTHS = (2, 4, 10, 62, 64, 66, 200, 1000)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_equal_plain_numpy(name, columns, rng, dtype, walk):
    activation, (forward, backward) = ACTIVATIONS[name], reference.ROW_ACTIVATIONS[name]
    x = (5 * rng.standard_normal((3, 7, columns))).astype(dtype)
    y = activation.forward(x)
    tolerance = 3e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(y, forward(x.astype(float)), rtol=tolerance, atol=tolerance)
    dy = rng.standard_normal(y.shape).astype(dtype)
    expected = backward(dy.astype(float), x.astype(float))
    dx = activation.backward(dy, x)
    np.testing.assert_allclose(dx, expected, rtol=0, atol=3 * tolerance * np.abs(dy).sum(axis=-1).max())
    if activation.backward_from_output:
        found = activation.backward_from_output(dy, y)
        np.testing.assert_allclose(found, expected, rtol=0, atol=3 * tolerance * np.abs(dy).sum(axis=-1).max())
        for function, operands in ((activation.backward, (dy, x)), (activation.backward_from_output, (dy, y))):
            expected = function(*operands)
            for k in range(2):
                copies = [operand.copy() for operand in operands]
                assert np.array_equal(function(*copies, out=copies[k]), expected)
        copy = x.copy()
        assert activation.forward(copy, out=copy) is copy
        assert np.array_equal(copy, y)
    assert np.array_equal(activation.forward(x[1:2].copy()), y[1:2])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_of_huge_numbers_are_stable(name, dtype):
    x = np.array([[1e4, 0, -1e4] * 30], dtype)
    expected = {"softmax": 1 / 30, "log_softmax": -np.log(30)}[name]
    y = ACTIVATIONS[name].forward(x)
    np.testing.assert_allclose(y[0, ::3], expected, rtol=1e-6)
    assert np.isfinite(y).all()
    x[0, 70] = np.nan
    assert np.isnan(ACTIVATIONS[name].forward(x)).all()


def test_maxout_keeps_the_index_of_the_first_largest(rng, dtype, walk):
    x = rng.integers(0, 3, (5, 12)).astype(dtype)
    for pieces in (1, 2, 3, 6):
        index = np.empty((5, 12 // pieces), np.intp)
        y = gd.maxout(x, pieces, index=index)
        grouped = x.reshape(5, -1, pieces)
        assert np.array_equal(y, grouped.max(axis=2))
        assert np.array_equal(index, grouped.argmax(axis=2))
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = gd.maxout_backward(dy, index, pieces)
        assert np.array_equal(dx, reference.maxout_backward(dy, x, pieces))
        assert np.array_equal(dx, gd.maxout_backward(dy, x, pieces))
    assert np.isnan(gd.maxout(np.array([1, np.nan], dtype)))[0]
    with pytest.raises(ValueError, match=r"maxout: the last axis of x must be a multiple of pieces \(5\)"):
        gd.maxout(x, 5)
    with pytest.raises(TypeError, match="maxout: index must be an array of intp of shape"):
        gd.maxout(x, 2, index=np.empty((5, 6), np.int8))
    with pytest.raises(TypeError, match="maxout_backward: index has dtype float64, dy is float32"):
        gd.maxout_backward(np.ones((5, 6), np.float32), x.astype(np.float64))
    with pytest.raises(ValueError, match="maxout_backward: index has shape"):
        gd.maxout_backward(np.ones((5, 6), dtype), x[:1])
    with pytest.raises(ValueError, match="maxout: index must be contiguous in C order, aligned"):
        gd.maxout(x, 12, index=np.zeros(48, np.uint8)[1:41].view(np.intp).reshape(5, 1))
    with pytest.raises(ValueError, match="maxout_backward: index must be 0 to 1, got 2"):
        gd.maxout_backward(np.ones((1, 1)), np.full((1, 1), 2), 2)


@pytest.mark.parametrize("shape", [(700, 5), (3, 300, 4), (9,)], ids=str)
def test_prelu_and_the_gradient_of_its_weight(shape, rng, dtype, walk):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weights = rng.standard_normal(shape[-1]).astype(dtype)
    negative = x <= 0
    for weight in (0.3, weights):
        factor = np.where(negative, np.asarray(weight, dtype), dtype.type(1))
        np.testing.assert_array_equal(gd.prelu(x, weight), x * factor)
        dx, dweight = gd.prelu_backward(dy, x, weight)
        np.testing.assert_array_equal(dx, dy * factor)
        expected = (negative * dy.astype(float) * x).reshape(-1, shape[-1]).sum(axis=0)
        expected = expected if weight is weights else expected.sum()
        np.testing.assert_allclose(dweight, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    with pytest.raises(ValueError, match="prelu: weight has shape"):
        gd.prelu(x, np.ones(shape[-1] + 1, dtype))


def test_bounds_that_cross_are_refused():
    with pytest.raises(ValueError, match="hard_tanh: min must be at most max, got 2 and 1"):
        gd.hard_tanh(np.ones(3), min=2.0)


def test_bad_arguments_are_refused_and_nothing_is_written():
    x = np.ones(4, np.float32)
    read_only = np.ones(4, np.float32)
    read_only.flags.writeable = False
    buffer = np.ones(6, np.float32)
    for call, error, match in (
        (lambda: gd.relu([1.0]), TypeError, "relu: x must be a NumPy array, got list"),
        (lambda: gd.relu(np.ones(3, int)), TypeError, "relu: x has dtype int64"),
        (lambda: gd.relu(np.ones(8)[::2]), ValueError, "relu: x is not contiguous"),
        (lambda: gd.softmax(np.array(1.0)), ValueError, "softmax: x must have at least one dimension"),
        (lambda: gd.relu(x, out=np.ones(4)), TypeError, "relu: out has dtype float64, x is float32"),
        (lambda: gd.relu(x, out=np.ones(3, np.float32)), ValueError, "relu: out has shape"),
        (lambda: gd.relu(x, out=read_only), ValueError, "relu: out is read-only"),
        (lambda: gd.relu(buffer[:4], out=buffer[2:]), ValueError, "relu: out overlaps x in part"),
        (lambda: gd.relu_backward(np.ones(3, np.float32), x), ValueError, "relu_backward: dy has shape"),
        (lambda: gd.relu_backward(np.ones(4), x), TypeError, "relu_backward: dy has dtype float64, x is float32"),
        (lambda: gd.relu(x, alpha=1), TypeError, "relu: unexpected keyword 'alpha'"),
        (lambda: gd.elu(x, alpha=-1), ValueError, r"elu: alpha must be in \[0, inf\), got -1"),
        (lambda: gd.elu(x, alpha="1"), TypeError, "elu: alpha must be a number"),
    ):
        with pytest.raises(error, match=match):
            call()
    assert (buffer == 1).all()
    assert (read_only == 1).all()


@pytest.mark.parametrize("low, forward, backward", [(-9.5, 4, 30), (-20.5, 10, 60)], ids=["float32", "float64"])
def test_approximate_gelu_is_right_in_its_tail(low, forward, backward):
    mpmath = pytest.importorskip("mpmath")
    dtype = np.float32 if low > -10 else np.float64
    x = np.linspace(low, -1, 301).astype(dtype)  # beyond, the derivative has a zero
    with mpmath.workdps(40):
        a, c = 2 * mpmath.sqrt(2 / mpmath.pi), mpmath.mpf("0.044715")
        wide = [mpmath.mpf(float(each)) for each in x]
        s = [1 / (1 + mpmath.exp(-a * (v + c * v**3))) for v in wide]
        exact = [v * p for v, p in zip(wide, s, strict=True)]
        slopes = [p + v * a * (1 + 3 * c * v * v) * p * (1 - p) for v, p in zip(wide, s, strict=True)]
        for found, values, bound in (
            (gd.gelu(x, approximate=True), exact, forward),
            (gd.gelu_backward(np.ones_like(x), x, approximate=True), slopes, backward),
        ):
            errors = [
                abs(mpmath.mpf(float(a)) - b) / mpmath.mpf(float(np.spacing(abs(dtype(float(b))))))
                for a, b in zip(found, values, strict=True)
            ]
            assert max(errors) < bound


@pytest.mark.parametrize("name", sorted(set(reference.ACTIVATIONS) - {"unit_step"}))
def test_the_largest_numbers_do_not_overflow_on_the_way(name):
    largest = np.finfo(np.float32).max
    x = np.array([s * largest / k for k in (1, 3, 8, 1e8) for s in (-1, 1)], np.float32)
    forward, derivative = reference.ACTIVATIONS[name]
    with np.errstate(all="ignore"):
        expected, slopes = (function(x.astype(float)).astype(np.float32) for function in (forward, derivative))
    np.testing.assert_allclose(ACTIVATIONS[name].forward(x), expected, rtol=1e-6)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(np.ones_like(x), x), slopes, rtol=1e-6)
