"""Sums, maxima and maps of short vectors; and rows, which must not depend on those that are computed with them."""

import numpy as np
import pytest

import gd
from gd.activations import ACTIVATIONS
from gd.kernels.compiler import join, loop
from gd.kernels.loops.rows import TILE
from gd.kernels.vectors import LANES, WIDTH, largest, mapped, summed, unless_zero
from gd.kernels.views import row_at

SIZES = (1, 2, WIDTH - 1, WIDTH, WIDTH + 1, LANES - 1, LANES, LANES + WIDTH, 3 * LANES + 2 * WIDTH + 5)
ROWS = "softmax", "log_softmax"
_affine = mapped(lambda x, y, a, b: a * x - y + b)
_products = summed(lambda x, y, a: unless_zero(x * a, y) * y)


@loop(parallel_from=1)
def work():
    """Write into each row of out what `_affine` gives, and the sum and the largest element of the row of x."""

    def body(start, stop, arguments):
        out, sums, highest, x, y = arguments
        for i in range(start, stop):
            _affine(row_at(out, i), (row_at(x, i), row_at(y, i)), (3, 0.5))
            sums[i] = _products((row_at(x, i), row_at(y, i)), (2,))
            highest[i] = largest(row_at(x, i))

    return body


@pytest.mark.parametrize("size", SIZES)
def test_vectors_of_any_size_are_mapped_and_summed(size, rng, dtype):
    x, y = rng.integers(-9, 9, (2, 5, size)).astype(dtype)  # exact in any order
    out, sums, highest = np.full((7, size), 7, dtype), np.empty(5), np.empty(5, dtype)
    join(work)(5, out[1:6], sums, highest, x, y)
    assert np.array_equal(out[1:6], 3 * x - y + dtype.type(0.5))
    assert np.all(out[[0, 6]] == 7)
    assert np.array_equal(sums, 2 * (x * y).sum(axis=1, dtype=float))
    assert np.array_equal(highest, x.max(axis=1))


def test_numbers_that_are_not_finite(dtype):
    x, y = np.array([[np.inf, 1, -np.inf] * 9, [np.nan, 2, -1] * 9, [-np.inf] * 27], dtype), np.zeros((3, 27), dtype)
    y[:, 1] = 1
    out, sums, highest = np.empty_like(x), np.empty(3), np.empty(3, dtype)
    join(work)(3, out, sums, highest, x, y)
    assert sums.tolist() == [2, 4, -np.inf]  # a weight of 0 counts for nothing
    assert highest.tolist() == [np.inf, 2, -np.inf]
    assert np.isnan(out[1, 0])


@pytest.mark.parametrize("columns", [1, 3, 10, WIDTH, 33, 100, TILE // 2, TILE // 2 + 1, 1500])
@pytest.mark.parametrize("name", ROWS)
def test_rows_do_not_depend_on_those_beside_them(name, columns, rng, dtype, walk):
    activation = ACTIVATIONS[name]
    x, dy = rng.standard_normal((2, 2 * TILE // columns + 3, columns)).astype(dtype)
    y = activation.forward(x)
    for function, operands in (
        (activation.forward, (x,)),
        (activation.backward, (dy, x)),
        (activation.backward_from_output, (dy, y)),
    ):
        together = function(*operands)
        for rows in (slice(0, 1), slice(1, 3), slice(-1, None), slice(2, None)):
            assert np.array_equal(function(*(each[rows].copy() for each in operands)), together[rows])


@pytest.mark.parametrize("columns", [2, 10, 33, TILE // 2 + 1, 1500])
@pytest.mark.parametrize("kind", ["labels", "ignored", "smoothed", "probabilities"])
def test_losses_of_rows_do_not_depend_on_those_beside_them(kind, columns, rng, dtype, walk):
    rows = 2 * TILE // columns + 3
    logits, target = rng.standard_normal((rows, columns)).astype(dtype), rng.integers(0, columns, rows)
    given = {"class_weights": rng.random(columns).astype(dtype)} if kind != "labels" else {}
    if kind == "ignored":
        given["ignore_index"] = 0
    elif kind == "smoothed":
        given["label_smoothing"] = 0.1
    elif kind == "probabilities":
        target = rng.dirichlet(np.ones(columns), rows).astype(dtype)
    values, gradient = gd.softmax_cross_entropy(logits, target, "none", **given)
    for some in (slice(0, 1), slice(1, 3), slice(-1, None), slice(2, None)):
        value, found = gd.softmax_cross_entropy(logits[some].copy(), target[some].copy(), "none", **given)
        assert np.array_equal(value, values[some])
        assert np.array_equal(found, gradient[some])


def test_classes_that_are_impossible_cost_nothing_where_they_have_no_share(dtype):
    logits, weights = np.array([[0, 0, -np.inf]], dtype), np.array([1, 1, 0], dtype)
    half = np.array([[0.5, 0.5, 0]], dtype)
    for target, given in (
        (np.array([0]), {}),
        (np.array([0]), {"class_weights": weights, "label_smoothing": 0.5}),
        (half, {}),
        (half, {"class_weights": weights, "label_smoothing": 0.5}),
    ):
        values, gradient = gd.softmax_cross_entropy(logits, target, "none", **given)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()
        assert gradient[0, 2] == 0
