"""Profiles of kernels: what they count, that they cost nothing when there are none, and the map for perf."""

import importlib
import multiprocessing
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import threading
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
import pytest
from conftest import optimized

import gd
from gd import profiling
from gd.kernels import loops, pool
from gd.kernels.compiler import NEVER, Kernel, OrderedKernel, join, splitting
from gd.kernels.loops import elementwise, linear, linear_training, reductions
from gd.kernels.rules import activations

ROOT = Path(gd.__file__).parent.parent
OWN = {(cls, name): vars(cls)[name] for cls in (Kernel, OrderedKernel) for name in ("__call__", "_run")}


def profiled(*calls):
    """Return the rows of a profile of these calls, by name."""
    with gd.profile() as p:
        for call in calls:
            call()
    return {row.name: row for row in p.rows}


def is_off():
    return all(vars(cls)[name] is own for (cls, name), own in OWN.items())


def of_one_kernel(*calls):
    (row,) = profiled(*calls).values()
    return row


def all_loops():
    modules = [
        importlib.import_module(f"{loops.__name__}.{each.name}") for each in pkgutil.iter_modules(loops.__path__)
    ]
    found = {each for module in modules for each in vars(module).values() if hasattr(each, "parallel_from")}
    found = {each for each in found if each.parallel_from != NEVER}  # but those that other bodies alone call
    return sorted(found | set(linear_training.TRAINING.values()), key=lambda each: each.__name__)


@pytest.mark.parametrize("each", all_loops(), ids=lambda each: each.__name__)
def test_every_loop_tells_its_traffic(each):
    assert callable(each.traffic)


def test_bytes_of_elementwise_kernels_are_exact(size, dtype, walk):
    x, g = np.ones((2, size), dtype)
    n = size * dtype.itemsize
    optimizers = {"Adam": 7, "SGD": 3, "Momentum": 5, "Adadelta": 7}
    for name, times in optimizers.items():
        optimizer = getattr(gd, name)(x.copy())
        row = of_one_kernel(lambda optimizer=optimizer: optimizer.step(g))
        assert (row.calls, row.items, row.bytes) == (1, size, times * n)
    assert of_one_kernel(lambda: gd.sigmoid(x)).bytes == 2 * n
    assert of_one_kernel(lambda: gd.sigmoid(x.copy(), out=x)).bytes == 2 * n
    assert of_one_kernel(lambda: gd.sigmoid(x, out=x)).bytes == 2 * n
    assert of_one_kernel(lambda: gd.sigmoid_backward(g, x)).bytes == 3 * n
    assert of_one_kernel(lambda: gd.sigmoid_backward(g, x, out=g)).bytes == 3 * n
    average = gd.SGD(x.copy(), ema=0.5)
    assert of_one_kernel(lambda: average.step(g)).bytes == 5 * n


def test_a_gradient_that_is_measured_is_read_once():
    optimizer = gd.SGD(np.ones(10_000), clip_norm=1.0)
    row = profiled(lambda: optimizer.step(np.ones(10_000)))["norms-gradient"]
    assert row.bytes == 8 * (10_000 + -(-10_000 // reductions.NORM_BLOCK))


def test_bytes_of_rows_and_losses():
    x, y = np.ones((2, 100, 10), np.float32)
    labels = np.arange(100) % 10
    assert of_one_kernel(lambda: gd.softmax(x)).bytes == 8 * x.size
    assert of_one_kernel(lambda: gd.softmax(x, out=x)).bytes == 8 * x.size
    assert of_one_kernel(lambda: gd.mse(x, y)).bytes == 12 * x.size + 8 + 8
    assert of_one_kernel(lambda: gd.softmax_cross_entropy(x, labels)).bytes == 8 * x.size + 8 * 100 + 8 * 100
    matrix = np.ones((50, 10), np.float32)
    optimizer = gd.SGD(matrix)
    rows = profiled(lambda: optimizer.step_rows(None, np.array([3, 1, 3]), np.ones((3, 10), np.float32)))
    assert rows["group_rows"].bytes == 8 * (3 + 3 + 3 + 5)
    assert rows["update_rows-sgd"].bytes == 8 * (2 + 3 + 3) + 3 * 40 + 2 * 2 * 40


def test_bytes_of_linear_models():
    X, y, w = np.ones((100, 20)), np.ones(100), np.ones(20)
    blocks = -(-100 // linear.block_rows(100, 21))
    written = 8 * blocks * (1 + 21)
    name = "vector_gradient-squared"
    row = profiled(lambda: gd.linear_regression_gradient(X, y, w, 0.0))[name]
    assert row.bytes == X.nbytes + y.nbytes + w.nbytes + written
    rows = np.arange(0, 100, 2)
    blocks = -(-50 // linear.block_rows(50, 21))
    row = profiled(lambda: gd.linear_regression_gradient(X, y, w, 0.0, rows=rows))[name]
    assert row.bytes == 50 * (160 + 8 + 8) + w.nbytes + 8 * blocks * (1 + 21)


def test_sparse_rows_count_what_they_have():
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_array(np.diag(np.arange(100.0))[:, :50])  # the first row is empty, too
    y, w, rows = np.ones(100), np.ones(50), np.array([0, 1, 60, 2])
    found = profiled(lambda: gd.linear_regression_gradient(X, y, w, 0.0, rows=rows))
    index = X.indices.itemsize
    assert found["misplaced"].bytes == 4 + 2 * index + 4 * X.indptr.itemsize + rows.nbytes
    examples = 2 * (8 + index) + 4 * (X.indptr.itemsize + 8 + 8)
    assert found["sparse_vector_gradient-squared"].bytes == examples + w.nbytes + 8 * (1 + 51)


@pytest.mark.parametrize("hidden", [[32], [1024, 1024]], ids=["by blocks", "by layers"])
def test_networks_move_their_weights_at_least(hidden):
    X, y = np.ones((64, 16), np.float32), np.arange(64) % 4
    model = gd.MLP([16, *hidden, 4], dropout=0.1)
    optimizer = gd.Adam(model.parameters)
    rows = profiled(lambda: gd.fit(model, X, y, optimizer, batch_size=64, epochs=1, progress=False))
    assert all(row.bytes > 0 for row in rows.values())
    steps = [row for name, row in rows.items() if name.startswith(("update_weights", "train_network"))]
    assert len(steps) == 1
    assert steps[0].bytes > 6 * model.parameters.vector.nbytes
    assert sum(row.bytes for row in rows.values()) > 7 * model.parameters.vector.nbytes
    stored = profiled(lambda: model.loss_and_gradients(X, y))["store_gradients"]
    assert stored.bytes > model.parameters.vector.nbytes
    assert profiled(lambda: model.predict(X)).popitem()[1].bytes > model.parameters.vector.nbytes


def test_compiled_trainings_count_their_steps():
    X, y = np.ones((100, 8), np.float32), np.arange(100) % 3
    model = gd.LinearModel(8, 3, "softmax")
    optimizer = gd.Adam(model.parameters)
    rows = profiled(lambda: gd.fit(model, X, y, optimizer, batch_size=10, epochs=2, progress=False))
    (row,) = (row for name, row in rows.items() if name.startswith("train_"))
    assert row.items == 20
    assert row.bytes > 2 * X.nbytes + 20 * 6 * model.parameters.vector.nbytes


def test_calls_and_those_that_were_split_are_counted():
    x = np.ones(100)
    with gd.profile() as p:
        for parallel_from in (inf, inf, 1):
            with splitting(parallel_from):
                gd.relu(x)
    (row,) = p.rows
    assert (row.name, row.calls, row.items) == ("map_elements-relu", 3, 300)
    assert row.split == (1 if pool.get_threads() > 1 else 0)
    assert row.seconds > 0
    assert p.inside <= p.seconds
    before = p.seconds
    gd.relu(x)
    assert (p.rows, p.seconds) == ([row], before)


def test_compiling_is_told_apart():
    kernel = Kernel(elementwise.map_elements, (activations.relu,))
    x = np.ones(10)
    first = of_one_kernel(lambda: kernel(10, np.empty(10), x))
    again = of_one_kernel(lambda: kernel(10, np.empty(10), x))
    assert first.compiling > 0
    assert again.compiling == 0
    assert first.bytes == again.bytes == 160


def test_profiles_see_calls_of_all_threads():
    def work():
        p, g = np.ones(1000), np.ones(1000)
        optimizer = gd.SGD(p)
        for _ in range(100):
            optimizer.step(g)

    workers = [threading.Thread(target=work) for _ in range(8)]
    with gd.profile() as p:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    (row,) = p.rows
    assert (row.calls, row.items, row.bytes) == (800, 800_000, 800 * 24_000)
    assert p.inside <= p.seconds
    assert is_off()


def test_profiles_nest():
    x = np.ones(10)
    with gd.profile() as outer:
        gd.relu(x)
        with gd.profile() as inner:
            gd.relu(x)
        gd.relu(x)
    assert [row.calls for row in outer.rows] == [3]
    assert [row.calls for row in inner.rows] == [1]


def test_nothing_is_left_behind(monkeypatch):
    assert is_off()
    kernel = join(elementwise.map_elements, activations.relu)
    p = gd.profile()
    assert is_off()
    with pytest.raises(ZeroDivisionError), p:
        assert not is_off()
        monkeypatch.setattr(kernel, "enter", lambda *a: 1 / 0)
        kernel(1, np.ones(1), np.ones(1))
    assert is_off()
    assert [row.calls for row in p.rows] == [1]
    with pytest.raises(RuntimeError, match="enter each profile once"), p:
        pass
    assert is_off()


def report(queue):
    gd.relu(np.ones(1))
    queue.put(is_off())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_child_is_not_profiled():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with gd.profile():
        child = context.Process(target=report, args=(queue,))
        child.start()
        assert queue.get(timeout=60)
        child.join(timeout=60)
        assert not is_off()
    assert child.exitcode == 0


def test_a_call_that_outlasts_the_profile_is_left_out(monkeypatch):
    kernel = join(elementwise.map_elements, activations.relu)
    entered, leave = threading.Event(), threading.Event()

    def serial(*arguments):
        entered.set()
        leave.wait(60)

    monkeypatch.setattr(kernel, "enter", serial)
    worker = threading.Thread(target=lambda: kernel(1, np.ones(1), np.ones(1)))
    with gd.profile() as p:
        worker.start()
        assert entered.wait(60)
    inside = p.inside
    leave.set()
    worker.join()
    assert p.rows == []
    assert 0 < inside == p.inside <= p.seconds


def test_the_table(monkeypatch):
    monkeypatch.setattr(profiling, "memory_bandwidth", lambda: 50e9)
    x = np.ones(1_000_000, np.float32)
    with gd.profile() as p:
        for _ in range(3):
            gd.Adam(x).step(x.copy())
        join(reductions.combine)(1, np.empty(1), np.ones((1, 1)))
    lines = str(p).splitlines()
    assert re.fullmatch(r"\d+\.\d{4} s, \d+ threads; memory moves 50\.0 GB/s", lines[0])
    assert lines[1].split() == ["seconds", "share", "calls", "split", "MB", "GB/s", "of", "memory", "kernel"]
    (adam,) = (line for line in lines if line.endswith("  update-adam"))
    assert re.fullmatch(r" +\d\.\d{4} +\d+\.\d% +3 +\d+% +84\.0 +\d+\.\d +\d\.\d\d  update-adam", adam)
    assert lines[-1].endswith("(outside of kernels)")
    assert [line.rindex("  ") for line in lines[1:]] == [lines[1].rindex("  ")] * (len(lines) - 1)
    monkeypatch.setattr(profiling, "memory_bandwidth", lambda: None)
    assert "memory was not measured" in p.table()
    assert re.search(r" - +update-adam", p.table())
    with gd.profile() as empty:
        pass
    assert empty.table().endswith("no kernel was called")


def test_memory_is_measured_where_there_is_room(monkeypatch):
    monkeypatch.setattr(profiling, "WALKED", 2**22)
    with gd.profile() as p:
        assert profiling.memory_bandwidth.__wrapped__() > 0
    assert p.rows == []
    monkeypatch.setattr(profiling, "free_memory", lambda: 2**10)
    assert profiling.memory_bandwidth.__wrapped__() is None


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import gd
print(__name__, sys.argv, sys.path[0] == str(Path(__file__).parent))
gd.relu(np.ones(10))
{end}
"""


def command(tmp_path, *arguments, end="", **environment):
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "gd", "profile", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--"], []], ids=["after --", "directly"])
def test_the_command_runs_a_script(tmp_path, arguments):
    done = command(tmp_path, *arguments, "program.py", "--perf-map", "x", end="sys.exit(3)")
    assert done.returncode == 3
    assert done.stdout == f"__main__ ['{tmp_path / 'program.py'}', '--perf-map', 'x'] True\n"
    assert re.search(r" 1 +0% +0\.0 .*  map_elements-relu\n", done.stderr)
    assert done.stderr.endswith("(outside of kernels)\n")


@pytest.mark.parametrize("arguments", [["-m"], ["--", "-m"]], ids=" ".join)
def test_the_command_runs_a_module(tmp_path, arguments):
    done = command(tmp_path, *arguments, "program", "x")
    assert done.returncode == 0
    assert done.stdout == f"__main__ ['{tmp_path / 'program.py'}', 'x'] True\n"
    assert "map_elements-relu" in done.stderr


def test_the_command_shows_what_a_script_raised(tmp_path):
    done = command(tmp_path, "program.py", end="raise MemoryError('nothing left')")
    assert done.returncode == 1
    assert re.match(
        r"Traceback \(most recent call last\):\n  File \".*program.py\", line 8, in <module>\n"
        r"    raise MemoryError\('nothing left'\)\nMemoryError: nothing left\n\d",
        done.stderr,
    )
    assert "map_elements-relu" in done.stderr


def test_the_command_wants_a_program(tmp_path):
    for arguments, message in (([], "which program"), (["missing.py"], "missing.py: no such file")):
        done = command(tmp_path, *arguments)
        assert done.returncode == 2
        assert re.fullmatch(f"gd profile: .*{message}.*\n", done.stderr)


MAPPED = """
import sys
import numpy as np
import gd
from gd.kernels.compiler import join, splitting
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.rules.activations import relu
x = np.ones(10)
kernel = join(map_elements, relu)
for parallel_from in (1, float("inf")):
    with splitting(parallel_from):
        gd.relu(x)
(compiled,) = kernel.compiled.values()
print(compiled.address)
print(int(compiled.was_cached))
print(gd.profiling.perf_map(*sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="perf is a tool of Linux")
@pytest.mark.parametrize("cache", ["off", pytest.param("on", marks=optimized)])
def test_the_map_names_kernels_compiled_and_loaded(tmp_path, cache):
    for hits in (0, 0) if cache == "off" else (0, 1):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MAPPED, str(tmp_path / "map")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "GD_CACHE_DIR": "off" if cache == "off" else str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        address, found_hits, path = done.stdout.split()
        assert (int(found_hits), path) == (hits, str(tmp_path / "map"))
        lines = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (\S+)", line) for line in Path(path).read_text().splitlines()]
        functions = [(int(line[1], 16), int(line[2], 16), line[3]) for line in lines]
        in_order = sorted(functions)
        assert all(start + size <= after for (start, size, _), (after, *_) in pairwise(in_order))
        ((size, name),) = ((size, name) for start, size, name in functions if start == int(address))
        assert size > 100
        assert name == "gd::map_elements-relu-float64"


def test_the_map_is_added_to_pythons_own(tmp_path, monkeypatch):
    if not sys.platform.startswith("linux"):
        with pytest.raises(RuntimeError, match="perf is a tool of Linux"):
            profiling.perf_map()
        return
    path = tmp_path / "map"
    path.write_text("1 2 py::f\n")
    monkeypatch.setattr(sys, "is_stack_trampoline_active", lambda: True, raising=False)
    gd.relu(np.ones(1))
    profiling.perf_map(path)
    assert path.read_text().startswith("1 2 py::f\n")
    assert "gd::map_elements-relu" in path.read_text()
    monkeypatch.setattr(sys, "is_stack_trampoline_active", lambda: False, raising=False)
    profiling.perf_map(path)
    assert "py::f" not in path.read_text()
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        profiling.perf_map(link)


@pytest.mark.skipif(shutil.which("perf") is None, reason="no perf")
def test_perf_finds_kernels(tmp_path):
    data = tmp_path / "perf.data"
    recording = ["perf", "record", "-q", "-e", "cpu-clock", "-o", str(data)]
    if subprocess.run([*recording, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("perf may not record here")
    end = "x = np.ones(10_000)\nfor _ in range(10_000): gd.tanh(x)"
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
    program = [sys.executable, "-m", "gd", "profile", "--perf-map", "program.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*recording, *program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    found = subprocess.run(["perf", "report", "-i", str(data), "--stdio"], capture_output=True, text=True, check=True)
    Path(re.search(r"map for perf: (\S+)", done.stderr)[1]).unlink()
    assert re.search(r"gd::map_elements-tanh-float64\s", found.stdout)
