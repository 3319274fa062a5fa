"""warmup: compile kernels, or load them from the disk cache, before they are needed."""

import subprocess
import sys
from math import inf
from time import perf_counter

import numpy as np

from ..activations import ACTIVATIONS
from ..checks import check_choice, check_dtype, check_size, shown
from ..kernels import cache
from ..kernels.compiler import splitting
from ..losses import LOSSES
from ..models import MLP, LinearModel
from ..optimizers import OPTIMIZERS
from ..runtime import check_progress, compiling_bar
from .fitting import fit

_PROGRAM = "import sys, gd; gd.warmup(*sys.argv[2:], dtypes=sys.argv[1].split(','), progress=False)"


def warmup(*names, dtypes=("float32",), processes=1, progress=None):
    """Compile the kernels behind these names; the first call of each is then fast.

    Parameters
    ----------
    *names : str
        Names of optimizers, activations, losses, "MLP" (with relu and Adam) or "LinearModel" (softmax with Adam);
        all of them by default.
    dtypes : sequence of dtype, default: ("float32",)
        For float32, float64 or both.
    processes : int, default: 1
        Compile in so many processes, which share the work and fill the disk cache, before this one loads what they
        compiled. A process takes a second to start: more than one pays for all names, not for a few.
    progress : bool, optional
        Show a bar that names what is compiled (needs tqdm); by default if standard error is a terminal and tqdm is
        there.

    Returns
    -------
    seconds : float
        How long it took: 0.1 to 0.4 s a kernel the first time, a millisecond from the disk cache.

    Raises
    ------
    TypeError, ValueError
        If a name or a dtype is unknown, or several processes have no disk cache to share.
    RuntimeError
        If one of several processes failed.

    Examples
    --------
    >>> import gd
    >>> seconds = gd.warmup("Adam", dtypes=("float64",))
    """
    known = tasks()
    for k, name in enumerate(names):
        check_choice("warmup", f"names[{k}]", name, known)
    if not isinstance(dtypes, (list, tuple)):
        raise TypeError(f"warmup: dtypes must be a list of dtypes, got {shown(dtypes)}")
    dtypes = [check_dtype("warmup", dtype, f"dtypes[{k}]") for k, dtype in enumerate(dtypes)]
    processes = check_size("warmup", "processes", processes)
    check_progress("warmup", progress)
    if processes > 1 and cache.folder() is None:
        raise ValueError(f"warmup: processes must be 1 where there is no disk cache, got {processes}")
    names, start = names or tuple(known), perf_counter()
    if processes > 1:
        _fill_cache(names, dtypes, min(processes, len(names)))
    with compiling_bar("warmup", progress, len(names) * len(dtypes)) as bar, splitting(inf):
        for name in names:
            for dtype in dtypes:
                known[name](dtype)
                bar.update(1)
    return perf_counter() - start


def _fill_cache(names, dtypes, processes):
    """Have other processes compile every `processes`-th of the names each, into the disk cache."""
    command = [sys.executable, "-c", _PROGRAM, ",".join(map(str, dtypes))]
    started = [
        subprocess.Popen([*command, *names[k::processes]], stderr=subprocess.PIPE, text=True) for k in range(processes)
    ]
    errors = [process.communicate()[1] for process in started]
    failed = [error for process, error in zip(started, errors, strict=True) if process.returncode]
    if failed:
        last = failed[0].strip().splitlines()[-1:]
        raise RuntimeError(f"warmup: {len(failed)} of {processes} processes failed: {''.join(last)}")


def tasks():
    """Return {name: f(dtype)} where f runs the kernels behind the name on a few numbers."""

    def optimizer(cls):
        return lambda dtype: cls(np.zeros(2, dtype)).step(np.ones(2, dtype))

    def activation(each):
        def run(dtype):
            x = np.ones(2, dtype)
            y = each.forward(x)
            each.backward(y.copy(), x)
            if each.backward_from_output:
                each.backward_from_output(y.copy(), y)

        return run

    def network(dtype):
        X, y = np.zeros((2, 2), dtype), np.array([0, 1])
        model = MLP([2, 2, 2], dtype=dtype)
        fit(model, X, y, OPTIMIZERS["Adam"](model.parameters), batch_size=2, epochs=1, progress=False)
        model.loss_and_gradients(X, y)
        model.score(X, y)

    def linear(dtype):
        X, y = np.zeros((3, 2), dtype), np.array([0, 1, 0])
        model = LinearModel(2, 2, "softmax_cross_entropy", dtype=dtype)
        fit(model, X, y, OPTIMIZERS["Adam"](model.parameters), batch_size=2, epochs=1, progress=False)
        model.loss_and_gradients(X, y)

    def loss(each):
        def run(dtype):
            prediction = np.zeros((2, 2), dtype)
            each.function(prediction, np.array([0, 1]) if each.labels else prediction)

        return run

    found = {name: optimizer(cls) for name, cls in OPTIMIZERS.items()}
    found |= {name: activation(each) for name, each in ACTIVATIONS.items()}
    return found | {name: loss(each) for name, each in LOSSES.items()} | {"MLP": network, "LinearModel": linear}
