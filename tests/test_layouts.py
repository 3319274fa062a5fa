"""`gd train` on files of every layout, and the model that it saves."""

import re
from pathlib import Path

import numpy as np
import pytest
from layouts import CASES, LAYOUTS
from odd_files import run as faults

import gd
from gd.__main__ import main

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")


def run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_documentation_has_a_row_for_each_layout():
    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    rows = re.findall(r"^\| ([^|]+?) \|", text[text.index("| layout |") :].partition("\n\n")[0], re.MULTILINE)
    assert [row for row in rows if row not in ("layout", "---")] == list(LAYOUTS)


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_understood_and_its_saved_model_predicts_as_the_trained_one(name, tmp_path, capsys, monkeypatch):
    case, saved = CASES[name](tmp_path), tmp_path / "model"
    for module in case.needs:
        pytest.importorskip(module)
    trained, write = [], gd.Predictor.save
    monkeypatch.setattr(gd.Predictor, "save", lambda self, path: (trained.append(self), write(self, path)))
    options = ("--hidden", 8, "--batch-size", 8, "--lr", 0.01, "--epochs", 20, "--save", saved)
    status, out, err = run(capsys, "train", "--data", case.path, *case.options, *options)
    assert (status, err) == (0, "")
    for expected in case.prints:
        assert expected in out
    (predictor,), loaded = trained, gd.load_model(saved)
    assert loaded.metrics == predictor.metrics
    assert loaded.metrics.get("accuracy", loaded.metrics.get("r2")) > 0.8
    label = [option for option in case.options if str(option).endswith(".npy")]
    test = case.options[1] if "--test" in case.options else case.path
    held = () if predictor.split is None else ("--held-out",)
    evaluated = run(capsys, "evaluate", saved, test, *held, *(("--label", *label) if label else ()))
    assert evaluated[0] == 0, evaluated[2]
    (printed,) = re.findall(r"test ((?:accuracy|R2) [-\d.]+)", out)
    assert f", {printed}" in evaluated[1]
    here, there = predictor.predict(case.path), loaded.predict(case.path)
    assert len(here) >= (30 if "90 rows to train" in "".join(case.prints) or "IDX" in name else 90)
    np.testing.assert_array_equal(here, there)
    assert here.dtype == there.dtype
    if predictor.task == "classification":
        np.testing.assert_array_equal(predictor.predict_proba(case.path), loaded.predict_proba(case.path))
    status, out, err = run(capsys, "predict", saved, case.path, "--output", tmp_path / "out.csv")
    assert (status, err) == (0, "")
    lines = (tmp_path / "out.csv").read_text()
    assert lines.startswith("prediction\n")


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.full)])
def test_200_damaged_and_odd_files_are_refused_in_one_sentence_or_read_right(seed):
    pytest.importorskip("pyarrow")
    assert faults(200, seed) == []
