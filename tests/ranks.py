"""What the tests of several processes run: ``mpiexec -n 4 python -m mpi4py tests/ranks.py train FOLDER``.

train     trains in several ways and writes what came of it, by the number of ranks, and half a training to go on from
run       trains with a checkpoint after each epoch, slowly, and tells which process the last rank is
compile   counts the kernels that each rank compiled
fail      raises an exception on the last rank only
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("GD_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))

import numpy as np

import gd

SIZE, STEPS, EPOCHS = 10_007, 100, 10  # of neither is any a multiple of a shard
OPTIMIZERS = {  # name: class, options
    "clipped": (gd.Adam, {"lr": 0.01, "clip_norm": 1.0, "skip_nonfinite": True, "ema": 0.9, "weight_decay": 0.01}),
    "int8": (gd.Adam, {"lr": gd.schedules.CosineDecay(0.1, STEPS), "state_dtype": "int8", "track_norms": True}),
    "estimated": (gd.Prodigy, {"d0": 1e-4, "weight_decay": 0.1, "skip_nonfinite": True}),
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
    return found


def trained(kind, comm=None, epochs=EPOCHS, **keywords):
    """Return a model that was trained for 10 steps an epoch, its history and its optimizer."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((635, 40))
    y = (X @ rng.standard_normal((40, 10))).argmax(axis=1)
    if kind == "fast":
        model = gd.LinearModel(40, 10, "softmax", l2=1e-3, dtype=np.float64)
    else:
        model = gd.MLP([40, 128, 40, 10], dropout=0.1, max_norm=2.0, dtype=np.float64)
    optimizer = gd.Distributed(gd.Adam, model.parameters, comm, kind, lr=0.01, clip_norm=0.5)
    keywords = {"validation": (X[:64], y[:64]), "progress": False} | keywords
    history = gd.fit(model, X, y, optimizer, batch_size=64, epochs=epochs, comm=optimizer.comm, **keywords)
    return model, history, optimizer


def bytes_of(optimizer):
    """Return how many bytes of state each rank has."""
    arrays = [each for each in optimizer.state_dict().values() if isinstance(each, np.ndarray)]
    return optimizer.comm.allgather(sum(each.nbytes for each in arrays))


def train(folder):
    """Train in all these ways, also from the halves that other numbers of ranks left, and write `{ranks}.npz`."""
    from mpi4py import MPI

    comm, found = MPI.COMM_WORLD, {}
    for name in OPTIMIZERS:
        for reduction in ("fast", "reproducible"):
            found |= {f"{reduction} {name} {key}": value for key, value in stepped(name, reduction).items()}
    for kind in ("fast", "reproducible"):
        model, history, optimizer = trained(kind)
        found |= {f"{kind} fit p": model.parameters.vector, f"{kind} fit loss": history.loss}
    found |= {"score": history.score, "times": optimizer.times, "own": optimizer.state_dict()["exp_avg"]}
    for half in Path(folder).glob("half-*"):
        model, history, _ = trained("reproducible", checkpoint=str(half), resume=True)
        found |= {f"{half.name} fit p": model.parameters.vector, f"{half.name} fit loss": history.loss}
    half = Path(folder) / f"half-{comm.Get_size()}"
    trained("reproducible", epochs=EPOCHS // 2, checkpoint=str(half))
    large = np.zeros(2**20, np.float32)
    found |= {f"bytes {dtype}": bytes_of(gd.Distributed(gd.Adam, large, state_dtype=dtype)) for dtype in (None, "int8")}
    if comm.Get_rank() == 0:
        np.savez(Path(folder) / f"{comm.Get_size()}.npz", **found)


def run(folder):
    """Train so slowly that it can be killed, or go on."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if comm.Get_rank() == comm.Get_size() - 1:
        Path(folder, "process").write_text(str(os.getpid()))
    checkpoint = gd.Checkpoint(str(Path(folder, "saved")), keep=3)
    slowly = [lambda history: time.sleep(0.3)]
    model, _, _ = trained("reproducible", checkpoint=checkpoint, resume=True, callbacks=slowly)
    if comm.Get_rank() == 0:
        np.savez(Path(folder, "end.npz"), p=model.parameters.vector)


def compile_(folder):
    """Write how many kernels each rank compiled, in an empty cache, until the end of a training."""
    from mpi4py import MPI

    from gd.kernels.compiler import kernels

    model, X = gd.LinearModel(3), np.ones((16, 3), np.float32)
    optimizer = gd.Distributed(gd.SGD, model.parameters, lr=0.01, clip_norm=1.0)
    gd.fit(model, X, X[:, 0].copy(), optimizer, batch_size=8, epochs=1, progress=False, comm=optimizer.comm)
    compiled = sum(not each.was_cached for kernel in kernels for each in kernel.compiled.values())
    Path(folder, str(MPI.COMM_WORLD.Get_rank())).write_text(str(compiled))


def fail(folder):
    """Hand in a gradient of wrong shape on the last rank."""
    from mpi4py import MPI

    optimizer = gd.Distributed(gd.SGD, np.zeros(10))
    last = MPI.COMM_WORLD.Get_rank() == MPI.COMM_WORLD.Get_size() - 1
    optimizer.step(np.zeros(9 if last else 10))  # on which all others wait


if __name__ == "__main__":
    {"train": train, "run": run, "compile": compile_, "fail": fail}[sys.argv[1]](sys.argv[2])
