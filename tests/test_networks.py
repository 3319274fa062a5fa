"""MLP and fit against plain NumPy, finite differences and each other."""

import copy
import pickle
import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

import gd
from gd import reference
from gd.batches import batches
from gd.kernels.compiler import splitting
from gd.losses.functions import LOSSES
from gd.models import passes
from gd.models.base import Model
from gd.optimizers import OPTIMIZERS
from gd.runtime import single_threaded_blas

SHAPES = [[5, 3], [5, 7, 3], [33, 40, 17, 1], [2, 1, 1, 2]]


def example(rng, widths, rows, loss, dtype):
    X = rng.standard_normal((rows, widths[0])).astype(dtype)
    y = rng.integers(0, widths[-1], rows) if LOSSES[loss].labels else rng.standard_normal((rows, widths[-1]))
    if loss in ("kl_divergence", "binary_cross_entropy_with_logits"):
        y = rng.random(y.shape)
    elif loss == "poisson":
        y = np.abs(y)
    elif "hinge" in loss:
        y = np.sign(y)
    return X, y if LOSSES[loss].labels else y.astype(dtype)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mse"])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
def test_loss_and_gradients_equal_plain_numpy(widths, loss, rows, rng, dtype, walk):
    model = gd.MLP(widths, "tanh", loss=loss, dtype=dtype, seed=1)
    X, y = example(rng, widths, rows, loss, dtype)
    value, gradients = model.loss_and_gradients(X, y)
    parameters = {name: view.astype(float) for name, view in model.parameters.items()}
    wide_y = y if LOSSES[loss].labels else y.astype(float)
    expected, expected_gradients = reference.loss_and_gradients(parameters, X.astype(float), wide_y, "tanh", loss)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert value == pytest.approx(expected, rel=tolerance)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected_gradients[name], rtol=tolerance, atol=tolerance)
    outputs = reference.forward(parameters, X.astype(float), "tanh")[-1]
    np.testing.assert_allclose(model.forward(X), outputs, rtol=tolerance, atol=tolerance)


def test_wide_layers_and_large_batches_are_tiled_right(rng):
    widths = [1000, 2100, 3]
    model = gd.MLP(widths, dtype=np.float64)
    X, y = example(rng, widths, 700, "softmax_cross_entropy", np.float64)
    _, gradients = model.loss_and_gradients(X, y)
    _, expected = reference.loss_and_gradients(dict(model.parameters), X, y)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_fit_gives_the_bits_of_gradient_and_step(name, rng):
    fit_and_step(name, np.float32, rng)


@pytest.mark.parametrize("name", ["Adam", "LAMB"])
def test_fit_gives_the_bits_of_gradient_and_step_everywhere(name, rng, dtype, walk):
    fit_and_step(name, dtype, rng)


def fit_and_step(name, dtype, rng):
    widths, batch_size = [20, 50, 40, 4], 48
    X, y = example(rng, widths, 130, "softmax_cross_entropy", dtype)
    fitted, stepped = (gd.MLP(widths, dtype=dtype, seed=2) for _ in range(2))
    keywords = {"lr": 1e-2, "l2": 1e-3, "weight_decay": 1e-2}
    history = gd.fit(
        fitted,
        X,
        y,
        OPTIMIZERS[name](fitted.parameters, **keywords),
        batch_size=batch_size,
        epochs=2,
        seed=5,
        progress=False,
    )
    optimizer, losses = OPTIMIZERS[name](stepped.parameters, **keywords), []
    for epoch in range(2):
        total = 0.0
        for rows in batches(130, batch_size, 5, epoch):
            loss, gradients = stepped.loss_and_gradients(X[rows], y[rows])
            optimizer.step(gradients)
            total += loss * len(rows)
        losses.append(total / 130)
    assert history.loss == losses
    assert np.array_equal(fitted.parameters.vector, stepped.parameters.vector)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_fit_equals_plain_numpy(loss, rng):
    widths = [10, 16, 3]
    X, y = example(rng, widths, 100, loss, np.float64)
    model = gd.MLP(widths, "tanh", loss=loss, dtype=np.float64)
    parameters = {name: view.copy() for name, view in model.parameters.items()}
    plain = reference.Optimizer("Adam", parameters)
    history = gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=32, epochs=3, progress=False)
    for epoch in range(3):
        order = batches(100, 32, 0, epoch)
        expected = reference.train_epoch(parameters, X, y, plain, order, "tanh", loss)
        assert history.loss[epoch] == pytest.approx(expected, rel=1e-10)


def test_training_does_not_depend_on_threads(rng, dtype):
    X, y = example(rng, [30, 5], 300, "softmax_cross_entropy", dtype)
    vectors = []
    for parallel_from in (np.inf, 1):
        with splitting(parallel_from):
            model = gd.MLP([30, 64, 5], dtype=dtype)
            gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=150, epochs=3, progress=False)
            vectors.append(model.parameters.vector)
    assert np.array_equal(*vectors)


@pytest.mark.parametrize("keywords", [{"dropout": 0.3}, {"activation": "prelu", "dropout": [0.1, 0.2]}], ids=str)
def test_steps_in_one_call_have_the_bits_and_the_losses_of_each(keywords, rng, monkeypatch, walk):
    X, weights = rng.standard_normal((90, 6), np.float32), rng.random(90, np.float32)
    y = {"a": rng.integers(-1, 3, 90), "b": rng.standard_normal((90, 2)).astype(np.float32)}
    heads = {"a": 3, "b": gd.Head(2, loss="mse", weight=0.5)}
    found = []
    for products in (1, 5_000, 2**28):  # a step a call, some, all
        monkeypatch.setattr(passes, "PRODUCTS", products)
        found.append(trained(gd.MLP([6, 9], heads=heads, **keywords), X, y, weights, gd.MLP.descend))
    found.append(trained(gd.MLP([6, 9], heads=heads, **keywords), X, y, weights, Model.descend))
    assert all(each == found[0] for each in found)


def trained(model, X, y, weights, descend):
    """Return the losses of the mini-batches of two epochs, and the parameters after them as bytes."""
    optimizer, given = gd.Adam(model.parameters), model.check_data("", X, y, weights)
    with single_threaded_blas():
        losses = [each for _ in range(2) for each in descend(model, *given, np.arange(90)[::-1].copy(), 16, optimizer)]
    assert optimizer.steps == len(losses) == 12
    return losses, model.parameters.vector.tobytes()


def test_fit_in_two_calls_gives_the_bits_of_one(rng):
    X, y = example(rng, [6, 3], 50, "softmax_cross_entropy", np.float32)
    models = [gd.MLP([6, 8, 3]) for _ in range(2)]
    optimizers = [gd.Adam(model.parameters) for model in models]
    one = gd.fit(models[0], X, y, optimizers[0], batch_size=16, epochs=4, progress=False)
    two = [gd.fit(models[1], X, y, optimizers[1], batch_size=16, epochs=2, progress=False) for _ in range(2)]
    assert one.loss == two[0].loss + two[1].loss
    assert np.array_equal(models[0].parameters.vector, models[1].parameters.vector)


def test_history_validation_callbacks_and_schedules(rng, capsys):
    X, y = example(rng, [6, 3], 64, "softmax_cross_entropy", np.float32)
    model = gd.MLP([6, 3])
    optimizer = gd.SGD(model.parameters, lr=lambda step: 1 / (1 + step))
    seen = []
    stop = lambda history: seen.append(len(history.loss)) or len(history.loss) == 3  # noqa: E731
    history = gd.fit(
        model, X, y, optimizer, batch_size=32, epochs=10, validation=(X, y), callbacks=[stop], progress=True
    )
    assert seen == [1, 2, 3]
    assert len(history.loss) == len(history.score) == len(history.seconds) == 3
    assert history.lr == [1 / 2, 1 / 4, 1 / 6]
    assert history.score[-1] == model.score(X, y) == np.mean(model.predict(X) == y)
    assert optimizer.steps == 6
    captured = capsys.readouterr()
    assert "epoch=3/10" in captured.err
    assert captured.out == ""


def test_what_a_model_is_made_of_is_fixed():
    for model, names in ((gd.MLP([3, 2]), ("activation", "loss", "widths")), (gd.LinearModel(3), ("loss", "outputs"))):
        for name in names:
            with pytest.raises(AttributeError, match=f"{type(model).__name__}: {name} is fixed at construction"):
                setattr(model, name, getattr(model, name))


def test_r2_score_of_a_regression(rng):
    X = rng.standard_normal((200, 3))
    y = X @ rng.standard_normal((3, 2)) + 1
    model = gd.MLP([3, 2], loss="mse", dtype=np.float64)
    assert model.score(X, y) < 0.9
    gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), batch_size=50, epochs=200, progress=False)
    assert model.score(X, y) > 0.9999
    assert model.predict(X).shape == (200, 2)


def test_a_loss_that_is_not_finite_stops_before_the_step(rng):
    X, y = example(rng, [4, 3], 64, "softmax_cross_entropy", np.float32)
    X[:, 0] = np.nan
    model = gd.MLP([4, 3])
    before = model.parameters.vector.copy()
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 1, at step 1"):
        gd.fit(model, X, y, gd.Adam(model.parameters), progress=False)
    assert np.array_equal(model.parameters.vector, before)


def test_initial_weights_follow_activation_and_seed():
    relu, tanh = gd.MLP([300, 400, 2], "relu", seed=3), gd.MLP([300, 400, 2], "tanh", seed=3)
    assert relu.parameters["W1"].var() == pytest.approx(2 / 300, rel=0.05)
    assert tanh.parameters["W1"].var() == pytest.approx(2 / 700, rel=0.05)
    assert not relu.parameters["b1"].any()
    assert np.array_equal(relu.parameters.vector, gd.MLP([300, 400, 2], seed=3).parameters.vector)
    assert not np.array_equal(relu.parameters.vector, gd.MLP([300, 400, 2], seed=4).parameters.vector)
    assert gd.MLP([300, 400, 2], initializer="lecun_uniform").parameters["W1"].var() == pytest.approx(1 / 300, rel=0.05)
    assert (gd.MLP([3, 4, 2], initializer=gd.initializers.constant(0.5)).parameters["W2"] == 0.5).all()


def test_bad_models_are_refused():
    for call, error, match in (
        (lambda: gd.MLP([3]), ValueError, "MLP: widths"),
        (lambda: gd.MLP("32"), ValueError, "MLP: widths"),
        (lambda: gd.MLP([3, 0, 2]), ValueError, r"MLP: widths\[1\]"),
        (lambda: gd.MLP([3, 2.0]), TypeError, r"MLP: widths\[1\]"),
        (
            lambda: gd.MLP([3, 2], activation="rely"),
            ValueError,
            "MLP: activation must be one of celu, .*'rely'",
        ),
        (lambda: gd.MLP([3, 2], loss="l2"), ValueError, "MLP: loss must be one of"),
        (lambda: gd.MLP([3, 2], initializer="best"), ValueError, "MLP: initializer must be one of"),
        (lambda: gd.MLP([3, 2], dtype=np.float16), TypeError, "MLP: dtype"),
        (lambda: gd.MLP([3, 2], seed=-1), ValueError, "MLP: seed"),
    ):
        with pytest.raises(error, match=match):
            call()


def test_bad_data_is_refused_and_nothing_changes(rng):
    X, y = example(rng, [4, 3], 10, "softmax_cross_entropy", np.float32)
    model = gd.MLP([4, 3])
    optimizer = gd.Adam(model.parameters)
    before = model.parameters.vector.copy()

    def fit(X=X, y=y, optimizer=optimizer, model=model, **keywords):
        return lambda: gd.fit(model, X, y, optimizer, progress=False, **keywords)

    for call, error, match in (
        (fit(X=X.astype(float)), TypeError, "fit: X has dtype float64, the model is float32"),
        (fit(X=X.tolist()), TypeError, "fit: X must be a NumPy array"),
        (fit(X=X[:, :3].copy()), ValueError, "fit: X has 3 columns, the model has 4 features"),
        (fit(X=np.asfortranarray(X)), ValueError, "fit: X is not contiguous"),
        (fit(X=X[:0], y=y[:0]), ValueError, "fit: X must have at least one"),
        (fit(X=X[0]), ValueError, "fit: X must have 2 dimensions"),
        (fit(y=y[:5]), ValueError, "fit: y has shape"),
        (fit(y=y.astype(float)), TypeError, "fit: y has dtype float64"),
        (fit(y=y + 3), ValueError, "fit: y must be 0 to 2"),
        (fit(y=y - 1), ValueError, "fit: y must be 0 to 2, got -1"),
        (fit(optimizer="adam"), TypeError, "fit: optimizer"),
        (fit(optimizer=gd.Adam(np.ones(3))), ValueError, "model.parameters"),
        (fit(model="mlp"), TypeError, "fit: model"),
        (fit(batch_size=0), ValueError, "fit: batch_size"),
        (fit(batch_size=1.5), TypeError, "fit: batch_size"),
        (fit(epochs=0), ValueError, "fit: epochs"),
        (fit(seed=-1), ValueError, "fit: seed"),
        (fit(validation=X), TypeError, "fit: validation"),
        (fit(validation=(X, y + 5)), ValueError, "fit: validation: y must be"),
        (fit(callbacks=[3]), TypeError, "fit: callbacks"),
        (lambda: model.forward(X.astype(float)), TypeError, "MLP.forward: X has dtype float64"),
        (lambda: model.predict(X[:, :2].copy()), ValueError, "MLP.predict: X has 2 columns"),
        (lambda: model.score(X, y[:3]), ValueError, "MLP.score: y has shape"),
        (lambda: model.loss_and_gradients(X, y + 9), ValueError, "MLP.loss_and_gradients: y must be"),
    ):
        with pytest.raises(error, match=match):
            call()
    assert np.array_equal(model.parameters.vector, before)
    assert optimizer.steps == 0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_train_on_their_own(clone, rng):
    X, y = example(rng, [4, 3], 40, "softmax_cross_entropy", np.float32)
    model = gd.MLP([4, 6, 3])
    model.loss_and_gradients(X, y)
    other = clone(model)
    before = model.parameters.vector.copy()
    gd.fit(other, X, y, gd.Adam(other.parameters), epochs=1, progress=False)
    assert np.array_equal(model.parameters.vector, before)
    gd.fit(model, X, y, gd.Adam(model.parameters), epochs=1, progress=False)
    assert np.array_equal(model.parameters.vector, other.parameters.vector)


def test_models_train_in_several_python_threads_and_blas_is_itself_again(rng):
    X, y = example(rng, [30, 5], 400, "softmax_cross_entropy", np.float32)
    before = [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]
    models = [gd.MLP([30, 64, 5]) for _ in range(4)]
    workers = [
        threading.Thread(target=gd.fit, args=(m, X, y, gd.Adam(m.parameters)), kwargs={"epochs": 5, "progress": False})
        for m in models
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(models[0].parameters.vector, m.parameters.vector) for m in models)
    after = [library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers]
    assert after[: len(before)] == before


@pytest.mark.parametrize("kind", ["read-only", "memmap", "labels of one byte"])
def test_data_of_other_kinds_gives_the_same_bits(kind, rng, tmp_path):
    X, y = example(rng, [6, 3], 70, "softmax_cross_entropy", np.float32)
    vectors = []
    for other in (False, True):
        if other and kind == "read-only":
            X.flags.writeable = y.flags.writeable = False
        elif other and kind == "memmap":
            X.tofile(tmp_path / "X")
            X = np.memmap(tmp_path / "X", np.float32, "r", shape=X.shape)
        elif other:
            y = y.astype(np.uint8)
        model = gd.MLP([6, 8, 3])
        gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=32, epochs=2, validation=(X, y), progress=False)
        vectors.append(model.parameters.vector)
    assert np.array_equal(*vectors)


@pytest.mark.parametrize(
    "one_row", [lambda X: X[0][None], lambda X: X[::-1][:1], lambda X: np.broadcast_to(X[3], (1, 64)), lambda X: X[5:6]]
)
def test_matrices_of_one_row_with_any_stride(one_row, rng, dtype):
    X = rng.standard_normal((10, 64)).astype(dtype)
    model, row = gd.MLP([64, 32, 3], dtype=dtype), one_row(X)
    assert np.array_equal(model.forward(row), model.forward(row.copy()))
    _, found = model.loss_and_gradients(row, np.array([1]))
    _, expected = model.loss_and_gradients(row.copy(), np.array([1]))
    assert np.array_equal(found.vector, expected.vector)


def test_gradients_of_one_model_in_several_threads(rng):
    model = gd.MLP([20, 30, 3])
    batches_of = [example(rng, [20, 3], 50, "softmax_cross_entropy", np.float32) for _ in range(4)]
    expected = [model.loss_and_gradients(*each)[1].vector for each in batches_of]
    wrong = []

    def work(k):
        for _ in range(50):
            if not np.array_equal(model.loss_and_gradients(*batches_of[k])[1].vector, expected[k]):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_r2_is_exact_in_float32_and_defined_for_constant_targets(rng):
    X = rng.standard_normal((100_000, 1)).astype(np.float32)
    model = gd.MLP([1, 1], loss="mse", initializer="zeros")
    model.parameters["b1"][:] = 10_000
    y = (10_000 + rng.standard_normal((100_000, 1))).astype(np.float32)
    assert abs(model.score(X, y)) < 1e-3
    constant = np.full_like(y, 10_000)
    assert model.score(X, constant) == 1
    assert model.score(X, constant + 1) == 0


def test_the_vector_cannot_be_replaced_and_initializers_must_fit():
    model = gd.MLP([3, 2])
    with pytest.raises(AttributeError):
        model.parameters.vector = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="initializer must return W1 of shape"):
        gd.MLP([3, 2], initializer=lambda shape, rng, dtype: np.zeros(5))
    for bad in ("foo", np.float16, int):
        with pytest.raises(TypeError, match="MLP: dtype must be float32 or float64"):
            gd.MLP([3, 2], dtype=bad)
