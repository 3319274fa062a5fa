"""The examples of the README and of docs/ run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gd
from gd.__main__ import main

ROOT = Path(gd.__file__).parent.parent


pytest.importorskip("sklearn", minversion="1.6")


def test_the_python_examples_run_one_after_the_other(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    pytest.importorskip("torch")
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["history"].loss[-1] < names["history"].loss[0]
    assert names["loss"].item() < 40
    assert names["classifier"].score(names["X"], names["y"] > 0) > 0.95


def test_the_page_on_training_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("safetensors")
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        f"{7 + x:.2f};{('red', 'white')[c]};{'good' if x + c > 0.5 else 'bad'}"
        for x, c in zip(rng.normal(size=90), rng.integers(2, size=90), strict=True)
    ]
    Path("wine.csv").write_text("\n".join(["acidity;colour;quality", *rows]))
    Path("new.csv").write_text("colour;acidity\nwhite;7.1\n")
    page, names = (ROOT / "docs" / "training.md").read_text(), {}
    for command in re.findall(r"^    gd ((?:train --data|evaluate|predict) .*)$", page, re.MULTILINE):
        assert main(command.split()) == 0
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert names["predictor"].predict("new.csv").tolist() == ["good"]
    assert names["history"].score[-1] > 0.85
    assert names["tasks"].scores(names["X"], names["targets"])["digit"] > 0.95
    assert not any(names["gradients"][name].any() for name in ("W1", "b1", "W2"))
    assert names["check"].error < 1e-6
    assert names["result"].score > 0.8


def test_the_page_on_tensors_runs():
    torch = pytest.importorskip("torch")
    pytest.importorskip("jax")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tensors.md").read_text(), re.DOTALL):
        exec(block, names)
    assert names["loss"] < torch.nn.functional.mse_loss(torch.zeros(500, 1), names["y"])
    assert names["weights"].all()
    np.testing.assert_array_equal(names["bits"], names["half"].view(torch.uint16).numpy())
    np.testing.assert_allclose(names["half"].float().numpy(), names["params"], rtol=2**-8)


def test_the_page_on_profiling_runs(capsys, monkeypatch):
    monkeypatch.setattr(gd.profiling, "WALKED", 2**24)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "profiling.md").read_text(), re.DOTALL)
    names = {}
    exec(block, names)
    (row,) = (row for row in names["profile"].rows if row.name == "update-adam")
    assert row.bytes == 10 * 28 * 10_000_000
    assert "  update-adam\n" in capsys.readouterr().out


def test_the_page_on_own_rules_runs(capsys):
    names, page = {}, (ROOT / "docs" / "own_rules.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page.replace("in_numpy))", "in_numpy, elements=1000))"), re.DOTALL):
        exec(block, names)
    assert names["model"].score(names["X"], names["y"]) > 0.9
    assert names["classifier"].score(names["X"], names["y"]) > 0.9
    assert names["linear"].score(names["X"], names["X"] @ names["w"]) > 0.9
    said = capsys.readouterr().out
    assert "Signum(lr=CosineDecay" in said
    assert "plain NumPy" in said
    assert "WarmMomentum(lr=0.01, momentum=0.9)" in said
    assert page.count("gd predict --import rules") == 1


GIVEN = {  # pages of a few blocks, which the reader has the data for
    "overview.md": "import numpy as np, gd",
    "estimators.md": "",
    "low_bit.md": "import numpy as np, torch, ml_dtypes, gd",
    "distributed.md": """
import numpy as np, mpi4py
X, y = np.random.default_rng(0).random((1024, 784), np.float32), np.arange(1024) % 10
params, gradient = np.zeros(10), lambda step, part: np.ones(10)
""",
}


@pytest.mark.parametrize("page", GIVEN)
@pytest.mark.full
def test_the_blocks_of_a_page_run_in_a_process_of_their_own(page, tmp_path):
    for name in re.findall(r"torch|ml_dtypes|mpi4py", GIVEN[page]):
        pytest.importorskip(name)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    (tmp_path / "page.py").write_text("\n".join([GIVEN[page], *blocks]))
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["efficient_backprop", "own_rules", "vanishing_gradients"])
def test_examples_draw_their_pictures(name, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["--epochs", "2", "--plot", str(tmp_path / "picture.png")]
    arguments += {"efficient_backprop": ["--seeds", "1"], "own_rules": ["--elements", "1000"]}.get(name, [])
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "examples" / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picture.png").read_bytes()[1:4] == b"PNG"


def test_the_names_in_the_table_of_places_exist():
    """Each `Class.name` or `name` in CONTRIBUTING stands in one of the files that its row names."""
    rows = [row for row in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if row.startswith("| ") and "gd/" in row]
    assert len(rows) > 5
    for row in rows:
        words = re.findall(r"`([^`]+)`", row)
        files = [ROOT / word for word in words if "/" in word and (ROOT / word).is_file()]
        source = "".join(each.read_text() for each in files)
        for name in (
            word for word in words if re.fullmatch(r"[A-Za-z_.]+", word) and not word.endswith((".py", ".md"))
        ):
            if name in ("fit", "descend"):  # of which the row speaks, but which it does not place
                continue
            missing = [part for part in name.split(".") if not re.search(rf"\b{part}\b", source)]
            assert not missing, (row, name)
