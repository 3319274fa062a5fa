"""State arrays in files: the same bits as in memory, folders that were not closed, and a limit of memory."""

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gd
from gd.optimizers import OPTIMIZERS, state_folder

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux does")
NAMES = sorted(OPTIMIZERS)
SHAPES = {"W": (40, 50), "b": (7,), "E": (300, 30)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(state_folder, "CHUNK", 1024)


def made(rng, dtype=np.float32):
    return {key: rng.standard_normal(shape).astype(dtype) for key, shape in SHAPES.items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["dict", "array", "vector"])
def test_a_folder_goes_on_bit_for_bit(name, kind, rng, folder, walk):
    start, gradients = made(rng), [made(rng) for _ in range(4)]

    def structured(arrays):
        return {"dict": dict, "array": lambda a: a["E"].copy(), "vector": gd.ParameterVector.from_arrays}[kind](arrays)

    params, expected = structured(copy.deepcopy(start)), structured(copy.deepcopy(start))
    other = OPTIMIZERS[name](expected, lr=0.01, ema=0.5, weight_decay=0.1)
    for g in gradients:
        other.step(structured(g))
    for half in (gradients[:2], gradients[2:]):
        with OPTIMIZERS[name](params, lr=0.01, ema=0.5, weight_decay=0.1, state_dir=folder) as optimizer:
            for g in half:
                assert optimizer.step(structured(g))
            state = optimizer.state_dict()
    assert same(state, other.state_dict())
    assert same(params if kind != "array" else {"": params}, expected if kind != "array" else {"": expected})


def test_groups_and_counts_that_differ_are_kept(rng, folder):
    start, gradients = made(rng), [made(rng) for _ in range(3)]
    gradients[1]["b"] = None
    groups = [{"params": ["b", "E"], "lr": 0.3}]
    params, expected = copy.deepcopy(start), copy.deepcopy(start)
    other = gd.ScheduleFreeAdamW(expected, groups=groups, clip_norm=1.0)
    for g in gradients:
        other.step(g)
        with gd.ScheduleFreeAdamW(params, groups=groups, clip_norm=1.0, state_dir=str(folder)) as optimizer:
            optimizer.step(g)
            state = optimizer.state_dict()
    assert same(state, other.state_dict())
    assert same(params, expected)


def test_rows_accumulation_and_load_state_dict(rng, folder, tmp_path):
    start, g = made(rng), made(rng)
    params, expected = copy.deepcopy(start), copy.deepcopy(start)
    optimizer, other = gd.Adam(params, state_dir=folder), gd.Adam(expected)
    rows, grad_rows = np.array([3, 1, 3]), np.ones((3, 30), np.float32)
    for each in (optimizer, other):
        each.accumulate(g)
        each.step(g)
        each.step_rows("E", rows, grad_rows)
    assert same(params, expected)
    again = gd.Adam(copy.deepcopy(params), state_dir=tmp_path / "again")
    again.load_state_dict(optimizer.state_dict())
    again.step(g)
    other.step(g)
    assert same(again.params, expected)


def test_parameters_and_gradients_in_files(rng, tmp_path, folder):
    p, q = (np.memmap(tmp_path / name, np.float32, "w+", shape=(5000,)) for name in "pq")
    p[:], q[:] = rng.standard_normal((2, 5000))
    private = np.memmap(tmp_path / "q", np.float32, "c", shape=(5000,))
    private += 1  # which is in memory alone
    expected, g = np.array(p), np.array(private)
    other = gd.Adam(expected)
    with gd.Adam(p, state_dir=folder) as optimizer:
        for grads in (q, private, q):
            optimizer.step(grads)
            other.step(np.array(grads))
    assert np.array_equal(p, expected)
    assert np.array_equal(private, g)


# --- Folders that are refused


@pytest.mark.usefixtures("system")
def test_a_folder_that_was_not_closed_is_refused(rng, folder):
    params, g = made(rng), made(rng)
    optimizer = gd.Adam(params, state_dir=folder)
    optimizer.step(g)
    with pytest.raises(ValueError, match=r"^Adam: state_dir .* is in use by another optimizer"):
        gd.Adam(made(rng), state_dir=folder)
    del optimizer
    gc.collect()
    before = contents(folder)
    with pytest.raises(ValueError, match=r"^Adam: state_dir .* was not closed, so its arrays can be of several steps"):
        gd.Adam(params, state_dir=folder)
    assert contents(folder) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_killed_process_leaves_a_folder_that_is_refused_and_copies_that_are_not(rng, folder, tmp_path):
    params, g = made(rng), made(rng)
    child = textwrap.dedent(f"""
        import os, signal, sys
        import numpy as np, gd
        params = {{key: np.ones(shape, np.float32) for key, shape in {SHAPES}.items()}}
        optimizer = gd.Adam(params, state_dir={str(folder)!r})
        optimizer.step(params | {{key: 2 * p for key, p in params.items()}})
        optimizer.save_state({str(tmp_path / "copy")!r})
        optimizer.step(params | {{key: 2 * p for key, p in params.items()}})
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", child]).returncode == -9
    with pytest.raises(ValueError, match="was not closed"):
        gd.Adam(params, state_dir=folder)
    ones = {key: np.ones(shape, np.float32) for key, shape in SHAPES.items()}
    other = gd.Adam(copy.deepcopy(ones))
    other.step({key: 2 * p for key, p in ones.items()})
    expected = copy.deepcopy(other.params)
    with gd.Adam(other.params, state_dir=tmp_path / "copy") as optimizer:
        assert same(optimizer.state_dict(), other.state_dict())
        optimizer.step(g)
    twin = gd.Adam(expected)
    twin.load_state_dict(other.state_dict())
    twin.step(g)
    assert same(other.params, expected)


def test_a_copy_that_did_not_end_is_refused(rng, folder, tmp_path, monkeypatch):
    optimizer = gd.Adam(made(rng), state_dir=folder)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state_folder.shutil, "copyfile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.save_state(tmp_path / "copy")
    with pytest.raises(ValueError, match="was not closed"):
        gd.Adam(made(rng), state_dir=tmp_path / "copy")
    with pytest.raises(FileExistsError, match=r"^Adam.save_state: path must be that of a new folder"):
        optimizer.save_state(tmp_path / "copy")
    optimizer.close()


def test_a_step_that_was_interrupted_is_not_closed(rng, folder, monkeypatch):
    params = made(rng)
    with gd.Adam(params, state_dir=folder) as optimizer:
        calls = []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt

        (update,) = {array.update for array in optimizer._structure.arrays.values()}
        monkeypatch.setattr(update.kernel, "_kernel", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(made(rng))
        with pytest.raises(ValueError, match="Adam: a step was interrupted"):
            optimizer.step(made(rng))
    with pytest.raises(ValueError, match="was not closed"):
        gd.Adam(params, state_dir=folder)


def test_what_is_closed_takes_no_step(rng, folder):
    params, g = made(rng), made(rng)
    optimizer = gd.Adam(params, state_dir=folder)
    optimizer.close()
    optimizer.close()
    before, files = copy.deepcopy(params), contents(folder)
    for call in (
        lambda: optimizer.step(g),
        lambda: optimizer.step_rows("E", np.array([1]), np.ones((1, 30), np.float32)),
        lambda: optimizer.load_state_dict(optimizer.state_dict()),
        lambda: optimizer.save_state(folder / "copy"),
    ):
        with pytest.raises(ValueError, match=r"^Adam: the optimizer was closed; make another"):
            call()
    assert same(params, before)
    assert contents(folder) == files


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda p: (gd.SGD, p, {}), "SGD: state_dir .* holds the state of Adam"),
        (lambda p: (gd.Adam, p, {"amsgrad": True}), "does not hold"),
        (lambda p: (gd.Adam, {**p, "b": np.ones(8, np.float32)}, {}), r"does not hold exp_avg of params\['b'\], 8 x"),
        (lambda p: (gd.Adam, {key: x.astype(np.float64) for key, x in p.items()}, {}), "does not hold"),
        (lambda p: (gd.Adam, {"W": p["W"], "b": p["b"]}, {}), r"holds .* of params\['E'\], too"),
        (lambda p: (gd.Adam, list(p.values()), {}), "does not hold"),
        (lambda p: (gd.Adam, p, {"groups": [{"params": ["b"], "lr": -1.0}]}), r"groups\[0\]: lr must be"),
    ],
)
def test_the_state_of_another_optimizer_is_refused(change, match, rng, folder):
    params = made(rng)
    gd.Adam(params, state_dir=folder).close()
    before = contents(folder)
    cls, others, keywords = change(params)
    with pytest.raises(ValueError, match=match):
        cls(others, state_dir=folder, **keywords)
    assert contents(folder) == before
    gd.Adam(params, state_dir=folder).close()


def test_damaged_and_foreign_folders_are_refused(rng, folder, tmp_path):
    params = made(rng)
    gd.Adam(params, state_dir=folder).close()
    manifest = folder / "state.json"
    text = manifest.read_text()
    for bad in (
        "",
        "[]",
        "{}",
        text[:-5],
        text.replace('"closed"', '"shut"'),
        text.replace('"version": 1', '"version": 2'),
    ):
        manifest.write_text(bad)
        with pytest.raises(ValueError, match=r"^Adam: state_dir .*state.json cannot be read"):
            gd.Adam(params, state_dir=folder)
    manifest.write_text(json.dumps(json.loads(text) | {"numbers": {"steps": -1}}))
    with pytest.raises(ValueError, match=r"^Adam: state_dir: state\['steps'\]"):
        gd.Adam(params, state_dir=folder)
    manifest.write_text(text)
    (folder / "1-exp_avg_sq.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"is damaged: 1-exp_avg_sq.bin must have"):
        gd.Adam(params, state_dir=folder)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="holds files, but no state"):
        gd.Adam(params, state_dir=tmp_path)
    with pytest.raises(ValueError, match=r"must be a folder"):
        gd.Adam(params, state_dir=tmp_path / "file")
    with pytest.raises(TypeError, match=r"^Adam: state_dir must be a path, got 3"):
        gd.Adam(params, state_dir=3)


@pytest.mark.usefixtures("system")
def test_an_optimizer_that_cannot_be_made_leaves_nothing(rng, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_folder, "_reserve", full)
    with pytest.raises(OSError, match="No space"):
        gd.Adam(made(rng), state_dir=folder)
    assert not folder.exists()


def test_it_is_not_copied(rng, folder):
    with gd.Adam(made(rng), state_dir=folder) as optimizer:
        for copied in (copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"^Adam: an optimizer with state_dir cannot be copied"):
                copied(optimizer)
    with pytest.raises(ValueError, match=r"^Adam.save_state: the optimizer was made without state_dir"):
        gd.Adam(made(rng)).save_state(folder)


# --- Memory


@linux
def test_a_state_of_twice_the_memory_that_is_allowed(tmp_path):
    program = textwrap.dedent("""
        import resource, sys
        import numpy as np, gd

        def status(name):
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

        p = np.memmap("p", np.float32, "w+", shape=(16 * 2**20,))
        g = np.memmap("g", np.float32, "w+", shape=p.shape)
        for array in (p, g):
            for start in range(0, p.size, 2**20):
                array[start : start + 2**20] = np.arange(2**20) / 2**20
        small = np.array(p[-1000:])
        gd.Adam(small).step(np.array(g[-1000:]))  # threads and compiled code take their memory before
        with gd.kernels.compiler.splitting(1):
            gd.Adam(np.array(p[-1000:])).step(np.array(g[-1000:]))
        state = 2 * p.nbytes
        del p, g
        limit = state // 2
        resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + limit,) * 2)
        p, g = (np.memmap(name, np.float32, "r+", shape=(16 * 2**20,)) for name in "pg")
        try:
            gd.Adam(p)
            sys.exit("the limit is no limit")
        except MemoryError:
            pass
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak of resident memory begins anew
        before = status("VmRSS")
        with gd.Adam(p, state_dir="state") as optimizer:
            optimizer.step(g)
            peak = status("VmHWM") - before
        assert peak < limit, f"{peak:,} bytes were resident, {limit:,} are allowed"
        assert np.array_equal(p[-1000:], small)
        print(peak)
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
