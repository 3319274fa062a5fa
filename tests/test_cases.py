"""The benchmark's registry: every case of every library that is installed gives plain NumPy's results."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from time import sleep

import numpy as np
import pytest

import gd
from gd.__main__ import main
from gd.activations.functions import ACTIVATIONS
from gd.bench import ceilings, measure
from gd.bench.cases import Side
from gd.bench.families import families, gradients
from gd.bench.libraries import in_dtype, package, torch_compiled
from gd.bench.verification import verify
from gd.losses.functions import LOSSES
from gd.optimizers import OPTIMIZERS

FAMILIES = families()
SMALL = "20-16-5"  # a network that is not timed
COMPILED = ("torch compiled", "deepspeed")  # which take seconds to a minute each
ALL = [(name, what) for name, family in FAMILIES.items() for what in (family.whats if name != "training" else (SMALL,))]
pytestmark = pytest.mark.filterwarnings("ignore")  # other libraries' own


@pytest.mark.parametrize("name, what", ALL)
def test_all_libraries_agree(name, what):
    family = FAMILIES[name]
    libraries = [each for each in family.makers(family.case(what, family.odd[0])) if each not in COMPILED]
    assert verify(family, what, libraries=libraries) == {}


@pytest.mark.slow
@pytest.mark.parametrize("library", COMPILED)
@pytest.mark.parametrize("name, what", ALL)
def test_libraries_that_compile_agree(name, what, library):
    pytest.importorskip(package(library))
    assert verify(FAMILIES[name], what, libraries=(library,), sizes=(1023,)) == {}


@pytest.mark.slow
def test_what_torch_compiles_ninth_is_compiled():
    torch = pytest.importorskip("torch")
    for k in range(9):
        compiled = torch_compiled(lambda x, k=f"1e{k}": x + float(k) if torch.compiler.is_compiling() else x)
        assert compiled(torch.zeros(3)).tolist() == [10**k] * 3


@pytest.mark.parametrize("what", ["Adam", "Lion", "SGD"])
def test_optimizers_agree_in_float64(what):
    assert verify(FAMILIES["optimizers"], what, "float64", ("gd", "torch", "torch fused")) == {}


def test_everything_is_in_a_family():
    assert set(FAMILIES["optimizers"].whats) == set(OPTIMIZERS)
    assert set(FAMILIES["losses"].whats) == set(LOSSES)
    left_out = {"prelu", "maxout"}  # they have operands of their own
    names = {what.removesuffix("_backward") for what in FAMILIES["activations"].whats}
    assert names == set(ACTIVATIONS) - left_out
    for family in FAMILIES.values():
        assert set(family.headline) <= set(family.whats)


def test_a_wrong_library_is_found(monkeypatch):
    family = FAMILIES["optimizers"]
    p = np.ones(7)
    monkeypatch.setattr(family, "makers", lambda case: {"numpy": lambda: Side(lambda: None, lambda: [p]), **wrong})
    wrong = {
        "gd": lambda: Side(lambda: None, lambda: [p * 1.01]),
        "ceiling": lambda: Side(lambda: None, lambda: [p[:3]]),
        "products": lambda: Side(lambda: 1 / 0, lambda: [p]),
    }
    found = verify(family, "Adam", sizes=(7,))
    assert found["gd"].startswith("wrong results at size 7: they differ by 1.0e-02")
    assert "inf" in found["ceiling"]
    assert found["products"] == "failed at size 7: ZeroDivisionError: division by zero"


def test_numbers_of_an_expression_are_of_the_dtype():
    text, numbers = in_dtype("1e-3 * c1 + 2 / x2 - 0.5 * 2", np.dtype(np.float32))
    assert text == "number0 * c1 + number1 / x2 - number2 * number1"
    assert {name: (float(each), each.dtype) for name, each in numbers.items()} == {
        "number0": (float(np.float32(1e-3)), np.float32),
        "number1": (2.0, np.float32),
        "number2": (0.5, np.float32),
    }


def test_turns_are_interleaved():
    order, rounds = [], 3
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = measure.interleaved(calls, rounds, turn=0)
    assert "".join(order) == "aabb" + "ab" * rounds
    assert found["a"].keys() == {"median", "low", "high", "rounds"}
    assert found["a"]["low"] <= found["a"]["median"] <= found["a"]["high"]


def test_slow_calls_get_fewer_turns():
    for patience, turns in ((10, 7), (0, measure.FEWEST)):
        assert measure.interleaved({"a": lambda: None}, 7, turn=0, patience=patience)["a"]["rounds"] == turns


@pytest.mark.parametrize("mix", ceilings.MIXES)
def test_ceilings_walk_over_all_arrays(mix):
    count, reads, writes = ceilings.MIXES[mix]
    arrays = [np.full(5000, k + 1.0, np.float32) for k in range(count)]
    before = [array.copy() for array in arrays]
    ceilings.walk(mix, arrays)()
    changed = sum(not np.array_equal(*pair) for pair in zip(arrays, before, strict=True))
    assert changed == writes
    assert ceilings.traffic(mix, 5000, "float32") == (reads + writes) * 20_000


def test_rows_are_measured_against_a_walk_over_their_lines(monkeypatch):
    monkeypatch.setattr(gradients, "UNCACHED", 1)
    family = gradients.Gradients()
    mixes = {what: family.ceiling(family.case(what, 128)) for what in family.whats}
    for _, side in mixes.values():
        assert side is None or side.call() is None
    assert [mix for mix, _ in mixes.values()] == ["1r", "1r by rows", None, None, None, "1r by rows"]
    monkeypatch.undo()
    assert family.ceiling(family.case(family.whats[0], 128)) == (None, None)


def bench(tmp_path, *options):
    return main(["bench", "--quick", "--output", str(tmp_path), "--rounds", "1", *options])


def test_a_run_writes_the_report(tmp_path, capsys):
    assert bench(tmp_path, "--only", "adam,sigmoid", "--sizes", "1000") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    whats = [(each["what"], each["size"]) for each in results["cases"]]
    assert whats == [("Adam", 1000), ("sigmoid", 1000), ("sigmoid_backward", 1000)]
    adam = results["cases"][0]
    assert adam["bytes"] == 28_000
    assert adam["flops"] > 10_000
    assert adam["mix"] == "4r3w in place"
    assert {"gd", "numpy", "ceiling"} <= adam["libraries"].keys()
    assert adam["failed"] == {}
    assert "Adam" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert results["command"] == "gd bench --quick --only adam,sigmoid --sizes 1000 --rounds 1"
    assert "report.html" in capsys.readouterr().out


def test_check_catches_a_slowed_kernel(tmp_path, capsys, monkeypatch):
    options = "--only", "adam", "--sizes", "200000", "--rounds", "3"
    assert bench(tmp_path / "before", *options) == 0
    step = gd.Adam.step
    monkeypatch.setattr(gd.Adam, "step", lambda self, g: sleep(0.002) or step(self, g))
    assert bench(tmp_path / "after", *options, "--check", str(tmp_path / "before" / "results.json")) == 1
    assert "Adam, 200,000 float32: share of the ceiling" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--only", "adamm"], "--only: expected names of computations or families, such as optimizers"),
        (["--threads", "100000"], "--threads must be 1 to"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--check", "nowhere.json"], "--check nowhere.json"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(options, message, tmp_path, capsys):
    assert bench(tmp_path / "none", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_pytest_benchmark_tells_what_was_measured(tmp_path):
    pytest.importorskip("pytest_benchmark")
    root, file = Path(inspect.getfile(gd)).parent.parent, tmp_path / "results.json"
    cases = "test_step and Adam-1000- and not RAdam and not NAdam and (gd or numpy)"
    options = ["--benchmark-only", "-k", cases, f"--benchmark-json={file}"]
    command = [sys.executable, "-m", "pytest", "-q", "bench", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(file.read_text())
    assert results["machine_info"]["versions"]["numba"]
    told = {each["params"]["library"]: each["extra_info"] for each in results["benchmarks"]}
    assert told.keys() == {"gd", "numpy"}
    assert told["gd"]["bytes_per_element"] == 28
    assert {"GB/s", "flops_per_element", "share_of_ceiling", "threads"} <= told["gd"].keys()
    assert {each["group"] for each in results["benchmarks"]} == {"Adam, 1,000"}
