"""Dropout: a pattern from (seed, step, position) alone."""

import numpy as np
import pytest

import gd
from gd.activations.functions import ACTIVATIONS


def test_kept_elements_are_scaled_and_the_share_is_right(dtype, walk):
    x = np.ones((1000, 101), dtype)
    for p in (0.1, 0.5, 0.9):
        y = gd.dropout(x, p, seed=3)
        assert np.unique(y).tolist() == [0, dtype.type(1 / (1 - p))]
        share = np.mean(y == 0)
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / x.size)


def test_ends(rng, dtype):
    x = rng.standard_normal(1000).astype(dtype)
    assert np.array_equal(gd.dropout(x, 0.0, seed=1), x)
    assert np.array_equal(gd.dropout(x, 0, activation="tanh"), gd.tanh(x))
    assert not gd.dropout(np.full(9, np.inf, dtype), 1.0).any()
    assert not gd.dropout_backward(x, 1).any()
    tiny = gd.dropout(np.ones(100_000, dtype), 1 - 1e-9)
    assert np.count_nonzero(tiny) <= 2


def test_seed_step_and_position_each_matter(rng):
    x = np.ones(100_000)
    patterns = [gd.dropout(x, 0.5, seed=s, step=t) == 0 for s, t in ((0, 0), (0, 1), (1, 0), (2**70, 0), (5, 2**63))]
    for i, a in enumerate(patterns):
        for b in patterns[:i]:
            assert abs(np.mean(a == b) - 0.5) < 0.01
        assert all(abs(np.mean(a[k:] == a[:-k]) - 0.5) < 0.01 for k in (1, 2, 64, 128))


@pytest.mark.parametrize("activation", ["identity", "relu", "gelu", "elu"])
def test_one_pattern_forward_and_backward_in_place_and_with_an_activation(activation, rng, dtype, walk):
    x, dy = rng.standard_normal((2, 5000)).astype(dtype)
    kept = gd.dropout(np.ones(5000, dtype), 0.25, seed=7, step=9)
    y = gd.dropout(x, 0.25, 7, 9, activation=activation)
    function = ACTIVATIONS[activation]
    np.testing.assert_allclose(y, kept * function.forward(x), rtol=1e-6)
    dx = gd.dropout_backward(dy, 0.25, 7, 9, activation=activation, x=x)
    np.testing.assert_allclose(dx, kept * function.backward(dy, x), rtol=1e-6)
    out = x.copy()
    assert gd.dropout(out, 0.25, 7, 9, out=out, activation=activation) is out
    assert np.array_equal(out, y)
    out = dy.copy()
    assert gd.dropout_backward(out, 0.25, 7, 9, out=out, activation=activation, x=x) is out
    assert np.array_equal(out, dx)


def test_bits_do_not_depend_on_threads(rng):
    x = rng.standard_normal(100_003).astype(np.float32)
    results = []
    for parallel_from in (np.inf, 1):
        with gd.kernels.compiler.splitting(parallel_from):
            results.append(gd.dropout(x, 0.3, seed=1))
    assert np.array_equal(*results)


def test_bad_arguments_are_refused():
    x = np.ones(4)
    for call, error, match in (
        (lambda: gd.dropout(x, 1.5), ValueError, r"dropout: p must be in \[0, 1\], got 1.5"),
        (lambda: gd.dropout(x, seed=-1), ValueError, "dropout: seed must be at least 0"),
        (lambda: gd.dropout(x, step=0.5), TypeError, "dropout: step must be an integer"),
        (lambda: gd.dropout([1.0]), TypeError, "dropout: x must be a NumPy array"),
        (lambda: gd.dropout(x, activation="softmax"), ValueError, "dropout: activation must be one of"),
        (lambda: gd.dropout(x, activation="elu", beta=1), TypeError, "dropout: unexpected keyword 'beta'"),
        (lambda: gd.dropout_backward(x, activation="elu"), TypeError, "dropout_backward: x must be a NumPy array"),
    ):
        with pytest.raises(error, match=match):
            call()
    assert (x == 1).all()
