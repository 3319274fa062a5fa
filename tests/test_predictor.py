"""Saved models: raw tables and arrays in, classes and numbers out; what does not fit is named."""

import csv
import json
import re
import struct

import numpy as np
import pytest
from layouts import mixed, numbers, regression, table, with_test_file, write_images

import gd
from gd.__main__ import main
from gd.datasets import DataError

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("safetensors")

OPTIONS = ("--hidden", "8", "--batch-size", "8", "--lr", "0.02", "--epochs", "20")


def run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with tables and the models that were trained on them."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "mixed.csv").write_text(mixed(folder))
    (folder / "plain.csv").write_text(table(header=None))
    (folder / "named.csv").write_text(table())
    regression(folder).path.rename(folder / "prices.csv")
    X, y = numbers()
    np.savez(folder / "arrays.npz", X=X, y=y)
    for name in ("mixed.csv", "plain.csv", "named.csv", "prices.csv", "arrays.npz"):
        assert main(["train", "--data", str(folder / name), "--save", str(folder / name) + ".model", *OPTIONS]) == 0
    return folder


def model(folder, name):
    return gd.load_model(folder / f"{name}.model")


def test_columns_are_found_by_name_in_any_order_and_kind_of_table(folder):
    polars = pytest.importorskip("polars")
    frame = pandas.read_csv(folder / "mixed.csv", skipinitialspace=True)
    predictor, classes = model(folder, "mixed.csv"), frame["income"].to_numpy(object)
    expected = predictor.predict(folder / "mixed.csv")
    assert (expected == classes).mean() > 0.9
    assert predictor.feature_names == ["age", "job", "member"]
    assert predictor.classes.tolist() == ["<=50K", ">50K"]
    columns = {name: frame[name].tolist() for name in ("member", "job", "age")}
    for given in (
        frame,
        frame[["member", "age", "job"]],
        frame.convert_dtypes(),
        frame.astype({"job": "category"}),
        polars.from_dict(frame.astype(object).where(frame.notna(), None).to_dict("list")),
        columns,
        frame[["age", "job", "member"]].to_numpy(object),
    ):
        np.testing.assert_array_equal(predictor.predict(given), expected)
    probabilities = predictor.predict_proba(frame)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(predictor.classes[probabilities.argmax(axis=1)], expected)


def test_an_evaluation_has_the_metrics_of_scikit_learn(folder):
    from sklearn import metrics

    predictor, frame = model(folder, "named.csv"), pandas.read_csv(folder / "named.csv")
    found, kinds = predictor.evaluate(frame), frame["kind"].to_numpy(object)
    assert found == predictor.evaluate(frame.drop(columns="kind"), kinds) == predictor.evaluate(folder / "named.csv")
    predicted = predictor.predict(frame)
    np.testing.assert_allclose(found["accuracy"], metrics.accuracy_score(kinds, predicted))
    np.testing.assert_allclose(found["balanced_accuracy"], metrics.balanced_accuracy_score(kinds, predicted))
    np.testing.assert_allclose(found["loss"], metrics.log_loss(kinds, predictor.predict_proba(frame)), rtol=1e-5)
    predictor, frame = model(folder, "prices.csv"), pandas.read_csv(folder / "prices.csv")
    found, predicted = predictor.evaluate(frame), predictor.predict(frame)
    np.testing.assert_allclose(found["r2"], metrics.r2_score(frame["price"], predicted), rtol=1e-5)
    np.testing.assert_allclose(found["rmse"], metrics.root_mean_squared_error(frame["price"], predicted), rtol=1e-5)
    np.testing.assert_allclose(found["mae"], metrics.mean_absolute_error(frame["price"], predicted), rtol=1e-5)
    assert found["r2"] > 0.9
    with pytest.raises(TypeError, match="task must be classification"):
        predictor.predict_proba(frame)


def test_tables_without_names_are_taken_by_their_order(folder, tmp_path):
    predictor, X = model(folder, "plain.csv"), numbers()[0].round(3)
    expected = predictor.predict(folder / "plain.csv")
    np.testing.assert_array_equal(predictor.predict(X), expected)
    np.savetxt(tmp_path / "features.csv", X, delimiter=",")
    np.testing.assert_array_equal(predictor.predict(tmp_path / "features.csv"), expected)
    np.savetxt(tmp_path / "one.csv", X[:1], delimiter=",")
    assert predictor.predict(tmp_path / "one.csv").tolist() == expected[:1].tolist()
    with pytest.raises(DataError, match=r"has 3 columns without names, expected 4 columns"):
        predictor.predict(X[:, :3])
    arrays = model(folder, "arrays.npz")
    assert arrays.predict(tmp_path / "features.csv").tolist() == arrays.predict(X).tolist()
    with pytest.raises(DataError, match="X has 3 features, expected 4"):
        arrays.predict(X[:, :3])
    with pytest.raises(ValueError, match=r"must be a table or rows x features, got shape \(4,\)"):
        arrays.predict(X[0])


def test_missing_and_surplus_columns_and_new_values_are_named(folder, tmp_path, capsys):
    rows = (folder / "mixed.csv").read_text().splitlines()
    saved, new = folder / "mixed.csv.model", tmp_path / "new.csv"
    new.write_text("\n".join(row.rpartition(",")[0] for row in rows).replace("age,", "years,"))
    status, out, err = run(capsys, "predict", saved, new)
    assert (status, out) == (2, "")
    assert err == (
        f"gd predict: {new}: has no column 'age' of the 3 that the model was trained with; it has 'years', 'job', "
        "'member'\n"
    )
    new.write_text("age,job,member,shoe size\n1.0,baker,true,43\n2.0,clerk,false,44\n")
    status, out, err = run(capsys, "predict", saved, new)
    assert status == 0
    assert out.splitlines()[0] == "prediction"
    assert len(out.splitlines()) == 3
    assert "not used, as the training had no such column: 'shoe size'" in err
    assert "column 'job' has values that the training had not, 'baker', in 1 of 2 rows" in err
    new.write_text("age,job,member\nold,clerk,true\n")
    assert "line 2, row 1, column 'age': 'old' is no number" in run(capsys, "predict", saved, new)[2]
    new.write_text("age,job,member\n,clerk,true\n")
    assert "line 2, row 1, column 'age': the value is missing" in run(capsys, "predict", saved, new)[2]
    new.write_text("age,job,member,income\n1,clerk,true,much\n")
    status, _, err = run(capsys, "evaluate", saved, new)
    assert status == 2
    assert "column 'income': 'much' is none of the classes of the training, '<=50K', '>50K'" in err
    new.write_text("age,job,member\n1,clerk,true\n")
    assert "has no column 'income' of labels" in run(capsys, "evaluate", saved, new)[2]
    new.write_text("1,clerk,true\n")
    assert "has 3 columns without names, expected 3 columns named 'age'" in run(capsys, "predict", saved, new)[2]


def test_predictions_are_written_as_csv(folder, tmp_path, capsys):
    saved, out = folder / "named.csv.model", tmp_path / "out.csv"
    assert run(capsys, "predict", saved, folder / "named.csv", "--output", out, "--proba")[0] == 0
    with out.open() as file:
        header, *rows = csv.reader(file)
    predictor = gd.load_model(saved)
    assert header == ["prediction", "ape", "bee", "cat"]
    assert [row[0] for row in rows] == predictor.predict(folder / "named.csv").tolist()
    written = np.array([row[1:] for row in rows], float)
    np.testing.assert_array_equal(written, predictor.predict_proba(folder / "named.csv"))


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("predict", "{0}/prices.csv.model", "{0}/prices.csv", "--proba"), "--proba needs a model of classes"),
        (("predict", "{0}/named.csv.model", "{0}/named.csv", "--output", "/nowhere/x"), "--output /nowhere/x: no such"),
        (("predict", "{0}/named.csv.model", "{0}/no.csv"), "{0}/no.csv: no such file or folder"),
        (("predict", "{0}/none", "{0}/named.csv"), "{0}/none: No such file"),
        (("predict", "{0}", "{0}/named.csv"), "{0} is not a file"),
        (("predict", "{0}/named.csv", "{0}/named.csv"), "is damaged or no safetensors file"),
        (("predict", "{0}/bare", "{0}/named.csv"), "holds a MLP without its preprocessing"),
        (("evaluate", "{0}/named.csv.model", "{0}/prices.csv"), "has no column 'c', 'd' of the 4"),
        (("evaluate", "{0}/named.csv.model", "{0}/short.csv", "--held-out"), "has 3 rows, the training file had 120"),
        (
            ("evaluate", "{0}/arrays.npz.model", "{0}/mixed.csv"),
            "'smith' is no number",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(folder, capsys, arguments, match):
    gd.MLP([4, 3]).save(folder / "bare")
    (folder / "short.csv").write_text("\n".join(table().splitlines()[:4]))
    status, out, err = run(capsys, *(argument.format(folder) for argument in arguments))
    assert (status, out) == (2, "")
    assert match.format(folder) in err
    assert err.count("\n") == 1


def test_a_bare_model_is_loaded_as_it_is(folder):
    bare = gd.MLP([4, 3])
    bare.save(folder / "bare")
    assert np.array_equal(gd.load_model(folder / "bare").parameters.vector, bare.parameters.vector)
    assert isinstance(gd.MLP.load(folder / "named.csv.model"), gd.MLP)
    gd.save(folder / "other", {"model": {"class": "Path"}})
    with pytest.raises(gd.CheckpointError, match="holds no model"):
        gd.load_model(folder / "other")


@pytest.mark.parametrize("change", ["kind", "width", "classes", "missing"])
def test_a_model_with_wrong_preprocessing_is_refused(folder, tmp_path, change):
    tree = gd.load(folder / "named.csv.model")
    state = tree["model"]["predictor"]
    if change == "kind":
        state["kind"] = "Other"
    elif change == "width":
        state["features"]["names"].append("e")
    elif change == "classes":
        state["target"]["classes"].pop()
    else:
        del state["features"]["scale"]["mean"]
    gd.save(tmp_path / "wrong", tree)
    with pytest.raises(gd.CheckpointError, match="holds no valid preprocessing"):
        gd.load_model(tmp_path / "wrong")


def test_the_file_is_data_and_readable_as_safetensors(folder):
    with (folder / "mixed.csv.model").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    assert {"W1", "b1", "W2", "b2"} < header.keys()
    assert b"pickle" not in (folder / "mixed.csv.model").read_bytes()


def test_balanced_classes_lift_the_recall_of_rare_ones(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(1000) % 25 == 0
    X = rng.standard_normal((1000, 2)) + 1.2 * y[:, None]
    np.savez(tmp_path / "rare.npz", X=X, y=y)
    arguments = ("train", "--data", tmp_path / "rare.npz", *OPTIONS, "--early-stopping", 5)
    plain = run(capsys, *arguments, "--save", tmp_path / "plain")[1]
    out = run(capsys, *arguments, "--class-weight", "balanced", "--save", tmp_path / "balanced")[1]
    assert "balanced accuracy" not in plain
    assert "balanced accuracy" in out
    assert "validation loss" in out
    before, after = (gd.load_model(tmp_path / name).metrics["balanced_accuracy"] for name in ("plain", "balanced"))
    assert after > before + 0.1


@pytest.mark.parametrize(
    "options, match",
    [
        (("--label", "nose"), "--label nose: there is no such column, there are 'a', 'b', 'c', 'd', 'kind'"),
        (("--label", "5"), "--label 5: there is no such column"),
        (("--drop", "a,nose"), "--drop nose: there is no such column"),
        (("--drop", "a,b,c,d"), "has no column of features"),
        (("--task", "regression"), "row 1, column 'kind': 'ape' is no number"),
        (("--label", "a", "--task", "classification"), "column 'a' has 119 different values in 120 rows"),
        (("--test", "none.csv"), "none.csv: no such file"),
        (("--validation", "none.csv"), "none.csv: no such file"),
        (("--label", "a", "--class-weight", "balanced"), "--class-weight needs classes"),
        (("--class-weight", "balanced", "--compare", "numpy"), "without --dropout, --resume, --class-weight or"),
    ],
)
def test_options_that_do_not_fit_the_file(folder, capsys, options, match):
    status, out, err = run(capsys, "train", "--data", folder / "named.csv", *options)
    assert (status, out) == (2, "")
    assert match in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("header", ["yes", "no"])
def test_the_first_line_is_what_the_option_says(tmp_path, capsys, header):
    (tmp_path / "years.csv").write_text(table(header="1990,1991,1992,1993,9"))
    out = run(capsys, "train", "--data", tmp_path / "years.csv", *OPTIONS, "--header", header)[1]
    assert ("column '9' (the last one)" if header == "yes" else "column '4' (the last one)") in out


def test_whole_numbers_that_may_be_either_ask_for_the_task(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    np.savez(tmp_path / "ages.npz", X=X, y=np.clip(40 + 12 * X[:, 0], 17, 70).round())
    status, _, err = run(capsys, "train", "--data", tmp_path / "ages.npz")
    assert status == 2
    assert "different whole numbers in 600 rows: say --task classification or --task regression" in err
    for task, metric in (("classification", "accuracy"), ("regression", "R2")):
        assert f"test {metric} " in run(capsys, "train", "--data", tmp_path / "ages.npz", "--task", task, *OPTIONS)[1]


def test_regression_agrees_with_plain_numpy(folder, capsys):
    arguments = ("train", "--data", folder / "prices.csv", *OPTIONS, "--dtype", "float64", "--compare", "numpy")
    ours, theirs = (float(text) for text in re.findall(r"test R2 ([\d.]+)", run(capsys, *arguments)[1]))
    assert ours == pytest.approx(theirs, abs=2e-4)


def test_optimizers_are_compared_on_a_table_of_numbers_to_predict(folder, capsys):
    arguments = (
        "--data",
        folder / "prices.csv",
        "--optimizers",
        "adam,sgd",
        "--epochs",
        2,
        "--hidden",
        8,
        "--lr",
        "default",
    )
    status, out, err = run(capsys, "compare", *arguments)
    assert (status, err) == (0, "")
    assert "Adam" in out


def test_wide_sparse_rows_train_a_linear_model(tmp_path, capsys):
    import scipy.sparse

    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = scipy.sparse.random_array((300, 20_000), density=1e-4, rng=rng, format="lil")
    X[np.arange(300), y * 7] = 1
    X = X.tocsr()
    np.savez(tmp_path / "wide.npz", data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape, y=y)
    path, saved = tmp_path / "wide.npz", tmp_path / "model"
    out = run(capsys, "train", "--data", path, "--epochs", 40, "--lr", 0.05, "--save", saved)[1]
    assert "model      20000-2:" in out
    predictor = gd.load_model(saved)
    assert isinstance(predictor.model, gd.LinearModel)
    assert predictor.metrics["accuracy"] > 0.9
    assert (predictor.predict(X) == y).mean() > 0.9
    np.testing.assert_array_equal(predictor.predict(X[:, :9]), predictor.predict(X[:, :9]))
    assert run(capsys, "train", "--data", path, "--epochs", 1, "--hidden", 4, "--model", "mlp")[0] == 0


def test_the_test_file_is_evaluated_as_printed(tmp_path, capsys):
    case = with_test_file(tmp_path)
    out = run(capsys, "train", "--data", case.path, *case.options, *OPTIONS, "--save", tmp_path / "model")[1]
    evaluated = run(capsys, "evaluate", tmp_path / "model", tmp_path / "test.csv")[1]
    assert re.search(r"test (accuracy [\d.]+)", out)[1] in evaluated
    assert (
        "--held-out: the training had test rows of their own"
        in (run(capsys, "evaluate", tmp_path / "model", tmp_path / "test.csv", "--held-out")[2])
    )


def images(rows, seed=0):
    y = np.arange(rows) % 3
    X = np.random.default_rng(seed).integers(0, 90, (rows, 4, 4)).astype(np.uint8)
    X[:, 0, 0] = 80 * y
    return X, y


def test_a_file_with_a_test_set_is_evaluated_and_predicted_by_it(tmp_path, capsys):
    X, y = images(240)
    np.savez(tmp_path / "keras.npz", x_train=X[:150], y_train=y[:150], x_test=X[150:], y_test=y[150:])
    np.savez(tmp_path / "plain.npz", X=X, y=y)
    options = ("--test", tmp_path / "keras.npz", "--save", tmp_path / "model", *OPTIONS)
    out = run(capsys, "train", "--data", tmp_path / "plain.npz", *options)[1]
    assert "240 rows to train, 90 to test" in out
    evaluated = run(capsys, "evaluate", tmp_path / "model", tmp_path / "keras.npz")[1]
    assert re.search(r"test (accuracy [\d.]+)", out)[1] in evaluated
    assert "90 rows" in evaluated
    predictor = gd.load_model(tmp_path / "model")
    np.testing.assert_array_equal(predictor.predict(tmp_path / "keras.npz"), predictor.predict(X[150:]))
    np.savez(tmp_path / "rows.npz", x_test=X[150:])
    np.testing.assert_array_equal(predictor.predict(tmp_path / "rows.npz"), predictor.predict(X[150:]))
    table = pandas.DataFrame(X.reshape(240, -1), columns=[f"p{k}" for k in range(16)])
    table.to_csv(tmp_path / "features.csv", index=False)
    np.testing.assert_array_equal(predictor.predict(tmp_path / "features.csv"), predictor.predict(X))
    table["label"] = y
    table.to_csv(tmp_path / "labels.csv", index=False)
    assert predictor.evaluate(tmp_path / "labels.csv") == predictor.evaluate(X, y)
    write_images(tmp_path / "idx")
    for file in (tmp_path / "idx").glob("*-labels-*"):
        file.unlink()
    assert len(predictor.predict(tmp_path / "idx")) == 30
    assert predictor.predict(X[:0]).shape == (0,)


def svm(X, y, base):
    rows = (f"{y[k]} " + " ".join(f"{j + base}:{X[k, j]:.3f}" for j in np.flatnonzero(X[k])) for k in range(len(y)))
    return "\n".join(rows) + "\n"


def test_columns_of_svmlight_are_the_same_features_from_whatever_number_they_count(tmp_path, capsys):
    import scipy.sparse

    X, y = numbers()
    X = np.where(np.abs(X) > 1, X, 0).round(3)
    for base in (0, 1):
        (tmp_path / f"{base}.svm").write_text(svm(X, y, base))
    assert run(capsys, "train", "--data", tmp_path / "1.svm", "--save", tmp_path / "m", *OPTIONS)[0] == 0
    predictor = gd.load_model(tmp_path / "m")
    expected = predictor.predict_proba(scipy.sparse.csr_array(X))
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path / "1.svm"), expected)
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path / "0.svm"), expected)
    data = scipy.sparse.csr_array(X)
    np.savez(tmp_path / "c.npz", data=data.data, indices=data.indices, indptr=data.indptr, shape=data.shape, y=y)
    assert run(capsys, "train", "--data", tmp_path / "c.npz", "--save", tmp_path / "m", *OPTIONS)[0] == 0
    predictor = gd.load_model(tmp_path / "m")
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path / "1.svm"), predictor.predict_proba(data))
    assert run(capsys, "compare", "--data", tmp_path / "1.svm", "--epochs", 1, "--optimizers", "sgd,adam")[0] == 0
    resume = ("--resume", tmp_path / "checkpoint", "--data", tmp_path / "1.svm", "--epochs")
    assert run(capsys, "train", "--model", "softmax", *resume, 1)[0] == 0
    assert run(capsys, "train", *resume, 2)[::2] == (0, "")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sparse_values_that_are_not_finite_are_named(tmp_path, capsys, dtype):
    import scipy.sparse

    X, y = numbers()
    X = X.astype(dtype)
    X[7, 2] = np.inf
    data = scipy.sparse.csr_array(X.astype(np.float32))
    parts = {"data": data.data.astype(dtype), "indices": data.indices, "indptr": data.indptr, "shape": data.shape}
    np.savez(tmp_path / "c.npz", **parts, y=y)
    status, out, err = run(capsys, "train", "--data", tmp_path / "c.npz")
    assert (status, out) == (2, "")
    assert "X must hold finite numbers, got inf in row 8, column 2" in err
    parts["data"] = np.where(np.isinf(parts["data"]), 1, parts["data"]).astype(dtype)
    np.savez(tmp_path / "c.npz", **parts, y=y)
    status, _, err = run(capsys, "train", "--data", tmp_path / "c.npz", *OPTIONS, "--save", tmp_path / "m")
    assert (status, err) == (0, "")
    with pytest.raises(DataError, match="too far from those of the training for float32"):
        gd.load_model(tmp_path / "m").predict(scipy.sparse.csr_array(numbers()[0] * 1e60))


@pytest.mark.parametrize(
    "arrays, options, match",
    [
        (
            {"x_train": 90, "y_train": 90, "x_test": 30, "y_test": 29},
            (),
            "its test set: y must be a label for each row",
        ),
        (
            {"x_train": 90, "y_train": 90, "x_test": 0, "y_test": 0},
            (),
            "test rows must be rows x features, got shape (0,",
        ),
        ({"X": 90}, (), "has no labels y; hold them in it as y, or give the number of their column"),
        ({"X": 90, "y": 90}, ("--label", "2"), "has labels of its own, --label 2 does not say others"),
        ({"X": 90, "y": 90}, ("--label", "no.npy"), "no.npy: No such file"),
        ({"X": 90, "y": 90}, ("--drop", "a"), "--drop leaves out columns of a table"),
    ],
)
def test_archives_that_do_not_fit_are_told(tmp_path, capsys, arrays, options, match):
    made = {name: images(rows)[name[0] == "y"] for name, rows in arrays.items()}
    np.savez(tmp_path / "a.npz", **made)
    status, out, err = run(capsys, "train", "--data", tmp_path / "a.npz", *options)
    assert (status, out) == (2, "")
    assert match in err


@pytest.mark.parametrize(
    "labels, match",
    [
        (np.array([2**64 - 1, 2**63, 5] * 40, np.uint64), "the label 18446744073709551615 is too large"),
        (np.array([2.0**60, 2.0**61, 2.0**62] * 40), "has 3 different numbers"),
    ],
)
def test_labels_beyond_whole_numbers_are_refused(tmp_path, capsys, labels, match):
    np.savez(tmp_path / "a.npz", X=numbers()[0], y=labels)
    status, out, err = run(capsys, "train", "--data", tmp_path / "a.npz")
    assert (status, out) == (2, "")
    assert match in err


def test_labels_in_a_file_beside(folder, tmp_path, capsys):
    frame = pandas.read_csv(folder / "named.csv")
    np.save(tmp_path / "kind.npy", frame["kind"].to_numpy(str))
    frame.drop(columns="kind").to_csv(tmp_path / "features.csv", index=False)
    model = folder / "named.csv.model"
    expected = run(capsys, "evaluate", model, folder / "named.csv")[1].partition("rows")[2]
    out = run(capsys, "evaluate", model, tmp_path / "features.csv", "--label", tmp_path / "kind.npy")[1]
    assert out.partition("rows")[2] == expected
    assert "No such file" in run(capsys, "evaluate", model, folder / "named.csv", "--label", "no.npy")[2]
    out = run(capsys, "train", "--data", tmp_path / "features.csv", "--label", tmp_path / "kind.npy", *OPTIONS)[1]
    assert "4 features, 3 classes" in out


def test_layouts_follow_from_the_contents(tmp_path, capsys):
    X, y = numbers()
    np.savez(tmp_path / "a.npz", X=X, y=y)
    np.save(tmp_path / "b.npy", np.column_stack([X, y]))
    for name in ("a.npz", "b.npy"):
        (tmp_path / name).rename(tmp_path / "file.dat")
        assert "4 features, 3 classes" in run(capsys, "train", "--data", tmp_path / "file.dat", *OPTIONS)[1]
    write_images(tmp_path / "idx")
    err = run(capsys, "train", "--data", tmp_path / "idx" / "train-images-idx3-ubyte.gz")[2]
    assert "is an IDX file; give the folder" in err


@pytest.mark.parametrize(
    "X, match",
    [
        ([[1.0, 2.0], [3.0]], "got ragged rows"),
        (pandas.Series([1.0, 2.0]), r"must be a table or rows x features, got shape \(2,\)"),
        ({"a": [1.0], "b": [1.0]}, "has no column 'c', 'd' of the 4"),
        (np.ma.masked_less(np.ones((2, 4)), 3), "the value is missing"),
    ],
)
def test_other_data_are_refused_by_name(folder, X, match):
    with pytest.raises(ValueError, match=match):
        model(folder, "named.csv").predict(X)


def test_regression_labels_name_the_wrong_one(folder):
    predictor, X = model(folder, "prices.csv"), pandas.read_csv(folder / "prices.csv")[["a", "b"]][:2]
    with pytest.raises(DataError, match="row 2 of y: 'a' is no number"):
        predictor.evaluate(X.to_numpy(), ["3", "a"])
    with pytest.raises(DataError, match="is too far from those of the training"):
        predictor.evaluate(X.to_numpy(), [1e100, 1e140])


def test_marks_and_names_are_those_of_the_training(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 30, (120, 2))
    rows = [f"{a:.3f};{b:.1f};{'hi' if a > 15 else 'lo'}".replace(".", ",") for a, b in X]
    (tmp_path / "de.csv").write_text("\n".join(["a;b;k", *rows]))
    assert run(capsys, "train", "--data", tmp_path / "de.csv", "--save", tmp_path / "m", *OPTIONS)[0] == 0
    (tmp_path / "new.csv").write_text("a;b\n25,125;1,250\n5,125;2,500\n")
    assert gd.load_model(tmp_path / "m").predict(tmp_path / "new.csv").tolist() == ["hi", "lo"]
    (tmp_path / "one.csv").write_text(
        "\n".join(["a;k", *(f"{a:.1f};{'hi' if a > 15 else 'lo'}".replace(".", ",") for a in X[:, 0])])
    )
    assert run(capsys, "train", "--data", tmp_path / "one.csv", "--save", tmp_path / "m", *OPTIONS)[0] == 0
    (tmp_path / "new.csv").write_text("a\n1,5\n26,5\n")
    assert gd.load_model(tmp_path / "m").predict(tmp_path / "new.csv").tolist() == ["lo", "hi"]
    rows = [",".join(map(str, row)) for row in rng.integers(0, 9, (120, 4))]
    (tmp_path / "whole.csv").write_text("\n".join(rows))
    assert run(capsys, "train", "--data", tmp_path / "whole.csv", "--save", tmp_path / "m", *OPTIONS)[0] == 0
    for text in ("2,4,6\n5,3,1\n7,7,1\n", "0,1,2\n5,3,1\n7,7,1\n"):
        (tmp_path / "new.csv").write_text(text)
        assert len(gd.load_model(tmp_path / "m").predict(tmp_path / "new.csv")) == 3
