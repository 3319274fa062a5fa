"""Kernels: the choice between serial and parallel, threads, fork, and what they compile to."""

import multiprocessing
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import numpy as np
import pytest
from conftest import optimized

import gd
from gd.kernels import pool
from gd.kernels.compiler import SURELY, Kernel, join, splitting
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.loops.update import coefficients_of, update
from gd.kernels.rules import activations, adam, stages
from gd.kernels.rules.stages import CommonCoefficients
from gd.optimizers import OPTIMIZERS
from gd.optimizers.coefficients import Coefficients

ROOT = Path(gd.__file__).parent.parent
several_threads = pytest.mark.skipif(pool.max_threads() < 2, reason="one thread")


def test_join_returns_one_kernel_for_a_rule_and_a_loop():
    assert join(map_elements, activations.relu) is join(map_elements, activations.relu)
    assert join(map_elements, activations.relu) is not join(map_elements, activations.identity)


def variant_used(kernel, size, monkeypatch):
    used = []
    monkeypatch.setattr(kernel, "enter", lambda parts, *a: used.append("serial" if parts == 1 else "parallel"))
    kernel(size)
    (variant,) = used
    return variant


@several_threads
def test_large_work_is_split_and_small_work_is_not(monkeypatch):
    kernel = join(map_elements, activations.relu)
    with gd.threads(2):
        assert variant_used(kernel, kernel.parallel_from - 1, monkeypatch) == "serial"
        assert variant_used(kernel, SURELY * kernel.parallel_from, monkeypatch) == "parallel"
        with splitting(1):
            assert variant_used(kernel, 1, monkeypatch) == "parallel"
    with gd.threads(1):
        assert variant_used(kernel, 10**9, monkeypatch) == "serial"


@pytest.fixture
def elsewhere():
    """A function that calls another in one other thread, in a copy of the context."""
    with ThreadPoolExecutor(1) as executor:
        yield lambda *call: executor.submit(copy_context().run, *call).result()


@several_threads
def test_a_thread_that_finds_the_pool_taken_works_serially(monkeypatch, elsewhere):
    kernel = join(map_elements, activations.relu)
    with gd.threads(2):
        assert elsewhere(pool.enter) == 2
        try:
            assert variant_used(kernel, 10**9, monkeypatch) == "serial"
        finally:
            elsewhere(pool.leave)
        assert variant_used(kernel, 10**9, monkeypatch) == "parallel"


@several_threads
def test_a_pool_that_was_not_given_back_can_be_entered_again():
    """Ctrl-C can come between `enter` and `leave`."""
    with gd.threads(2):
        assert pool.enter() == pool.enter() == 2
        pool.leave()
        pool.leave()


def test_threads_that_a_training_starts_wait_as_gd_says():
    program = (
        "import numpy as np, gd; from gd.kernels import pool; X = np.ones((64, 3), np.float32)\n"
        "model = gd.LinearModel(3); optimizer = gd.SGD(model.parameters)\n"
        "from gd.kernels.compiler import splitting\n"
        "with splitting(1): gd.fit(model, X, X[:, 0].copy(), optimizer, batch_size=8, epochs=1, progress=False)\n"
        "print(pool.waiting())"
    )
    environment = {name: value for name, value in os.environ.items() if name not in pool.SPINNING}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "spin for some 50 us, then sleep\n", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no signals to oneself")
@pytest.mark.parametrize(
    "place",
    ["cpython/unicode.py, frame.f_lineno > 200", "core/utils.py, frame.f_code.co_name == 'stream_list' and compiled"],
    ids=["imports", "looks_for_what_is_new"],
)
def test_ctrl_c_while_numba_prepares_to_compile_does_not_break_it(place):
    """Where it has registered part of a module's functions, or is in a generator that all later compilations need."""
    file, condition = place.split(", ")
    program = f"""
import os, signal, sys
import numpy as np, gd
signal.signal(signal.SIGINT, signal.default_int_handler)
compiled = False
def inside(frame, event, argument):
    if {condition}:
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGINT)
    return inside
sys.settrace(lambda frame, *rest: inside(frame, *rest) if frame.f_code.co_filename.endswith({file!r}) else None)
p = np.ones(3)
interrupted = 0
for _ in range(3):
    try:
        gd.SGD(p, lr=0.5).step(np.ones(3))
        compiled = True
        gd.Lion(p).step(np.ones(3))
    except KeyboardInterrupt:
        interrupted += 1
print(interrupted)
"""
    environment = os.environ | {"GD_CACHE_DIR": "off"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


@several_threads
def test_an_error_in_a_kernel_gives_the_pool_back(monkeypatch, elsewhere):
    kernel = join(map_elements, activations.relu)
    monkeypatch.setattr(kernel, "enter", lambda *a: 1 / 0)
    with gd.threads(2), pytest.raises(ZeroDivisionError):
        kernel(10**9)
    assert elsewhere(pool._lock.acquire, False)
    elsewhere(pool._lock.release)


def test_many_python_threads_step_at_once(rng):
    start, g = rng.standard_normal((2, 200_000))
    expected = start.copy()
    gd.Adam(expected).step(g)
    results = [start.copy() for _ in range(8)]
    workers = [threading.Thread(target=lambda p=p: gd.Adam(p).step(g)) for p in results]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(expected, p) for p in results)


def step_in_child(queue):
    p = np.zeros(200_000)
    gd.Adam(p).step(np.ones(200_000))
    queue.put((pool.enter(), p[0]))


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")  # Python's, and that of JAX where a test before imported it
def test_a_forked_child_works_serially():
    p = np.zeros(200_000)
    gd.Adam(p).step(np.ones(200_000))  # starts the pool in this process
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=step_in_child, args=(queue,))
    child.start()
    threads, first = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert threads == 1 or pool.max_threads() == 1
    assert first == p[0]


@optimized
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_updates_compile_to_packed_instructions(name):
    import llvmlite.binding

    if not llvmlite.binding.get_host_cpu_features().get("avx2"):
        pytest.skip("looks for x86 instructions")
    optimizer = OPTIMIZERS[name](np.zeros(64, np.float32))
    chosen = (stages.clipped, stages.penalized, stages.decayed, stages.shrunk)
    kernel = Kernel(update, (optimizer.rule, *chosen))
    block = optimizer._structure.arrays[None]
    coefficients = block.update.coefficients.vector(0, 1.0)
    kernel(64, coefficients, np.ones(64, np.float32), 0, block.p, *block.slots)
    text = kernel.assembly(*kernel.compiled)
    assert re.search(r"v(mul|fmadd\w+|fnmadd\w+)ps\s.*%[yz]mm", text)
    assert "gather" not in text
    if name not in ("SGD", "Momentum", "Nesterov", "ASGD", "Adamax", "LARS", "Lion", "Rprop"):
        assert re.search(r"vsqrtps\s.*%[yz]mm", text)


def test_the_common_coefficients_come_first_in_every_vector():
    optimizer = gd.SGD(np.ones(2), lr=0.5, l1=0.25, l2=0.125, weight_decay=0.5, maximize=True, clip_value=3.0, ema=0.75)
    values = Coefficients(optimizer, np.dtype(float)).values(0, 2.0)
    common = CommonCoefficients(scale=-2.0, clip_value=3.0, l1=0.25, l2=0.125, decay=0.75, ema=0.75, one_minus_ema=0.25)
    assert values == (common, (0.5,))
    plain = gd.SGD(np.ones(2), lr=0.5)
    assert Coefficients(plain, np.dtype(float)).values(0, 1.0) == (CommonCoefficients(), (0.5,))


def test_coefficients_come_from_the_annotation_of_the_rule():
    assert coefficients_of(adam.adam) is adam.AdamCoefficients
    for cls in OPTIMIZERS.values():
        optimizer = cls(np.ones(2))
        assert type(optimizer.coefficients(1, 0.1)) is coefficients_of(optimizer.rule)


def test_threads_sets_and_restores():
    before = gd.get_threads()
    with gd.threads(1):
        assert gd.get_threads() == 1
    assert gd.get_threads() == before
    gd.threads(1)
    assert gd.get_threads() == 1
    gd.threads(before)
    for bad in (0, -1, pool.max_threads() + 1, 1.5, "2", True):
        with pytest.raises((TypeError, ValueError), match="threads: n must be"):
            gd.threads(bad)


def test_cpu_quota_limits_the_default(monkeypatch):
    monkeypatch.setattr(pool, "_cpu_quota", lambda: 1)
    assert pool.default_threads() == 1
    monkeypatch.setattr(pool, "_cpu_quota", lambda: None)
    assert pool.default_threads() == pool.max_threads()


@pytest.mark.parametrize(
    "groups, files, cores",
    [
        ("", {}, None),
        ("", {"cpu.max": "150000 100000"}, 2),  # a container's own group is the root it sees
        ("0::/a/b", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000"}, 4),
        ("0::/of/the/host", {"cpu.max": "200000 100000"}, 2),
        ("3:cpuset:/a\n2:cpu,cpuacct:/a\n0::/", {"cpu/a/cpu.cfs_quota_us": "110000"}, 2),
        ("2:cpu:/a", {"cpu/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_quota_us": "-1"}, None),
        ("3:cpuset:/a", {"cpuset/a/cpu.cfs_quota_us": "100000"}, None),
    ],
)
def test_the_quota_is_that_of_the_process_and_of_all_groups_around_it(tmp_path, groups, files, cores):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n" if groups else "")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "cpu.cfs_period_us").write_text("100000")
    assert pool._cpu_quota(tmp_path) == cores


def test_warmup_takes_names_and_refuses_unknown_ones():
    assert gd.warmup("SGD", "relu", "maxout", "mse", "hinge", "kl_divergence", dtypes=("float64",)) > 0
    with pytest.raises(ValueError, match=r"warmup: names\[0\] must be one of"):
        gd.warmup("adam")
    for bad in (("float16",), ("foo",), "float32"):
        with pytest.raises(TypeError, match="warmup: dtype"):
            gd.warmup("SGD", dtypes=bad)
