"""The gd command and the data it reads."""

import gzip
import json
import re
import shlex
import sys

import numpy as np
import pytest
from layouts import write_images

import gd
from gd import datasets
from gd.__main__ import main, parser_of_commands
from gd.commands import EXAMPLES
from gd.version import to_install

pytest.importorskip("sklearn")


def run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def blobs(rng, rows=120, features=5, classes=3):
    y = np.arange(rows) % classes
    X = rng.standard_normal((rows, features)) + 4 * rng.standard_normal((classes, features))[y]
    return X, y


@pytest.mark.parametrize("dtype, agreement", [("float32", 1e-4), ("float64", 1e-10)])
def test_digits_reach_95_percent_and_agree_with_numpy(capsys, dtype, agreement):
    status, out, err = run(capsys, "train", "--compare", "numpy", "--dtype", dtype)
    assert status == 0
    assert err == ""
    accuracies = [float(text) for text in re.findall(r"test accuracy ([\d.]+)", out)]
    assert len(accuracies) == 2
    assert min(accuracies) >= 0.95
    assert float(re.search(r"differ by (\S+)", out)[1]) <= agreement
    losses = {name: re.findall(rf"{name} +epoch +\d+: loss (\S+),", out) for name in ("gd", "numpy")}
    assert len(losses["gd"]) == len(losses["numpy"]) == 15
    assert re.search(r"[\d,]+ samples/s", out)
    assert re.search(r"compiled .* [\d.]+ s", out)


@pytest.mark.parametrize("optimizer", ["SGD", "momentum", "nesterov", "adagrad", "rmsprop", "AdamW"])
def test_every_optimizer_and_the_softmax_model(capsys, optimizer):
    arguments = ("train", "--model", "softmax", "--optimizer", optimizer, "--lr", 0.01, "--epochs", 2)
    status, out, _ = run(capsys, *arguments, "--compare", "numpy")
    assert status == 0
    assert "64-10: 650 parameters" in out
    assert float(re.search(r"differ by (\S+)", out)[1]) <= 1e-4


def test_csv_with_a_mark_at_the_beginning_and_hashes_in_labels(tmp_path, rng):
    X, y = blobs(rng, rows=40, classes=2)
    rows = [",".join([*map(repr, row.tolist()), f"c#{label}"]) for row, label in zip(X, y, strict=True)]
    (tmp_path / "mark.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    data = datasets.load(tmp_path / "mark.csv", 0, np.float64)
    assert (len(data.X) + len(data.X_test), data.classes) == (40, 2)
    rows = [",".join([*map(repr, row.tolist()), ("1", "1.0")[k % 2]]) for k, row in enumerate(X[:20])]
    rows += [row.rpartition(",")[0] + ",10" for row in rows]
    (tmp_path / "numbers.csv").write_text("\n".join(rows))
    assert datasets.load(tmp_path / "numbers.csv", 0, np.float64).classes == 2


def test_the_split_is_stratified_and_follows_from_the_seed(tmp_path, rng):
    X, y = blobs(rng)
    X[:, 2] = 5  # a constant feature
    np.savez(tmp_path / "x.npz", X=X, y=y)
    first, same, other = (datasets.load(tmp_path / "x.npz", seed, np.float64) for seed in (0, 0, 1))
    assert np.bincount(first.y_test).tolist() == [8, 8, 8]
    assert np.array_equal(first.X, same.X)
    assert not np.array_equal(first.X, other.X)
    np.testing.assert_allclose(first.X.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(first.X.std(axis=0), [1, 1, 0, 1, 1], atol=1e-12)


def test_save_writes_named_parameters(capsys, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.safetensors"
    status, out, _ = run(capsys, "train", "--hidden", "8", "--epochs", 1, "--save", path)
    assert status == 0
    assert f"saved      {path}" in out
    arrays = safetensors.load_file(path)
    assert {name: array.shape for name, array in arrays.items()} == {
        "W1": (64, 8),
        "b1": (8,),
        "W2": (8, 10),
        "b2": (10,),
    }
    assert gd.MLP.load(path).predict(np.zeros((2, 64), np.float32)).shape == (2,)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "step", "onecycle", "plateau"])
def test_training_by_a_schedule_with_dropout(schedule, capsys):
    arguments = ("train", "--hidden", "8", "--epochs", 2, "--schedule", schedule, "--dropout", 0.1)
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    assert "test accuracy" in out


def test_training_goes_on_from_a_checkpoint(capsys, tmp_path):
    pytest.importorskip("safetensors")
    arguments = ["train", "--hidden", "8", "--epochs", "4", "--resume"]
    whole = run(capsys, *arguments, tmp_path / "whole")[1].splitlines()
    arguments[4] = "2"
    run(capsys, *arguments, tmp_path / "parts")
    arguments[4] = "4"
    status, out, _ = run(capsys, *arguments, tmp_path / "parts")
    assert status == 0
    assert "resumed" not in out
    assert re.findall("epoch +([0-9]+):", out) == ["3", "4"]
    accuracy = re.compile("test accuracy [0-9.]*, last loss [0-9.]*")
    assert accuracy.search(out)[0] == accuracy.search(whole[-1])[0]
    status, out, err = run(capsys, *arguments, tmp_path / "parts")
    assert (status, err) == (0, "")
    assert "resumed    nothing is left to do" in out
    arguments[4] = "5"
    out = run(capsys, *arguments, tmp_path / "parts", "--lr", "1e-7")[1]
    assert f"resumed    the training in {tmp_path / 'parts'} goes on with lr=1e-07 (it had 0.001)\n" in out
    found = gd.load(tmp_path / "parts")
    assert found["history"]["lr"].tolist() == [1e-3] * 4 + [1e-7]
    (tmp_path / "parts").write_bytes(b"damaged")
    status, _, err = run(capsys, *arguments, tmp_path / "parts")
    assert status == 2
    assert len(err.splitlines()) == 1


def test_what_the_command_line_leaves_out_comes_from_the_checkpoint(capsys, tmp_path):
    pytest.importorskip("safetensors")
    path, rates = tmp_path / "c", lambda: gd.load(tmp_path / "c")["history"]["lr"].tolist()
    given = ("--lr", 0.01, "--batch-size", 32, "--hidden", 8, "--activation", "tanh", "--seed", 3, "--dropout", 0.1)
    first = ("train", *given, "--optimizer", "sgd", "--schedule", "cosine", "--epochs", 2, "--resume", path)
    assert run(capsys, *first)[0] == 0
    cosine = gd.schedules.CosineDecay(0.01, 90)  # 1437 rows in batches of 32: 45 steps an epoch
    assert rates() == [cosine(44), cosine(89)]
    status, out, err = run(capsys, "train", "--resume", path, "--epochs", 4, "--schedule", "cosine")
    assert (status, err) == (0, "")
    assert "goes on with lr=CosineDecay(lr=0.01, steps=180, lr_min=0.0) (it had CosineDecay(lr=0.01, steps=90," in out
    assert "64-8-10, tanh" in out
    longer = gd.schedules.CosineDecay(0.01, 180)
    assert rates()[2:] == [longer(134), longer(179)]
    out = run(capsys, "train", "--resume", path, "--epochs", 5)[1]
    assert "keeps lr=CosineDecay(lr=0.01, steps=180, lr_min=0.0), which was not given" in out
    assert out.index("resumed ") < out.index("optimizer  SGD(lr=CosineDecay(lr=0.01, steps=180")
    out = run(capsys, "train", "--resume", path, "--epochs", 6, "--lr", 0.02)[1]
    assert "goes on with lr=CosineDecay(lr=0.02, steps=270, lr_min=0.0)" in out
    status, _, err = run(capsys, "train", "--resume", path, "--epochs", 7, "--seed", 4)
    assert status == 2
    assert "seed=3, this one has 4" in err


def test_numpy_is_compared_at_the_averages_too(capsys):
    arguments = ("--epochs", 3, "--optimizer", "schedulefreeadamw", "--dtype", "float64", "--hidden", 8)
    out = run(capsys, "train", "--compare", "numpy", *arguments)[1]
    ours, theirs = re.findall(r"test accuracy ([\d.]+)", out)
    assert ours == theirs


def test_the_averages_of_schedule_free_are_scored_and_saved(capsys, tmp_path):
    pytest.importorskip("safetensors")
    arguments = ["train", "--hidden", "8", "--epochs", "2", "--optimizer", "schedulefreeadamw", "--early-stopping", "1"]
    out = run(capsys, *arguments, "--resume", tmp_path / "state", "--save", tmp_path / "model")[1]
    model, best = gd.MLP.load(tmp_path / "model"), gd.load(tmp_path / "state")["watch"]
    z = np.concatenate([best["state"][f"{name}.z"].ravel() for name in model.parameters])
    np.testing.assert_allclose(model.parameters.vector, (best["kept"] - 0.1 * z) / 0.9, rtol=1e-5, atol=1e-7)
    data = datasets.load(None, 0, np.float32)
    assert f"test accuracy {model.score(data.X_test, data.y_test):.4f}" in out


@pytest.mark.parametrize("option", ["--save", "--resume"])
def test_the_message_without_safetensors_names_the_option(option, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    status, out, err = run(capsys, "train", option, tmp_path / "model")
    assert (status, out) == (2, "")
    assert err == f"gd train: {option} needs safetensors: {to_install('train')}\n"


def test_bad_data_is_one_line_and_status_2(capsys, tmp_path, rng):
    X, y = blobs(rng)
    np.savez(tmp_path / "keys.npz", a=X)
    np.savez(tmp_path / "lengths.npz", X=X, y=y[:5])
    np.savez(tmp_path / "nan.npz", X=np.where(X > 0, np.nan, X), y=y)
    np.savez(tmp_path / "single.npz", X=X, y=np.char.add("c", np.arange(120).astype(str)))
    np.savez(tmp_path / "object.npz", X=X, y=y.astype(object))
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    (tmp_path / "garbage.npz").write_bytes(b"PK\x03\x04garbage")
    np.savez(tmp_path / "label.npz", X=X, y=np.where(y == 1, np.nan, y))
    (tmp_path / "text.csv").write_text("a,b\nx,y\n")
    (tmp_path / "ragged.csv").write_text("1,2\n1,2,3\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "data.txt").write_text("1")
    (tmp_path / "empty").mkdir()
    write_images(tmp_path / "short")
    file = tmp_path / "short" / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-5]))
    write_images(tmp_path / "damaged")
    (tmp_path / "damaged" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"nonsense")
    for name, match in (
        ("missing.npz", "no such file or folder"),
        ("keys.npz", "must hold arrays X and y, or x_train, y_train, holds 'a'"),
        ("lengths.npz", "a label for each row"),
        ("nan.npz", "finite"),
        ("single.npz", "y has 120 different values in 120 rows, expected"),
        ("object.npz", "object.npz: "),
        ("broken.npz", "broken.npz: "),
        ("garbage.npz", "garbage.npz: "),
        ("label.npz", "row 2 of y: the label is missing"),
        ("text.csv", "text.csv: "),
        ("ragged.csv", "ragged.csv: "),
        ("empty.csv", "empty.csv: "),
        ("data.txt", "has one column, expected several"),
        ("empty", "is a folder without IDX files such as train-images-idx3-ubyte"),
        ("short", "has 1435 bytes of data, expected 90 x 4 x 4 of 1"),
        ("damaged", "not an IDX file"),
    ):
        status, out, err = run(capsys, "train", "--data", tmp_path / name)
        assert (status, out) == (2, ""), name
        assert err.startswith("gd train: "), err
        assert len(err.splitlines()) == 1, err
        assert re.search(match, err), err


@pytest.mark.parametrize(
    "arguments, match",
    [
        (["--lr", "-1"], "lr must be in"),
        (["--lr", "nan"], "lr must be in"),
        (["--epochs", "0"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", "-1"], "--seed"),
        (["--save", "/nowhere/x", "--epochs", "1"], "--save"),
        (["--resume", "/nowhere/x", "--epochs", "1"], "--resume"),
        (["--resume", "/", "--epochs", "1"], "--resume /: is a folder, a file is needed"),
        (["--dropout", "1"], "dropout must be in"),
        (["--dropout", "0.5", "--compare", "numpy"], "--compare trains in plain NumPy"),
    ],
)
def test_bad_options_are_one_line_and_status_2(capsys, arguments, match):
    status, _, err = run(capsys, "train", *arguments)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert match in err


@pytest.mark.parametrize(
    "arguments", [["--hidden", "0"], ["--hidden", "x"], ["--activation", "rely"], ["--optimizer", "x"]]
)
def test_unknown_choices_end_in_usage_and_status_2(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["train", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_divergence_is_one_line_and_status_1(capsys):
    status, _, err = run(capsys, "train", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "2")
    assert status == 1
    assert "the loss is" in err
    assert len(err.splitlines()) == 1


def test_without_a_command_there_is_help_with_an_example_of_each(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {examples[0]}\n" in said for examples in EXAMPLES.values())


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_ends_with_examples_that_are_valid(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert "\x1b" not in said  # no colours where there is no terminal
    for example in EXAMPLES[command]:
        assert f"\n  {example}\n" in said
        assert parser_of_commands().parse_args(shlex.split(example)[1:]).command == command


def test_info_prints_json(capsys):
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gd"] == gd.__version__


def test_an_error_of_any_kind_is_one_line_and_debug_shows_where(monkeypatch, capsys):
    def fail(options):
        raise RuntimeError("a fault\nof two lines")

    monkeypatch.setattr("gd.commands.info.run", fail)
    assert main(["info"]) == 1
    assert capsys.readouterr().err == "gd info: RuntimeError: a fault of two lines (--debug shows where)\n"
    assert main(["info", "--debug"]) == 1
    assert "in fail" in capsys.readouterr().err


def test_info_names_what_a_bug_report_needs(capsys):
    status, out, _ = run(capsys, "info")
    assert status == 0
    for what in ("gd", "Python", "numba", "processor", "vector width", "threads", "threading layer", "kernel cache"):
        assert re.search(rf"^{what} +\S", out, re.MULTILINE), what


def test_early_stopping_penalties_and_a_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "history.png"
    options = ("--early-stopping", 2, "--l2", 1e-4, "--weight-decay", 1e-3, "--plot", picture, "--epochs", 60)
    status, out, err = run(capsys, "train", "--hidden", "32", *options)
    assert status == 0, err
    assert "l2=0.0001" in out
    assert re.search(r"stopped    after \d+ epochs, the best was number \d+", out)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "options, match",
    [
        (("--early-stopping", 0), "--early-stopping must be at least 1"),
        (("--early-stopping", 1, "--compare", "numpy"), "give one of the two"),
        (("--plot", "nowhere/history.png"), "--plot nowhere/history.png: no such folder"),
        (("--plot", "history.xyz"), "--plot history.xyz: "),
        (("--l2", -1), "l2 must be in"),
    ],
)
def test_options_that_do_not_fit(capsys, options, match, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, "train", *options)
    assert status == 2
    assert match in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
