"""Subnormal results: where kernels flush them to 0, where not, and that nothing else in the process changes."""

import numpy as np
import pytest

import gd
from gd.kernels.writer import CONTROLLED

TINY = np.finfo(np.float32).tiny  # the smallest normal number

controlled = pytest.mark.skipif(not CONTROLLED, reason="not on this processor")


@controlled
def test_moments_of_gradients_that_stay_zero_become_zero(walk):
    p, g = np.zeros(100, np.float32), np.ones(100, np.float32)
    optimizer = gd.Adam(p)
    optimizer.step(g)
    g[:] = 0
    for _ in range(900):
        optimizer.step(g)
    assert not optimizer.state_dict()["exp_avg"].any()  # 0.9 x rounds to x where x is subnormal: they would stay


@controlled
def test_networks_train_without_subnormal_moments(rng):
    X, y = rng.standard_normal((32, 6)).astype(np.float32), rng.integers(0, 3, 32)
    X[:, 2] = 0
    X[0, 2] = 1e-3
    model = gd.MLP([6, 8, 3])
    optimizer = gd.Adam(model.parameters)
    gd.fit(model, X, y, optimizer, batch_size=8, epochs=1, progress=False)
    X[0, 2] = 0
    gd.fit(model, X, y, optimizer, batch_size=8, epochs=300, progress=False)
    for slot in ("W1.exp_avg", "W1.exp_avg_sq"):
        moments = np.abs(optimizer.state_dict()[slot])
        assert not ((moments > 0) & (moments < TINY)).any()
    assert not optimizer.state_dict()["W1.exp_avg"][2].any()


def test_subnormal_operands_and_results_of_others_are_kept(walk):
    p, small = np.full(100, 1.0, np.float32), np.full(100, TINY / 4)
    gd.SGD(p, lr=1.0).step(np.ones(100, np.float32))  # flushes, and restores
    assert (small * np.float32(0.5) == TINY / 8).all()
    assert np.array_equal(gd.identity(small), small)
    assert np.array_equal(gd.leaky_relu(-small, negative_slope=0.5), -small / 2)
    q = np.zeros(100, np.float32)
    gd.SGD(q, lr=1.0).step(small, grad_scale=-(2.0**10))  # a subnormal gradient is not 0
    assert np.array_equal(q, small * np.float32(2**10))
