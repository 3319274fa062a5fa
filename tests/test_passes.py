"""A batch by layers, as networks of wide layers take it, against a batch by blocks of rows."""

import numpy as np
import pytest

import gd
from gd.models import architecture

MODELS = {
    "dropout": lambda: gd.MLP([5, 70, 30, 3], "gelu", dropout=[0.1, 0.2, 0.3], dtype=np.float64),
    "prelu": lambda: gd.MLP([5, 70, 3], "prelu", dtype=np.float64),
    "maxout": lambda: gd.MLP([5, 70, 30, 3], "maxout", activation_parameters={"pieces": 3}, dtype=np.float64),
    "no hidden layer": lambda: gd.MLP([5, 3], dtype=np.float64),
    "heads": lambda: gd.MLP([5, 300, 40], heads={"a": 3, "b": gd.Head(300, "mse"), "c": 1}, dtype=np.float64),
    "class weights": lambda: gd.MLP([5, 70, 3], dtype=np.float64, loss_parameters={"class_weights": WEIGHTS}),
    "dropout in float32": lambda: gd.MLP([5, 70, 30, 3], "gelu", dropout=[0.1, 0.2, 0.3]),
}
WEIGHTS = np.array([1.0, 0.2, 3.0])


def example(model, rng, rows):
    X = rng.standard_normal((rows, 5)).astype(model.dtype)
    if not isinstance(model.forward(X), dict):
        return X, rng.integers(0, 3, rows)
    return X, {
        "a": rng.integers(-1, 3, rows),
        "b": rng.standard_normal((rows, 300)).astype(model.dtype),
        "c": np.zeros(rows, int),
    }


def agree(found, expected):
    exact = found[1].dtype == np.float64
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9 if exact else 1e-4, atol=1e-13 if exact else 1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_by_layers_equals_by_blocks(name, rng, monkeypatch):
    found = {}
    for cached in (architecture.CACHED, 0):
        monkeypatch.setattr(architecture, "CACHED", cached)
        model = MODELS[name]()
        assert model._plan.by_layer == (cached == 0)
        X, y = example(model, np.random.default_rng(0), 70)
        loss, gradients = model.loss_and_gradients(X, y, step=5)
        optimizer = gd.SGD(model.parameters, lr=0.1, momentum=0.9)  # Adam would blow up what float32 rounds
        history = gd.fit(model, X, y, optimizer, batch_size=40, epochs=2, progress=False)
        found[cached] = [loss, gradients.vector, history.loss, model.parameters.vector]
    agree(*found.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_small_batch_after_a_large_one(name, monkeypatch):
    by_blocks = MODELS[name]()
    X, y = example(by_blocks, np.random.default_rng(0), 100)
    monkeypatch.setattr(architecture, "CACHED", 0)
    model = MODELS[name]()
    model.loss_and_gradients(X, y)
    for rows in (1, 33):
        batch = X[:rows], {k: each[:rows] for k, each in y.items()} if isinstance(y, dict) else y[:rows]
        results = [each.loss_and_gradients(*batch, step=5) for each in (model, by_blocks)]
        assert (model._pass.capacity, by_blocks._pass.capacity) == (100, rows)
        agree(*((loss, gradients.vector) for loss, gradients in results))


@pytest.mark.parametrize("optimizer", [gd.Adam, gd.LAMB])
def test_by_layers_fit_gives_the_bits_of_gradient_and_step_on_any_threads(optimizer, rng, monkeypatch, walk):
    monkeypatch.setattr(architecture, "CACHED", 0)
    X, y = rng.standard_normal((60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    fitted, stepped = (gd.MLP([5, 600, 3]) for _ in range(2))
    gd.fit(fitted, X, y, optimizer(fitted.parameters), batch_size="all", epochs=3, progress=False)
    other = optimizer(stepped.parameters)
    for epoch in range(3):
        order = gd.batches.shuffled(60, 0, epoch)
        other.step(stepped.loss_and_gradients(X[order], y[order])[1])
    assert np.array_equal(fitted.parameters.vector, stepped.parameters.vector)
    total = float(fitted.parameters.vector.sum(dtype=np.float64))
    assert SUMS.setdefault(optimizer, total) == total  # of the walk before


SUMS = {}


def test_wide_layers_go_by_layers():
    assert gd.MLP([1001, 1000, 2], initializer="zeros")._plan.by_layer
    assert not gd.MLP([1000, 1000, 2], initializer="zeros")._plan.by_layer
