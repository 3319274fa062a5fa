"""warmup: compile kernels, or load them from the disk cache, before they are needed."""

from math import inf
from time import perf_counter

import numpy as np

from .activations import ACTIVATIONS
from .arrays import check_dtype
from .kernels.compiler import splitting
from .linear_model import LinearModel
from .losses import LOSSES
from .networks import MLP
from .optimizers import OPTIMIZERS
from .ranges import check_choice, shown
from .training import fit


def warmup(*names, dtypes=("float32",)):
    """Compile the kernels behind these names, serial and parallel; the first call of each is then fast.

    Parameters
    ----------
    *names : str
        Names of optimizers, activations, losses, "MLP" (with relu and Adam) or "LinearModel" (softmax with Adam);
        all of them by default.
    dtypes : sequence of dtype, default: ("float32",)
        For float32, float64 or both.

    Returns
    -------
    seconds : float
        How long it took: 0.3 to 2 s a kernel the first time, milliseconds from the disk cache.

    Raises
    ------
    TypeError, ValueError
        If a name or a dtype is unknown.

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
    start = perf_counter()
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            for name in names or known:
                for dtype in dtypes:
                    known[name](dtype)
    return perf_counter() - start


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
        model = LinearModel(2, 2, "softmax", dtype=dtype)
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
