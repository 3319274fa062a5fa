"""Activations against plain NumPy, finite differences and PyTorch, in place and out of place."""

import numpy as np
import pytest

import gd
from gd import reference
from gd.activations import ACTIVATIONS

NAMES = sorted(ACTIVATIONS)
OTHER_PARAMETERS = {"leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 0.5}}
CASES = [(name, {}) for name in NAMES] + list(OTHER_PARAMETERS.items())


def ulps(found, exact):
    """The largest error in units in the last place of the exact value's own size."""
    return np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(found.dtype)).astype(exact.dtype))


def test_every_activation_has_a_reference_and_functions_of_its_name():
    assert set(reference.ACTIVATIONS) == set(ACTIVATIONS)
    for name in NAMES:
        assert getattr(gd, name) is ACTIVATIONS[name].forward
        assert getattr(gd, f"{name}_backward") is ACTIVATIONS[name].backward
        assert getattr(gd, name).__name__ == name
        assert all(parameter in getattr(gd, name).__doc__ for parameter in ACTIVATIONS[name].parameters)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_equals_plain_numpy(name, parameters, rng, dtype, size, walk):
    activation, (forward, derivative) = ACTIVATIONS[name], reference.ACTIVATIONS[name]
    x, dy = (4 * rng.standard_normal((2, size))).astype(dtype)
    wide_x, wide_dy = x.astype(np.longdouble), dy.astype(np.longdouble)
    tolerance = 2e-6 if dtype == np.float32 else 2e-15
    y = activation.forward(x, **parameters)
    dx = activation.backward(dy, x, **parameters)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, forward(wide_x, **parameters).astype(float), rtol=tolerance)
    expected = (wide_dy * derivative(wide_x, **parameters)).astype(float)
    np.testing.assert_allclose(dx, expected, rtol=2 * tolerance, atol=np.finfo(dtype).tiny)
    if activation.backward_from_output:
        found = activation.backward_from_output(dy, y, **parameters)
        np.testing.assert_allclose(found, expected, rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_backward_is_the_derivative(name, parameters, rng):
    activation, h = ACTIVATIONS[name], 1e-6
    x = rng.uniform(-3, 3, 1000)
    x = x[np.abs(x) > 1e-3]
    difference = (activation.forward(x + h, **parameters) - activation.forward(x - h, **parameters)) / (2 * h)
    np.testing.assert_allclose(activation.backward(np.ones_like(x), x, **parameters), difference, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_in_place_and_into_out_give_the_bits_of_a_new_array(name, rng, dtype, size, walk):
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
def test_shapes_are_kept_and_slices_give_the_same_bits(name, rng, dtype):
    x = rng.standard_normal((13, 7, 5)).astype(dtype)
    y = ACTIVATIONS[name].forward(x)
    assert y.shape == x.shape
    assert np.array_equal(ACTIVATIONS[name].forward(x[3:8]), y[3:8])


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan_and_infinity_gives_the_limit(name, dtype):
    x = np.array([np.nan, np.inf, -np.inf], dtype)
    y = ACTIVATIONS[name].forward(x)
    limits = {"sigmoid": (1, 0), "tanh": (1, -1), "relu": (np.inf, 0), "elu": (np.inf, -1)}
    assert np.isnan(y[0])
    assert tuple(y[1:]) == limits.get(name, (np.inf, -np.inf))


@pytest.mark.parametrize(("name", "limit"), [("sigmoid", 80), ("tanh", 40)])
def test_derivatives_do_not_cancel_in_the_tails(name, limit, rng):
    x = rng.uniform(-limit, limit, 100_000).astype(np.float32)
    exact = reference.ACTIVATIONS[name][1](x.astype(float))
    assert ulps(ACTIVATIONS[name].backward(np.ones_like(x), x), exact) <= 6


@pytest.mark.parametrize("name", [name for name in NAMES if name != "identity"])
def test_equals_pytorch(name, rng):
    torch = pytest.importorskip("torch")
    functions = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
    function = functions.get(name) or getattr(torch.nn.functional, name)
    x, dy = rng.standard_normal((2, 1000))
    tensor = torch.tensor(x, requires_grad=True)
    y = function(tensor)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(ACTIVATIONS[name].forward(x), y.detach().numpy(), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(dy, x), tensor.grad.numpy(), rtol=1e-13, atol=1e-15)


def test_bad_arguments_are_refused_and_nothing_is_written():
    x = np.ones(4, np.float32)
    read_only = np.ones(4, np.float32)
    read_only.flags.writeable = False
    buffer = np.ones(6, np.float32)
    for call, error, match in (
        (lambda: gd.relu([1.0]), TypeError, "relu: x must be a NumPy array, got list"),
        (lambda: gd.relu(np.ones(3, int)), TypeError, "relu: x has dtype int64"),
        (lambda: gd.relu(np.ones(8)[::2]), ValueError, "relu: x is not contiguous"),
        (lambda: gd.relu(np.array(1.0)), ValueError, "relu: x must have at least one dimension"),
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
