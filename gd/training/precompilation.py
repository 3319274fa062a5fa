"""warmup: compile kernels, or load them from the disk cache, before they are needed."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from ..activations import ACTIVATIONS
from ..checks import check_choice, check_dtype, check_size, shown
from ..kernels import cache
from ..kernels.compiler import splitting
from ..losses import LOSSES
from ..models import MLP, LinearModel
from ..optimizers import OPTIMIZERS
from ..runtime import check_progress, compiling_bar
from ..typing import DTypeLike
from .fitting import fit

_PROGRAM = "import sys, gd; gd.warmup(*sys.argv[2:], dtypes=sys.argv[1].split(','), progress=False)"


def warmup(
    *names: Any,
    dtypes: Sequence[DTypeLike] = ("float32",),
    processes: int = 1,
    progress: bool | None = None,
) -> float:
    """Compile the kernels of these functions and classes; then the first call of each is fast.

    Parameters
    ----------
    *names : str
        Names of optimizers, activations, losses, "MLP" (with relu and Adam) or "LinearModel" (softmax with Adam);
        all of them by default. Or classes, activations and losses of your own.
    dtypes : sequence of dtype, default: ("float32",)
        float32, float64 or both.
    processes : int, default: 1
        If above 1, this many processes share the compilation and fill the disk cache; then this process loads the
        results. A process takes a second to start: several pay off for all names, not for a few.
    progress : bool, optional
        Show a bar that names the kernels being compiled (needs tqdm); by default if standard error is a terminal and
        tqdm is installed.

    Returns
    -------
    seconds : float
        The time it took: 0.1 to 0.4 s per kernel the first time, a millisecond from the disk cache.

    Raises
    ------
    TypeError, ValueError
        If a name or a dtype is unknown, or if there are several processes but no disk cache to share.
    RuntimeError
        If a process failed.

    Examples
    --------
    >>> import gd
    >>> seconds = gd.warmup("Adam", dtypes=("float64",))
    """
    known: dict[Any, Any] = {**tasks()}
    for k, name in enumerate(names):
        own = {} if isinstance(name, str) else _of_user(name)
        if not own:
            check_choice("warmup", f"names[{k}]", name, known)
        known |= own
    if not isinstance(dtypes, (list, tuple)):
        raise TypeError(f"warmup: dtypes must be a list of dtypes, got {shown(dtypes)}")
    checked = [check_dtype("warmup", dtype, f"dtypes[{k}]") for k, dtype in enumerate(dtypes)]
    processes = check_size("warmup", "processes", processes)
    check_progress("warmup", progress)
    if processes > 1 and cache.folder() is None:
        raise ValueError(f"warmup: processes must be 1 where there is no disk cache, got {processes}")
    names, start = names or tuple(tasks()), perf_counter()
    if processes > 1:
        shared = [name for name in names if isinstance(name, str)]
        _fill_cache(shared, checked, min(processes, len(shared)))
    with compiling_bar("warmup", progress, len(names) * len(checked)) as bar, splitting(inf):
        for name in names:
            for dtype in checked:
                known[name](dtype)
                bar.update(1)
    return perf_counter() - start


def _fill_cache(names, dtypes, processes):
    """Let other processes compile the names into the disk cache; each takes every `processes`-th name."""
    command = [sys.executable, "-c", _PROGRAM, ",".join(map(str, dtypes))]
    started = [
        subprocess.Popen([*command, *names[k::processes]], stderr=subprocess.PIPE, text=True) for k in range(processes)
    ]
    errors = [process.communicate()[1] for process in started]
    failed = [error for process, error in zip(started, errors, strict=True) if process.returncode]
    if failed:
        last = failed[0].strip().splitlines()[-1:]
        raise RuntimeError(f"warmup: {len(failed)} of {processes} processes failed: {''.join(last)}")


def tasks() -> dict[str, Callable[[Any], Any]]:
    """Return {name: f(dtype)}, where f runs the kernels of this name on a few numbers."""
    adam: Any = OPTIMIZERS["Adam"]  # its defaults are unknown to type checkers

    def network(dtype):
        X, y = np.zeros((2, 2), dtype), np.array([0, 1])
        model = MLP([2, 2, 2], dtype=dtype)
        fit(model, X, y, adam(model.parameters), batch_size=2, epochs=1, progress=False)
        model.loss_and_gradients(X, y)
        model.score(X, y)

    def linear(dtype):
        X, y = np.zeros((3, 2), dtype), np.array([0, 1, 0])
        model = LinearModel(2, 2, "softmax_cross_entropy", dtype=dtype)
        fit(model, X, y, adam(model.parameters), batch_size=2, epochs=1, progress=False)
        model.loss_and_gradients(X, y)

    found = {name: _optimizer(cls) for name, cls in OPTIMIZERS.items()}
    found |= {name: _activation(each) for name, each in ACTIVATIONS.items()}
    return found | {name: _loss(each) for name, each in LOSSES.items()} | {"MLP": network, "LinearModel": linear}


def _of_user(value):
    """Return {value: f(dtype)} for a class, an activation or a loss; nothing for anything else."""
    kinds = (OPTIMIZERS, _optimizer), (ACTIVATIONS, _activation), (LOSSES, _loss)
    return next(({value: task(known[value])} for known, task in kinds if known.key(value) is not None), {})


def _optimizer(cls):
    return lambda dtype: cls(np.zeros(2, dtype)).step(np.ones(2, dtype))


def _activation(each):
    def run(dtype):
        x = np.ones(2, dtype)
        y = each.forward(x)
        each.backward(y.copy(), x)
        if each.backward_from_output:
            each.backward_from_output(y.copy(), y)

    return run


def _loss(each):
    def run(dtype):
        prediction = np.zeros((2, 2), dtype)
        each.function(prediction, np.array([0, 1]) if each.labels else np.ones_like(prediction))

    return run
