"""What the benchmarks say beside times: the machine, new processes, accuracy."""

import json
import re
import shutil
import subprocess

import pytest

import gd
from gd.bench import environment
from gd.bench.accuracy import accuracy
from gd.bench.compilation import compilation
from gd.runtime.machine import information


def test_environment_can_be_written_and_agrees_with_gd_info():
    found = environment.environment()
    assert json.loads(json.dumps(found)) == found
    told = dict(information())
    assert found["versions"]["numpy"] == told["numpy"]
    assert found["versions"]["gd"] == gd.__version__
    assert found["processor"] in told["processor"]
    assert f"{found['vector_bits']} bits" == told["vector width"]
    assert found["threads"] == gd.get_threads()
    assert found["threading_layer"] == told["threading layer"]
    assert found["waiting"] == told["idle threads"]
    assert all(each["library"] and each["threads"] > 0 for each in found["blas"])


def test_caches_are_read_in_bytes(tmp_path, monkeypatch):
    for k, (level, kind, size) in enumerate(
        (("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2M"))
    ):
        index = tmp_path / f"cpu0/cache/index{k}"
        index.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (index / name).write_text(text + "\n")
    monkeypatch.setattr(environment, "CPUS", tmp_path)
    assert environment._caches() == {"L1": 48 * 2**10, "L2": 2 * 2**20}


def test_there_is_no_commit_outside_of_a_checkout(tmp_path, monkeypatch):
    if not shutil.which("git"):
        pytest.skip("no git")
    package = tmp_path / "lib" / "gd" / "__init__.py"
    package.parent.mkdir(parents=True)
    monkeypatch.setattr(gd, "__file__", str(package))
    assert environment._commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "of something else"]):
        subprocess.run(git + command, check=True)
    assert environment._commit() is None
    monkeypatch.setattr(gd, "__file__", str(tmp_path / "gd" / "__init__.py"))
    assert re.fullmatch(r"[0-9a-f]+", environment._commit())


def test_compilation_tells_of_every_kernel_behind_a_name():
    found = compilation(quick=True, names=["relu"])
    json.dumps(found)
    assert [each["kernel"] for each in found["kernels"]] == [
        "map_elements-relu",
        "map_elements-relu_backward",
        "map_elements-relu_backward_from_output",
    ]
    assert all(each["cold"] > 0 and each["cached"] > 0 and each["bytes"] > 1_000 for each in found["kernels"])
    assert found["import"] > 0
    assert found["cold"] > 0
    assert found["cached"] > 0
    assert [each["case"] for each in found["first"]] == ["Adam.step"]
    assert [each["case"] for each in found["further"]] == ["RMSprop.step", "Lion.step"]
    assert all(each["cold"] > each["warm"] > 0 for each in found["first"])


def test_accuracy_has_a_record_of_both_passes():
    found = accuracy(quick=True, names=["tanh"])
    json.dumps(found)
    assert [(each["activation"], each["dtype"], each["what"]) for each in found] == [
        ("tanh", "float32", "forward"),
        ("tanh", "float32", "derivative"),
    ]
    for each in found:
        assert all(0 < ulp < 4 for ulp in each["gd"])
        assert each["torch"] is None or len(each["torch"]) == 2


@pytest.mark.parametrize("name", ["tanh", "elu", "celu", "silu", "mish", "softplus", "log_sigmoid", "sigmoid"])
def test_forward_errors_are_no_larger_than_pytorchs(name):
    pytest.importorskip("torch")
    forward, _ = accuracy(quick=True, names=[name])
    assert max(forward["gd"]) <= max(forward["torch"]) + 0.03  # within which both are rounded to the nearest number
