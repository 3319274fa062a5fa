"""The on-disk cache: hits across processes, never stale, never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import optimized

import gd

ROOT = Path(gd.__file__).parent.parent
pytestmark = optimized
PROGRAM = """
import numpy as np, gd
from gd.kernels.compiler import join
from gd.kernels.loops.update import update
p = np.ones(64)
optimizer = gd.SGD(p, lr=0.5, clip_value=1.0)
optimizer.step(np.ones(64))
kernel = join(update, optimizer.rule, *optimizer._stages)
print(sum(each.was_cached for each in kernel.compiled.values()), p[0])
"""


def run(cache, root=ROOT, check=True, **environment):
    """Step once in a new process; return cache hits, the result, and what it warned of."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "GD_CACHE_DIR": str(cache), "PYTHONPATH": str(root), **environment},
        cwd=cache if Path(cache).is_dir() else ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hits, value = done.stdout.split()
    return int(hits), float(value), done.stderr


def files(cache):
    """Return the files of kernels: that of the entry is of no kernel."""
    return sorted(path for path in Path(cache).rglob("*.kernel") if not path.name.startswith("gd_entry"))


def test_the_second_process_loads_what_the_first_compiled(tmp_path):
    assert run(tmp_path) == (0, 0.5, "")
    assert len(files(tmp_path)) == 1
    assert run(tmp_path) == (1, 0.5, "")
    folder = files(tmp_path)[0].parent
    assert os.name == "nt" or folder.stat().st_mode & 0o777 == 0o700


STEPS = """
import sys, numpy as np, gd
from gd.kernels.compiler import splitting
for argument in sys.argv[1:]:
    name, parallel_from = argument.split(":")
    with splitting(float(parallel_from)):
        p = np.ones(8)
        getattr(gd, name)(p, lr=0.1).step(np.full(8, 0.5))
        print(f"{p[0]:.6f}")
"""


def test_code_of_two_processes_is_not_mistaken_for_each_other(tmp_path):
    def stepped(*steps):
        environment = {**os.environ, "GD_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", STEPS, *steps]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert stepped("Adagrad:inf") == ["0.900000"]
    assert stepped("Momentum:inf", "Momentum:1") == ["0.950000"] * 2
    assert stepped("Adagrad:inf", "Momentum:1") == ["0.900000", "0.950000"]


TRAINING = """
import sys, numpy as np, gd
rng = np.random.default_rng(0)
X, y = rng.standard_normal((64, 3)), rng.standard_normal(64)
for name in sys.argv[1:]:
    model = gd.LinearModel(3, dtype=np.float64)
    gd.fit(model, X, y, getattr(gd, name)(model.parameters, lr=0.01), batch_size=8, epochs=1, progress=False)
    print(model.parameters.vector.tobytes().hex())
"""


def test_cached_code_that_splits_its_work_starts_the_threads_that_it_needs(tmp_path):
    """The parallel kernel in the second training's loop was loaded, not compiled; the third process crashed."""

    def trained(*optimizers):
        environment = {**os.environ, "GD_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", TRAINING, *optimizers]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return done.stdout.split()

    trained("SGD")
    expected = trained("Momentum")
    assert trained("Momentum") == expected


def test_off_writes_nothing(tmp_path):
    assert run("off", XDG_CACHE_HOME=str(tmp_path)) == (0, 0.5, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_a_warning_and_a_recompile(tmp_path, damage):
    run(tmp_path)
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes({"truncated": content[:1000], "empty": b"", "foreign": b"x" * 5000}.get(damage, content))
    hits, value, warnings = run(tmp_path)
    assert (hits, value) == (0, 0.5)
    assert "kernel cache was not read" in warnings
    assert run(tmp_path) == (1, 0.5, "")  # mended


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    hits, value, warnings = run(tmp_path / "file" / "cache")
    assert (hits, value) == (0, 0.5)
    assert "kernel cache was not used" in warnings


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")
def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    run(tmp_path)
    files(tmp_path)[0].parent.chmod(0o777)
    hits, value, warnings = run(tmp_path)
    assert (hits, value) == (0, 0.5)
    assert "can be written by others" in warnings


def test_a_changed_rule_or_option_is_never_served_from_before(tmp_path):
    root, cache = tmp_path / "checkout", tmp_path / "cache"
    cache.mkdir()
    for folder in ("gd", "kernels"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(cache, root) == (0, 0.5, "")
    assert run(cache, root) == (1, 0.5, "")
    rule = root / "kernels" / "rules" / "common.py"  # a helper in another file than the loop's and the rule's
    rule.write_text(rule.read_text().replace("return clip(g, c.clip_value), p", "return 4 * clip(g, c.clip_value), p"))
    assert run(cache, root) == (0, -1.0, "")
    assert run(cache, root) == (1, -1.0, "")
    assert run(cache, root, NUMBA_OPT="1")[0] == 0
    assert run(cache, root) == (1, -1.0, "")


def test_code_from_before_an_upgrade_is_not_stored_as_that_of_after(tmp_path):
    root, cache = tmp_path / "checkout", tmp_path / "cache"
    cache.mkdir()
    for folder in ("gd", "kernels"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    upgrade = f"""
import pathlib, gd
rule = pathlib.Path({str(root)!r}, "kernels", "rules", "common.py")
rule.write_text(rule.read_text().replace("return clip(g, c.clip_value), p", "return 4 * clip(g, c.clip_value), p"))
"""
    environment = {**os.environ, "GD_CACHE_DIR": str(cache), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", upgrade + PROGRAM]
    done = subprocess.run(command, env=environment, cwd=cache, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "0.5"], done.stderr
    assert "the sources have changed since they were imported" in done.stderr
    assert run(cache, root) == (0, -1.0, "")


def test_old_folders_are_pruned_and_others_are_left_alone(tmp_path):
    for k in range(9):
        folder = tmp_path / f"kernels-{k:016x}"
        folder.mkdir()
        (folder / "update.kernel").write_text("")
        os.utime(folder, (k, k))
    (tmp_path / "kernels-mine").mkdir()
    (tmp_path / f"kernels-{9:016x}").mkdir()
    (tmp_path / f"kernels-{9:016x}" / "thesis.txt").write_text("")
    run(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert {f"kernels-{k:016x}" for k in (6, 7, 8, 9)} | {"kernels-mine"} <= left
    assert len(left) == 6


def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path):
    environment = {**os.environ, "GD_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM]
    together = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0].split()[1] for process in together] == ["0.5"] * 4
    assert run(tmp_path) == (1, 0.5, "")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_relative_folder_is_one_folder_wherever_the_process_goes(tmp_path):
    program = "import os; from gd.kernels import cache; a = cache.cache_root(); os.chdir('/'); print(a)"
    environment = {**os.environ, "GD_CACHE_DIR": "here", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "here")
