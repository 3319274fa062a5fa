"""What the tests of several processes run: ``mpiexec -n 4 python -m mpi4py tests/ranks.py train FOLDER``.

train     trains in several ways and writes what came of it, by the number of ranks; halves of trainings, too
run       trains with a checkpoint after each epoch, slowly, and tells the numbers of the processes
fail      raises an exception on the last rank only
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("GD_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))

import numpy as np

import gd

SIZE, STEPS, EPOCHS = 10_007, 100, 10  # of neither is any a multiple of a shard
OPTIMIZERS = {  # name: class, options
    "clipped": (gd.Adam, {"lr": 0.01, "clip_norm": 1.0, "skip_nonfinite": True, "ema": 0.9, "weight_decay": 0.01}),
    "int8": (gd.Adam, {"lr": gd.schedules.CosineDecay(0.1, STEPS), "state_dtype": "int8", "track_norms": True}),
    "averaged": (gd.ScheduleFreeAdamW, {"lr": 0.01}),
}


def gradient(step, shard, dtype):
    """Return the gradient of a logical shard: large at first, and once with a NaN."""
    g = np.random.default_rng([step, shard]).standard_normal(SIZE) / (1 + step)
    g[3000] = np.nan if (step, shard) == (50, 5) else g[3000]
    return g.astype(dtype)


def stepped(name, reduction, dtype=np.float32, comm=None):
    """Return what an optimizer comes to in 100 steps of 8 gradients each."""
    p = np.random.default_rng(0).standard_normal(SIZE).astype(dtype)
    cls, options = OPTIMIZERS[name]
    optimizer = gd.Distributed(cls, p, comm, reduction, **options)
    for step in range(STEPS):
        if step == 50 and not optimizer.skip_nonfinite:
            continue
        grads = [gradient(step, shard, dtype) for shard in optimizer.shards]
        skipped = step == 50
        applied = optimizer.step(grads if reduction == "reproducible" else np.mean(grads, axis=0, dtype=dtype))
        assert applied is not skipped
    found = {"p": p, "steps": optimizer.steps}
    if optimizer.optimizer.ema:
        found["ema"] = optimizer.ema_params()
    if name == "averaged":
        found["averaged"] = optimizer.averaged_params()
    if optimizer.norms:
        found["norms"] = optimizer.norms
    return found, optimizer


def data():
    """Return X and y of 640 rows."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((640, 40)).astype(np.float32)
    return X, (X @ rng.standard_normal((40, 10)).astype(np.float32)).argmax(axis=1)


def trained(reduction, comm=None, epochs=EPOCHS, **keywords):
    """Return a network that was trained, and the history: 10 steps an epoch."""
    X, y = data()
    model = gd.MLP([40, 128, 40, 10], dropout=0.1 if reduction == "reproducible" else 0.0)
    optimizer = gd.Distributed(gd.Adam, model.parameters, comm, reduction, lr=0.01, clip_norm=0.5)
    keywords = {"validation": (X[:64], y[:64]), "progress": False} | keywords
    history = gd.fit(model, X, y, optimizer, batch_size=64, epochs=epochs, comm=optimizer.comm, **keywords)
    return model, history, optimizer


def train(folder):
    """Train in all these ways; write `{ranks}.npz`, or assert what only several ranks can."""
    from mpi4py import MPI

    ranks, found = MPI.COMM_WORLD.Get_size(), {}
    for name in OPTIMIZERS:
        for reduction in ("fast", "reproducible"):
            result, _ = stepped(name, reduction)
            found |= {f"{reduction} {name} {key}": value for key, value in result.items()}
    found |= {f"double {key}": value for key, value in stepped("clipped", "fast", np.float64)[0].items()}
    for reduction in ("fast", "reproducible"):
        model, history, optimizer = trained(reduction)
        found |= {f"{reduction} fit {key}": value for key, value in model.parameters.items()}
        found |= {f"{reduction} fit loss": history.loss, f"{reduction} fit score": history.score}
    found["times"] = optimizer.times
    own = sum(each.nbytes for each in optimizer.optimizer.state_dict().values() if isinstance(each, np.ndarray))
    found["state"] = np.array(MPI.COMM_WORLD.allgather(own))
    large = gd.Distributed(gd.Adam, np.zeros(2**20, np.float32), lr=0.01).state_dict()
    large = sum(each.nbytes for each in large.values() if isinstance(each, np.ndarray))
    found["large state"] = np.array(MPI.COMM_WORLD.allgather(large))
    for half in sorted(Path(folder).glob("half-*")):
        model, history, _ = trained("reproducible", checkpoint=str(half), resume=True)
        found |= {f"{half.name} fit {key}": value for key, value in model.parameters.items()}
        found |= {f"{half.name} fit loss": history.loss, f"{half.name} fit score": history.score}
    trained("reproducible", epochs=EPOCHS // 2, checkpoint=str(Path(folder) / f"half-{ranks}"))
    if MPI.COMM_WORLD.Get_rank() == 0:
        np.savez(Path(folder) / f"{ranks}.npz", **found)


def run(folder):
    """Train so slowly that it can be killed, or go on."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if comm.Get_rank() == comm.Get_size() - 1:
        Path(folder, "process").write_text(str(os.getpid()))
    checkpoint = gd.Checkpoint(str(Path(folder, "saved")), keep=3)
    model, _, _ = trained(
        "reproducible", checkpoint=checkpoint, resume=True, callbacks=[lambda history: time.sleep(0.2)]
    )
    if comm.Get_rank() == 0:
        np.savez(Path(folder, "end.npz"), **model.parameters)


def fail(folder):
    """Hand in a gradient of wrong shape on the last rank, on which all others wait."""
    from mpi4py import MPI

    optimizer = gd.Distributed(gd.SGD, np.zeros(10))
    last = MPI.COMM_WORLD.Get_rank() == MPI.COMM_WORLD.Get_size() - 1
    optimizer.step(np.zeros(9 if last else 10))


if __name__ == "__main__":
    {"train": train, "run": run, "fail": fail}[sys.argv[1]](sys.argv[2])
