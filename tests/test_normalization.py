"""Normalization: moments in pieces, whitening, constant features."""

import numpy as np
import pytest

import gd


def data(rng, n=10_000):
    X = rng.standard_normal((n, 5)) @ rng.standard_normal((5, 5)) + 1e4 * rng.standard_normal(5)
    X[:, 2] = 7.3
    return X


def test_mean_and_variance_are_0_and_1(rng, dtype):
    X = data(rng).astype(dtype)
    normalizer = gd.Normalizer().fit(X)
    wide = X.astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.variance, wide.var(axis=0), rtol=1e-10, atol=1e-20)
    Y = normalizer.transform(X)
    assert Y.dtype == dtype
    assert not Y[:, 2].any()
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(Y[:, others].mean(axis=0, dtype=float), 0, atol=1e-6 if dtype == np.float32 else 1e-11)
    np.testing.assert_allclose(Y[:, others].var(axis=0, dtype=float), 1, rtol=1e-5)


@pytest.mark.parametrize("whiten", [False, True])
def test_pieces_give_the_moments_of_the_whole(whiten, rng):
    X = data(rng)
    whole, pieces = gd.Normalizer(whiten).fit(X), gd.Normalizer(whiten)
    for piece in np.split(X, [1, 2, 300, 5000]):
        pieces.partial_fit(piece)
    assert pieces.count == whole.count == len(X)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(pieces.variance, whole.variance, rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(whole.variance, X.var(axis=0), rtol=1e-9, atol=1e-18)


def test_whitening_decorrelates(rng):
    X = data(rng)
    Y = gd.Normalizer(whiten=True).fit(X).transform(X)
    covariance = Y.T @ Y / len(Y)
    expected = np.eye(5)
    expected[4, 4] = 0  # four features vary
    np.testing.assert_allclose(covariance, expected, atol=1e-6)


def test_bad_data_are_refused():
    normalizer = gd.Normalizer()
    with pytest.raises(ValueError, match=r"Normalizer.transform: no rows were seen"):
        normalizer.transform(np.ones((2, 3)))
    normalizer.fit(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Normalizer.transform: X has 2 columns, 3 were seen before"):
        normalizer.transform(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"Normalizer.partial_fit: X must be finite"):
        normalizer.partial_fit(np.full((2, 3), np.nan))
    assert normalizer.count == 2
    with pytest.raises(TypeError, match=r"Normalizer.fit: X must be a NumPy array"):
        normalizer.fit([[1.0]])
