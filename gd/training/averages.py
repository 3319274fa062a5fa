"""averaged: the parameters hold their averages for a while."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

from ..checks import check_choice
from ..distributed import Distributed
from ..kernels.interruption import Interruption
from ..optimizers import Optimizer
from ..parameters import Structure


def averaged(
    optimizer: Optimizer | Distributed, average: Literal["ema", "averaged"] | None = None
) -> AbstractContextManager[None]:
    """Have the parameters hold their averages within a block, such as to score or save the model.

    After the block they are again what training goes on from. To keep the averages, copy them:
    ``model.parameters.vector[:] = optimizer.averaged_params().vector``.

    Parameters
    ----------
    optimizer : Optimizer
        Its parameters are swapped. It takes no step within the block, nor is it averaged again.
    average : {"ema", "averaged"}, optional
        The optimizer's `ema_params` or its `averaged_params`; by default the latter, if it has them.

    Raises
    ------
    TypeError, ValueError
        If the optimizer has no such average, or steps parameters in bfloat16.
    RuntimeError
        Within the block, by a step or another `averaged` of the optimizer.

    Examples
    --------
    >>> import gd, numpy as np
    >>> model = gd.LinearModel(2)
    >>> optimizer = gd.ScheduleFreeAdamW(model.parameters)
    >>> X = np.eye(2, dtype=np.float32)
    >>> history = gd.fit(model, X, X[:, 0].copy(), optimizer, epochs=1, progress=False)
    >>> with gd.averaged(optimizer):
    ...     score = model.score(X, X[:, 0].copy())
    """
    if not isinstance(optimizer, (Optimizer, Distributed)):
        raise TypeError(f"averaged: optimizer must be one of gd's, such as gd.Adam, got {type(optimizer).__name__}")
    own = undistributed(optimizer)
    if own.param_dtype is not None:
        raise ValueError(f"averaged: optimizer must step float32 or float64, got param_dtype={own.param_dtype!r}")
    if average is None:
        average = "averaged" if hasattr(own, "averaged_params") else "ema"
    check_average("averaged", "average", average, own)
    return _swapped(optimizer, own, average)


def undistributed(optimizer: Any) -> Any:
    """Return the optimizer that a Distributed one has on this rank, or the optimizer itself."""
    return optimizer.optimizer if isinstance(optimizer, Distributed) else optimizer


@contextmanager
def _swapped(optimizer: Any, own: Optimizer, average: str) -> Iterator[None]:
    averages = optimizer.ema_params() if average == "ema" else optimizer.averaged_params()
    pairs = Structure("averaged", optimizer.params, lambda *given: None).pairs("averaged", averages)
    kept = [array.p.copy() for array, _ in pairs]
    with own.inside.away():
        try:
            for array, values in pairs:
                array.p[:] = values
            yield
        finally:
            with Interruption():
                for (array, _), values in zip(pairs, kept, strict=True):
                    array.p[:] = values


def check_average(where: str, name: str, average: Any, optimizer: Optimizer) -> None:
    """Raise unless an optimizer has an average."""
    check_choice(where, name, average, ("parameters", "ema", "averaged") if name == "evaluate" else ("ema", "averaged"))
    if average == "ema" and optimizer.ema is None:
        raise ValueError(f"{where}: {name}='ema' needs an optimizer made with ema, such as ema=0.999, got ema=None")
    if average == "averaged" and not hasattr(optimizer, "averaged_params"):
        raise ValueError(f"{where}: {name}='averaged' needs an optimizer that averages, got {type(optimizer).__name__}")
