"""The on-disk cache: hits across processes, never stale, never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import optimized

import gd
from gd.kernels import cache

ROOT = Path(gd.__file__).parent.parent
pytestmark = optimized
PROGRAM = """
import numpy as np, gd
from gd.kernels.compiler import join
from gd.kernels.loops.update import update
p = np.ones(64)
optimizer = gd.SGD(p, lr=0.5, clip_value=1.0)
optimizer.step(np.ones(64))
kernel = join(update, optimizer.rule, *optimizer._structure.arrays[None].update.stages)
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
    assert os.name == "nt" or folder.stat().st_mode & 0o777 == (0o700 if os.geteuid() else 0o755)


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
    rule = root / "kernels" / "rules" / "stages.py"  # a helper in another file than the loop's and the rule's
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
rule = pathlib.Path({str(root)!r}, "kernels", "rules", "stages.py")
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


COUNTED = """
import sys
import numpy as np, gd
from gd.kernels.compiler import kernels
for name in ("Lion", "Adam"):
    getattr(gd, name)(np.ones(8)).step(np.ones(8))
gd.relu(np.ones(8))
print(*sorted(kernel.name for kernel in kernels for each in kernel.compiled.values() if not each.was_cached))
"""


def compiled_in(root, cache, program=COUNTED):
    """Return the names of the kernels that a program compiles."""
    environment = {**os.environ, "GD_CACHE_DIR": str(cache), "PYTHONPATH": str(root)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, cwd=cache, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_changed_rule_recompiles_what_depends_on_it_and_nothing_else(tmp_path):
    root, cache = tmp_path / "checkout", tmp_path / "cache"
    cache.mkdir()
    for folder in ("gd", "kernels"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    everything = ["map_elements-relu", "update-adam", "update-lion"]
    assert compiled_in(root, cache) == everything
    assert compiled_in(root, cache) == []
    for module, expected in (
        ("rules/lion.py", ["update-lion"]),
        ("loops/update.py", ["update-adam", "update-lion"]),  # a loop
        ("pool.py", []),  # which no code depends on
        ("words.py", everything),
    ):
        path = root / "kernels" / module
        path.write_text(path.read_text() + "\nCHANGED = True  # as code: a comment recompiles nothing\n")
        assert compiled_in(root, cache) == expected, module


USER = """
from typing import NamedTuple
import sys
import numpy as np, gd
from gd.kernels.compiler import kernels
from gd.optimizers.base import Optimizer
sys.path.insert(0, {folder!r})
import helper

FACTOR = {factor}

class Scalars(NamedTuple):
    lr: float

def rule(p, g, c: Scalars):
    return (p - FACTOR * helper.{name}(c.lr * g),)

class Mine(Optimizer):
    rule = staticmethod(rule)

    def __init__(self, params, lr=0.5):
        super().__init__(params, lr, {{}})

    def coefficients(self, t, lr):
        return Scalars(lr)

p = np.ones(8)
Mine(p).step(np.ones(8))
print(sum(not each.was_cached for kernel in kernels for each in kernel.compiled.values()), p[0])
"""


def test_rules_of_users_are_cached_and_known_by_all_that_they_refer_to(tmp_path):
    helper = tmp_path / "helper.py"

    def run_with(source, factor=1.0, name="same"):
        helper.write_text(source)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        program = USER.format(folder=str(tmp_path), factor=factor, name=name)
        return compiled_in(ROOT, tmp_path, program)

    same = "from numba import njit\n@njit\ndef same(x):\n    return x\n"
    twice = same.replace("return x", "return 2 * x")
    assert run_with(same) == ["1", "0.5"]
    assert run_with(same) == ["0", "0.5"]
    assert run_with(same, factor=2.0) == ["1", "0.0"]
    assert run_with(twice) == ["1", "0.0"]
    assert run_with(twice) == ["0", "0.0"]
    assert run_with(same) == ["0", "0.5"]


LARGE = """
import sys
import numpy as np
from gd.kernels.compiler import Kernel
from gd.kernels.loops.elementwise import map_elements
TABLE = np.full(200_000, float(sys.argv[1]))  # so large that compiled code holds its address

def rule(x):
    return x * TABLE[7]

out, kernel = np.zeros(3), Kernel(map_elements, (rule,))
kernel(3, out, np.ones(3))
print(out[0], *(each.was_cached for each in kernel.compiled.values()))
"""


def test_code_that_holds_an_address_of_its_process_is_not_kept(tmp_path):
    environment = {**os.environ, "GD_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for value in ("1.0", "1.0", "7.0"):
        command = [sys.executable, "-c", LARGE, value]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [value, "False"]


def test_code_that_does_not_link_is_compiled(tmp_path):
    run(tmp_path)
    (file,) = files(tmp_path)
    needs, _, code = file.read_bytes()[cache.CHECKSUM :].partition(b"\n")
    payload = needs + b"\n" + code.replace(b"gd_update", b"gd_upxxxx")
    file.write_bytes(cache._checksum(file, payload) + payload)
    assert run(tmp_path)[:2] == (0, 0.5)
