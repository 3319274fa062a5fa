"""Streams: batches that are made or read as the training goes."""

from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from itertools import islice
from typing import Any

import numpy as np

from ..checks import check_integer, shown
from ..models import Model
from .loop import Training

Batches = Iterable[Any] | Callable[[int], Iterable[Any]]


def is_stream(X: Any, y: Any) -> bool:
    """Return True if X gives batches, rather than being the data."""
    return y is None and (callable(X) or (not hasattr(X, "shape") and _iterable(X) is not None))


def _iterable(batches: Any) -> Iterable[Any] | None:
    """Return an iterable of batches, also from an object with a length and numbered batches; None if there is none."""
    if isinstance(batches, Iterable):
        return batches
    numbered = hasattr(batches, "__len__") and hasattr(batches, "__getitem__")
    return (batches[k] for k in range(len(batches))) if numbered else None


class Stream:
    """The batches that `fit` was given in place of X: a function of the epoch, an iterable, or an iterator."""

    def __init__(self, batches: Batches, steps: int | None, resume: bool, given: dict[str, Any]) -> None:
        self.batches, self.steps = batches, None if steps is None else check_integer("fit", "steps_per_epoch", steps, 1)
        for name, value in given.items():
            if value is not None:
                raise TypeError(f"fit: {name} must be left out where X gives the batches, got {shown(value)}")
        if callable(batches):
            try:
                signature(batches).bind(0)
            except TypeError as error:
                kind = getattr(batches, "__name__", type(batches).__name__)
                raise TypeError(
                    f"fit: X must be a function of the epoch, such as lambda epoch: batches, got {kind}: {error}"
                ) from error
            except ValueError:  # one that is not written in Python has no signature
                pass
        if isinstance(batches, Iterator):
            kind = type(batches).__name__
            if steps is None:
                raise TypeError(
                    f"fit: steps_per_epoch must be given where X is an iterator, such as a {kind}, got None"
                )
            if resume:
                raise TypeError(f"fit: X must be a function of the epoch, or a list, to resume from it, got {kind}")

    def epoch(self, model: Model, epoch: int, steps: int | None) -> Iterator[tuple[Any, Any]]:
        """Yield (X, targets) of the batches of an epoch, as kernels take them."""
        given, count = self.batches(epoch) if callable(self.batches) else self.batches, 0
        batches = _iterable(given)
        if batches is None:
            raise TypeError(f"fit: X({epoch}) must be an iterable of (X, y), got {type(given).__name__}")
        for count, batch in enumerate(islice(batches, steps), 1):
            where = f"fit: batch {count} of epoch {epoch + 1}"
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                parts = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
                raise TypeError(f"{where} must be (X, y) or (X, y, sample_weight), got {type(batch).__name__}{parts}")
            weights = batch[2] if len(batch) == 3 else None
            if np.shape(batch[0])[:1] != (0,) and (weights is None or np.asarray(weights).any()):  # else no row counts
                X, y = model.check_data(where, *batch)
                yield X, y.absolute()
        if count < (steps or 1):
            wanted = "some batches" if steps is None else f"{steps} batches"
            raise ValueError(f"fit: X must give {wanted} in each epoch, it ended after {count} in epoch {epoch + 1}")


class StreamedTraining(Training):
    """A training on a `Stream`."""

    unit = "batches"

    @property
    def steps_per_epoch(self) -> int | None:
        """The number of batches of an epoch, if it is known."""
        return self.settings["steps_per_epoch"]

    def total(self, epochs: int) -> int | None:
        """Return how many batches there are to the last epoch, if it is known."""
        return None if self.steps_per_epoch is None else self.steps_per_epoch * (epochs - self.done)

    def descend(self, seed: int, epoch: int) -> Iterator[tuple[float, int, float]]:
        """Take a step for each batch; yield (loss, rows, their weight) of each."""
        for X, y in self.X.epoch(self.model, epoch, self.steps_per_epoch):
            rows = np.arange(X.shape[0]) if y.counted is None else y.counted
            yield from self.model.descend(X, y, rows, rows.size, self.optimizer)
