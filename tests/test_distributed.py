"""Optimizers and trainings over several ranks: threads in the place of processes, and processes under MPI."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from communicators import Communicator, on_ranks
from conftest import optimized
from ranks import OPTIMIZERS, stepped

import gd
from gd.distributed import ranks as transport
from gd.distributed.optimizer import REFUSED
from gd.distributed.shard import SPAN
from gd.optimizers import OPTIMIZERS as ALL
from gd.version import to_install

ROOT = Path(__file__).parent.parent
SHARDED = [name for name, cls in ALL.items() if cls.elementwise or cls.estimates]
LIMIT = 120  # seconds of a run


def gradients(count, size=5000, dtype=np.float32):
    return [np.random.default_rng(k).standard_normal(size).astype(dtype) for k in range(count)]


# --- One rank, and ranks that are threads


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Each rank has one thread, and so only serial kernels need be compiled."""
    with gd.threads(1):
        yield


@pytest.mark.parametrize("name, state_dtype", [*((name, None) for name in SHARDED), ("Adam", "int8")])
def test_one_rank_has_the_bits_of_the_optimizer_itself(name, state_dtype):
    start = gradients(4)
    p, q, options = start[0].copy(), start[0].copy(), {"clip_norm": 1.0, "state_dtype": state_dtype}
    optimizer, plain = gd.Distributed(ALL[name], p, Communicator(), **options), ALL[name](q, **options)
    for g in start[1:]:
        assert optimizer.step(g, 0.5)
        assert plain.step(g, 0.5)
    assert np.array_equal(p, q)
    assert (optimizer.steps, optimizer.lr, optimizer.grad_norm) == (3, plain.lr, plain.grad_norm)


@pytest.mark.parametrize("reduction", ["fast", "reproducible"])
def test_lists_dicts_and_parameter_vectors_step_as_one_vector_does(reduction):
    p, g, *_ = gradients(2, 12)

    def like(vector):
        return {"W": vector[:10].reshape(5, 2).copy(), "b": vector[10:].copy()}

    results = []
    for params in (p.copy(), like(p), list(like(p).values()), gd.ParameterVector.from_arrays(like(p))):
        optimizer = gd.Distributed(gd.Adam, params, Communicator(), reduction, ema=0.5, logical_shards=1)
        grads = g if isinstance(params, (np.ndarray, gd.ParameterVector)) else like(g)
        grads = list(grads.values()) if isinstance(params, list) else grads
        assert optimizer.step([grads] if reduction == "reproducible" else grads)
        for found in (params, optimizer.ema_params()):
            assert type(found) is type(params)
        arrays = params.values() if isinstance(params, (dict, gd.ParameterVector)) else params
        results.append(np.concatenate([each.reshape(-1) for each in arrays]).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reproducible_steps_have_the_same_bits_on_1_and_8_ranks(name, monkeypatch):
    (expected,) = on_ranks(1, lambda comm: stepped(name, "reproducible", comm=comm))
    monkeypatch.setattr(transport, "BUCKET", 8 * 1000)  # several messages a shard
    for found in on_ranks(8, lambda comm: stepped(name, "reproducible", comm=comm)):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert np.array_equal(found[key], value), key


def test_fast_steps_on_any_number_of_ranks_differ_by_rounding():
    (expected,) = on_ranks(1, lambda comm: stepped("clipped", "fast", comm=comm))
    for found in on_ranks(4, lambda comm: stepped("clipped", "fast", comm=comm)):
        assert np.linalg.norm(found["p"] - expected["p"]) < 1e-6 * np.linalg.norm(expected["p"])


def test_ranks_without_a_part_and_ranks_that_are_not_a_power_of_two():
    def run(comm):
        p = np.ones(SPAN + 1)
        optimizer = gd.Distributed(gd.SGD, p, comm, lr=1.0, clip_norm=10.0)
        optimizer.step(np.full(p.size, float(comm.rank)))
        return p, optimizer.grad_norm

    for p, norm in on_ranks(3, run):  # the mean of 0, 1 and 2 is 1
        assert norm == pytest.approx(np.sqrt(p.size))
        assert p == pytest.approx(np.full(p.size, 1 - 10 / norm))


def test_all_ranks_start_from_the_parameters_of_the_first():
    def run(comm):
        p = [np.full(3, float(comm.rank)), np.full(2, float(comm.rank))]
        gd.Distributed(gd.SGD, p, comm)
        return np.concatenate(p)

    assert not np.any(on_ranks(2, run))


def test_the_first_rank_compiles_before_the_others():
    order = []

    def run(comm):
        with transport.Ranks("test", comm).in_turn():
            time.sleep(0.1 * (comm.rank == 0))
            order.append(comm.rank)

    on_ranks(4, run)
    assert order[0] == 0


def test_seconds_go_into_compute_wire_and_update():
    optimizer = gd.Distributed(gd.SGD, np.zeros(10), Communicator())
    before = optimizer.times
    time.sleep(0.05)
    optimizer.step(np.ones(10))
    compute, wire, update = (now - then for now, then in zip(optimizer.times, before, strict=True))
    assert compute >= 0.05
    assert 0 < wire < 10
    assert 0 < update < 10


def test_without_a_communicator_mpi4py_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=f"Distributed needs mpi4py and an MPI: {re.escape(to_install('mpi'))}"):
        gd.Distributed(gd.SGD, np.zeros(3))
    assert gd.Distributed(gd.SGD, np.zeros(3), Communicator()).step(np.ones(3))  # else it is not


class Half:
    """Not all that a communicator has."""

    Get_rank = Get_size = Barrier = Bcast = lambda self: 0


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"optimizer_class": gd.LAMB}, ValueError, "optimizer_class must be elementwise, got LAMB"),
        ({"optimizer_class": gd.Optimizer}, TypeError, "optimizer_class must be an optimizer such as gd.Adam"),
        ({"optimizer_class": "Adam"}, TypeError, "optimizer_class must be an optimizer such as gd.Adam, got 'Adam'"),
        ({"params": np.zeros(3, int)}, TypeError, "params has dtype int64, expected float32 or float64"),
        ({"params": [np.zeros(3), np.zeros(3, np.float32)]}, ValueError, "params must be of one dtype"),
        ({"comm": Half()}, TypeError, "comm must be a communicator .*, got Half without Allreduce"),
        ({"reduction": "slow"}, ValueError, "reduction must be one of fast, reproducible, got 'slow'"),
        ({"logical_shards": 6}, ValueError, "logical_shards must be a power of two, got 6"),
        ({"lr": -1.0}, ValueError, r"lr must be in \[0, inf\), got -1.0"),
        ({"nonsense": 1}, TypeError, "unexpected keyword 'nonsense'"),
        *(({name: [{}]}, TypeError, f"{name} is not for the shards of a vector") for name in REFUSED),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    given = {"optimizer_class": gd.Adam, "params": np.zeros(3), "comm": Communicator()} | arguments
    with pytest.raises(error, match=f"^Distributed: {message}"):
        gd.Distributed(**given)


def test_ranks_must_agree_and_suit_the_logical_shards():
    with pytest.raises(ValueError, match="must be alike on all ranks"):
        on_ranks(2, lambda comm: gd.Distributed(gd.SGD, np.zeros(3 + comm.rank), comm))
    with pytest.raises(ValueError, match="logical_shards must be a multiple of the 3 ranks, got 8"):
        on_ranks(3, lambda comm: gd.Distributed(gd.SGD, np.zeros(3), comm, "reproducible"))


@pytest.mark.parametrize(
    "reduction, grads, message",
    [
        ("fast", [np.zeros(3)], "step: grads must have the structure of params; none for params"),
        ("fast", [np.zeros(3), np.zeros(3)], r"step: grads\[1\] has shape \(3,\), params\[1\] has \(2,\)"),
        ("fast", [np.zeros(3), None], "step: grads must have one for each array, got None"),
        ("fast", None, "step: grads must be like params, got None"),
        ("reproducible", np.zeros(3), "step: grads must be a sequence of 2, got ndarray"),
        ("reproducible", [[np.zeros(3), np.zeros(2)]], "step: grads must be 2, one for each logical shard, got 1"),
        ("reproducible", [[np.zeros(3), np.zeros(2)], [np.zeros(3)]], r"step: grads\[1\] must have the structure"),
    ],
)
def test_wrong_gradients_are_refused_and_nothing_has_changed(reduction, grads, message):
    params = [np.ones(3), np.ones(2)]
    optimizer = gd.Distributed(gd.Adam, params, Communicator(), reduction, logical_shards=2)
    with pytest.raises((TypeError, ValueError), match=f"^Distributed.{message}"):
        optimizer.step(grads)
    assert optimizer.steps == 0
    assert np.concatenate(params).tolist() == [1] * 5


# --- Checkpoints


def moved(comm, path, steps, first=0, **options):
    """Step from a checkpoint, if there is one, and save; return the parameters, and the tree of the checkpoint."""
    p = gradients(1)[0]
    optimizer = gd.Distributed(gd.Adam, p, comm, "reproducible", **{"state_dtype": "int8", "ema": 0.9} | options)
    tree = optimizer.load(path) if first else None
    for step in range(first, first + steps):
        optimizer.step([np.random.default_rng([step, k]).standard_normal(p.size, np.float32) for k in optimizer.shards])
    optimizer.save(path, {"steps": optimizer.steps, "by": comm.rank}, keep=2)
    return p, optimizer.ema_params(), tree


def test_a_checkpoint_goes_on_on_any_number_of_ranks(tmp_path):
    ((expected, average, _),) = on_ranks(1, lambda comm: moved(comm, tmp_path / "all", 12))
    for first, ranks in enumerate((4, 1, 8, 2)):
        found = on_ranks(ranks, lambda comm, first=first: moved(comm, tmp_path / "parts", 3, 3 * first))
    for p, ema, tree in found:
        assert tree == {"steps": 9, "by": 0}
        assert np.array_equal(p, expected)
        assert np.array_equal(ema, average)
    assert sorted(path.name for path in (tmp_path / "parts").glob("*.json")) == [
        "checkpoint-3.json",
        "checkpoint-4.json",
    ]
    manifest = json.loads((tmp_path / "parts" / "checkpoint-3.json").read_text())["manifest"]
    assert (manifest["step"], manifest["size"], len(manifest["shards"])) == (9, 5000, 8)
    assert manifest["shards"][1] | {"sha256": 0} == {"start": 2048, "stop": 4096, "sha256": 0}
    assert manifest["versions"].items() >= {"gd": gd.__version__, "numpy": np.__version__}.items()


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: damage(folder / "checkpoint-2.rank-1.safetensors"),
        lambda folder: damage(folder / "checkpoint-2.tree.safetensors"),
        lambda folder: (folder / "checkpoint-2.rank-0.safetensors").unlink(),
        lambda folder: (folder / "checkpoint-2.json").unlink(),  # killed before it was written
        lambda folder: (folder / "checkpoint-2.json").write_text("{"),
        lambda folder: (folder / "checkpoint-2.json").write_text("[]"),
        lambda folder: damage(folder / "checkpoint-2.json"),
    ],
)
def test_what_is_damaged_or_unfinished_is_passed_over_for_the_one_before(harm, tmp_path):
    def load(comm):
        return gd.Distributed(gd.Adam, np.zeros(5000, np.float32), comm, state_dtype="int8", ema=0.9).load(tmp_path)

    for first in (0, 1):
        on_ranks(2, lambda comm, first=first: moved(comm, tmp_path, 1, first))
    assert on_ranks(2, load) == [{"steps": 2, "by": 0}] * 2
    harm(tmp_path)
    assert on_ranks(2, load) == [{"steps": 1, "by": 0}] * 2
    (tmp_path / ".checkpoint-2.json.abcdefgh.gd-save").mkdir()
    on_ranks(2, lambda comm: moved(comm, tmp_path, 1, 1))
    assert not list(tmp_path.glob(".*"))  # nothing that is unfinished is left
    assert on_ranks(2, load) == [{"steps": 2, "by": 0}] * 2
    for path in tmp_path.glob("*.tree.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(gd.CheckpointError, match="holds no checkpoint that is complete and undamaged"):
        on_ranks(2, load)


def test_a_checkpoint_of_something_else_is_refused_and_nothing_has_changed(tmp_path):
    on_ranks(2, lambda comm: moved(comm, tmp_path, 1))
    for size, dtype, options in (
        (4000, np.float32, {"state_dtype": "int8", "ema": 0.9}),
        (5000, np.float64, {"state_dtype": "int8", "ema": 0.9}),
        (5000, np.float32, {"ema": 0.9}),
        (5000, np.float32, {"state_dtype": "int8"}),
    ):
        p = np.zeros(size, dtype)
        optimizer = gd.Distributed(gd.Adam, p, Communicator(), **options)
        before = optimizer.state_dict()
        with pytest.raises(gd.CheckpointError, match=r"^Distributed\.load: "):
            optimizer.load(tmp_path)
        assert not p.any()
        assert all(np.array_equal(before[key], value) for key, value in optimizer.state_dict().items())


# --- fit


def test_fit_on_ranks_sees_every_row_once_an_epoch():
    seen = []

    class Noted(gd.LinearModel):
        def write_gradients(self, X, y, rows, step, out, losses=None):
            seen.append((step, rows))
            return super().write_gradients(X, y, rows, step, out, losses)

    def run(comm):
        model = Noted(3, dtype=np.float64)
        optimizer = gd.Distributed(gd.SGD, model.parameters, comm, lr=0.1)
        X = np.ones((77, 3))
        gd.fit(model, X, X[:, 0].copy(), optimizer, batch_size=16, epochs=2, comm=comm, progress=False)
        return optimizer.steps

    assert on_ranks(3, run) == [10] * 3
    epochs = [[rows for step, rows in seen if step // 8 in range(k, k + 5)] for k in (0, 5)]
    for rows in (np.concatenate(epochs[0]), np.concatenate(epochs[1])):
        assert set(rows.tolist()) == set(range(77))
    assert len(np.concatenate(epochs[1])) == 77  # the first has the rows with which kernels were compiled, too
    assert not np.array_equal(epochs[1][0], epochs[0][0])


def test_a_batch_of_all_rows_is_that_of_one_process():
    rng = np.random.default_rng(0)
    for rows, ranks in ((50, 2), (3, 4)):  # of 3 rows some ranks have none
        X = rng.standard_normal((rows, 4))
        y = X @ np.ones(4)

        def run(comm, reduction, X=X, y=y):
            model = gd.LinearModel(4, l2=0.1, dtype=np.float64)
            given = model.parameters, comm, reduction
            optimizer = gd.SGD(model.parameters, lr=0.1) if comm is None else gd.Distributed(gd.SGD, *given, lr=0.1)
            history = gd.fit(model, X, y, optimizer, batch_size="all", epochs=20, progress=False, comm=comm)
            return [*model.parameters.vector, *history.loss]

        for reduction in ("fast", "reproducible"):
            found = on_ranks(ranks, lambda comm, reduction=reduction, run=run: run(comm, reduction))
            assert np.allclose(found, run(None, None), rtol=1e-12)


def test_a_loss_that_is_not_finite_stops_all_ranks_before_the_step():
    def run(comm):
        model = gd.LinearModel(3, dtype=np.float64)
        optimizer = gd.Distributed(gd.SGD, model.parameters, comm)
        X = np.ones((16, 3))
        X[3] = np.nan  # in a shard of rank 0
        try:
            gd.fit(model, X, X[:, 0].copy(), optimizer, batch_size=16, epochs=1, comm=comm, progress=False)
        except FloatingPointError as error:
            return str(error), optimizer.steps, model.parameters.vector.any()

    assert [found[1:] for found in on_ranks(2, run)] == [(0, False)] * 2


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"batch_size": 12}, "batch_size must be a multiple of the 8 logical shards, got 12"),
        ({"accumulate": 2}, "accumulate is not for several ranks"),
        ({"emphasis": 0.5}, "emphasis is not for several ranks"),
        ({"comm": None}, "comm must be that of the optimizer, got NoneType"),
        ({"comm": Communicator()}, "comm must be that of the optimizer, got Communicator"),
        ({"plain": True}, "optimizer must be a gd.Distributed where comm is given, got Adam"),
    ],
)
def test_fit_refuses_what_ranks_cannot(keywords, message):
    model, comm, plain = gd.MLP([3, 2]), Communicator(), keywords.pop("plain", False)
    optimizer = gd.Adam(model.parameters) if plain else gd.Distributed(gd.Adam, model.parameters, comm)
    given = {"batch_size": 8, "comm": comm, "progress": False} | keywords
    with pytest.raises((TypeError, ValueError), match=f"^fit: {message}"):
        gd.fit(model, np.zeros((16, 3), np.float32), np.zeros(16, int), optimizer, **given)


def test_ranks_without_a_logical_shard_are_refused():
    def run(comm):
        model = gd.LinearModel(3)
        optimizer = gd.Distributed(gd.SGD, model.parameters, comm, logical_shards=2)
        X = np.zeros((4, 3), np.float32)
        gd.fit(model, X, X[:, 0].copy(), optimizer, batch_size=2, comm=comm)

    with pytest.raises(ValueError, match="fit: optimizer has 2 logical shards, too few for 3 ranks"):
        on_ranks(3, run)


# --- Processes under MPI

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def begin(ranks, *command):
    """Start a Python program on several ranks, of one thread each."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process, limit=LIMIT):
    """Return the exit status and the output of a program, all of whose processes are gone then."""
    try:
        output, _ = process.communicate(timeout=limit)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


@pytest.fixture(scope="module")
def mpi():
    pytest.importorskip("mpi4py")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec")


@pytest.fixture(scope="module")
def runs(mpi, tmp_path_factory):
    """What trainings on 2, 4 and 1 ranks came to, each of which goes on from the halves of those before, too."""
    folder = tmp_path_factory.mktemp("ranks")
    for ranks in (2, 4, 1):
        status, output = end(begin(ranks, "-m", "mpi4py", ROOT / "tests" / "ranks.py", "train", folder))
        assert status == 0, output
    return {ranks: dict(np.load(folder / f"{ranks}.npz")) for ranks in (1, 2, 4)}


def test_reproducible_trainings_have_the_same_bits_on_1_2_and_4_ranks(runs):
    names = [name for name in runs[1] if name.startswith("reproducible")]
    assert len(names) > 9
    for ranks in (2, 4):
        for name in (*names, "score"):
            assert np.array_equal(runs[ranks][name], runs[1][name]), (ranks, name)


def test_fast_trainings_are_within_1e_6_of_one_process(runs):
    names = [name for name in runs[1] if name.startswith("fast")]
    assert len(names) > 9
    for ranks in (2, 4):
        for name in names:
            difference = np.linalg.norm(runs[ranks][name] - runs[1][name])
            assert difference <= 1e-6 * np.linalg.norm(runs[1][name]), (ranks, name)


def test_a_training_resumed_on_another_number_of_ranks_has_the_bits_of_one_that_ran_through(runs):
    resumed = {(ranks, name) for ranks in runs for name in runs[ranks] if name.startswith("half-")}
    assert {(ranks, name.split()[0]) for ranks, name in resumed} == {(4, "half-2"), (1, "half-2"), (1, "half-4")}
    for ranks, name in resumed:
        assert np.array_equal(runs[ranks][name], runs[1][f"reproducible {name.partition(' ')[2]}"]), (ranks, name)


def test_each_rank_has_its_share_of_the_state(runs):
    for dtype, whole in (("None", 2 * 4 * 2**20), ("int8", 2 * 2**20 * 260 // 256)):
        for ranks in (1, 2, 4):
            assert runs[ranks][f"bytes {dtype}"].tolist() == [whole // ranks] * ranks


def test_seconds_are_told_apart_under_mpi(runs):
    for ranks in (1, 2, 4):
        assert (runs[ranks]["times"] > 0).all()


@optimized
def test_only_the_first_rank_of_a_machine_compiles(mpi, tmp_path, monkeypatch):
    monkeypatch.setenv("GD_CACHE_DIR", str(tmp_path / "cache"))
    status, output = end(begin(2, "-m", "mpi4py", ROOT / "tests" / "ranks.py", "compile", tmp_path))
    assert status == 0, output
    compiled = [int((tmp_path / rank).read_text()) for rank in "01"]
    assert compiled[0] > 3
    assert compiled[1] == 0


def test_a_killed_rank_ends_all_and_the_restart_comes_to_the_same_bits(runs, tmp_path):
    command = ROOT / "tests" / "ranks.py", "run", tmp_path
    process = begin(4, "-m", "mpi4py", *command)
    deadline = time.monotonic() + LIMIT
    while len(list((tmp_path / "saved").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(int((tmp_path / "process").read_text()), signal.SIGKILL)
    status, output = end(process, limit=10)
    assert status != 0, output
    assert not (tmp_path / "end.npz").exists()
    status, output = end(begin(2, "-m", "mpi4py", *command))
    assert status == 0, output
    assert np.array_equal(np.load(tmp_path / "end.npz")["p"], runs[1]["reproducible fit p"])


def test_an_exception_on_one_rank_ends_all_with_its_message(mpi, tmp_path):
    status, output = end(begin(2, "-m", "mpi4py", ROOT / "tests" / "ranks.py", "fail", tmp_path), limit=60)
    assert status != 0
    assert "Distributed.step: grads has shape (9,), params has (10,)" in output


def test_gd_train_on_two_ranks_prints_once(mpi, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 40))
    np.savez(tmp_path / "data.npz", X=X, y=(X[:, 0] > 0).astype(int))
    options = ["--data", tmp_path / "data.npz", "--hidden", "8", "--epochs", 3]
    files = ["--save", tmp_path / "model", "--resume", tmp_path / "saved"]
    status, output = end(begin(2, "-m", "gd", "train", "--distributed", "reproducible", *options, *files))
    assert status == 0, output
    lines = [line.split()[0] for line in output.splitlines()]
    assert lines == ["data", "target", "model", "optimizer", "compiled", *["gd"] * 4, "rank", "saved"]
    assert "reproducible on 2 ranks" in output
    assert gd.MLP.load(tmp_path / "model").widths == [40, 8, 2]
    assert len(list((tmp_path / "saved").glob("*.rank-*"))) == 2


def test_gd_train_on_two_ranks_ends_with_the_message_of_the_one_that_fails(mpi, tmp_path):
    status, output = end(begin(2, "-m", "gd", "train", "--distributed", "--optimizer", "lars"), limit=60)
    assert status != 0
    assert "gd train: rank 0: Distributed: optimizer_class must be elementwise, got LARS" in output
    assert "Traceback" not in output
