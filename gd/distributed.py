"""Distributed: one optimizer over the processes of an MPI communicator, each with a shard of its state."""

from collections.abc import Iterable, Mapping
from inspect import isabstract
from math import inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from . import shards
from .arrays import aligned_empty, aligned_full
from .batches import shuffled_shard
from .checkpoints import CheckpointError, require_safetensors
from .kernels.compiler import splitting
from .kernels.loops import reductions
from .kernels.storage import BLOCK
from .optimizers import SGD, Optimizer
from .ranges import REAL, check_choice, check_integer, check_number, check_path
from .ranks import Ranks, add, world

SPAN = reductions.BLOCK  # shards are multiples of it, so that norms and blocks of 8-bit states never lie on a border
LOGICAL_SHARDS = 8  # unless another number is asked for
REDUCTIONS = ("fast", "reproducible")
REFUSED = ("groups", "state_dir", "param_dtype", "master_weights", "zero_grads")  # of an optimizer's keywords


class Times(NamedTuple):
    """Seconds of one rank: between steps, in messages and waiting for other ranks, and in updates of its shard."""

    compute: float
    wire: float
    update: float


class Distributed:
    """An optimizer whose state is shared out among the processes (ranks) of an MPI communicator.

    All parameters are on every rank, as one vector that is cut into a shard for each rank (stage 1 of ZeRO). A step
    sums the gradients so that each rank gets those of its own shard, updates that by an ordinary optimizer, which has
    the state of no other, and collects the parameters of all shards. Every rank must call the same methods in the same
    order.

    Parameters
    ----------
    optimizer_class : type
        Such as `gd.Adam`: any but those with a trust ratio, LAMB and LARS, which measure whole arrays.
    params : as for every optimizer
        Of one dtype. All ranks start from those of rank 0. A ParameterVector or one array is fastest: the arrays of a
        list or a dict are copied into a vector and back in each step.
    comm : communicator, optional
        Of mpi4py, or an object with the same upper-case methods; by default that of all processes.
    reduction : {"fast", "reproducible"}
        Fast: each rank hands in one gradient, and MPI sums them as it likes; results on other numbers of ranks differ
        by rounding. Reproducible: a batch has `logical_shards` parts, whatever the number of ranks, their gradients are
        summed by a fixed binary tree, and results have the same bits on any number of ranks that divides that of the
        parts.
    logical_shards : int, default: 8
        A power of two: into how many parts `gd.fit` cuts data and batches.
    **options
        Those of the optimizer, such as lr, betas, state_dtype, ema. clip_norm and skip_nonfinite look at the gradients
        of all shards. Not groups, state_dir, param_dtype, master_weights and zero_grads.

    Attributes
    ----------
    optimizer : Optimizer
        This rank's, of its own shard. Do not step it.
    shards : range
        The logical shards whose gradients this rank hands in.
    times : Times
        Seconds of this rank in compute (between steps), wire and update, so far.

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
        self, optimizer_class, params, comm=None, reduction="fast", *, logical_shards=LOGICAL_SHARDS, **options
    ):
        where = "Distributed"
        if (
            not isinstance(optimizer_class, type)
            or not issubclass(optimizer_class, Optimizer)
            or isabstract(optimizer_class)
        ):
            raise TypeError(f"{where}: optimizer_class must be an optimizer such as gd.Adam, got {optimizer_class!r}")
        if optimizer_class.trust_norms is not None:
            name = optimizer_class.__name__
            raise ValueError(f"{where}: optimizer_class must be elementwise, got {name}, which measures whole arrays")
        for name in REFUSED:
            if options.pop(name, None):
                raise TypeError(f"{where}: {name} is not for the shards of a vector")
        self.reduction = check_choice(where, "reduction", reduction, REDUCTIONS)
        self.logical_shards = check_integer(where, "logical_shards", logical_shards, 1)
        if self.logical_shards & (self.logical_shards - 1):
            raise ValueError(f"{where}: logical_shards must be a power of two, got {logical_shards}")
        self._all = _renamed(
            "SGD:", f"{where}:", lambda: SGD(params)
        )  # which knows what gradients must match, and has no state
        blocks = [self._all._whole] if self._all._whole is not None else list(self._all._blocks.values())
        self._arrays, dtype = [block.p for block in blocks], blocks[0].dtype
        if any(array.dtype != dtype for array in self._arrays):
            raise ValueError(f"{where}: params must be of one dtype, got float32 and float64")
        _renamed(f"{optimizer_class.__name__}:", f"{where}:", lambda: optimizer_class(np.zeros(1, dtype), **options))
        self.comm = world(where) if comm is None else comm
        ranks = self._ranks = Ranks(where, self.comm)
        self._reproducible = self.reduction == "reproducible"
        if self._reproducible and self.logical_shards % ranks.size:
            raise ValueError(
                f"{where}: logical_shards must be a multiple of the {ranks.size} ranks, got {logical_shards}"
            )
        self.shards = range(*(self.logical_shards * k // ranks.size for k in (ranks.rank, ranks.rank + 1)))
        size = sum(array.size for array in self._arrays)
        given = np.array([size, dtype.itemsize, self.logical_shards, self._reproducible])
        if (ranks.gather(given) != given).any():
            raise ValueError(f"{where}: params, reduction and logical_shards must be alike on all ranks")

        self._vector = self._arrays[0] if len(blocks) == 1 else aligned_empty(size, dtype)
        self._packed, self._levels = None, []
        self._take()
        ranks.broadcast(self._vector)
        self._give()
        shard = -(-size // (ranks.size * SPAN)) * SPAN
        self._mine = slice(min(ranks.rank * shard, size), min((ranks.rank + 1) * shard, size))
        self._shard, self._gradient = (aligned_full(shard, dtype, 0) for _ in range(2))
        self._refresh()
        with ranks.in_turn():
            _compile(optimizer_class, dtype, options)
        self.optimizer = _of_shard(optimizer_class)(self._shard, **options)
        self.optimizer._ranks = ranks
        self.optimizer._blocks[None].before = ranks.rank * shard // BLOCK
        self._compute = self._update = 0.0
        self._started = False
        self._start_clock()

    # --- What it is like

    @property
    def params(self):
        """The parameters, as given."""
        return self._all.params

    @property
    def steps(self):
        """Steps taken."""
        return self.optimizer.steps

    @property
    def lr(self):
        """The learning rate of the next step; set it to a number or a schedule, on all ranks."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value):
        self.optimizer.lr = value

    @property
    def last_lr(self):
        """The learning rate of the last step; of the first one before any."""
        return self.optimizer.last_lr

    @property
    def schedules(self):
        """The hyper-parameters that are schedules, by name."""
        return self.optimizer.schedules

    @property
    def groups(self):
        """Nothing: arrays cannot have learning rates of their own."""
        return ()

    @property
    def skip_nonfinite(self):
        """Whether gradients that are not finite are skipped."""
        return self.optimizer.skip_nonfinite

    @property
    def grad_norm(self):
        """Norm of the last gradient, of all shards, before clip_norm; None unless it was needed."""
        return self.optimizer.grad_norm

    @property
    def norms(self):
        """The norms of the last step, of all shards; None without track_norms."""
        return self.optimizer.norms

    @property
    def times(self):
        """Seconds of this rank so far, by what they went into."""
        return Times(self._compute, self._ranks.seconds, self._update)

    def __repr__(self):
        return f"{self.optimizer}, {self.reduction} on {self._ranks.size} ranks"

    # --- The step

    def step(self, grads, grad_scale=1.0):
        """Update the parameters on all ranks by the mean of the gradients that the ranks hand in.

        Parameters
        ----------
        grads : as params
            This rank's gradient; the mean is taken over ranks. With reduction="reproducible" a sequence of them, one
            for each logical shard in `shards`; the mean is taken over all of them. Read, never written.
        grad_scale : float, default: 1
            Multiplies the gradients, the same on all ranks.

        Returns
        -------
        applied : bool
            False on all ranks where skip_nonfinite kept everything as it was.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then, but other ranks wait for this one: start programs
            by ``python -m mpi4py``, which ends all of them.
        """
        where = "Distributed.step"
        grad_scale = check_number(where, "grad_scale", grad_scale, REAL)
        if not self._reproducible:
            return self._step(self._flat(where, "grads", grads), grad_scale)
        count = len(self.shards)
        if isinstance(grads, (Mapping, np.ndarray)) or not isinstance(grads, Iterable):
            raise TypeError(f"{where}: grads must be a sequence of {count}, got {type(grads).__name__}")
        grads = list(grads)
        if len(grads) != count:
            raise ValueError(f"{where}: grads must be {count}, one for each logical shard, got {len(grads)}")
        vectors = (self._flat(where, f"grads[{k}]", each) for k, each in enumerate(grads))
        return self._step(self._tree(vectors), grad_scale)

    def _flat(self, where, label, gradient):
        """Return a gradient as one vector."""
        if gradient is None:
            raise TypeError(f"{where}: {label} must be like params, got None")
        pairs = _renamed(f"{where}: grads", f"{where}: {label}", lambda: self._all._paired(where, gradient))
        flat = [g for _, g in sorted(pairs, key=lambda pair: pair[0].number)]
        if len(flat) == 1 and flat[0].size == self._vector.size:
            return flat[0]
        if sum(g.size for g in flat) < self._vector.size:
            raise ValueError(f"{where}: {label} must have one for each array, got None")
        if self._packed is None:
            self._packed = aligned_empty(self._vector.size, self._vector.dtype)
        return np.concatenate(flat, out=self._packed)

    def _tree(self, vectors):
        """Return the sum of 2**k vectors: of pairs, then of pairs of pairs, and so on. Each is read before the next."""
        levels, total = self._levels, None
        for count, vector in enumerate(vectors, start=1):
            level, total = 0, vector
            while not count >> level & 1:
                total = add(levels[level], total, out=levels[level])
                level += 1
            if count < len(self.shards):
                if level == len(levels):
                    levels.append(aligned_empty(vector.size, vector.dtype))
                levels[level][:] = total
        return total

    def _step(self, vector, grad_scale=1.0):
        """Take a step by what this rank adds to the sum of all gradients."""
        self._lap("_compute")
        self._ranks.reduce(vector, self._gradient, self._reproducible)
        self._take()
        self._refresh()
        applied = self.optimizer.step(self._gradient, grad_scale / self._addends)
        if applied:
            self._ranks.collect(self._shard, self._vector)
            self._give()
        self._lap("_update")
        return applied

    @property
    def _addends(self):
        """How many gradients a step is the mean of."""
        return self.logical_shards if self._reproducible else self._ranks.size

    def _take(self):
        """Copy the arrays of params into the vector, if they are several."""
        if self._arrays[0] is not self._vector:
            np.concatenate(self._arrays, out=self._vector)

    def _give(self):
        """Copy the vector into the arrays of params, if they are several."""
        if self._arrays[0] is not self._vector:
            start = 0
            for array in self._arrays:
                array[:] = self._vector[start : start + array.size]
                start += array.size

    def _refresh(self):
        """Copy this rank's part of the vector into its shard, whose rest is zeros."""
        mine = self._vector[self._mine]
        self._shard[: mine.size], self._shard[mine.size :] = mine, 0

    def _start_clock(self):
        self._since, self._wired = perf_counter(), self._ranks.seconds

    def _lap(self, name):
        """Add the time since the last lap, without that on the wire, to _compute or _update."""
        since, wired = self._since, self._wired
        self._start_clock()
        setattr(self, name, getattr(self, name) + (self._since - since) - (self._wired - wired))

    # --- State

    def state_dict(self):
        """Return the state of this rank's shard, as the optimizer's `state_dict` does."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state):
        """Restore what `state_dict` returned on the same rank of as many.

        Raises
        ------
        KeyError, TypeError, ValueError
            If an entry is missing, unknown, or of another shape or dtype; nothing has changed then.
        """
        self.optimizer.load_state_dict(state)

    def ema_params(self):
        """Return a copy of the averaged parameters, all of them, in the structure of params.

        Raises
        ------
        ValueError
            If the optimizer was made without ema.
        """
        return self._whole(self.optimizer.ema_params())

    def averaged_params(self):
        """Return what `averaged_params` of the optimizer does, all of them, in the structure of params.

        Raises
        ------
        AttributeError
            If the optimizer has no such method.
        """
        return self._whole(self.optimizer.averaged_params())

    def _whole(self, shard):
        """Return the shards of all ranks in the structure of params."""
        vector = aligned_empty(self._vector.size, self._vector.dtype)
        self._ranks.collect(shard, vector)
        blocks, starts = self._all._blocks, np.cumsum([block.size for block in self._all._blocks.values()])
        return self._all._like_params(dict(zip(blocks, np.split(vector, starts[:-1]), strict=True)))

    def save(self, path, tree=None, keep=1):
        """Write parameters and state, each rank its shard, into a folder; all ranks call it.

        It is a checkpoint when the manifest is there, which rank 0 writes last; until then the one before counts.

        Parameters
        ----------
        path : str or path-like
            A folder that all ranks see; made if there is none.
        tree : dict, optional
            What else to save, as `gd.save` takes it: that of rank 0 is written.
        keep : int, default: 1
            How many checkpoints to keep.

        Raises
        ------
        TypeError, ValueError, OSError, ImportError
            As those of `gd.save`.
        """
        where = "Distributed.save"
        require_safetensors(where)
        path, keep = check_path(where, "path", path), check_integer(where, "keep", keep, 1)
        if tree is not None and not isinstance(tree, Mapping):
            raise TypeError(f"{where}: tree must be a dict, got {type(tree).__name__}")
        if Path(path).exists() and not Path(path).is_dir():
            raise ValueError(f"{where}: path must be that of a folder, {path} is something else")
        self._take()
        self._refresh()
        state = {"parameters": self._shard} | self.state_dict()
        shards.write(self._ranks, path, state, tree or {}, self._vector.size, self.steps, keep)

    def load(self, path):
        """Restore parameters and state of the newest checkpoint that is complete, on any number of ranks.

        Parameters
        ----------
        path : str or path-like
            The folder. A checkpoint that is unfinished or damaged is passed over for the one before.

        Returns
        -------
        tree : dict
            What `save` was given.

        Raises
        ------
        CheckpointError
            If there is none, or the newest is of other parameters or of another optimizer; nothing has changed then.
        """
        where = "Distributed.load"
        path = check_path(where, "path", path)
        vector, state, tree = self.read(where, path)
        try:
            self.load_state_dict(state)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{where}: {path} is of another optimizer: {error}") from error
        self._vector[:] = vector
        self._give()
        return tree

    def has_saved(self, path):
        """Whether there is a checkpoint in a folder, damaged or not."""
        return shards.exist(self._ranks, path)

    def read(self, where, path):
        """Return (parameters as a vector, state of this rank's shard, tree) of the newest complete checkpoint."""
        state, tree = shards.read(where, self._ranks, path, self._vector.size, self._shard.size)
        vector = aligned_empty(self._vector.size, self._vector.dtype)
        shard = state.pop("parameters", None)
        if shard is None or shard.dtype != vector.dtype:
            raise CheckpointError(f"{where}: {path} has parameters of another dtype than {vector.dtype}")
        self._ranks.collect(shard, vector)
        return vector, state, tree

    # --- Training

    def check_batches(self, where, batch_size, accumulate, emphasis):
        """Raise unless `descend` can train by such batches, of all rows if batch_size is None."""
        parts = self.logical_shards
        for name, given in (("accumulate", accumulate > 1), ("emphasis", emphasis > 0)):
            if given:
                raise ValueError(f"{where}: {name} is not for several ranks")
        if batch_size is not None and batch_size % parts:
            raise ValueError(f"{where}: batch_size must be a multiple of the {parts} logical shards, got {batch_size}")
        if self._ranks.size > parts:
            raise ValueError(f"{where}: optimizer has {parts} logical shards, too few for {self._ranks.size} ranks")

    def descend(self, model, X, y, seed, epoch, batch_size):
        """Take a step for every mini-batch of an epoch; yield (mean loss, rows) of each, over all ranks.

        The rows are cut into as many equal parts as there are logical shards. A batch takes as many rows of each, in an
        order that follows from (seed, epoch, part): no rank has a say in it. The arguments are not checked.
        """
        parts = self.logical_shards
        sizes = np.diff(np.arange(parts + 1) * X.shape[0] // parts)
        orders = [shuffled_shard(X.shape[0], seed, epoch, k, parts) for k in self.shards]
        each, gradient = -(-batch_size // parts), model.parameters.zeros_like()
        if not self._started:
            with self._ranks.in_turn():
                model.write_gradients(X, y, np.concatenate(orders)[: each * len(orders)], 0, gradient)
            self._started = True
        self._start_clock()
        for first in range(0, sizes.max(), each):
            pieces = [order[first : first + each] for order in orders]
            if not self._reproducible:
                pieces = [np.concatenate(pieces)]
            rows = int(np.clip(sizes - first, 0, each).sum())
            losses = np.zeros(parts)
            vectors = self._gradients(model, X, y, pieces, rows, gradient, losses)
            vector = self._tree(vectors) if self._reproducible else next(vectors)
            loss = float(self._ranks.sum(losses).sum()) / rows
            if not isfinite(loss) and not self.skip_nonfinite:
                yield loss, rows
                return
            if self._step(vector):
                model.constrain()
            yield loss, rows

    def _gradients(self, model, X, y, pieces, rows, gradient, losses):
        """Yield the gradient of each piece of a batch, weighted by its rows; note the sum of its losses."""
        for k, piece in zip(self.shards, pieces, strict=False):
            if piece.size:
                loss = model.write_gradients(X, y, piece, self.logical_shards * self.steps + k, gradient)
                losses[k], weight = piece.size * loss, piece.size * self._addends / rows
            else:
                weight = 0.0
            if weight == 0:
                gradient.vector[:] = 0
            elif weight != 1:
                with np.errstate(over="ignore", under="ignore"):
                    np.multiply(gradient.vector, weight, out=gradient.vector)
            yield gradient.vector


class _Shard:
    """What an optimizer does differently whose array is a shard: norms are those of all shards."""

    def _combined(self, parts):
        return super()._combined(np.concatenate(self._ranks.gather(parts), axis=1))

    def _all_finite(self, pairs, grad_scale):
        return not self._ranks.sum(not super()._all_finite(pairs, grad_scale))


def _of_shard(optimizer_class):
    return type(optimizer_class.__name__, (_Shard, optimizer_class), {"__module__": __name__})


def _compile(optimizer_class, dtype, options):
    """Take a step with another optimizer of the same kind, serially and in parallel."""
    for parallel_from in (inf, 1):
        with splitting(parallel_from):
            optimizer_class(np.zeros(SPAN, dtype), **options).step(np.ones(SPAN, dtype))


def _renamed(old, new, function):
    """Call a function; what it raises says `new` where it says `old`."""
    try:
        return function()
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace(old, new, 1)) from None
