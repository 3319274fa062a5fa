"""fit: checkpoints, resumption, interruption, accumulation, emphasis; and what networks add to it."""

import _thread
import copy
import pickle
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import gd
from gd.batches import emphasized
from gd.models.base import Model
from gd.runtime.threading import single_threaded_blas
from gd.schedules import LinearWarmup, Piecewise, ReduceOnPlateau

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore:gradient_check. the function has a kink")
OFTEN = {"factor": 0.5, "patience": 0, "threshold": 100.0, "threshold_mode": "abs"}  # after each epoch but the first


def example(rng, rows=60, outputs=3, dtype=np.float32):
    return rng.standard_normal((rows, 6)).astype(dtype), rng.integers(0, outputs, rows)


def network(seed=1, **keywords):
    return gd.MLP([6, 8, 3], seed=seed, **keywords)


def same(one, other):
    return np.array_equal(one.parameters.vector, other.parameters.vector)


def interrupted_after(epochs):
    """A callback that fails, as a machine does."""

    def callback(history):
        if len(history.loss) == epochs:
            raise RuntimeError("power failure")

    return callback


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"batch_size": 7, "accumulate": 3},
        {"emphasis": 0.3},
        {"early_stopping": gd.EarlyStopping(2, min_delta=0.5)},
        {"checkpoint_every": 2},
        {"grouped": True},
    ],
    ids=str,
)
def test_resumed_training_has_the_bits_of_one_that_did_not_stop(keywords, rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)
    every, grouped = keywords.pop("checkpoint_every", 1), keywords.pop("grouped", False)
    keywords = {"batch_size": 16, "epochs": 6, "progress": False, "validation": (X, y)} | keywords

    def train(path, callbacks=(), resume=False):
        model = network(dropout=0.2)
        groups = [{"params": ["W1"], "lr": ReduceOnPlateau(0.1, mode="max", **OFTEN)}] if grouped else ()
        optimizer = gd.Adam(model.parameters, lr=ReduceOnPlateau(0.05, factor=0.5, patience=0), groups=groups)
        checkpoint = gd.Checkpoint(path, every)
        history = gd.fit(model, X, y, optimizer, checkpoint=checkpoint, callbacks=callbacks, resume=resume, **keywords)
        return model, optimizer, history

    whole, optimizer, expected = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power failure"):
        train(tmp_path / "cut", interrupted_after(3))
    resumed, other, found = train(tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    assert (found.loss, found.score, found.lr, found.stopped) == (
        expected.loss,
        expected.score,
        expected.lr,
        expected.stopped,
    )
    assert other.steps == optimizer.steps
    with pytest.warns(UserWarning, match="nothing is left to do"):
        again, _, history = train(tmp_path / "cut", resume=True)
    assert same(again, whole)
    assert history.loss == expected.loss


def test_a_linear_model_resumes_too(rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)
    models = []
    for path, epochs in (("one", [4]), ("two", [2, 4])):
        for until in epochs:
            model = gd.LinearModel(6, 3, "softmax")
            optimizer = gd.Adam(model.parameters, lr=0.1)
            gd.fit(model, X, y, optimizer, 16, until, checkpoint=tmp_path / path, resume=True, progress=False)
        models.append(model)
    assert same(*models)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_killed_trainings_resume_with_the_same_bits():
    """Fifty of them: python tests/resume.py."""
    pytest.importorskip("safetensors")
    command = [sys.executable, ROOT / "tests" / "resume.py", "--trials", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    _, trials, kills, _, resumed, equal = re.search("^all .*$", done.stdout, re.MULTILINE)[0].split()
    assert trials == equal == "2"
    assert int(kills) > 0
    assert int(resumed) > 0


def test_checkpoints_of_other_trainings_are_refused_and_nothing_changes(rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)
    path = tmp_path / "checkpoint"

    def train(model, resume=True, optimizer=gd.Adam, path=path, **keywords):
        keywords = {"epochs": 2, "batch_size": 16, "checkpoint": path, "resume": resume, "progress": False} | keywords
        return gd.fit(model, X, y, optimizer(model.parameters), **keywords)

    train(network(), resume=False)
    train(network(), path=tmp_path / "schedule", optimizer=lambda params: gd.Adam(params, lr=lambda step: 0.1))
    gd.save(tmp_path / "other", {"a": 1})
    (tmp_path / "damaged").write_bytes(path.read_bytes()[:-3])
    for keywords, match in (
        ({"optimizer": gd.SGD}, "optimizer='Adam', this one has 'SGD'"),
        ({"optimizer": lambda params: gd.Adam(params, amsgrad=True)}, "is not of this training"),
        ({"validation": (X, y)}, "validation=False, this one has True"),
        ({"path": tmp_path / "schedule"}, "lr=.*lambda.*which it does not hold: give it again"),
        ({"path": tmp_path / "other"}, "is not a checkpoint of gd.fit"),
        ({"path": tmp_path / "damaged"}, "damaged"),
    ):
        model = network()
        before = model.parameters.vector.copy()
        with pytest.raises(gd.CheckpointError, match=match):
            train(model, **keywords)
        assert np.array_equal(model.parameters.vector, before)
    for other in (
        gd.MLP([6, 9, 3], seed=1),
        gd.MLP([6, 8, 3], "tanh", seed=1),
        gd.MLP([6, 8, 3], seed=2),
        gd.MLP([6, 8, 3], seed=1, max_norm=1.0),
    ):
        with pytest.raises(gd.CheckpointError, match="is of a training with"):
            train(other)
    whole = gd.load(path)
    for name, value in (
        ("history", 3),
        ("history", {"speed": 1}),
        ("training", 3),
        ("parameters", 3),
        ("parameters", {"W1": whole["parameters"]["W1"]}),
        ("optimizer", {}),
        ("schedules", 3),
        ("watch", 3),
        ("rates", 3),
        ("rates", {"lr": "fast"}),
        ("training", {k: v for k, v in whole["training"].items() if k != "first"}),
        ("parameters", {k: v.astype(float) for k, v in whole["parameters"].items()}),
    ):
        gd.save(path, whole | {name: value})
        model = network()
        before = model.parameters.vector.copy()
        with pytest.raises(gd.CheckpointError):
            train(model)
        assert np.array_equal(model.parameters.vector, before), name
    with pytest.raises(ValueError, match="checkpoint must be a file in a folder that exists"):
        train(network(), path=tmp_path / "nowhere" / "x")
    with pytest.raises(TypeError, match="resume needs a checkpoint"):
        train(network(), path=None)


def test_checkpoints_rotate(rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)
    model = network()
    checkpoint = gd.Checkpoint(tmp_path / "last", keep=3)
    gd.fit(model, X, y, gd.Adam(model.parameters), epochs=5, checkpoint=checkpoint, progress=False)
    steps = [gd.load(tmp_path / name)["optimizer"]["steps"] for name in ("last", "last.1", "last.2")]
    assert steps == [5, 4, 3]


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals are of the main thread")
@pytest.mark.parametrize("kind", ["network", "linear model"])
def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(kind, rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)
    path, good = tmp_path / "checkpoint", {}

    def spoil(history):
        if len(history.loss) == 3:
            good.update(vector=model.parameters.vector.copy(), state=optimizer.state_dict())
            X[:] = np.inf

    model = network() if kind == "network" else gd.LinearModel(6, 3, "softmax")
    optimizer = gd.Adam(model.parameters)
    keywords = {"batch_size": 100, "epochs": 5, "checkpoint": path, "callbacks": spoil, "progress": False}
    with pytest.raises(FloatingPointError, match=rf"in epoch 4, at step 4; .* last checkpoint is in {path}"):
        gd.fit(model, X, y, optimizer, **keywords)
    saved = gd.load(path)
    assert len(saved["history"]["loss"]) == optimizer.steps == 3
    for parameters in (model.parameters, saved["parameters"]):
        assert np.array_equal(np.concatenate([each.ravel() for each in parameters.values()]), good["vector"])
    for state in (optimizer.state_dict(), saved["optimizer"]):
        assert all(np.array_equal(state[key], good["state"][key]) for key in good["state"])


def test_an_interrupt_waits_for_the_end_of_the_step(rng):
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("Ctrl-C is ignored, as in the background of a shell")
    X, y = example(rng)
    model, twin = network(), network()
    optimizer, other = gd.Adam(model.parameters), gd.Adam(twin.parameters)
    descend = model.descend
    seen = []

    def interrupted(*arguments):
        for k, each in enumerate(descend(*arguments)):
            if k == 1:
                _thread.interrupt_main()  # as Ctrl-C does, while a step is under way
                seen.append(optimizer.steps)
            yield each

    model.descend = interrupted
    with pytest.raises(KeyboardInterrupt):
        gd.fit(model, X, y, optimizer, batch_size=16, epochs=3, progress=False)
    assert seen == [optimizer.steps]
    assert 2 <= optimizer.steps <= 4  # of 12: those of one call of compiled code
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with single_threaded_blas():
        one_by_one = Model.descend(twin, *twin.check_data("", X, y), order_of(60), 16, other)
        for _, _ in zip(range(optimizer.steps), one_by_one, strict=False):
            pass
    assert other.steps == optimizer.steps
    assert same(model, twin)


def order_of(rows):
    return gd.batches.shuffled(rows, 0, 0)


@pytest.mark.parametrize("model", [network, lambda: gd.LinearModel(6, 3, "softmax")], ids=["network", "linear"])
def test_accumulated_batches_are_one_large_batch(model, rng):
    X, y = example(rng)
    models = [model() for _ in range(2)]
    for each, keywords in zip(models, ({"batch_size": 24}, {"batch_size": 8, "accumulate": 3}), strict=True):
        gd.fit(each, X, y, gd.SGD(each.parameters, lr=0.5), epochs=3, progress=False, **keywords)
    np.testing.assert_allclose(models[0].parameters.vector, models[1].parameters.vector, rtol=1e-4, atol=1e-6)


def test_a_batch_of_all_rows(rng):
    X, y = example(rng)
    models = [network() for _ in range(2)]
    for model, size in zip(models, ("all", 60), strict=True):
        optimizer = gd.Adam(model.parameters)
        gd.fit(model, X, y, optimizer, batch_size=size, epochs=3, progress=False)
        assert optimizer.steps == 3
    assert same(*models)
    with pytest.raises(TypeError, match="batch_size"):
        gd.fit(models[0], X, y, gd.Adam(models[0].parameters), batch_size="some")


def test_emphasis_repeats_the_largest_losses(rng):
    losses = rng.random(100)
    order = emphasized(100, 0, 3, losses, 0.2)
    rows, counts = np.unique(order, return_counts=True)
    assert rows.tolist() == list(range(100))
    assert set(rows[counts == 2]) == set(np.argsort(losses)[-20:])
    assert np.array_equal(order, emphasized(100, 0, 3, losses, 0.2))
    unknown = np.full(100, np.nan)
    assert len(emphasized(100, 0, 0, unknown, 0.5)) == 150
    assert not np.array_equal(emphasized(100, 0, 0, unknown, 0.2), emphasized(100, 1, 0, unknown, 0.2))


def test_fit_knows_the_loss_of_each_row(rng):
    X, y = example(rng)
    model, losses = network(), np.full(60, np.nan)
    optimizer = gd.SGD(model.parameters, lr=0.0)
    with single_threaded_blas():
        for _ in model.descend(*model.check_data("", X, y), order_of(60), 16, optimizer, 1, losses):
            pass
    expected, _ = gd.softmax_cross_entropy(model.forward(X), y, reduction="none")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.05), 16, 20, emphasis=0.5, progress=False)
    assert model.score(X, y) > 0.6
    linear = gd.LinearModel(6, 3, "softmax")
    with pytest.raises(TypeError, match="emphasis needs the loss of each row"):
        gd.fit(linear, X, y, gd.Adam(linear.parameters), emphasis=0.5)


def test_the_learning_rate_follows_a_plateau(rng):
    X, y = example(rng)
    model = network()
    plateau = ReduceOnPlateau(0.1, **OFTEN)
    history = gd.fit(model, X, y, gd.SGD(model.parameters, lr=plateau), epochs=4, progress=False)
    assert history.lr == [0.1, 0.1, 0.05, 0.025]  # the first epoch improves on none before
    plateau = ReduceOnPlateau(0.1, mode="max")
    with pytest.raises(TypeError, match="validation must be given"):
        gd.fit(model, X, y, gd.SGD(model.parameters, lr=plateau), progress=False)


def test_a_plateau_hears_of_the_epochs_that_follow_it(rng):
    X, y = example(rng)  # 60 rows: 4 steps of 16 an epoch
    model, plateau = network(), ReduceOnPlateau(0.01, **OFTEN)
    optimizer = gd.SGD(model.parameters, lr=Piecewise([8], [0.1, plateau]))
    assert gd.fit(model, X, y, optimizer, 16, 5, progress=False).lr == [0.1, 0.1, 0.01, 0.01, 0.005]
    plateau = ReduceOnPlateau(0.01, **OFTEN)
    optimizer = gd.SGD(model.parameters, lr=LinearWarmup(Piecewise([100], [plateau, 0.1]), 8, 1.0))
    assert gd.fit(model, X, y, optimizer, 16, 5, progress=False).lr == [0.01, 0.01, 0.01, 0.01, 0.005]


def test_a_plateau_that_a_callback_sets_hears_of_epochs(rng):
    X, y = example(rng)
    model, plateau = network(), ReduceOnPlateau(0.01, **OFTEN)
    optimizer = gd.SGD(model.parameters, lr=0.1)

    def callback(history):
        optimizer.lr = plateau

    assert gd.fit(model, X, y, optimizer, 16, 4, callbacks=callback, progress=False).lr == [0.1, 0.01, 0.01, 0.005]
    optimizer.lr, plateau.monitor = 0.1, "score"
    with pytest.raises(TypeError, match="validation must be given where score is monitored"):
        gd.fit(model, X, y, optimizer, 16, 4, callbacks=callback, progress=False)


def test_the_learning_rates_of_groups_follow_plateaus(rng):
    X, y = example(rng)
    model = network()
    loss, score = ReduceOnPlateau(0.1, **OFTEN), ReduceOnPlateau(0.2, mode="max", **OFTEN)
    groups = [{"params": ["W1"]}, {"params": ["b1"], "lr": score}, {"params": ["W2"], "lr": 0.3}]
    optimizer = gd.SGD(model.parameters, lr=loss, groups=groups)
    assert optimizer.schedules == {"lr": loss, "groups[0].lr": loss, "groups[1].lr": score}
    history = gd.fit(model, X, y, optimizer, epochs=4, validation=(X, y), progress=False)
    assert (loss.best, score.best) == (history.validation_loss[0], history.score[0])
    assert (loss.reductions, score.reductions) == (3, 3)  # the shared one is told once
    assert [optimizer.lr, *(group.lr for group in optimizer.groups)] == [0.1 / 8, 0.1 / 8, 0.2 / 8, 0.3]
    with pytest.raises(TypeError, match="validation must be given"):
        gd.fit(model, X, y, optimizer, progress=False)


def test_max_norm_limits_the_incoming_weights_of_each_unit(rng, dtype):
    X, y = example(rng, dtype=dtype)
    model = gd.MLP([6, 200, 3], dtype=dtype, max_norm=0.7)
    gd.fit(model, X, y, gd.Adam(model.parameters, lr=0.1), epochs=3, progress=False)
    assert np.linalg.norm(model.parameters["W1"], axis=0).max() == pytest.approx(0.7, rel=1e-5)
    W1 = model.parameters["W1"]
    W1[:] = rng.standard_normal(W1.shape) / 4
    before, norms = W1.copy(), np.linalg.norm(W1, axis=0)
    model.constrain()
    longer = norms > 0.7
    assert 0 < longer.sum() < 200
    assert np.array_equal(W1[:, ~longer], before[:, ~longer])
    np.testing.assert_allclose(W1[:, longer], (before * (0.7 / norms))[:, longer], rtol=1e-5)


def test_dropout_is_of_training_only_and_differs_from_step_to_step(rng):
    X, y = example(rng)
    model, plain = network(dropout=0.5), network()
    assert np.array_equal(model.forward(X), plain.forward(X))
    losses = {model.loss_and_gradients(X, y)[0] for _ in range(5)}
    assert len(losses) == 5
    assert model.loss_and_gradients(X, y, step=2)[0] in losses
    many = np.mean([model.loss_and_gradients(X, y)[1]["b2"] for _ in range(400)], axis=0)
    np.testing.assert_allclose(many, plain.loss_and_gradients(X, y)[1]["b2"], atol=0.05)


def test_dropout_does_not_depend_on_threads(rng, walk):
    X, y = example(rng, rows=200)
    model = network(dropout=[0.1, 0.5])
    gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=100, epochs=2, progress=False)
    assert model.parameters.vector.sum(dtype=float) == pytest.approx(
        SUMS.setdefault("dropout", model.parameters.vector.sum(dtype=float)), abs=0
    )


SUMS = {}


def test_heads_train_with_missing_targets_and_score_by_head(rng):
    X, y = example(rng, rows=200)
    y = (X[:, 0] > 0).astype(int)
    sizes = (2 * X[:, 1:2] + 1).astype(np.float32)
    targets = {"sign": np.where(rng.random(200) < 0.5, y, -1), "size": sizes.copy()}
    targets["size"][::3] = np.nan
    model = gd.MLP([6, 16], heads={"sign": 2, "size": gd.Head(1, "mse", weight=0.5)}, seed=2)
    history = gd.fit(model, X, targets, gd.Adam(model.parameters, lr=0.02), 50, 60, (X, targets), progress=False)
    assert history.loss[-1] < history.loss[0] / 5
    assert np.mean(model.predict(X)["sign"] == y) > 0.9
    assert model.forward(X)["size"].shape == (200, 1)
    scores = model.scores(X, targets)
    assert scores["sign"] > 0.95
    assert model.score(X, targets) == pytest.approx((scores["sign"] + 0.5 * scores["size"]) / 1.5)
    nothing = {"sign": np.full(200, -1), "size": sizes}
    assert model.scores(X, nothing)["sign"] is None
    assert model.loss_and_gradients(X, nothing)[0] > 0


@pytest.mark.parametrize(
    "model",
    [
        lambda: gd.MLP([6, 8, 3], "prelu", dropout=[0.1, 0.2], seed=5, max_norm=2.0),
        lambda: gd.MLP([6, 8], heads={"a": 3, "b": gd.Head(2, "huber", 0.5, loss_parameters={"delta": 2.0})}),
        lambda: gd.MLP([6, 8, 3], "maxout", activation_parameters={"pieces": 3}, dtype=np.float64),
        lambda: gd.LinearModel(6, 3, "softmax", l2=0.1),
        lambda: gd.LinearModel(6, None, "quantile", q=0.9),
    ],
)
def test_models_are_saved_and_loaded(model, rng, tmp_path):
    pytest.importorskip("safetensors")
    model = model()
    model.parameters.vector[:] = rng.standard_normal(model.parameters.vector.size)
    model.save(tmp_path / "model")
    other = type(model).load(tmp_path / "model")
    assert same(model, other)
    assert repr(model) == repr(other)
    X = rng.standard_normal((5, 6)).astype(model.dtype)
    one, two = model.forward(X), other.forward(X)
    for name in one if isinstance(one, dict) else [...]:
        assert np.array_equal(one[name], two[name])
    wrong = gd.LinearModel if isinstance(model, gd.MLP) else gd.MLP
    with pytest.raises(gd.CheckpointError, match="holds no"):
        wrong.load(tmp_path / "model")
    tree = gd.load(tmp_path / "model")
    gd.save(tmp_path / "model", tree | {"model": tree["model"] | {"arguments": {}}})
    with pytest.raises(gd.CheckpointError, match="holds no valid model"):
        type(model).load(tmp_path / "model")


HOSTILE = {
    "inputs and units": (gd.MLP, {"widths": [10**12, 10**12, 3]}),
    "more than 64 bits": (gd.MLP, {"widths": [10**30, 10**30, 3]}),
    "a head": (gd.MLP, {"widths": [6], "heads": {"a": 10**12}}),
    "pieces": (gd.MLP, {"activation": "maxout", "activation_parameters": {"pieces": 10**12}}),
    "a product of text": (gd.MLP, {"activation": "maxout", "widths": ["a", 10**12, 3]}),
    "features": (gd.LinearModel, {"features": 10**12}),
    "outputs": (gd.LinearModel, {"outputs": 10**12}),
}


def test_files_of_models_that_claim_to_be_huge_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    for name, (kind, claim) in HOSTILE.items():
        (network() if kind is gd.MLP else gd.LinearModel(6)).save(tmp_path / name)
        tree = gd.load(tmp_path / name)
        tree["model"]["arguments"] |= claim
        gd.save(tmp_path / name, tree)
    program = (
        "import resource, sys, gd, safetensors.numpy\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))\n"
        "for kind, path in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    try:\n        getattr(gd, kind).load(path)\n"
        "    except gd.CheckpointError:\n        print('refused')"
    )
    files = [argument for name, (kind, _) in HOSTILE.items() for argument in (kind.__name__, tmp_path / name)]
    done = subprocess.run([sys.executable, "-c", program, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "refused\n" * len(HOSTILE), done.stderr


def test_a_learning_rate_for_each_layer(rng):
    X, y = example(rng)
    model = network()
    optimizer = gd.SGD(model.parameters, groups=model.groups(lr=0.5))
    assert [group.lr for group in optimizer.groups] == [0.5 / 6**0.5, 0.5 / 8**0.5]
    _, gradients = model.loss_and_gradients(X, y)
    before = {name: view.copy() for name, view in model.parameters.items()}
    optimizer.step(gradients)
    for name, rate in (("W1", 0.5 / 6**0.5), ("b1", 0.5 / 6**0.5), ("W2", 0.5 / 8**0.5)):
        np.testing.assert_allclose(model.parameters[name], before[name] - rate * gradients[name], rtol=1e-5, atol=1e-7)


def test_norms_of_layers_show_vanishing_gradients(rng, tmp_path):
    X, y = example(rng)
    shares = {}
    for activation in ("sigmoid", "relu"):
        model = gd.MLP([6, *[20] * 6, 3], activation)
        norms = gd.GradientNorms(model, X, y)
        gd.fit(model, X, y, gd.SGD(model.parameters, lr=0.01), epochs=2, callbacks=norms, progress=False)
        assert np.shape(norms.gradients) == (3, 7)
        assert np.shape(norms.outputs) == (3, 6)
        _, gradients = model.loss_and_gradients(X, y)
        assert norms.gradients[-1][0] == pytest.approx(np.linalg.norm(gradients["W1"]), rel=1e-5)
        shares[activation] = norms.gradients[0][0] / norms.gradients[0][-1]
    assert shares["sigmoid"] < 1e-3
    assert shares["relu"] > 0.05
    pytest.importorskip("matplotlib")
    norms.plot(tmp_path / "norms.png")
    assert (tmp_path / "norms.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    "model, labels",
    [
        (lambda: gd.MLP([6, *[5] * 6, 3]), (["W1", "W4", "W6", "W7"], ["W1", "W4", "W6"])),
        (lambda: gd.MLP([6, 5], heads={"ner": 3, "pos": 3}), (["W1", "W_ner", "W_pos"], ["W1"])),
        (lambda: gd.MLP([6, 3]), (["W1"], [])),
        (lambda: gd.MLP([6, 5, 3], initializer="zeros"), (["W1", "W2"], ["W1"])),
    ],
    ids=["deep", "heads", "no hidden layer", "norms of 0"],
)
def test_norms_of_layers_are_drawn_under_the_names_of_the_weights(model, labels, rng, tmp_path):
    pytest.importorskip("matplotlib")
    X, y = example(rng)
    model = model()
    norms = gd.GradientNorms(model, X, {"ner": y, "pos": y} if "W_ner" in model.parameters else y)
    legends = [axis.get_legend() for axis in norms.plot(tmp_path / "norms.png").axes]
    found = [[] if legend is None else [text.get_text() for text in legend.get_texts()] for legend in legends]
    assert found == list(labels)


@pytest.mark.parametrize("activation", ["maxout", "prelu", "tanh"])
def test_layer_outputs_lead_to_the_output(activation, rng):
    X, _ = example(rng, dtype=np.float64)
    model = gd.MLP([6, 8, 7, 3], activation, dtype=np.float64)
    *_, last = model.layer_outputs(X)
    np.testing.assert_allclose(last @ model.parameters["W3"] + model.parameters["b3"], model.forward(X), rtol=1e-12)


def test_bad_arguments_of_networks_are_refused():
    for call, error, match in (
        (lambda: gd.MLP([3, 4, 2], dropout=1.0), ValueError, r"MLP: dropout must be in \[0, 1\), got 1.0"),
        (lambda: gd.MLP([3, 4, 2], dropout=[0.1, 0.2, 0.3]), ValueError, "MLP: dropout must be a number, or 1 or 2"),
        (lambda: gd.MLP([3, 4, 2], dropout=[0.1, -1]), ValueError, r"MLP: dropout\[1\]"),
        (lambda: gd.MLP([3, 4], heads=[2, 3]), TypeError, "MLP: heads must be a dict"),
        (lambda: gd.MLP([3, 4], heads={}), TypeError, "MLP: heads must be a dict"),
        (lambda: gd.MLP([3, 4], heads={"a": 0}), ValueError, r"MLP: heads\['a'\]: outputs must be at least 1"),
        (lambda: gd.MLP([3, 4], heads={"a": gd.Head(2, "l2")}), ValueError, r"MLP: heads\['a'\]: loss must be one"),
        (lambda: gd.MLP([3, 4], heads={"a": gd.Head(2, weight=-1)}), ValueError, r"MLP: heads\['a'\]: weight"),
        (lambda: gd.MLP([3, 2], output="softplus"), ValueError, "MLP: output must be one of"),
        (lambda: gd.MLP([3, 2], output="tanh"), ValueError, "MLP: output must be identity or softmax with"),
        (lambda: gd.MLP([3, 2], loss="huber", loss_parameters={"q": 1}), TypeError, "MLP: unexpected keyword 'q'"),
        (lambda: gd.MLP([3, 2], loss="huber", loss_parameters={"delta": 0}), ValueError, "MLP: delta must be"),
        (lambda: gd.MLP([3, 2], loss_parameters=3), TypeError, "MLP: loss_parameters must be a dict"),
        (lambda: gd.MLP([3, 2], loss_parameters={"class_weights": np.ones(3)}), TypeError, "MLP: class_weights"),
        (
            lambda: gd.MLP([3, 4], heads={"a": gd.Head(2, "huber")}, loss_parameters={"label_smoothing": 2.0}),
            ValueError,
            r"MLP: loss_parameters must be None where each head .*, got \['label_smoothing'\]",
        ),
        (
            lambda: gd.MLP([3, 4], heads={"a": gd.Head(2, loss_parameters={})}, loss_parameters={"q": 0.1}),
            ValueError,
            "MLP: loss_parameters must be None",
        ),
        (lambda: gd.MLP([3, 4], heads={"a": 2}, loss_parameters={"q": 0.1}), TypeError, "unexpected keyword 'q'"),
        (lambda: gd.MLP([3, 4, 2], "relu", activation_parameters={"slope": 1}), TypeError, "unexpected keyword"),
        (lambda: gd.MLP([3, 4, 2], "maxout", activation_parameters={"pieces": 0}), ValueError, "MLP: pieces"),
        (lambda: gd.MLP([3, 2], max_norm=0), ValueError, "MLP: max_norm"),
        (lambda: gd.MLP([3, 2], "softmax"), ValueError, "MLP: activation must be one of"),
    ):
        with pytest.raises(error, match=match):
            call()


def test_bad_targets_of_heads_are_refused(rng):
    X = rng.standard_normal((4, 3)).astype(np.float32)
    model = gd.MLP([3, 4], heads={"a": 2, "b": gd.Head(2, "mse")})
    good = {"a": np.array([0, 1, -1, 1]), "b": np.zeros((4, 2), np.float32)}
    model.loss_and_gradients(X, good)
    partly = good["b"].copy()
    partly[1, 0] = np.nan
    for y, error, match in (
        (good["a"], ValueError, r"y must be a dict of targets for the heads \['a', 'b'\]"),
        ({"a": good["a"]}, ValueError, r"y must be a dict of targets for the heads \['a', 'b'\], got \['a'\]"),
        (good | {"a": good["a"] + 1}, ValueError, r"y\['a'\] must be 0 to 1, or -1 where it is missing, got 0 to 2"),
        (good | {"a": good["a"] - 1}, ValueError, r"y\['a'\] must be 0 to 1"),
        (good | {"b": good["a"]}, TypeError, r"y\['b'\] has dtype"),
        (good | {"b": partly}, ValueError, r"y\['b'\] must be NaN in all columns of a row or in none"),
    ):
        with pytest.raises(error, match=match):
            model.loss_and_gradients(X, y)


@pytest.mark.parametrize("activation", ["relu6", "hard_tanh", "hard_sigmoid"])
def test_dropout_leaves_saturated_units_without_gradient(activation, rng):
    X, y = example(rng)
    for rate in (0.05, 0.3, 0.65):
        model = gd.MLP([6, 64, 3], activation, dropout=rate)
        model.parameters["b1"][:] = 1e6
        assert not model.loss_and_gradients(X, y)[1]["W1"].any()


def test_what_the_caller_changes_later_does_not_matter(rng):
    X, _ = example(rng)
    widths, heads, weights = [6, 8], {"a": gd.Head(3)}, np.ones(3, np.float32)
    model = gd.MLP(widths, heads=heads, loss_parameters={"class_weights": weights})
    expected = model.forward(X)["a"]
    widths[1], heads["b"], weights[:] = 4, 2, -1
    assert np.array_equal(copy.deepcopy(model).forward(X)["a"], expected)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).forward(X)["a"], expected)
    assert model.loss_and_gradients(X, {"a": np.zeros(60, int)})[0] > 0


def test_early_stopping_by_scores_that_are_all_nan_keeps_the_training(rng):
    X, y = example(rng)
    model = gd.MLP([6, 8], heads={"a": 3})
    before = model.parameters.vector.copy()
    nothing = X, {"a": np.full(60, -1)}
    rule = gd.EarlyStopping(5, monitor=lambda history: history.validation_loss[-1])
    gd.fit(model, X, {"a": y}, gd.Adam(model.parameters), 16, 3, nothing, rule, progress=False)
    assert not np.array_equal(model.parameters.vector, before)


def test_all_rows_with_emphasis_are_one_batch(rng):
    X, y = example(rng)
    model = network()
    optimizer = gd.Adam(model.parameters)
    gd.fit(model, X, y, optimizer, "all", 3, emphasis=0.5, progress=False)
    assert optimizer.steps == 3


def test_a_skipped_step_does_not_constrain(rng):
    X, y = example(rng)
    model = network(max_norm=0.01)
    before = model.parameters.vector.copy()
    gd.fit(model, X * np.nan, y, gd.Adam(model.parameters, skip_nonfinite=True), epochs=1, progress=False)
    assert np.array_equal(model.parameters.vector, before)


def test_resumed_training_has_the_rates_that_a_callback_set(rng, tmp_path):
    pytest.importorskip("safetensors")
    X, y = example(rng)

    def train(path, epochs):
        model = network()
        optimizer = gd.SGD(model.parameters, lr=0.5, groups=[{"params": ["W1"], "lr": 0.2}])

        def slower(history):
            optimizer.lr = 0.5 / len(history.loss)
            optimizer.groups[0].lr = 0.2 / len(history.loss)

        gd.fit(model, X, y, optimizer, 16, epochs, callbacks=slower, checkpoint=path, resume=True, progress=False)
        return model

    train(tmp_path / "parts", 3)
    with pytest.warns(UserWarning, match=r"keeps lr=0.16.*, groups\[0\].lr=0.06.*, which was set during it"):
        parts = train(tmp_path / "parts", 6)
    assert same(parts, train(tmp_path / "whole", 6))


def test_the_only_head_is_recorded_and_can_be_monitored(rng):
    X, y = example(rng)
    model, batch = gd.MLP([6, 8], heads={"only": 3}), (X, {"only": y})
    rule = gd.EarlyStopping(2, monitor="only")
    history = gd.fit(model, *batch, gd.Adam(model.parameters), 16, 2, batch, rule, progress=False)
    assert history.head_losses == {"only": history.validation_loss}
    for name in ("loss", "score", "validation_loss"):
        with pytest.raises(ValueError, match=f"MLP: heads must not be named loss, score, .*, got '{name}'"):
            gd.MLP([6, 8], heads={"a": 3, name: 3})


def test_what_a_validation_has_no_targets_for_is_not_monitored(rng):
    X, y = example(rng)
    model, targets = gd.MLP([6, 8], heads={"a": 3, "b": 3}), {"a": y, "b": y}
    for missing, monitor, match in (
        ({"a": y, "b": None}, "b", "where b is monitored, got none"),
        ({"a": y, "b": np.full(60, -1)}, "b", "where b is monitored, got none"),
        ({"a": None, "b": None}, None, "where its loss is monitored, got none"),
        ({"a": None, "b": None}, "score", "where score is monitored, got none"),
        ({"a": y, "b": None}, "a", None),
        ({"a": y, "b": None}, "score", None),
    ):
        arguments = (
            model,
            X,
            targets,
            gd.Adam(model.parameters),
            16,
            1,
            (X, missing),
            gd.EarlyStopping(2, 0.0, True, monitor),
        )
        if match is None:
            gd.fit(*arguments, progress=False)
        else:
            with pytest.raises(ValueError, match=f"fit: validation must have targets {match}"):
                gd.fit(*arguments, progress=False)


def test_monitors_return_numbers(rng):
    X, y = example(rng)
    for value, valid in (
        (3, True), (np.float32(3), True), (np.array(3.0), True), (np.array([3.0]), True), (np.nan, True),
        (None, False), ("3", False), (np.ones(2), False), ([], False),
    ):  # fmt: skip
        model = network()
        arguments = model, X, y, gd.Adam(model.parameters), 16, 1
        rule = gd.EarlyStopping(2, monitor=lambda history, value=value: value)
        if valid:
            gd.fit(*arguments, early_stopping=rule, progress=False)
        else:
            with pytest.raises(TypeError, match="fit: monitor must return a number, got "):
                gd.fit(*arguments, early_stopping=rule, progress=False)


def test_a_patience_of_numpy_stops_with_a_bool(rng):
    X, y = example(rng)
    model = network()
    rule = gd.EarlyStopping(np.int64(1), monitor=lambda history: 1.0)
    assert gd.fit(model, X, y, gd.Adam(model.parameters), 16, 3, early_stopping=rule, progress=False).stopped is True
