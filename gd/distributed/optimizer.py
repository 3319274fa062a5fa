"""Distributed: one optimizer over the processes of an MPI communicator, each with a shard of its state."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..checks import (
    REAL,
    aligned_empty,
    aligned_full,
    check_choice,
    check_integer,
    check_number,
    check_path,
    check_size,
    renamed,
)
from ..files import CheckpointError, encoded, require_safetensors
from ..kernels.interruption import Interruption
from ..kernels.storage import CODE_BLOCK
from ..optimizers import Optimizer
from ..typing import FilePath, Params, Rate
from . import sharded_checkpoint
from .clock import Clock, Times
from .descent import descend
from .flat_vector import FlatVector
from .ranks import Ranks, world
from .shard import SPAN, AllShards, check_class, compile_steps
from .summation import TreeSum

BEST = "best."  # before the names of the state that belongs to the best epoch
LOGICAL_SHARDS = 8  # by default
REDUCTIONS = ("fast", "reproducible")
REFUSED = ("groups", "state_dir", "param_dtype", "master_weights", "zero_grads", "clip_norm_each")  # of optimizers


class Distributed:
    """An optimizer whose state is sharded over the processes (ranks) of an MPI communicator.

    All parameters are on every rank, as one vector that is cut into a shard for each rank (stage 1 of ZeRO). In a step,
    each rank gets the sum of the gradients of its own shard, updates the shard by an ordinary optimizer, and collects
    the parameters of all shards. Every rank must call the same methods in the same order.

    Parameters
    ----------
    optimizer_class : type
        Such as `gd.Adam`; not LAMB, LARS, Adafactor, SM3 and Muon, which step whole arrays.
    params : as for every optimizer
        Of one dtype. All ranks start with the parameters of rank 0. A ParameterVector or one array is fastest: the
        arrays of a list or a dict are copied into a vector and back in each step.
    comm : communicator, optional
        Of mpi4py, or an object with the same upper-case methods; by default the one of all processes.
    reduction : {"fast", "reproducible"}
        Fast: each rank passes one gradient, and MPI chooses the order of the sum; with another number of ranks, results
        differ by rounding. Reproducible: a batch has `logical_shards` parts, whose gradients are summed by a fixed
        binary tree; results have the same bits on any number of ranks that divides `logical_shards`.
    logical_shards : int, default: 8
        Number of parts into which `gd.fit` cuts data and batches, a power of two.
    **options
        Arguments of the optimizer, such as lr, betas, ema; clip_norm and skip_nonfinite look at all shards. groups,
        state_dir, param_dtype, master_weights, zero_grads and clip_norm_each are not possible.

    Attributes
    ----------
    optimizer : Optimizer
        The optimizer of this rank's shard. Do not step it.
    shards : range
        The logical shards whose gradients this rank passes to `step`.
    times : Times
        Seconds of this rank so far in compute (between steps), wire (messages) and update.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; on another rank as well where ranks do not agree.
    ImportError
        If comm is None and mpi4py or MPI is missing.

    References
    ----------
    Rajbhandari, Rasley, Ruwase & He, "ZeRO: Memory optimizations toward training trillion parameter models", 2020.

    Examples
    --------
    Started by ``mpiexec -n 4 python -m mpi4py script.py``::

        optimizer = gd.Distributed(gd.Adam, model.parameters, lr=1e-3, clip_norm=1.0)
        history = gd.fit(model, X, y, optimizer, comm=optimizer.comm)
    """

    def __init__(
        self,
        optimizer_class: type[Any],
        params: Params,
        comm: Any = None,
        reduction: Literal["fast", "reproducible"] = "fast",
        *,
        logical_shards: int = LOGICAL_SHARDS,
        **options: Any,
    ) -> None:
        where = "Distributed"
        check_class(where, optimizer_class)
        for name in REFUSED:
            if options.pop(name, None):
                raise TypeError(f"{where}: {name} is not for the shards of a vector")
        self.reduction: str = check_choice(where, "reduction", reduction, REDUCTIONS)
        self.logical_shards: int = check_size(where, "logical_shards", logical_shards, high=2**30)
        if self.logical_shards & (self.logical_shards - 1):
            raise ValueError(f"{where}: logical_shards must be a power of two, got {logical_shards}")
        flat = self._flat = FlatVector(where, params, options.get("grad_dtype"))
        name, start = optimizer_class.__name__, np.zeros(1, flat.dtype)
        renamed(
            f"{name}:", f"{where}:", lambda: optimizer_class(start, **options)
        )  # raises before others wait for this rank
        self.comm: Any = world(where) if comm is None else comm
        ranks = self._ranks = Ranks(where, self.comm)
        self._reproducible = self.reduction == "reproducible"
        if self._reproducible and self.logical_shards % ranks.size:
            raise ValueError(
                f"{where}: logical_shards must be a multiple of the {ranks.size} ranks, got {logical_shards}"
            )
        self.shards: range = range(*(self.logical_shards * k // ranks.size for k in (ranks.rank, ranks.rank + 1)))
        given = np.array([flat.size, flat.dtype.itemsize, self.logical_shards, self._reproducible])
        if (ranks.gather(given) != given).any():
            raise ValueError(f"{where}: params, reduction and logical_shards must be alike on all ranks")
        ranks.broadcast(flat.take())
        flat.give()
        shard = -(-flat.size // (ranks.size * SPAN)) * SPAN
        self._mine = slice(ranks.rank * shard, (ranks.rank + 1) * shard)
        self._shard, self._gradient = (aligned_full(shard, flat.dtype, 0) for _ in range(2))
        self._tree = TreeSum(len(self.shards))
        self._refresh()
        with ranks.in_turn():
            compile_steps(optimizer_class, flat.dtype, options)
        self.optimizer: Optimizer = optimizer_class(self._shard, **options)
        self.optimizer.inside.together = AllShards(ranks)
        self.optimizer._structure.arrays[None].first_block = ranks.rank * shard // CODE_BLOCK
        self._clock, self._started = Clock(ranks), False

    # --- Properties

    @property
    def params(self) -> Any:
        """The parameters, as given."""
        return self._flat.params

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.optimizer.steps

    @property
    def lr(self) -> float:
        """The learning rate of the next step; set it to a number or a schedule, on all ranks."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._own(":", lambda: setattr(self.optimizer, "lr", value))

    @property
    def last_lr(self) -> float:
        """The learning rate of the last step; before any step, that of the first."""
        return self.optimizer.last_lr

    @property
    def schedules(self) -> dict[str, Any]:
        """The hyper-parameters that are schedules, by name."""
        return self.optimizer.schedules

    @property
    def groups(self) -> tuple[()]:
        """Always empty: arrays cannot have their own learning rates."""
        return ()

    @property
    def skip_nonfinite(self) -> bool:
        """True if gradients that are not finite are skipped."""
        return self.optimizer.skip_nonfinite

    @property
    def grad_norm(self) -> float | None:
        """Norm of the last gradient, over all shards, before clip_norm; None unless it was needed."""
        return self.optimizer.grad_norm

    @property
    def norms(self) -> Any:
        """The norms of the last step, over all shards; None without track_norms."""
        return self.optimizer.norms

    @property
    def times(self) -> Times:
        """Seconds of this rank so far, in compute, wire and update."""
        return Times(self._clock.compute, self._ranks.seconds, self._clock.update)

    def __repr__(self) -> str:
        return f"{self.optimizer}, {self.reduction} on {self._ranks.size} ranks"

    # --- The step

    def step(self, grads: Any, grad_scale: float = 1.0) -> bool:
        """Update the parameters on all ranks by the mean of the gradients of the ranks.

        Parameters
        ----------
        grads : as params
            This rank's gradient; the mean is over ranks. With reduction="reproducible" a sequence of gradients, one
            for each logical shard in `shards`; the mean is over all of them. Read, never written.
        grad_scale : float, default: 1
            Multiplies the gradients; it must be equal on all ranks.

        Returns
        -------
        applied : bool
            False, on all ranks, if skip_nonfinite skipped the step.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then, but other ranks wait for this one. So start programs
            by ``python -m mpi4py``, which ends all ranks.
        """
        where = "Distributed.step"
        grad_scale = check_number(where, "grad_scale", grad_scale, REAL)
        if not self._reproducible:
            return self._step(self._flat.gradient(where, "grads", grads), grad_scale)
        count = len(self.shards)
        if isinstance(grads, (Mapping, np.ndarray)) or not isinstance(grads, Iterable):
            raise TypeError(f"{where}: grads must be a sequence of {count}, got {type(grads).__name__}")
        if len(grads := list(grads)) != count:
            raise ValueError(f"{where}: grads must be {count}, one for each logical shard, got {len(grads)}")
        vectors = (self._flat.gradient(where, f"grads[{k}]", each) for k, each in enumerate(grads))
        return self._step(self._tree(vectors), grad_scale)

    def _step(self, vector: NDArray[Any], grad_scale: float = 1.0) -> bool:
        """Take a step; `vector` is this rank's addend of the sum of all gradients."""
        self._clock.compute += self._clock.lap()
        self._ranks.reduce(vector, self._gradient, self._reproducible)
        with Interruption():
            self._refresh()
            if applied := self.optimizer.step(self._gradient, grad_scale / self._addends):
                self._ranks.collect(self._shard, self._flat.vector)
                self._flat.give()
        self._clock.update += self._clock.lap()
        return applied

    @property
    def _addends(self) -> int:
        """The number of gradients that a step averages."""
        return self.logical_shards if self._reproducible else self._ranks.size

    def _refresh(self) -> None:
        """Copy this rank's part of the parameters into its shard, and pad that with zeros."""
        mine = self._flat.take()[self._mine]
        self._shard[: mine.size], self._shard[mine.size :] = mine, 0

    # --- State

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this rank's shard, as the optimizer's `state_dict` does."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, on the same rank of as many ranks.

        Raises
        ------
        KeyError, TypeError, ValueError
            If an entry is missing, unknown, or of another shape or dtype; nothing has changed then.
        """
        self._own(".load_state_dict:", lambda: self.optimizer.load_state_dict(state))

    def _own(self, begin: str, function: Callable[[], Any]) -> Any:
        """Call a function of the rank's optimizer; its errors name Distributed instead."""
        name = type(self.optimizer).__name__
        return renamed(f"{name}{begin}", f"Distributed{begin}", function)

    def ema_params(self) -> Any:
        """Return a copy of all averaged parameters, in the structure of params.

        Raises
        ------
        ValueError
            If the optimizer was made without ema.
        """
        return self._whole(self.optimizer.ema_params())

    def averaged_params(self) -> Any:
        """Return a copy of what the optimizer's `averaged_params` gives, if it has that, in the structure of params."""
        self._refresh()
        return self._whole(self.optimizer.averaged_params())  # pyright: ignore[reportAttributeAccessIssue]

    def _whole(self, shard: NDArray[Any]) -> Any:
        """Return the shards of all ranks in the structure of params."""
        return self._flat.like_params(self._collected(shard))

    def _collected(self, shard: NDArray[Any]) -> NDArray[Any]:
        """Return the shards of all ranks as one vector."""
        vector = aligned_empty(self._flat.size, self._flat.dtype)
        self._ranks.collect(shard, vector)
        return vector

    def save(self, path: FilePath, tree: Mapping[str, Any] | None = None, keep: int = 1) -> None:
        """Write parameters and state into a folder, each rank its shard; all ranks must call it.

        Rank 0 writes the manifest last. Before that, the previous checkpoint is still the newest.

        Parameters
        ----------
        path : str or path-like
            A folder that all ranks can access; created if it does not exist.
        tree : dict, optional
            Further data to save, as for `gd.save`; only rank 0's is written.
        keep : int, default: 1
            How many checkpoints to keep.

        Raises
        ------
        TypeError, ValueError, OSError, ImportError
            As for `gd.save`.
        """
        where = "Distributed.save"
        require_safetensors(where)
        path, keep = check_path(where, "path", path), check_integer(where, "keep", keep, 1)
        encoded({} if tree is None else tree)  # checks it
        self.write(path, tree or {}, keep, {})

    def write(self, path: FilePath, tree: Mapping[str, Any], keep: int, best: Mapping[str, Any]) -> None:
        """Write what `save` writes, and another state of this rank's shard."""
        if Path(path).exists() and not Path(path).is_dir():
            raise ValueError(f"Distributed.save: path must be that of a folder, {path} is something else")
        self._refresh()
        state = {"parameters": self._shard, **self.state_dict(), **{BEST + name: each for name, each in best.items()}}
        sharded_checkpoint.write(self._ranks, path, state, tree, self._flat.size, self.steps, keep)

    def load(self, path: FilePath) -> dict[str, Any]:
        """Restore parameters and state of the newest complete checkpoint, on any number of ranks.

        Parameters
        ----------
        path : str or path-like
            The folder. A checkpoint that is incomplete or damaged is skipped for the one before.

        Returns
        -------
        tree : dict
            The `tree` that was saved.

        Raises
        ------
        CheckpointError
            If there is none, or it is of other parameters or of another optimizer; nothing has changed then.
        """
        where = "Distributed.load"
        path = check_path(where, "path", path)
        vector, state, _, tree = self.read(where, path)
        try:
            self.load_state_dict(state)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{where}: {path} is of another optimizer: {error}") from error
        self._flat.vector[:] = vector
        self._flat.give()
        return tree

    def has_saved(self, path: FilePath) -> bool:
        """Return True if there is a checkpoint in a folder, damaged or not."""
        return sharded_checkpoint.exist(self._ranks, path)

    def read(self, where: str, path: FilePath) -> tuple[NDArray[Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return (vector of parameters, state of this shard, best as in `write`, tree) of the newest checkpoint."""
        state, tree = sharded_checkpoint.read(where, self._ranks, path, self._flat.size, self._shard.size)
        shard = state.pop("parameters", None)
        if shard is None or shard.dtype != self._flat.dtype:
            raise CheckpointError(f"{where}: {path} has parameters of another dtype than {self._flat.dtype}")
        best = {name.removeprefix(BEST): state.pop(name) for name in tuple(state) if name.startswith(BEST)}
        return self._collected(shard), state, best, tree

    # --- Training

    def check_batches(self, where: str, batch_size: int | None, accumulate: int, emphasis: float) -> None:
        """Raise unless `descend` can train with these batches; None means one batch of all rows."""
        parts = self.logical_shards
        for name, given in (("accumulate", accumulate > 1), ("emphasis", emphasis > 0)):
            if given:
                raise ValueError(f"{where}: {name} is not for several ranks")
        if batch_size is not None and batch_size % parts:
            raise ValueError(f"{where}: batch_size must be a multiple of the {parts} logical shards, got {batch_size}")
        if self._ranks.size > parts:
            raise ValueError(f"{where}: optimizer has {parts} logical shards, too few for {self._ranks.size} ranks")

    def descend(self, model: Any, X: Any, y: Any, seed: int, epoch: int, batch_size: int) -> Iterator[Any]:
        """Take a step for every mini-batch of an epoch; yield (mean loss, rows) of each, over all ranks.

        The rows are cut into equal parts, one for each logical shard. A batch takes as many rows of each part, in an
        order that follows from (seed, epoch, part), not from the rank. The arguments are not checked.
        """
        return descend(self, model, X, y, seed, epoch, batch_size)
