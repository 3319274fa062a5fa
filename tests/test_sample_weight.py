"""Weights of rows, probabilities as targets, sparse data and the intercept: `fit` against repeated rows and peers."""

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from scipy.optimize import minimize

import gd

N = 40
LOSSES = [name for name in gd.losses.LOSSES if name != "softmax_cross_entropy"]


def targets_of(name, rng, outputs):
    allowed = gd.losses.LOSSES[name].targets
    if allowed is gd.losses.PROBABILITIES:
        return rng.random((N, outputs))
    y = rng.normal(size=(N, outputs))
    return np.sign(y) if "hinge" in name else np.floor(np.abs(3 * y)) if name == "poisson" else y


def trained(model, X, y, weights=None, optimizer=gd.Adam, **options):
    """Return the parameters, the losses and the scores of a short training."""
    validation = (X, y) if weights is None else (X, y, weights)
    given = {"batch_size": "all", "epochs": 3, "progress": False, "validation": validation} | options
    history = gd.fit(model, X, y, optimizer(model.parameters, lr=0.01), sample_weight=weights, **given)
    return model.parameters.vector.copy(), history.loss, history.validation_loss, history.score


def compare(make, y, rng):
    """Check that weights are what repeated rows are."""
    X, weights = rng.normal(size=(N, 4)), rng.integers(0, 4, N)
    rows = np.repeat(np.arange(N), weights)
    repeated = {name: each[rows] for name, each in y.items()} if isinstance(y, dict) else y[rows]
    for one, other in zip(trained(make(), X, y, weights), trained(make(), X[rows], repeated), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_a_number_of_equal_rows(name, rng):
    y = targets_of(name, rng, 2)
    compare(lambda: gd.MLP([4, 6, 2], loss=name, dtype=np.float64), y, rng)
    compare(lambda: gd.LinearModel(4, 2, name, l2=0.1, dtype=np.float64), y, rng)
    if name != "kl_divergence":
        compare(lambda: gd.LinearModel(4, None, name, dtype=np.float64), y[:, 0].copy(), rng)


@pytest.mark.parametrize("given", [{}, {"label_smoothing": 0.1}, {"class_weights": np.array([1.0, 2.0, 0.5])}])
@pytest.mark.parametrize("soft", [False, True])
def test_a_weight_is_a_number_of_equal_rows_with_classes(given, soft, rng):
    y = rng.dirichlet(np.ones(3), N) if soft else rng.integers(0, 3, N)
    compare(lambda: gd.MLP([4, 6, 3], dtype=np.float64, loss_parameters=given), y, rng)
    compare(lambda: gd.LinearModel(4, 3, "softmax", dtype=np.float64, **given), y, rng)


def test_weights_with_heads_of_missing_targets(rng):
    y = {"a": np.where(rng.random(N) < 0.3, -1, 1), "b": np.where(rng.random((N, 1)) < 0.3, np.nan, np.ones((N, 2)))}
    y["c"] = np.where(rng.random((N, 1)) < 0.3, np.nan, rng.dirichlet(np.ones(3), N))
    heads = {"a": 2, "b": gd.Head(2, loss="mse", weight=0.5), "c": 3}
    compare(lambda: gd.MLP([4, 6], heads=heads, dtype=np.float64), y, rng)


def test_rows_without_weight_are_as_if_they_were_not_there(rng):
    X, weights = rng.normal(size=(N, 4)), np.where(rng.random(N) < 0.5, 1.0, 0.0)
    X[weights == 0] = np.nan
    y, kept = rng.integers(0, 3, N), weights > 0
    for make in (
        lambda: gd.MLP([4, 6, 3], dtype=np.float64),
        lambda: gd.LinearModel(4, 3, "softmax", dtype=np.float64),
    ):
        models = make(), make()
        trained(models[0], X, y, weights, batch_size=7, validation=None)
        trained(models[1], X[kept], y[kept], batch_size=7, validation=None)
        np.testing.assert_array_equal(models[0].parameters.vector, models[1].parameters.vector)


@pytest.mark.filterwarnings("error")
def test_rows_without_weight_may_hold_anything(rng):
    """Also in validation and gradients: padding, whose labels are none and whose features are not numbers."""
    X, weights = rng.normal(size=(N, 4)), np.where(rng.random(N) < 0.5, rng.random(N), 0.0)
    kept, empty = weights > 0, weights == 0
    X[empty] = np.nan
    labels, signs, numbers = rng.integers(0, 3, N), rng.choice([-1.0, 1.0], N), rng.normal(size=N)
    labels[empty], signs[empty], numbers[empty] = 7, 0, np.nan
    heads = {"a": labels, "b": numbers[:, np.newaxis].copy()}
    for make, y in (
        (lambda: gd.MLP([4, 6, 3], dtype=np.float64), labels),
        (lambda: gd.MLP([4, 6], heads={"a": 3, "b": gd.Head(1, loss="mse")}, dtype=np.float64), heads),
        (lambda: gd.LinearModel(4, 3, "softmax", dtype=np.float64), labels),
        (lambda: gd.LinearModel(4, loss="hinge", dtype=np.float64), signs),
        (lambda: gd.LinearModel(4, dtype=np.float64), numbers),
    ):
        some = {name: each[kept] for name, each in y.items()} if isinstance(y, dict) else y[kept]
        found, expected = trained(make(), X, y, weights), trained(make(), X[kept], some, weights[kept])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-15)
        gradients = [
            make().loss_and_gradients(*data, sample_weight=own)
            for data, own in (((X, y), weights), ((X[kept], some), weights[kept]))
        ]
        np.testing.assert_allclose(gradients[0][1].vector, gradients[1][1].vector, rtol=1e-12)
    found = gd.linear_regression_gradient(X, numbers, np.ones(4), 0.0, sample_weight=weights)
    expected = gd.linear_regression_gradient(X[kept], numbers[kept], np.ones(4), 0.0, sample_weight=weights[kept])
    np.testing.assert_allclose(found[1] * N, expected[1] * kept.sum(), rtol=1e-12)


@pytest.mark.parametrize("outputs, given", [(None, {}), (3, {}), (3, {"class_weights": np.array([1.0, 2.0, 0.5])})])
def test_weights_in_compiled_epochs(outputs, given, rng):
    X, weights = rng.normal(size=(N, 4)), rng.random(N)
    y = X[:, 0].copy() if outputs is None else rng.integers(0, 3, N)
    make = lambda: gd.LinearModel(4, outputs, "softmax" if outputs else "mse", l1=0.01, dtype=np.float64, **given)  # noqa: E731
    found = trained(make(), X, y, weights, batch_size=7)
    plain = trained(make(), X, y, weights, lambda p, lr: gd.Adam(p, lr=lr, clip_norm=1e9), batch_size=7)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-9)
    np.testing.assert_allclose(found[1], plain[1], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 4, 20, N])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 1e9}])
def test_mini_batches_weigh_rows_by_the_mean_weight_of_all(batch_size, options, rng):
    """Over an epoch the gradients of the batches sum up to that of all rows, whatever their size."""
    X, weights, lr = rng.normal(size=(N, 4)), rng.exponential(size=N), 1e-6
    for make, y in (
        (lambda: gd.MLP([4, 6, 3], dtype=np.float64), rng.integers(0, 3, N)),
        (lambda: gd.LinearModel(4, 3, "softmax", dtype=np.float64), rng.integers(0, 3, N)),
        (lambda: gd.LinearModel(4, dtype=np.float64), rng.normal(size=N)),
        (lambda: gd.LinearModel(4, 2, dtype=np.float64), rng.normal(size=(N, 2))),
    ):
        model = make()
        loss, gradients = model.loss_and_gradients(X, y, sample_weight=weights)
        before, optimizer = model.parameters.vector.copy(), gd.SGD(model.parameters, lr=lr, **options)
        fitted = {"batch_size": batch_size, "epochs": 1, "progress": False, "sample_weight": 7 * weights}
        history = gd.fit(model, X, y, optimizer, **fitted)
        moved = (before - model.parameters.vector) / (lr * N / batch_size)
        np.testing.assert_allclose(moved, gradients.vector, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(history.loss, [loss], rtol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e-44, 1e-38, 1e30, 1e38])
def test_only_ratios_of_weights_count(factor, rng):
    """In float32, in which sums of these weights overflow, or their inverse does."""
    X, y, weights = (each.astype(np.float32) for each in (rng.normal(size=(N, 4)), rng.normal(size=N), np.ones(N)))
    weights[::2] = 2
    for make, target in ((lambda: gd.LinearModel(4), y), (lambda: gd.MLP([4, 1], loss="mse"), y[:, np.newaxis].copy())):
        plain, scaled = make(), make()
        expected = plain.loss_and_gradients(X, target, sample_weight=weights)
        found = scaled.loss_and_gradients(X, target, sample_weight=weights * np.float32(factor))
        tolerance = 0.2 if factor < 1e-40 else 1e-5  # subnormal numbers have few bits
        assert found[0] == pytest.approx(expected[0], rel=tolerance)
        for model, own in ((plain, weights), (scaled, weights * np.float32(factor))):
            gd.fit(model, X, target, gd.SGD(model.parameters), 8, 2, progress=False, sample_weight=own)
        np.testing.assert_allclose(scaled.parameters.vector, plain.parameters.vector, rtol=tolerance, atol=tolerance)


def test_weights_of_streamed_batches_are_taken_as_they_are(rng):
    X, y, model = rng.normal(size=(4, 3)), rng.normal(size=4), gd.LinearModel(3, dtype=np.float64)
    _, gradients = model.loss_and_gradients(X, y)
    gd.fit(model, [(X, y, np.full(4, 3.0))], None, gd.SGD(model.parameters, lr=1.0), epochs=1, progress=False)
    np.testing.assert_allclose(model.parameters.vector, -3 * gradients.vector, rtol=1e-12)


def test_accumulated_batches_are_one_weighted_batch(rng):
    X, y, weights = rng.normal(size=(N, 4)), rng.integers(0, 3, N), rng.random(N)
    parameters = []
    for size, accumulate in ((10, 2), (20, 1)):
        model = gd.MLP([4, 6, 3], dtype=np.float64)
        parameters.append(trained(model, X, y, weights, batch_size=size, accumulate=accumulate)[0])
    np.testing.assert_allclose(*parameters, rtol=1e-10, atol=1e-12)


def test_weighted_optimum_is_that_of_scikit_learn(rng):
    linear = pytest.importorskip("sklearn.linear_model")
    X, weights = rng.normal(size=(N, 4)), rng.random(N)
    y = X @ rng.normal(size=4) + rng.normal(size=N)
    for fit_intercept in (True, False):
        model = gd.LinearModel(4, dtype=np.float64, fit_intercept=fit_intercept)
        gd.fit(
            model,
            X,
            y,
            gd.SGD(model.parameters, lr=0.1),
            batch_size="all",
            epochs=600,
            progress=False,
            sample_weight=weights,
        )
        peer = linear.LinearRegression(fit_intercept=fit_intercept).fit(X, y, weights)
        np.testing.assert_allclose(model.parameters["w"], peer.coef_, atol=1e-9)
        np.testing.assert_allclose(model.parameters["b"], peer.intercept_, atol=1e-9)


def test_soft_labels_and_weights_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    X, y, weights = rng.normal(size=(N, 4)), rng.dirichlet(np.ones(3), N), rng.random(N)
    for given in ({}, {"label_smoothing": 0.2}, {"class_weights": np.array([1.0, 2.0, 0.5])}):
        model = gd.LinearModel(4, 3, "softmax", dtype=np.float64, **given)
        model.parameters.vector[:] = rng.normal(size=15)
        loss, gradients = model.loss_and_gradients(X, y, sample_weight=weights)
        w, b = (torch.tensor(model.parameters[name], requires_grad=True) for name in "wb")
        weight = torch.tensor(given["class_weights"]) if "class_weights" in given else None
        values = torch.nn.functional.cross_entropy(
            torch.tensor(X) @ w + b, torch.tensor(y), weight, reduction="none",
            label_smoothing=given.get("label_smoothing", 0.0),
        )  # fmt: skip
        expected = (values * torch.tensor(weights)).sum() / weights.sum()
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(gradients["w"], w.grad.numpy(), atol=1e-13)
        np.testing.assert_allclose(gradients["b"], b.grad.numpy(), atol=1e-13)
        assert model.evaluate(X, y, weights).loss == pytest.approx(loss, rel=1e-12)


def test_soft_labels_reach_their_own_optimum(rng):
    X, y = rng.normal(size=(N, 2)), rng.dirichlet(np.ones(3), N)

    def objective(p):
        z = X @ p[:6].reshape(2, 3) + p[6:]
        return np.mean(np.log(np.exp(z).sum(axis=1)) - np.sum(y * z, axis=1)) + 0.05 * np.sum(p[:6] ** 2)

    model = gd.LinearModel(2, 3, "softmax", l2=0.1, dtype=np.float64)
    gd.fit(model, X, y, gd.SGD(model.parameters, lr=0.5), batch_size="all", epochs=500, progress=False)
    best = minimize(objective, np.zeros(9), tol=1e-10)
    np.testing.assert_allclose(model.parameters["w"].ravel(), best.x[:6], atol=1e-5)


def test_weighted_scores_are_those_of_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    X, weights = rng.normal(size=(N, 4)), rng.random(N)

    def score(loss, y, outputs=None):
        model = gd.LinearModel(4, outputs, loss, dtype=np.float64)
        model.parameters.vector[:] = rng.normal(size=model.parameters.vector.size)
        return model.score(X, y, weights), model.forward(X)

    y = rng.normal(size=N)
    found, z = score("mse", y)
    assert found == pytest.approx(metrics.r2_score(y, z, sample_weight=weights))
    labels = rng.integers(0, 3, N)
    found, z = score("softmax", labels, 3)
    assert found == pytest.approx(metrics.accuracy_score(labels, z.argmax(axis=1), sample_weight=weights))
    codes = rng.integers(0, 2, N)
    found, z = score("logistic", codes.astype(float))
    assert found == pytest.approx(metrics.accuracy_score(codes, z > 0, sample_weight=weights))
    found, z = score("hinge", 2.0 * codes - 1)
    assert found == pytest.approx(metrics.accuracy_score(codes, z > 0, sample_weight=weights))
    counts = rng.poisson(2.0, N).astype(float)
    found, z = score("poisson", counts)
    assert found == pytest.approx(metrics.d2_tweedie_score(counts, np.exp(z), sample_weight=weights, power=1))
    model = gd.LinearModel(4, None, "quantile", q=0.9, dtype=np.float64)
    rows = np.repeat(np.arange(N), 1 + np.arange(N) % 3)
    assert model.score(X, y, 1.0 + np.arange(N) % 3) == pytest.approx(model.score(X[rows], y[rows]), abs=0.02)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("heads", [0, 1, 2, 3])
def test_probabilities_against_plain_numpy(heads, classes, dtype, rng):
    """Also where no class weights are given, whose array must then live as long as the kernel reads it."""
    X, names = rng.normal(size=(N, 4)).astype(dtype), "abc"[:heads]
    probabilities = {name: rng.dirichlet(np.ones(classes), N).astype(dtype) for name in names or "y"}
    y = probabilities if heads else probabilities["y"]

    def expected(outputs):
        z = outputs if heads else {"y": outputs}
        logs = {name: scipy.special.log_softmax(z[name].astype(np.float64), axis=1) for name in probabilities}
        return sum(-np.mean(np.sum(each * logs[name], axis=1)) for name, each in probabilities.items())

    models = [gd.MLP([4, 5] if heads else [4, 5, classes], dtype=dtype, heads=dict.fromkeys(names, classes) or None)]
    models += [] if heads else [gd.LinearModel(4, classes, "softmax", dtype=dtype)]
    for model in models:
        model.parameters.vector[:] = rng.normal(size=model.parameters.vector.size)
        right = expected(model.forward(X))
        still = {"batch_size": 7, "epochs": 1, "progress": False}
        found = gd.fit(model, X, y, gd.SGD(model.parameters, lr=0.0), **still).loss
        found += [model.loss_and_gradients(X, y)[0], model.evaluate(X, y).loss]
        np.testing.assert_allclose(found, right, rtol=1e-5)


def test_sparse_data_train_a_network_as_dense_ones(rng):
    S = scipy.sparse.random(N, 50, 0.1, format="csr", dtype=np.float32, random_state=0)
    y = rng.integers(0, 3, N)
    for widths in ([50, 8, 3], [50, 3]):
        found = []
        for X in (S.toarray(), S, scipy.sparse.csr_array(S)):
            model = gd.MLP(widths, dropout=[0.1] + [0.2] * (len(widths) - 2))
            result = trained(model, X, y, batch_size=16)
            found.append([*result, model.forward(X), model.predict(X), model.loss_and_gradients(X, y, 3)[1].vector])
        for other in found[1:]:
            for one, each in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(one, each)


def test_sparse_data_in_a_wide_layer(rng):
    S = scipy.sparse.random(20, 3400, 0.01, format="csr", dtype=np.float32, random_state=0)
    y, models = rng.integers(0, 3, 20), [gd.MLP([3400, 300, 3], dropout=[0.1, 0.2]) for _ in range(2)]
    for model, X in zip(models, (S, S.toarray()), strict=True):
        trained(model, X, y, batch_size=8, epochs=1)
    np.testing.assert_array_equal(*(model.parameters.vector for model in models))


def test_a_head_may_have_no_targets(rng):
    model = gd.MLP([4, 6], heads={"a": 2, "b": gd.Head(2, loss="mse")}, dtype=np.float64)
    X, labels = rng.normal(size=(N, 4)), rng.integers(0, 2, N)
    missing = {"a": labels, "b": np.full((N, 2), np.nan)}
    loss, gradients = model.loss_and_gradients(X, {"a": labels, "b": None})
    expected = model.loss_and_gradients(X, missing)
    assert loss == expected[0]
    np.testing.assert_array_equal(gradients.vector, expected[1].vector)
    assert model.evaluate(X, {"a": None, "b": np.zeros((N, 2))}).losses["a"] is None


@pytest.mark.parametrize(
    "weights, error, text",
    [
        ("heavy", TypeError, "must be a NumPy array, got str"),
        (np.ones(N, np.float32), TypeError, ".*float64"),
        (np.ones(3), ValueError, r"has shape \(3,\)"),
        (np.full(N, -1.0), ValueError, "must be finite and 0 or above, got -1"),
        (np.full(N, np.nan), ValueError, "must be finite and 0 or above, got nan"),
        (np.zeros(N), ValueError, "must be above 0 for some row"),
    ],
)
def test_wrong_weights_are_refused(weights, error, text, rng):
    X, y, model = rng.normal(size=(N, 4)), rng.integers(0, 3, N), gd.MLP([4, 3], dtype=np.float64)
    with pytest.raises(error, match=f"sample_weight {text}"):
        gd.fit(model, X, y, gd.SGD(model.parameters), progress=False, sample_weight=weights)
    with pytest.raises(error, match=f"MLP.evaluate: sample_weight {text}"):
        model.evaluate(X, y, weights)
    for wrong in (rng.dirichlet(np.ones(3), N) * 2, rng.random((N, 2))):
        with pytest.raises(ValueError, match=r"y (must be in|has shape)"):
            model.evaluate(X, wrong)
