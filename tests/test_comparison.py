"""gd compare, compare_optimizers and the surfaces that optimizers descend."""

import builtins
import re
from contextlib import nullcontext
from itertools import pairwise
from math import inf, isnan

import numpy as np
import pytest

import gd
from gd import MLP, comparison, surfaces
from gd.__main__ import main
from gd.comparison import compare_optimizers
from gd.kernels.compiler import splitting
from gd.optimizers import OPTIMIZERS
from gd.training.history import History
from gd.version import to_install


def run(capsys, *arguments):
    status = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(out):
    """Return the rows of the tables in the output as lists of words."""
    return [line.split() for line in out.splitlines() if line.split(" ")[0] in OPTIMIZERS]


@pytest.fixture(autouse=True)
def serial(monkeypatch):
    """Compile serial kernels alone: data are small, and parallel ones would take as long again."""
    monkeypatch.setattr(comparison, "splitting", lambda parallel_from: nullcontext())
    with splitting(inf):
        yield


@pytest.fixture
def data(rng):
    y = np.arange(80) % 3
    X = rng.standard_normal((80, 4)) + 2 * rng.standard_normal((3, 4))[y]
    return X.astype(np.float32), y


@pytest.fixture
def file(data, tmp_path):
    np.savez(tmp_path / "data.npz", X=data[0], y=data[1])
    return tmp_path / "data.npz"


@pytest.fixture
def model():
    return MLP([4, 6, 3])


def test_equal_optimizers_get_equal_weights_and_batches(model, data):
    before = model.parameters.vector.copy()
    options = {"optimizers": ["SGD", "Momentum", "SGD"], "batch_size": 8, "epochs": 3}
    results = compare_optimizers(model, *data, data, **options)
    assert [result.optimizer for result in results] == options["optimizers"]
    first, other, second = results
    assert first.history.loss == second.history.loss != other.history.loss
    assert (first.lr, first.score) == (second.lr, second.score)
    assert len(first.history.loss) == len(first.history.seconds) == 3
    assert (first.state_bytes, other.state_bytes) == (0, 4)
    np.testing.assert_array_equal(model.parameters.vector, before)
    again = compare_optimizers(model, *data, data, **options)
    assert [result.history.loss for result in again] == [result.history.loss for result in results]


def test_default_rates_and_tuned_ones(model, data):
    options = {"optimizers": ("SGD",), "batch_size": 8, "epochs": 5}
    (default,) = compare_optimizers(model, *data, data, lr="default", **options)
    (tuned,) = compare_optimizers(model, *data, data, **options)
    assert default.lr == 1e-3
    assert round(np.log10(tuned.lr / default.lr), 9) in (1, 2, 3)
    assert tuned.last_loss < default.last_loss


@pytest.mark.parametrize(
    "losses, expected",
    [
        ({-1: 3, 0: 2, 1: 1, 2: 0.5, 3: 4}, 2),
        ({-1: 3, 0: 2, 1: inf}, 0),
        ({-3: 0.1, -2: 1, -1: inf, 0: inf, 1: inf}, -3),
        ({-3: inf, -2: inf, -1: inf, 0: inf, 1: inf}, -3),
        ({-1: 4, 0: 3, 1: 2, 2: 1, 3: 0}, 3),
    ],
)
def test_the_rate_is_better_than_its_neighbours(model, data, monkeypatch, losses, expected):
    """Losses by power of ten; a power that is not there must not be tried."""

    class Trial:
        def __init__(self, lr):
            self.loss = losses[round(np.log10(lr))]

        def loss_and_gradients(self, X, y):
            return self.loss, None

    training = comparison._Training(model, *data, batch_size=8, epochs=1, seed=0)
    monkeypatch.setattr(comparison._Training, "run", lambda self, name, lr: (Trial(lr), None, History(), False))
    assert training.tuned("SGD", 1.0) == 10.0**expected


def test_trials_do_not_see_the_rows_held_back(model, data, monkeypatch):
    trained = []
    run = comparison._Training.run
    monkeypatch.setattr(
        comparison._Training, "run", lambda self, *arguments: (trained.append(self), run(self, *arguments))[1]
    )
    compare_optimizers(model, *data, data, ["SGD"], batch_size=8, epochs=2)
    sizes = [(len(each.X), each.epochs) for each in trained]
    assert sizes[:2] == [(16, 1)] * 2  # to compile
    assert set(sizes[2:-1]) == {(72, 2)}
    assert sizes[-1] == (80, 2)


def test_divergence_is_a_result(model, data):
    X, y = data[0] * np.float32(1e19), data[1]
    sgd, momentum = compare_optimizers(model, X, y, (X, y), ["SGD", "Momentum"], lr="default", epochs=3)
    assert sgd.diverged
    assert momentum.diverged
    assert sgd.last_loss == inf
    assert isnan(sgd.score)
    assert len(sgd.history.loss) < 3
    assert "diverged" in comparison.table([sgd])[1]


def test_the_average_is_the_result_where_there_is_one(model, data, monkeypatch):
    """Of Schedule-Free: gradients are taken at other parameters."""
    made = []

    def steps(model, X, y, optimizer, *arguments, callbacks, **options):
        for _ in range(2):
            optimizer.step(model.parameters.copy())
        made.append((optimizer.averaged_params(), model.parameters.copy()))
        callbacks(History(loss=[1.0], seconds=[1.0]))

    monkeypatch.setattr(comparison, "fit", steps)
    trained, _, history, _ = comparison._Training(model, *data, batch_size=8, epochs=1, seed=0).run(
        "ScheduleFreeAdamW", 0.1
    )
    average, gradients_at = made[0]
    np.testing.assert_array_equal(trained.parameters.vector, average.vector)
    assert np.abs(average.vector - gradients_at.vector).max() > 1e-3
    assert history.loss == [1.0]


def test_bad_arguments_are_named(model, data):
    X, y = data
    for arguments, options, error, match in (
        ((object(), X, y, data), {}, TypeError, "model must be an MLP or a LinearModel, got object"),
        ((model, X[:9], y[:9], data), {}, ValueError, r"len\(X\) must be at least 10, got 9"),
        ((model, X.astype(float), y, data), {}, TypeError, "X has dtype float64"),
        ((model, X, y, X), {}, TypeError, r"test must be a pair \(X, y\), got ndarray"),
        ((model, X, y, (X[:, :2].copy(), y)), {}, ValueError, "test: X has 2 columns"),
        ((model, X, y, data), {"optimizers": "SGD"}, TypeError, "optimizers must be a list of names, got str"),
        ((model, X, y, data), {"optimizers": ["SGD", "sgd"]}, ValueError, r"optimizers\[1\] must be one of"),
        ((model, X, y, data), {"lr": "best"}, ValueError, "lr must be one of default, tuned, got 'best'"),
        ((model, X, y, data), {"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ((model, X, y, data), {"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ((model, X, y, data), {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ):
        with pytest.raises(error, match=f"^compare_optimizers: {match}"):
            compare_optimizers(*arguments, **options)


def result(name, losses, diverged=False):
    history = History(loss=losses, seconds=[0.1] * len(losses))
    return comparison.Result(name, 0.1, history, 0.5, 4.0, diverged)


def test_the_table_is_sorted_by_the_last_loss():
    results = [
        result("Lion", [3.0], True),
        result("SGD", [2.0, 1.0]),
        result("Adam", [2.5, 0.5]),
        result("Yogi", [], True),
    ]
    table = comparison.table(results)
    assert [line.split()[0] for line in table[1:]] == ["Adam", "SGD", "Lion", "Yogi"]
    assert table[1].split() == ["Adam", "0.1", "2.5", "0.5", "0.5000", "0.1000", "4"]
    assert table[4].split() == ["Yogi", "0.1", "-", "diverged", "-", "-", "4"]
    assert len({len(line) for line in table}) == 1


@pytest.mark.parametrize("losses", [[], [[2.0, 0.0]], [[1.0]] * 2, [[2.0, 2.0 / k] for k in range(1, 30)], [[]]])
def test_labels_lie_beside_the_picture_and_apart(losses):
    Text = pytest.importorskip("matplotlib.text").Text
    names = [f"optimizer {k}" for k in range(len(losses))]
    results = [result(name, each, diverged=not each) for name, each in zip(names, losses, strict=True)]
    figure = comparison.plot(results)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.texts] == ([] if all(losses) else ["Diverged: optimizer 0"])
    for axis in figure.axes:
        boxes = sorted((Text.get_window_extent(text) for text in axis.texts), key=lambda box: box.y0)  # without leaders
        assert len(boxes) == sum(map(bool, losses))
        assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
        assert all(box.x0 > axis.bbox.x1 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("name", surfaces.SURFACES)
def test_surfaces_have_their_gradients_and_minima(name, rng):
    surface = surfaces.SURFACES[name]
    for p in (np.array(surface.start), *rng.uniform(-1.5, 1.5, (20, 2))):
        assert gd.gradient_check(lambda p: surface.value(*p), p, np.array(surface.gradient(*p))).error < 1e-7
    for minimum in surface.minima:
        assert surface.value(*minimum) == 0
        assert surface.gradient(*minimum) == (0, 0)
    left, right, low, high = surface.window
    assert left < surface.start[0] < right
    assert low < surface.start[1] < high
    x, y = np.meshgrid(np.linspace(left, right), np.linspace(low, high))
    assert surface.value(x, y).min() >= 0


def test_a_descent_is_the_optimizer_s_path(monkeypatch):
    descent = surfaces.descend("ravine", "SGD", steps=50)
    p = np.array(surfaces.SURFACES["ravine"].start)
    for k, place in enumerate(descent.path):
        np.testing.assert_allclose(place, p, rtol=1e-12)
        assert descent.values[k] == surfaces.SURFACES["ravine"].value(*place)
        p = p - descent.lr * np.array([p[0] / 25, 2 * p[1]])
    again = surfaces.descend("ravine", "SGD", steps=50)
    assert descent.lr == again.lr
    np.testing.assert_array_equal(descent.path, again.path)
    monkeypatch.setattr(surfaces, "RATES", [100.0])
    assert len(surfaces.descend("ravine", "SGD", steps=500).values) < 501  # diverged


@pytest.mark.parametrize("name", surfaces.SURFACES)
def test_momentum_descends_every_surface(name):
    descent = surfaces.descend(name, "Momentum")
    assert descent.values[-1] < descent.values[0] / 500
    assert len(descent.path) == 201


def test_paths_stay_in_the_picture():
    """At the rates at which it would get lowest here, Adagrad jumps far away first."""
    left, right, low, high = surfaces.SURFACES["rosenbrock"].window
    x, y = surfaces.descend("rosenbrock", "Adagrad").path.T
    assert left <= x.min() <= x.max() <= right
    assert low <= y.min() <= y.max() <= high


def test_the_average_descends_where_it_is_the_result():
    average, p = surfaces.descend("ravine", "ScheduleFreeAdamW", steps=20), np.array(surfaces.SURFACES["ravine"].start)
    optimizer = OPTIMIZERS["ScheduleFreeAdamW"](p, lr=average.lr)
    for _ in range(20):
        optimizer.step(np.array(surfaces.SURFACES["ravine"].gradient(*p)))
    np.testing.assert_array_equal(average.path[-1], optimizer.averaged_params())
    assert np.abs(average.path[-1] - p).max() > 1e-6


def test_bad_descents_are_named():
    with pytest.raises(
        ValueError, match=r"^descend: surface must be one of beale, ravine, rosenbrock, saddle, got 'hill'"
    ):
        surfaces.descend("hill", "SGD")
    with pytest.raises(ValueError, match=r"^descend: optimizer must be one of .*, got 'sgd'"):
        surfaces.descend("ravine", "sgd")
    with pytest.raises(ValueError, match=r"^descend: steps must be at least 1, got 0"):
        surfaces.descend("ravine", "SGD", steps=0)


def test_the_command_trains_prints_and_draws(capsys, file, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    picture = tmp_path / "comparison.png"
    options = ("--data", file, "--hidden", 6, "--batch-size", 8, "--epochs", 2, "--optimizers", "sgd, MOMENTUM")
    status, out, err = run(capsys, *options, "--plot", picture)
    assert (status, err) == (0, "")
    assert "4-6-3, relu" in out
    assert "rates      the best power of ten times each default" in out
    assert {row[0] for row in rows(out)} == {"SGD", "Momentum"}
    assert all(len(row) == 7 for row in rows(out))
    assert float(rows(out)[0][3]) <= float(rows(out)[1][3])
    assert f"drawn      {picture}" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    status, out, _ = run(capsys, *options, "--lr", "default")
    assert status == 0
    assert {row[0]: row[1] for row in rows(out)} == {"SGD": "0.001", "Momentum": "0.01"}


def test_the_command_descends_prints_and_draws(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "surfaces.png"
    status, out, err = run(capsys, "--surface", "--optimizers", "sgd,momentum", "--steps", 20, "--plot", picture)
    assert (status, err) == (0, "")
    assert re.findall(r"surface    (\w+)", out) == list(surfaces.SURFACES)
    assert len(rows(out)) == 8
    assert picture.read_bytes().startswith(b"\x89PNG")
    status, one, _ = run(capsys, "--surface", "ravine", "--optimizers", "sgd,momentum", "--steps", 20)
    assert status == 0
    assert rows(one) == rows(out)[2:4]


@pytest.mark.parametrize(
    "options, match",
    [
        (("--epochs", 0), "--epochs"),
        (("--seed", -1), "--seed"),
        (("--activation", "softmax"), "activation must be one of"),
        (("--surface", "saddle", "--steps", 0), "--steps must be at least 1"),
        (("--surface", "saddle", "--data", "x.npz"), "give one of the two"),
        (("--data", "missing.npz"), "no such file"),
        (("--plot", "nowhere/comparison.png"), "--plot nowhere/comparison.png: no such folder"),
        (("--surface", "--plot", "comparison.xyz"), "--plot comparison.xyz: "),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_status_2(capsys, options, match, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *options)
    assert status == 2
    assert match in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options, match",
    [
        (("--optimizers", "sgd,adamm"), "argument --optimizers: expected adabelief, .* or module:name, got 'adamm'"),
        (("--optimizers", ""), "argument --optimizers: expected adabelief, .* or module:name, got ''"),
        (("--surface", "hill"), "argument --surface: invalid choice: 'hill'"),
        (("--lr", "0.1"), "argument --lr: invalid choice: '0.1'"),
    ],
)
def test_unknown_names_end_in_usage_and_status_2(capsys, options, match):
    with pytest.raises(SystemExit, match="2"):
        main(["compare", *options])
    assert re.search(match, capsys.readouterr().err.splitlines()[-1])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    load = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for module in (comparison, surfaces):
        with pytest.raises(ImportError, match=f"plot needs matplotlib: {re.escape(to_install('train'))}"):
            module.plot([] if module is comparison else {"ravine": []})
