"""Losses against plain NumPy, finite differences and PyTorch."""

import functools

import numpy as np
import pytest

import gd
from gd import reference
from gd.checks.arrays import address
from gd.kernels.loops import losses as loops
from gd.kernels.loops.losses import LOSS_BLOCK
from gd.kernels.loops.reductions import LANES
from gd.losses import total
from gd.losses.functions import LOSSES


def example(name, rng, rows, columns, dtype):
    prediction = rng.standard_normal((rows, columns)).astype(dtype)
    if LOSSES[name].labels:
        return prediction, rng.integers(0, columns, rows)
    target = rng.standard_normal((rows, columns))
    if "hinge" in name:
        target = np.sign(target)
    elif name in ("binary_cross_entropy_with_logits", "kl_divergence"):
        target = np.round(rng.random((rows, columns)), 1)
    elif name == "poisson":
        target = rng.poisson(2.0, (rows, columns))
    return prediction, target.astype(dtype)


OTHER_PARAMETERS = {
    "huber": {"delta": 0.3},
    "smooth_l1": {"beta": 0.2},
    "binary_cross_entropy_with_logits": {"positive_weight": 3.0},
    "quantile": {"q": 0.9},
    "softmax_cross_entropy": {"label_smoothing": 0.1},
}
CASES = [(name, {}) for name in sorted(LOSSES)] + list(OTHER_PARAMETERS.items()) + [("smooth_l1", {"beta": 0.0})]


def test_every_loss_has_a_reference():
    assert set(reference.LOSSES) == set(LOSSES)
    assert all(getattr(gd, name) is LOSSES[name].function for name in LOSSES)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (3, 1), (63, 65), (1000, 10), (LOSS_BLOCK + 1, 7)], ids=str)
@pytest.mark.parametrize("name, parameters", CASES, ids=str)
def test_equals_plain_numpy(name, parameters, shape, rng, dtype):
    prediction, target = example(name, rng, *shape, dtype)
    before = prediction.copy()
    function = functools.partial(getattr(gd, name), **parameters)
    value, gradient = function(prediction, target)
    wide_target = target if LOSSES[name].labels else target.astype(float)
    expected, expected_gradient = reference.LOSSES[name](prediction.astype(float), wide_target, **parameters)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=tolerance, atol=tolerance / prediction.size)
    assert gradient.dtype == dtype
    assert np.array_equal(prediction, before)
    total, gradient_of_total = function(prediction, target, reduction="sum")
    each, gradient_of_each = function(prediction, target, reduction="none")
    count = each.size
    assert total == pytest.approx(value * count, rel=1e-6)
    assert each.sum(dtype=float) == pytest.approx(total, rel=1e-5, abs=1e-6)
    assert np.array_equal(gradient_of_total, gradient_of_each)
    np.testing.assert_allclose(gradient_of_each / count, gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradient_is_the_derivative(name, rng):
    prediction, target = example(name, rng, 4, 3, np.float64)
    _, gradient = getattr(gd, name)(prediction, target)  # no example lies at a kink
    for index in np.ndindex(prediction.shape):
        up, down = prediction.copy(), prediction.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        difference = (getattr(gd, name)(up, target)[0] - getattr(gd, name)(down, target)[0]) / 2e-5
        assert gradient[index] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_serial_and_parallel_give_the_same_bits(name, rng, dtype):
    prediction, target = example(name, rng, 5000, 11, dtype)
    results = []
    for parallel_from in (np.inf, 1):
        with gd.kernels.compiler.splitting(parallel_from):
            results.append(getattr(gd, name)(prediction, target))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])


def sum_by_lanes(values):
    """The sum of the values of all elements: by blocks, in a block by lanes, then over the lanes in float64."""
    sums = []
    for first in range(0, values.size, LOSS_BLOCK):
        block = values[first : first + LOSS_BLOCK]
        whole = block.size // LANES * LANES
        lanes = np.zeros(LANES, values.dtype)
        for tile in block[:whole].reshape(-1, LANES):
            lanes += tile
        sums.append(functools.reduce(np.add, [*lanes, *block[whole:]], np.float64(0)))
    return total(np.array(sums))


@pytest.mark.parametrize("size", [1, LANES - 1, LANES, 100, LOSS_BLOCK, 2 * LOSS_BLOCK + 3 * LANES + 7])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "softmax_cross_entropy"])
def test_values_are_added_by_lanes(name, size, rng, dtype, walk):
    prediction, target = example(name, rng, 1, size, dtype)
    values, derivatives = getattr(gd, name)(prediction, target, "none")
    value, gradient = getattr(gd, name)(prediction, target, "sum")
    assert value == sum_by_lanes(values.ravel())
    assert np.array_equal(gradient, derivatives)


@pytest.mark.parametrize("offset", [0, 1, 4], ids="offset {}".format)
@pytest.mark.parametrize("name", ["mse", "hinge"])
def test_streamed_gradients_have_the_same_bits(name, offset, rng, dtype, walk, monkeypatch):
    size = LOSS_BLOCK + 3 * LANES + 7
    prediction, target = example(name, rng, 1, size, dtype)
    expected, gradient = getattr(gd, name)(prediction, target)
    around = np.full(size + 2 * LANES, 7, dtype)
    skipped = (offset - address(around) // dtype.itemsize) % LANES + 1
    out = around[skipped : skipped + size].reshape(1, -1)
    monkeypatch.setattr(loops, "STREAM_FROM", 0)
    monkeypatch.setattr(loops, "faster", lambda streaming, plain: streaming)
    assert getattr(gd, name)(prediction, target, out=out) == (expected, out)
    assert np.array_equal(out, gradient)
    assert np.all(around[:skipped] == 7)
    assert np.all(around[skipped + size :] == 7)


OUT_CASES = [*CASES, ("softmax_cross_entropy", {"ignore_index": 1}), ("poisson", {"log_input": False})]


@pytest.mark.parametrize("shape", [(5, 3), (40, 2100)], ids=str)
@pytest.mark.parametrize("name, parameters", OUT_CASES, ids=str)
def test_the_gradient_can_be_written_into_an_array(name, parameters, shape, rng, dtype):
    prediction, target = example(name, rng, *shape, dtype)
    if parameters.get("log_input") is False:
        np.abs(prediction, out=prediction)
    function = functools.partial(getattr(gd, name), **parameters)
    for reduction in ("mean", "none"):
        expected, gradient = function(prediction, target, reduction)
        for out in (np.full_like(prediction, 7), prediction.copy()):
            value, found = function(out if np.array_equal(out, prediction) else prediction, target, reduction, out=out)
            assert found is out
            assert np.array_equal(out, gradient, equal_nan=True)
            assert np.array_equal(value, expected, equal_nan=True)


def test_a_wrong_out_is_refused_before_anything_is_written(rng):
    """Also where the targets are wrong, which a call without `out` notices afterwards."""
    memory = rng.random((3, 4, 3))
    prediction, target, out = memory
    labels, weights = np.zeros(4, np.intp), memory[1, 0]
    read_only = out.copy()
    read_only.flags.writeable = False
    before = memory.copy()
    for call, error, match in (
        (lambda: gd.mse(prediction, target, out=out[:2]), ValueError, r"mse: out has shape \(2, 3\), prediction has"),
        (lambda: gd.mse(prediction, target, out=out.astype("f4")), TypeError, "mse: out has dtype float32, prediction"),
        (lambda: gd.mse(prediction, target, out=[0.0]), TypeError, "mse: out must be a NumPy array, got list"),
        (lambda: gd.mse(prediction, target, out=read_only), ValueError, "mse: out is read-only"),
        (lambda: gd.mse(prediction.T, target.T, out=out.T), ValueError, "not contiguous"),
        (
            lambda: gd.mse(prediction, target, out=target),
            ValueError,
            "out overlaps target in memory; it may be prediction",
        ),
        (lambda: gd.mse(target, target, out=target), ValueError, "out overlaps target in memory"),
        (lambda: gd.mse(memory[1:], memory[:2], out=memory[1:]), ValueError, "out overlaps target in memory"),
        (lambda: gd.mse(memory[1:], np.ones((2, 4, 3)), out=memory[:2]), ValueError, "out overlaps prediction in part"),
        (lambda: gd.hinge(prediction, target, out=prediction), ValueError, "hinge: target must be -1 or 1"),
        (lambda: gd.kl_divergence(prediction, -target, out=out), ValueError, r"target must be in \[0, 1\]"),
        (lambda: gd.softmax_cross_entropy(prediction, labels, out=out[0]), ValueError, "out has shape"),
        (lambda: gd.softmax_cross_entropy(prediction, labels + 3, out=prediction), ValueError, "labels must be 0 to 2"),
        (
            lambda: gd.softmax_cross_entropy(prediction, labels, class_weights=weights, out=target),
            ValueError,
            "out overlaps class_weights in memory; it may be logits, or an array of its own",
        ),
        (
            lambda: gd.softmax_cross_entropy(prediction, np.full((4, 3), 1 / 3), out=out[::-1]),
            ValueError,
            "out is not contiguous",
        ),
    ):
        with pytest.raises(error, match=match):
            call()
        assert np.array_equal(memory, before)


def test_cross_entropy_equals_pytorch(rng):
    torch = pytest.importorskip("torch")
    logits, labels = example("softmax_cross_entropy", rng, 100, 10, np.float64)
    tensor = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(tensor, torch.from_numpy(labels))
    loss.backward()
    value, gradient = gd.softmax_cross_entropy(logits, labels)
    assert value == pytest.approx(loss.item(), rel=1e-14)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", ["labels", "ignored", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_form_of_cross_entropy_equals_pytorch(reduction, kind, smoothing, weighted, rng, walk):
    torch = pytest.importorskip("torch")
    logits, target = example("softmax_cross_entropy", rng, 100, 70, np.float64)
    weights = rng.random(70) if weighted else None
    if kind == "ignored":
        target[::3] = -100
    elif kind == "probabilities":
        target = rng.random((100, 70))
        target /= target.sum(axis=1, keepdims=True)
    tensor = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        tensor,
        torch.from_numpy(target),
        weight=None if weights is None else torch.from_numpy(weights),
        label_smoothing=smoothing,
        reduction=reduction,
    )
    expected.sum().backward()
    value, gradient = gd.softmax_cross_entropy(
        logits,
        target,
        reduction,
        label_smoothing=smoothing,
        class_weights=weights,
        ignore_index=-100 if kind == "ignored" else None,
    )
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-10, atol=1e-15)


TORCH = {
    "mae": "l1_loss",
    "huber": "huber_loss",
    "smooth_l1": "smooth_l1_loss",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "poisson": "poisson_nll_loss",
    "kl_divergence": "kl_div",
}


@pytest.mark.parametrize("name", TORCH)
def test_equals_pytorch(name, rng):
    torch = pytest.importorskip("torch")
    prediction, target = example(name, rng, 30, 7, np.float64)
    tensor = torch.tensor(prediction, requires_grad=True)
    options = {"reduction": "sum"}
    expected = getattr(torch.nn.functional, TORCH[name])(tensor, torch.from_numpy(target), **options)
    expected.backward()
    value, gradient = getattr(gd, name)(prediction, target, **options)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_poisson_of_rates(rng, dtype):
    rate, target = rng.uniform(0.1, 5, (2, 100)).astype(dtype)
    value, gradient = gd.poisson(rate, target, log_input=False)
    expected, slope = reference.poisson(rate.astype(float), target.astype(float), log_input=False)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)


def test_logits_of_any_size_are_stable(dtype):
    logits = np.array([1e4, 1e4, -1e4, -1e4], dtype)
    target = np.array([1, 0, 1, 0], dtype)
    values, gradient = gd.binary_cross_entropy_with_logits(logits, target, reduction="none")
    assert values.tolist() == [0, 1e4, 1e4, 0]
    assert gradient.tolist() == [0, 1, -1, 0]


def test_rows_that_are_all_ignored_have_no_gradient():
    logits, labels = np.zeros((3, 2)), np.full(3, 7)
    value, gradient = gd.softmax_cross_entropy(logits, labels, ignore_index=7)
    assert np.isnan(value)
    assert not gradient.any()
    assert gd.softmax_cross_entropy(logits, labels, "sum", ignore_index=7)[0] == 0


def test_cross_entropy_is_stable_for_huge_logits(dtype):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    values, gradient = gd.softmax_cross_entropy(logits, np.array([0, 0]), reduction="none")
    assert values.tolist() == [0, 2e4]
    assert gradient.tolist() == [[0, 0, 0], [-1, 1, 0]]


def test_nan_is_not_hidden(dtype):
    assert np.isnan(gd.mse(np.array([1, np.nan], dtype), np.ones(2, dtype))[0])
    assert np.isnan(gd.softmax_cross_entropy(np.array([[1, np.nan]], dtype), np.array([0]))[0])


def test_labels_of_any_integer_type(rng):
    logits, labels = example("softmax_cross_entropy", rng, 20, 5, np.float64)
    expected = gd.softmax_cross_entropy(logits, labels)[0]
    for kind in (np.int8, np.uint8, np.int32, np.uint64, ">i4"):
        assert gd.softmax_cross_entropy(logits, labels.astype(kind))[0] == expected


def test_bad_arguments_are_refused():
    logits = np.zeros((2, 3))
    for call, error, match in (
        (lambda: gd.mse(logits, np.zeros((2, 2))), ValueError, "mse: target has shape"),
        (lambda: gd.mse(logits, np.zeros((2, 3), np.float32)), TypeError, "mse: target has dtype float32"),
        (lambda: gd.mse(logits, logits, reduction="avg"), ValueError, "reduction must be one of mean, none, sum"),
        (lambda: gd.mse(logits, logits, reduction=None), ValueError, "reduction must be one of"),
        (lambda: gd.huber(logits, logits, delta=0), ValueError, r"huber: delta must be in \(0, inf\), got 0"),
        (lambda: gd.quantile(logits, logits, q=1), ValueError, r"quantile: q must be in \(0, 1\), got 1"),
        (
            lambda: gd.softmax_cross_entropy(logits, np.array([0, 1]), label_smoothing=2),
            ValueError,
            r"label_smoothing must be in \[0, 1\]",
        ),
        (
            lambda: gd.softmax_cross_entropy(logits, np.array([0, 1]), class_weights=np.ones(2)),
            ValueError,
            "class_weights has shape",
        ),
        (
            lambda: gd.softmax_cross_entropy(logits, np.array([0, 1]), class_weights=-np.ones(3)),
            ValueError,
            "class_weights must be 0 or above, got -1",
        ),
        (
            lambda: gd.softmax_cross_entropy(logits, logits, ignore_index=1),
            ValueError,
            "ignore_index needs labels that are classes",
        ),
        (lambda: gd.softmax_cross_entropy(np.zeros(3), np.array([0])), ValueError, "logits must have 2 dimensions"),
        (lambda: gd.softmax_cross_entropy(logits, [0, 1]), TypeError, "labels must be a NumPy array"),
        (lambda: gd.softmax_cross_entropy(logits, np.array([0.0, 1.0])), TypeError, "labels has dtype float64"),
        (lambda: gd.softmax_cross_entropy(logits, np.array([0])), ValueError, r"labels has shape \(1,\)"),
        (lambda: gd.softmax_cross_entropy(logits, np.array([0, 3])), ValueError, "labels must be 0 to 2, got 3"),
        (lambda: gd.softmax_cross_entropy(logits, np.array([-1, 0])), ValueError, "labels must be 0 to 2, got -1"),
        (
            lambda: gd.softmax_cross_entropy(logits, np.array([0, 2**64 - 1], np.uint64)),
            ValueError,
            "labels must be 0 to 2",
        ),
    ):
        with pytest.raises(error, match=match):
            call()


def test_sums_that_overflow_are_infinite():
    assert gd.mse(np.full(10_000, 1e153), np.full(10_000, -1e153), reduction="sum")[0] == np.inf
    assert gd.mse(np.full(10, 1e200), np.zeros(10))[0] == np.inf


def test_special_targets_and_parameters():
    nan = np.array([np.nan])
    assert np.isnan(gd.quantile(nan, np.ones(1))[1]).all()
    assert gd.kl_divergence(np.ones(2), np.zeros(2))[0] == 0
    single = np.zeros(2, np.float32)
    for call, match in (
        (lambda: gd.huber(single, single, delta=1e60), r"huber: delta must be in \(0, inf\) as float32, got 1e\+60"),
        (lambda: gd.huber(single, single, delta=10**400), r"huber: delta must be in \(0, inf\)"),
        (lambda: gd.celu(single, alpha=1e-50), r"celu: alpha must be in \(0, inf\) as float32"),
        (lambda: gd.leaky_relu(single, negative_slope=1e300), r"leaky_relu: negative_slope must be in"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_odd_labels_and_ignored_ones():
    logits, labels = np.ones((3, 3)), np.array([0, 1, 2])
    assert gd.softmax_cross_entropy(logits, labels, ignore_index=np.int8(-128))[0] == pytest.approx(np.log(3))
    for odd, ignored, error, match in (
        (np.ma.masked_array(labels, mask=[0, 1, 0]), 2, TypeError, "labels must be a NumPy array, got MaskedArray"),
        (np.zeros(3, [("a", int)]), 1, TypeError, "labels has dtype"),
        (labels, -1.0, TypeError, "ignore_index must be an integer, got -1.0"),
        (labels, True, TypeError, "ignore_index must be an integer, got True"),
    ):
        with pytest.raises(error, match=match):
            gd.softmax_cross_entropy(logits, odd, ignore_index=ignored)


def test_infinite_logits_that_are_right_cost_nothing(dtype):
    logits, target = np.array([np.inf, -np.inf, np.inf, -np.inf], dtype), np.array([1, 0, 0, 1], dtype)
    values, gradient = gd.binary_cross_entropy_with_logits(logits, target, reduction="none")
    assert values.tolist() == [0, 0, np.inf, np.inf]
    assert gradient.tolist() == [0, 0, 1, -1]


def test_poisson_has_its_limits(dtype):
    logits, counts = np.array([-np.inf, np.inf, np.inf, 100.0, -np.inf], dtype), np.array([0, 0, 1, 1e37, 1], dtype)
    values, gradient = gd.poisson(logits, counts, reduction="none")
    large = np.inf if dtype == np.float32 else np.exp(100.0) - 1e39
    np.testing.assert_allclose(values, [0, np.inf, np.inf, large, np.inf])
    assert gradient[0] == 0
    rates = np.array([0.0, np.inf, np.inf, 2.0], dtype), np.array([0, 0, 1, 0], dtype)
    values, gradient = gd.poisson(*rates, reduction="none", log_input=False, eps=0.0)
    assert (values.tolist(), gradient.tolist()) == ([0, np.inf, np.inf, 2], [1, 1, 1, 1])


def test_a_loss_that_is_nan_has_no_finite_gradient(dtype):
    value, gradient = gd.hinge(np.array([np.nan, 0.0], dtype), np.ones(2, dtype), reduction="none")
    assert np.array_equal(value, [np.nan, 1], equal_nan=True)
    assert np.array_equal(gradient, [np.nan, -1], equal_nan=True)


def test_advice_on_targets_is_given_where_it_helps(dtype):
    with pytest.raises(ValueError, match=r"-1 or 1, got 0.0; 2 \* y - 1 makes them"):
        gd.hinge(np.zeros(2, dtype), np.array([1, 0], dtype))
    with pytest.raises(ValueError, match=r"-1 or 1, got 0\.5$"):
        gd.hinge(np.zeros(2, dtype), np.array([1, 0.5], dtype))
    above = np.nextafter(dtype.type(1), dtype.type(2))
    with pytest.raises(ValueError, match=rf"in \[0, 1\], got {above}$"):
        gd.binary_cross_entropy_with_logits(np.zeros(1, dtype), np.array([above]))


def test_probabilities_are_checked(dtype):
    for wrong, text in (([[2.0, -1.0]], r"in \[0, 1\], got 2"), ([[1.0, 1.0]], "sum to 1, .* got a row of sum 2")):
        labels, X = np.array(wrong, dtype), np.ones((1, 3), dtype)
        for call in (
            lambda labels=labels: gd.softmax_cross_entropy(np.zeros((1, 2), dtype), labels),
            lambda X=X, labels=labels: gd.LinearModel(3, 2, "softmax", dtype=dtype).evaluate(X, labels),
            lambda X=X, labels=labels: gd.MLP([3, 2], dtype=dtype).loss_and_gradients(X, labels),
            lambda X=X, labels=labels: gd.softmax_regression_gradient(
                X, labels, np.zeros((3, 2), dtype), np.zeros(2, dtype)
            ),
        ):
            with pytest.raises(ValueError, match=text):
                call()


@pytest.mark.parametrize(
    "name, good, bad, text",
    [
        ("binary_cross_entropy_with_logits", (0, 1, 0.5), 2, r"in \[0, 1\], got 2"),
        ("binary_cross_entropy_with_logits", (0, 1, 0.5), -1, r"in \[0, 1\], got -1"),
        ("kl_divergence", (0, 1, 0.5), 1.5, r"in \[0, 1\], got 1.5"),
        ("hinge", (-1, 1), 0, "-1 or 1, got 0"),
        ("squared_hinge", (-1, 1), 2, "-1 or 1, got 2"),
        ("poisson", (0, 3, 0.5), -1, "0 or above, got -1"),
    ],
)
def test_targets_that_a_loss_does_not_take_are_refused_everywhere(name, good, bad, text, dtype):
    n = 5000  # the wrong one is in the second block
    X, y = np.ones((n, 2), dtype), np.resize(np.array(good, dtype), n)
    models = gd.LinearModel(2, loss=name, dtype=dtype), gd.MLP([2, 1], loss=name, dtype=dtype)

    def calls(y):
        yield lambda: getattr(gd, name)(X[:, 0].copy(), y)
        yield lambda: getattr(gd, name)(X[:, 0].copy(), y, reduction="none")
        yield lambda: gd.linear_model_gradient(X, y, np.zeros(2, dtype), 0.0, name)
        yield lambda: gd.linear_model_gradient(X, y, np.zeros(2, dtype), 0.0, name, np.array([4321]))
        for model in models:
            targets = y if isinstance(model, gd.LinearModel) else y[:, np.newaxis]
            yield lambda model=model, targets=targets: model.loss_and_gradients(X, targets)
            yield lambda model=model, targets=targets: model.score(X, targets)

    for call in calls(y):
        call()
    y[4321] = np.nan  # is not hidden
    assert np.isnan(getattr(gd, name)(X[:, 0].copy(), y)[0])
    y[4321] = bad
    for call in calls(y):
        with pytest.raises(ValueError, match=f"(target|y) must be {text}"):
            call()
    gd.linear_model_gradient(X, y, np.zeros(2, dtype), 0.0, name, np.array([1, 2]))  # does not read the wrong one


def test_logistic_regression_takes_no_class_codes():
    X, y = np.ones((3, 1)), np.array([1, 2, 1])
    with pytest.raises(ValueError, match=r"logistic_regression_gradient: y must be in \[0, 1\], got 2"):
        gd.logistic_regression_gradient(X, y, np.zeros(1), 0.0)
