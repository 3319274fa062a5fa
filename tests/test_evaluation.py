"""What a validation judges by: the loss itself, and the figure that each loss has, as scikit-learn defines them."""

import functools

import numpy as np
import pytest
from communicators import on_ranks

import gd
from gd.losses import LOSSES
from gd.schedules import LinearWarmup, Piecewise, ReduceOnPlateau

metrics = pytest.importorskip("sklearn.metrics")
N, OUTPUTS = 300, 2
SCORES = {  # of predictions as the loss takes them
    **dict.fromkeys(("mse", "huber", "smooth_l1", "epsilon_insensitive"), metrics.r2_score),
    "mae": metrics.d2_absolute_error_score,
    "quantile": lambda y, z: metrics.d2_pinball_score(y, z, alpha=0.9),
    "poisson": lambda y, z: np.mean(
        [metrics.d2_tweedie_score(a, np.exp(b), power=1) for a, b in zip(y.T, z.T, strict=True)]
    ),
    "binary_cross_entropy_with_logits": lambda y, z: np.mean(
        [metrics.accuracy_score(a, b > 0) for a, b in zip(y.T, z.T, strict=True)]
    ),
    "hinge": lambda y, z: np.mean([metrics.accuracy_score(a, np.sign(b)) for a, b in zip(y.T, z.T, strict=True)]),
    "squared_hinge": lambda y, z: np.mean(
        [metrics.accuracy_score(a, np.sign(b)) for a, b in zip(y.T, z.T, strict=True)]
    ),
    "kl_divergence": lambda y, z: metrics.r2_score(y, np.exp(z)),
    "softmax_cross_entropy": lambda y, z: metrics.accuracy_score(y, z.argmax(axis=1)),
}


def data(loss, rng):
    X = rng.standard_normal((N, 3))
    y = X @ rng.standard_normal((3, OUTPUTS)) + rng.standard_normal((N, OUTPUTS))
    if LOSSES[loss].labels:
        return X, rng.integers(0, OUTPUTS, N)
    if "hinge" in loss:
        return X, np.sign(y)
    if loss == "poisson":
        return X, rng.poisson(np.exp(y / 2)).astype(float)
    if loss == "kl_divergence":
        return X, rng.random((N, OUTPUTS))
    return X, (y > 0).astype(float) if "entropy" in loss else y


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_and_score_are_those_of_scikit_learn(loss, rng):
    X, y = data(loss, rng)
    given = {"q": 0.9} if loss == "quantile" else {}
    network = gd.MLP([3, 5, OUTPUTS], "tanh", dropout=0.5, loss=loss, loss_parameters=given, dtype=np.float64, seed=1)
    linear = gd.LinearModel(3, OUTPUTS, loss, l2=0.5, dtype=np.float64, **given)
    linear.parameters.vector[:] = rng.standard_normal(linear.parameters.vector.size) / 3
    for model in (network, linear):
        z, found = model.forward(X), model.evaluate(X, y)
        assert found.loss == pytest.approx(getattr(gd, loss)(z, y, **given)[0], rel=1e-12)  # no dropout, no penalty
        assert found.score == pytest.approx(SCORES[loss](y, z), rel=1e-10)
        assert model.score(X, y) == found.score


@pytest.mark.parametrize("rows", [37, 64])
@pytest.mark.parametrize("loss", ["mse", "mae", "quantile", "poisson"])
def test_constant_targets_score_1_or_0(loss, rows, rng):
    """Although their mean is rounded."""
    for constant in rng.random(50):
        y = np.full(rows, constant)
        model = gd.LinearModel(1, loss=loss, dtype=np.float64)
        b = np.log(constant) if loss == "poisson" else constant
        for miss, score in ((0.0, 1.0), (0.1, 0.0)):
            model.parameters["b"][:] = b + miss
            assert model.score(np.zeros((rows, 1)), y) == score


def test_nan_is_no_right_answer(rng):
    X = rng.standard_normal((N, 3))
    for loss in ("mse", "mae", "poisson", "hinge", "binary_cross_entropy_with_logits", "softmax_cross_entropy"):
        _, y = data(loss, rng)
        model = gd.LinearModel(3, OUTPUTS, loss, dtype=np.float64)
        model.parameters.vector[:] = np.nan
        accuracy = loss not in ("mse", "mae", "poisson")
        np.testing.assert_equal(model.score(X, y), 0.0 if accuracy else np.nan)
        model.parameters.vector[:] = 0
        if not accuracy:
            assert np.isnan(model.score(X, np.full_like(y, np.nan)))


def test_networks_and_linear_models_predict_rates_with_poisson(rng):
    X = rng.standard_normal((N, 3))
    model = gd.MLP([3, 2], loss="poisson", dtype=np.float64)
    np.testing.assert_allclose(model.predict(X), np.exp(model.forward(X)), rtol=1e-12)
    assert gd.LinearModel(3, loss="poisson", dtype=np.float64).predict(X).tolist() == [1.0] * N


def test_heads_are_weighted_and_those_without_targets_left_out(rng):
    X = rng.standard_normal((N, 3))
    heads = {"a": gd.Head(3, weight=3.0), "b": gd.Head(1, loss="mse"), "c": gd.Head(2)}
    model = gd.MLP([3, 4], heads=heads, dtype=np.float64, seed=0)
    y = {"a": rng.integers(0, 3, N), "b": rng.standard_normal((N, 1)), "c": np.full(N, -1)}
    found, outputs = model.evaluate(X, y), model.forward(X)
    a, b = (gd.softmax_cross_entropy(outputs["a"], y["a"])[0], gd.mse(outputs["b"], y["b"])[0])
    assert found.losses == {"a": pytest.approx(a), "b": pytest.approx(b), "c": None}
    assert found.loss == pytest.approx(3 * a + b)
    scores = metrics.accuracy_score(y["a"], outputs["a"].argmax(axis=1)), metrics.r2_score(y["b"], outputs["b"])
    assert found.score == pytest.approx((3 * scores[0] + scores[1]) / 4)
    assert model.scores(X, y)["c"] is None


def test_early_stopping_of_a_classifier_puts_the_epoch_of_least_validation_loss_back():
    X, y = pytest.importorskip("sklearn.datasets").load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = y.astype(np.float32)[:, np.newaxis]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(X))
        held, rows = order[:150], order[150:]
        model = gd.MLP([30, 32, 1], loss="binary_cross_entropy_with_logits", seed=seed)
        kept = []

        def keep(history, model=model, kept=kept):
            kept.append(model.parameters.vector.copy())

        history = gd.fit(
            model,
            X[rows],
            y[rows],
            gd.Adam(model.parameters, lr=0.01),
            32,
            40,
            (X[held], y[held]),
            8,
            keep,
            progress=False,
        )
        best = int(np.argmin(history.validation_loss))
        assert np.array_equal(model.parameters.vector, kept[best])
        assert history.score[best] > 0.93
        assert min(history.score) >= 0


@pytest.mark.parametrize("monitor", [None, "validation_loss", "loss", "score", "b", lambda history: -history.score[-1]])
def test_what_is_monitored_decides_which_epoch_is_best(monitor, rng):
    X = rng.standard_normal((N, 3))
    model = gd.MLP([3, 8], heads={"a": gd.Head(3), "b": gd.Head(1, loss="mse")}, dtype=np.float64, seed=0)
    y = {"a": rng.integers(0, 3, N), "b": rng.standard_normal((N, 1))}
    kept = []
    rule = gd.EarlyStopping(patience=3, monitor=monitor)
    optimizer = gd.Adam(model.parameters, lr=0.05)
    history = gd.fit(
        model, X, y, optimizer, 50, 30, (X[::3].copy(), {name: each[::3].copy() for name, each in y.items()}), rule,
        lambda history: kept.append(model.parameters.vector.copy()), progress=False,
    )  # fmt: skip
    values = {
        None: history.validation_loss,
        "validation_loss": history.validation_loss,
        "loss": history.loss,
        "score": [-each for each in history.score],
        "b": history.head_losses["b"],
    }.get(monitor, [-each for each in history.score])
    best = int(np.argmin(values))
    assert np.array_equal(model.parameters.vector, kept[best])
    assert optimizer.steps == (best + 1) * 6


def test_monitors_that_cannot_be_had_are_refused():
    X, y = np.ones((4, 2), np.float32), np.arange(4) % 2
    model = gd.MLP([2, 2])
    for monitor, validation, match in (
        ("score", None, "fit: validation must be given where score is monitored"),
        ("nonsense", (X, y), "fit: monitor must be loss, validation_loss, score or a function, got 'nonsense'"),
    ):
        for early, lr in ((gd.EarlyStopping(monitor=monitor), 0.1), (None, ReduceOnPlateau(0.1, monitor=monitor))):
            with pytest.raises((TypeError, ValueError), match=match):
                gd.fit(model, X, y, gd.SGD(model.parameters, lr=lr), validation=validation, early_stopping=early)
    with pytest.raises(TypeError, match="EarlyStopping: monitor must be a name or a function"):
        gd.EarlyStopping(monitor=3)


@pytest.mark.parametrize(
    "wrapped, unheard",  # epochs whose last step is of a warm-up: steps 0 to 3 of the first, 4 to 7 of the second
    [
        (lambda plateau: LinearWarmup(plateau, 5), 1),
        (lambda plateau: Piecewise([3, 6], [plateau, plateau, LinearWarmup(plateau, 2)]), 1),
        (lambda plateau: plateau, 0),
        (lambda plateau: lambda step: plateau(step), 0),
        (lambda plateau: functools.partial(lambda lr, step: lr(step), plateau), 0),
        (lambda plateau: Own(plateau), 0),
        (lambda plateau: LinearWarmup(lambda step: plateau(step), 5), 1),
        (lambda plateau: Piecewise([4], [0.0, Own(plateau).__call__]), 1),
    ],
)
def test_a_schedule_inside_of_another_hears_of_epochs_and_is_saved(wrapped, unheard, tmp_path):
    pytest.importorskip("safetensors")
    X, y = np.zeros((40, 2), np.float32), np.ones(40, np.float32)  # the loss cannot improve: lr is 0

    def train(epochs, resume=False):
        plateau = ReduceOnPlateau(0.0, factor=0.5, patience=0)
        model = gd.LinearModel(2)
        optimizer = gd.SGD(model.parameters, lr=wrapped(plateau))
        gd.fit(model, X, y, optimizer, 10, epochs, checkpoint=tmp_path / "c.safetensors", resume=resume, progress=False)
        return plateau.reductions

    assert train(10) == 9 - unheard
    assert train(15, resume=True) == 14 - unheard


class Own(gd.schedules.Schedule):
    """A schedule with others in a dict."""

    def __init__(self, plateau):
        self.parts = {"plateau": plateau}

    def __call__(self, step):
        return self.parts["plateau"](step)


def test_the_best_epoch_has_its_averages_and_schedule_free_is_judged_where_its_paper_says(rng):
    X = rng.standard_normal((N, 3))
    y = X @ np.ones(3) + rng.standard_normal(N)
    held = X[:100] * 1.5, y[:100].copy()
    for optimizer_of in (
        lambda p: gd.Adam(p, lr=0.2, ema=0.9),
        lambda p: gd.ScheduleFreeAdamW(p, lr=0.3),
        lambda p: gd.ASGD(p, lr=0.3, t0=5),
    ):
        model = gd.LinearModel(3, dtype=np.float64)
        optimizer = optimizer_of(model.parameters)
        averages = optimizer.averaged_params if hasattr(optimizer, "averaged_params") else optimizer.ema_params
        evaluate = "ema" if isinstance(optimizer, gd.Adam) else None
        seen, losses = [], []

        def note(history, averages=averages, seen=seen, model=model, losses=losses):
            seen.append(averages().vector)
            judged = gd.LinearModel(3, dtype=np.float64)
            judged.parameters.vector[:] = seen[-1]
            losses.append(judged.evaluate(*held).loss)

        history = gd.fit(
            model, X, y, optimizer, 10, 25, held, gd.EarlyStopping(25), note, progress=False, evaluate=evaluate
        )
        assert history.validation_loss == pytest.approx(losses, rel=1e-12)
        best = int(np.argmin(history.validation_loss))
        assert np.array_equal(averages().vector, seen[best])
        last = model.parameters.vector.copy()
        with gd.averaged(optimizer):
            assert np.array_equal(model.parameters.vector, seen[best])
            assert model.evaluate(*held).loss == history.validation_loss[best]
        assert np.array_equal(model.parameters.vector, last)
    with pytest.raises(ValueError, match="evaluate='ema' needs an optimizer made with ema"):
        gd.fit(model, X, y, gd.SGD(model.parameters), evaluate="ema")
    with pytest.raises(ValueError, match="evaluate='averaged' needs an optimizer that averages, got SGD"):
        gd.fit(model, X, y, gd.SGD(model.parameters), evaluate="averaged")


@pytest.mark.parametrize("optimizer_class", [gd.Adam, gd.ScheduleFreeAdamW])
@pytest.mark.parametrize("kind", ["fast", "reproducible"])
def test_the_best_epoch_of_several_ranks_has_its_averages_also_on_another_number_of_them(
    optimizer_class, kind, rng, tmp_path
):
    pytest.importorskip("safetensors")
    X = rng.standard_normal((64, 300))
    y = X @ np.ones(300) + 30 * rng.standard_normal(64)
    held = X[:8] * 1.5, y[:8].copy()

    def train(comm, path, until=None):
        model = gd.LinearModel(300, dtype=np.float64)
        optimizer = gd.Distributed(optimizer_class, model.parameters, comm, kind, lr=0.3, ema=0.8)
        averages = optimizer.ema_params if optimizer_class is gd.Adam else optimizer.averaged_params
        seen = []

        def note(history):
            seen.append(averages().vector)
            if len(seen) == until:
                raise InterruptedError

        try:
            history = gd.fit(
                model, X, y, optimizer, 32, 12, held, gd.EarlyStopping(4), note, path, progress=False, resume=True,
                comm=comm, evaluate="ema" if optimizer_class is gd.Adam else "averaged",
            )  # fmt: skip
        except InterruptedError:
            return None
        with gd.averaged(optimizer, "ema" if optimizer_class is gd.Adam else None):
            inside = model.parameters.vector.copy()
        best = int(np.argmin(history.validation_loss))
        assert len(history.loss) > best + 1  # so that something was put back
        return best, averages().vector, inside, model.parameters.vector, seen

    whole = on_ranks(1, lambda comm: train(comm, tmp_path / "whole"))[0]
    best, found, inside, _, seen = whole
    assert np.array_equal(found, seen[best])
    assert np.array_equal(found, inside)
    assert on_ranks(2, lambda comm: train(comm, tmp_path / "cut", best + 2))[0] is None
    for resumed in on_ranks(1, lambda comm: train(comm, tmp_path / "cut")):
        for one, other in zip(resumed[1:4], whole[1:4], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
            assert kind == "fast" or np.array_equal(one, other)


def test_averages_go_into_parameters_of_any_structure_and_come_out_again():
    arrays = [np.ones((2, 2)), np.zeros(3)]
    for params in (arrays[0], arrays, tuple(arrays), dict(zip("ab", arrays, strict=True))):
        optimizer = gd.SGD(params, lr=0.5, ema=0.5)
        listed = arrays[:1] if params is arrays[0] else arrays
        before, ones = [each.copy() for each in listed], [np.ones_like(each) for each in listed]
        grads = (
            ones[0]
            if params is arrays[0]
            else ones
            if not isinstance(params, dict)
            else dict(zip("ab", ones, strict=True))
        )
        optimizer.step(grads)
        with pytest.raises(KeyError), gd.averaged(optimizer):
            for one, other in zip(listed, before, strict=True):
                assert np.array_equal(one, other - 0.25)
            raise KeyError
        for one, other in zip(listed, before, strict=True):
            assert np.array_equal(one, other - 0.5)
    for optimizer, average, match in (
        (gd.SGD(arrays), None, "average='ema' needs an optimizer made with ema, such as ema=0.999, got ema=None"),
        (gd.SGD(arrays, ema=0.5), "averaged", "average='averaged' needs an optimizer that averages, got SGD"),
        (gd.SGD(np.zeros(3, np.uint16), ema=0.5, param_dtype="bfloat16"), None, "param_dtype='bfloat16'"),
        (arrays, None, "averaged: optimizer must be one of gd's, such as gd.Adam, got list"),
    ):
        with pytest.raises((TypeError, ValueError), match=match):
            gd.averaged(optimizer, average)
