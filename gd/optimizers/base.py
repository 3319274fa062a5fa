"""Optimizer: what all optimizers share. Here is the step; arguments and state are in the modules of its bases."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from math import inf, isfinite

import numpy as np

from ..checks import (
    NON_NEGATIVE,
    POSITIVE,
    REAL,
    UNIT,
    aligned_empty,
    aligned_full,
    check_apart,
    check_apart_from,
    check_array,
    check_flag,
    check_indices,
    check_number,
    lent,
)
from ..kernels.compiler import has_run, join
from ..kernels.interruption import Interruption
from ..kernels.loops.update import sum_rows, update_rows
from ..kernels.rules import stages
from ..parameters import ParameterVector, entries
from .disk import StateFolder
from .hyperparameters import SHARED
from .kind import Norms, combine
from .state import State
from .storage import OPTIONS, check_options, check_parameter, widened

OPTIMIZERS = {}  # name -> class, in order of declaration
SMALLER = 2.0**-64  # times the norm of any finite gradient is finite


class Optimizer(State, ABC):
    """The base class of all optimizers: it owns arguments, state and traversal.

    A step takes the gradient g of each array, and the parameters p, through these stages, of which those
    not asked for cost nothing, in the one pass over memory that also applies the optimizer's formula::

        g <- grad_scale * g                                   (-grad_scale to maximize)
        g <- g * min(1, clip_norm / |g|)                      |g| over all arrays
        g <- min(max(g, -clip_value), clip_value)
        g <- g + l2 * p + l1 * sign(p)
        p <- (1 - lr * weight_decay) * p
        p, state <- the optimizer's formula
        average <- ema * average + (1 - ema) * p

    Parameters
    ----------
    params : ndarray, or a list, tuple or dict of ndarrays, or ParameterVector
        Updated in place; float32 or float64, contiguous in C order, writeable, apart in memory. Of a list, tuple or
        dict, 8 arrays and more step in one call of a kernel, by the addresses of their memory, unless clip_norm,
        skip_nonfinite or a trust ratio looks at the arrays before.
    lr : float or callable
        The learning rate, or a schedule: a function of the number of steps taken before. Any other
        hyper-parameter that is a number may be a schedule, too, such as ``momentum=cycle.momentum``.
    l1, l2 : float, default: 0
        Penalties l1 * |p| and l2 / 2 * p**2: their gradients are added to the gradient (coupled).
    weight_decay : float, default: 0
        Decoupled decay (Loshchilov & Hutter 2019).
    maximize : bool, default: False
        Ascend instead of descend.
    clip_value : float, optional
        The largest absolute value of an element of the gradient.
    clip_norm : float, optional
        The largest Euclidean norm of the gradient, over all arrays. It costs one more read of the gradient.
        (PyTorch's clip_grad_norm_ divides by the norm + 1e-6.)
    skip_nonfinite : bool, default: False
        Take no step where the gradient, after grad_scale, holds a NaN or an infinity. It costs one more
        read of the gradient, the same as clip_norm's.
    ema : float, optional
        Decay in [0, 1) of an average of the parameters, which starts from them: see `ema_params`.
    state_dtype : str, optional
        "bfloat16" or "int8": keep the state in 2 bytes an element, or in 1 and one float32 for each 256 of them.
        It is decoded, stepped by the same formula and encoded in the one pass. Rounding is stochastic, so that means
        stay right. State that averages parameters stays as it is. A state that is not finite makes its 256 so.
    param_dtype : str, optional
        "bfloat16": params are uint16 arrays with the upper halves of float32 numbers (``tensor.view(torch.uint16)
        .numpy()``, or ``array.view(np.uint16)`` of ml_dtypes' bfloat16); gradients likewise, or float32.
    master_weights : bool, default: False
        Keep the lower halves of bfloat16 parameters as state: updates add up as those of float32 do. Otherwise
        parameters are rounded stochastically.
    seed : int, default: 0
        Of stochastic rounding: of the same seed come the same bits, for any number of threads.
    zero_grads : bool, default: False
        Set the gradients to 0 in the pass that reads them, unless the step is skipped: `step` writes to them then.
    track_norms : bool, default: False
        Take the norms of gradient, update and parameters in the same pass: see `norms`.
    state_dir : path, optional
        A folder in which the state arrays are files, for states larger than memory: a step walks them by pieces, which
        the operating system reads ahead and writes back. Parameters and gradients may be np.memmap arrays, too. After
        `close`, or the end of the optimizer's context, another optimizer with the same parameters and state_dir goes
        on bit for bit. A folder that was not closed, since its process was killed or the machine lost power, is
        refused, as its arrays may be of two steps: go on from a copy that `save_state` made. One process at a time can
        use a folder; `state_dict` copies all of it into memory.
    groups : list of dict, optional
        Other hyper-parameters for some arrays, ``{"params": [keys], "lr": 0.1, "weight_decay": 0}``: any of
        the optimizer's own, and lr, l1, l2, weight_decay, maximize and clip_value. The attribute `groups`
        holds an optimizer for each, whose `lr` can be set.

    Attributes
    ----------
    steps : int
        Steps taken: what schedules are called with.
    grad_norm : float or None
        Norm of the last gradient, before clip_norm; None unless clip_norm or skip_nonfinite needs it.
    norms : Norms or None
        Euclidean norms over all arrays that the last step moved: ``gradient`` (after grad_scale and clip_norm),
        ``update`` (of all that changed the parameters) and ``parameters`` (after the step); None without track_norms.

    Raises
    ------
    TypeError, ValueError
        For arrays that kernels cannot take and hyper-parameters out of range; nothing has changed then.
    """

    rule = None  # the scalar formula, from kernels.rules
    trust_norms = None  # of an optimizer with a trust ratio: what to measure of each array before its step
    steady = False  # whether the coefficients depend on the learning rate alone, after the first step
    decays_itself = False  # whether weight_decay is a coefficient of the rule's own

    def __init_subclass__(cls):
        if cls.__module__.startswith(f"{__package__}."):  # not those of users
            OPTIMIZERS[cls.__name__] = cls

    def __init__(
        self,
        params,
        lr,
        hyperparameters,
        *,
        l1=0.0,
        l2=0.0,
        weight_decay=0.0,
        maximize=False,
        clip_value=None,
        clip_norm=None,
        skip_nonfinite=False,
        ema=None,
        state_dtype=None,
        param_dtype=None,
        master_weights=False,
        seed=0,
        zero_grads=False,
        track_norms=False,
        groups=(),
        state_dir=None,
        **unknown,
    ):
        name = self._name = type(self).__name__
        for keyword in unknown:
            raise TypeError(f"{name}: unexpected keyword {keyword!r}")
        self._schedules = {}
        for key, value in hyperparameters.items():
            setattr(self, key, self._checked(key, value, self.ranges[key]))
        self.l1 = check_number(name, "l1", l1, NON_NEGATIVE)
        self.l2 = check_number(name, "l2", l2, NON_NEGATIVE)
        self.weight_decay = check_number(name, "weight_decay", weight_decay, NON_NEGATIVE)
        self.maximize = check_flag(name, "maximize", maximize)
        self.clip_value = None if clip_value is None else check_number(name, "clip_value", clip_value, POSITIVE)
        self.clip_norm = None if clip_norm is None else check_number(name, "clip_norm", clip_norm, POSITIVE)
        self.skip_nonfinite = check_flag(name, "skip_nonfinite", skip_nonfinite)
        self.ema = None if ema is None else check_number(name, "ema", ema, UNIT)
        given = state_dtype, param_dtype, master_weights, seed, zero_grads, track_norms
        for key, value in check_options(name, dict(zip(OPTIONS, given, strict=True))).items():
            setattr(self, key, value)
        self.by_blocks = bool(state_dtype or param_dtype or zero_grads or track_norms)
        self._hyperparameters = tuple(hyperparameters)
        self.steps, self.grad_norm, self.norms = 0, None, None
        self.lr = lr
        arrays = entries(name, "params", params)
        self.params = params if isinstance(params, (list, tuple, Mapping)) else arrays[None][1]
        for key, value in self.scalars.items():
            setattr(self, key, value)
        self.choose()
        for label, array in arrays.values():
            check_parameter(name, label, array, param_dtype)
        check_apart(name, list(arrays.values()))
        if len({str(key) for key in arrays}) < len(arrays):
            raise ValueError(f"{name}: params has keys that read alike, got {', '.join(map(repr, arrays))}")
        if (state_dtype or param_dtype) and self.trust_norms is not None:
            raise TypeError(f"{name}: state_dtype and param_dtype are not for {name}, which measures whole arrays")
        if self.by_blocks and state_dir is not None:
            raise TypeError(f"{name}: state_dir takes no state_dtype, param_dtype, zero_grads or track_norms")
        self._specifications = self._checked_groups(groups, arrays)
        if state_dir is None or isinstance(state_dir, StateFolder):  # that of the optimizer of which this is a group
            self._folder = state_dir
            self._allocate(arrays)
        else:
            self._allocate_in(StateFolder(name, state_dir), arrays)

    # --- What a subclass defines

    def choose(self):
        """Choose `rule` and `slots` by the hyper-parameters, where they decide."""

    @abstractmethod
    def coefficients(self, t, lr):
        """Return the named tuple of scalars that the rule takes at step t (1, 2, ...)."""

    def trust(self, parameter, update):
        """Return the trust ratio, by which the rule's last coefficient is multiplied, from an array's norms."""

    def stepped(self, lr):
        """Bring the scalars of the state up to date, before `steps` counts a step at this rate."""

    def torch_scalars(self, t):
        """Return the numbers besides `step` that torch.optim keeps after t steps, by name."""
        return {}

    # --- The step

    def step(self, grads=None, grad_scale=1.0):
        """Update the parameters in place by their gradients.

        Parameters
        ----------
        grads : as params, optional
            The same structure, shapes and dtypes; read, never written. An array whose gradient is None is
            left alone with its state, and its own count of steps stays. A ParameterVector takes a
            ParameterVector or one flat vector, in a single pass, or a dict. What `accumulate` was given since
            the last step is added; without grads, it is all.
        grad_scale : float, default: 1
            Multiplies the gradients: 1 / loss_scale, or 1 / n for sums over n examples.

        Returns
        -------
        applied : bool
            False where everything was kept as it was: by skip_nonfinite, or since all gradients are None. What
            was accumulated is dropped all the same.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then.
        """
        if type(grad_scale) is not float or not isfinite(grad_scale):
            grad_scale = check_number(f"{self._name}.step", "grad_scale", grad_scale, REAL)
        block = self._alone
        if block is not None and grads is not None:  # as in `_apply`, without the detours
            known = block.knows(grads) and block.fits(grads)
            g = grads.reshape(-1) if known else self._paired(f"{self._name}.step", grads)[0][1]
            kind = block.kind
            vector = kind.vector(self.steps, grad_scale, True)
            if kind.trust_norms is not None:
                vector = kind.trusted(block, g, vector)
            state = vars(self)
            try:
                kind.kernel(block.size, vector, g, 0, block.p, *block.slots)
            except KeyboardInterrupt as interrupt:
                if has_run(interrupt):
                    state["steps"] += 1
                raise
            state["steps"] += 1
            return True
        if grads is None or self._summed:
            return self._step_accumulated(grads, grad_scale)
        return self._step(grads, grad_scale)

    def _step(self, grads, grad_scale):
        if self._many is not None and (found := self._many.find(grads)) is not None:
            return self._apply_at_once(found, grad_scale)
        return self._apply(self._paired(f"{self._name}.step", grads), grad_scale)

    def _step_accumulated(self, grads, grad_scale):
        where = f"{self._name}.step"
        if grads is not None:
            for owner in (self, *self.groups):
                owner._scheduled(owner._lr)  # a schedule that raises shall do so before anything is added
        elif not self._summed:
            raise TypeError(f"{where}: grads must be a NumPy array, or several like params, as nothing was accumulated")
        with Interruption():
            if grads is not None:
                self._accumulate(where, grads, 1.0)
            applied = self._step(self._accumulated(), grad_scale)
            self._alone = self._only_block()
            self._summed.clear()
        return applied

    def accumulate(self, grads, grad_scale=1.0):
        """Add gradients to those that the next step without grads will take.

        Parameters
        ----------
        grads : as params
            As in `step`; None for an array that did not get one. Read, never written, and not kept.
        grad_scale : float, default: 1
            Multiplies these gradients, such as the number of examples behind them.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then.

        Examples
        --------
        >>> import gd, numpy as np
        >>> p = np.zeros(2)
        >>> optimizer = gd.SGD(p, lr=1.0)
        >>> optimizer.accumulate(np.array([1.0, 2.0]))
        >>> optimizer.accumulate(np.array([3.0, 4.0]))
        >>> optimizer.step(grad_scale=1 / 2)
        True
        >>> p.tolist()
        [-2.0, -3.0]
        """
        where = f"{self._name}.accumulate"
        self._accumulate(where, grads, check_number(where, "grad_scale", grad_scale, REAL))

    def _accumulate(self, where, grads, grad_scale):
        pairs = self._paired(where, grads)
        if pairs and pairs[0][0] is self._vector_block:
            pairs = self._pieces(pairs[0][1])
        if not self._sums:
            if isinstance(self.params, ParameterVector):
                self._sum = self.params.zeros_like()
                self._sums = {key: self._sum[key].reshape(-1) for key in self._blocks}
            else:
                self._sums = {key: aligned_full(b.size, b.kind.dtype, 0.0) for key, b in self._blocks.items()}
        keys = {id(block): key for key, block in self._blocks.items()}
        with Interruption():
            self._alone = None
            for block, g in pairs:
                key = keys[id(block)]
                rule = stages.accumulate if key in self._summed else stages.start_accumulation
                block.kind.accumulate(rule, grad_scale, self._sums[key], g)
                self._summed.add(key)

    def step_rows(self, key, rows, grad_rows, grad_scale=1.0):
        """Update some rows of a matrix, such as those of an embedding that a batch has used.

        The rows not named, and their state, are left alone: their moments do not decay and they are not
        penalized (the lazy semantics of PyTorch's SparseAdam). The matrix counts the call as one step, for
        the bias correction of all of its rows; `steps` follows where it falls behind.

        Parameters
        ----------
        key : int or str
            Of the matrix in params; None where params is the matrix itself.
        rows : ndarray of int, shape (n,)
            May repeat: the gradients of a repeated row are summed.
        grad_rows : ndarray of shape (n, columns)
            The gradient of each row.
        grad_scale : float, default: 1
            Multiplies the gradients.

        Returns
        -------
        applied : bool
            False where skip_nonfinite kept everything as it was.

        Raises
        ------
        KeyError
            If there is no such key.
        TypeError, ValueError
            If rows or grad_rows do not fit; for LAMB and LARS, whose step needs whole arrays.

        Examples
        --------
        >>> import gd, numpy as np
        >>> embedding = np.zeros((3, 2))
        >>> optimizer = gd.SGD(embedding, lr=1.0)
        >>> optimizer.step_rows(None, np.array([2, 0, 2]), np.ones((3, 2)))
        True
        >>> embedding.tolist()
        [[-1.0, -1.0], [0.0, 0.0], [-2.0, -2.0]]
        """
        where = f"{self._name}.step_rows"
        if self.by_blocks:
            given = "state_dtype, param_dtype, zero_grads or track_norms"
            raise TypeError(f"{where}: rows cannot be stepped where {given} is given")
        grad_scale = check_number(where, "grad_scale", grad_scale, REAL)
        if self.trust_norms is not None:
            raise TypeError(f"{where}: {self._name} measures whole arrays, it cannot step single rows")
        if not isinstance(key, Hashable) or key not in self._blocks:
            raise KeyError(f"{where}: key must be one of {', '.join(map(repr, self._blocks))}, got {key!r}")
        block = self._blocks[key]
        if len(block.shape) != 2:
            raise ValueError(f"{where}: {block.label} must be a matrix, it has shape {block.shape}")
        rows = check_indices(where, "rows", rows, block.shape[0])
        expected = ("rows and columns", (rows.size, block.shape[1]))
        grad_rows = check_array(where, "grad_rows", grad_rows, dtype=(block.label, block.dtype), shape=expected)
        check_apart_from(where, [("grad_rows", grad_rows)], [(each.label, each.p) for each in self._blocks.values()])
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1], [True])))
        summed = aligned_empty((starts.size - 1) * block.shape[1], block.dtype)
        join(sum_rows)(starts.size - 1, summed.reshape(-1, block.shape[1]), grad_rows, order, starts)
        return self._apply([(block, summed)], grad_scale, rows[starts[:-1]])

    def _apply(self, pairs, grad_scale, rows=None):
        """Step every block by its flat gradient, or the given rows of the only block."""
        if not pairs:
            return False
        if self._looks_first:
            norm = self._norm(pairs, grad_scale)
            vars(self)["grad_norm"] = norm
            if self.skip_nonfinite and not isfinite(norm) and not self._all_finite(pairs, grad_scale):
                return False
            if self.clip_norm is not None and not norm <= self.clip_norm:
                if norm == inf and self._all_finite(pairs, grad_scale):  # it is above the largest float
                    grad_scale *= SMALLER
                    norm = self._norm(pairs, grad_scale)
                grad_scale *= self.clip_norm / norm
        if len(self._blocks) > 1 and pairs[0][0] is not self._whole:
            if rows is not None or len(pairs) < len(self._blocks):
                self._count_apart()
        steps, work, kinds, parts = self.steps, [], {}, []
        for block, g in pairs:  # all scalars before anything changes: a schedule may raise
            kind, t = block.kind, block.steps if self._ragged else steps
            if (vector := kinds.get((kind, t))) is None:
                vector = kinds[kind, t] = kind.vector(t, grad_scale, not kinds)
            work.append((block, g, vector))
        with Interruption(), self._change():
            for block, g, vector in work:
                kind = block.kind
                if kind.trust_norms is not None:
                    vector = kind.trusted(block, g, vector)
                if rows is None:
                    parts.append(kind.step(block, vector, g, block.steps if self._ragged else steps))
                else:
                    self._update_rows(block, g, vector, rows)
                block.steps += 1
            if self.track_norms:
                gradient, update, parameters = self._combined(np.concatenate(parts, axis=1))
                vars(self)["norms"] = Norms(abs(grad_scale) * gradient, update, parameters)
            if self.scalars:
                for owner in {block.kind.owner for block, _ in pairs}:
                    owner.stepped(owner._lr_of_step)
            self._set_steps(max(steps, pairs[0][0].steps) if self._ragged and rows is not None else steps + 1)
        return True

    def _apply_at_once(self, found, grad_scale):
        """Step all arrays by gradients that were found, as `_apply` does, by one call of a kernel for each kind."""
        _objects, addresses = found  # the objects are kept until the kernels have run
        if not addresses.any():
            return False
        if not addresses.all():
            self._count_apart()
        calls = self._many.calls(addresses, grad_scale, None if self._ragged else self.steps)
        with Interruption():
            for part, arguments, blocks in calls:
                part.kernel(*arguments)
                if self._ragged:
                    for block in blocks:
                        block.steps += 1
            if self.scalars:
                for owner in {part.kind.owner for part, _, _ in calls}:
                    owner.stepped(owner._lr_of_step)
            self._set_steps(self.steps + 1)
        return True

    def _update_rows(self, block, g, vector, rows):
        owner, shape = block.kind.owner, block.shape
        arguments = block.p.reshape(shape), len(block.slots), owner._bound_step(block)
        join(update_rows)(rows.size, vector, rows, g.reshape(-1, shape[1]), *arguments)

    def _bound_step(self, block):
        """Return the step of a block's arrays, for loops that compute or find its gradient piece by piece."""
        return block.kind.update.bind(block.kind.dtype, block.p, *block.slots)

    def _count_apart(self):
        """From now on count the steps of every array by itself."""
        if not self._ragged:
            for block in self._blocks.values():
                block.steps = self.steps
            self._ragged = True

    def _norm(self, pairs, grad_scale):
        """Return the Euclidean norm of all gradients together, times |grad_scale|."""
        parts = [block.kind.gradient_norms(g, grad_scale) for block, g in pairs]
        return self._combined(np.concatenate(parts, axis=1))[0] if parts else 0.0

    def _combined(self, parts):
        """Return the norms of all elements from those of their parts, in rows."""
        return combine(parts)

    def _all_finite(self, pairs, grad_scale):
        """Whether all gradients are finite although their norm is not."""
        with np.errstate(over="ignore", invalid="ignore"):
            return all(np.isfinite(block.kind.dtype.type(grad_scale) * widened(g)).all() for block, g in pairs)

    @property
    def _whole(self):
        """The block of all arrays of a ParameterVector, as long as they step together."""
        return None if self._ragged or self.groups or self.trust_norms or self.by_blocks else self._vector_block

    @property
    def steps_inside(self):
        """Whether `step_inside` can step: nothing needs the whole gradient first, and all arrays step alike."""
        return self._whole is not None and not self._looks_first and not self._summed

    def step_inside(self, loop, pieces):
        """Take a step by a loop that computes the gradient of a ParameterVector itself, piece by piece.

        `pieces` yields (size, *arguments) of the kernel, one for each call.
        """
        block = self._whole
        vector = block.kind.vector(self.steps, 1.0, True)
        self._count()  # before: whoever interrupts a kernel is heard when it has ended
        kernel, step = join(loop), self._bound_step(block)
        for arguments in pieces:
            kernel(*arguments, vector, block.p, len(block.slots), step)

    def run_inside(self, loop, count, work, *arguments):
        """Take `count` steps by an ordered loop that computes the gradients itself, or fewer; return how many.

        `work` is how much a step is. The loop counts the steps in its first argument.
        """
        block, before = self._whole, (self.steps, [getattr(self, name) for name in self.scalars])
        taken = np.zeros(1, np.intp)
        try:
            coefficients = self._ahead(block.kind, count)
            step = self._bound_step(block)
            join(loop)(count, work, taken, *arguments, coefficients, block.p, len(block.slots), step)
        finally:
            if taken[0] < count:
                self._set_steps(before[0])
                for name, value in zip(self.scalars, before[1], strict=True):
                    setattr(self, name, value)
                self._ahead(block.kind, int(taken[0]))
        return int(taken[0])

    def _ahead(self, kind, count):
        """Return the scalars of the next steps, one row each, and count these steps."""
        rows = None
        for k in range(count):
            vector = kind.vector(self.steps, 1.0, True)
            if rows is None:
                rows = np.empty((count, vector.size), kind.dtype)
            if kind.is_settled(self.steps, 1.0):
                rows[k:] = vector
                self._set_steps(self.steps + count - k)
                break
            rows[k] = vector
            self._count()
        return rows

    def _count(self):
        """Note that a step of all arrays was taken."""
        if self.scalars:
            self.stepped(self._lr_of_step)
        self._set_steps(self.steps + 1)

    def _values(self, t, grad_scale):
        """The common and the rule's scalars of the step after t steps, in float64."""
        lr = self._lr
        if callable(lr) or self._schedules:
            lr = self._scheduled(lr)
        if self.scalars:
            vars(self)["_lr_of_step"] = lr
        clip_value, ema = self.clip_value, self.ema
        return (
            -grad_scale if self.maximize else grad_scale,
            inf if clip_value is None else clip_value,
            self.l1,
            self.l2,
            1.0 - lr * self.weight_decay,
            0.0 if ema is None else ema,
            1.0 if ema is None else 1.0 - ema,
            *self.coefficients(t + 1, lr),
        )

    def _accumulated(self):
        """Return the accumulated gradients, in the structure of params."""
        if isinstance(self.params, ParameterVector) and len(self._summed) == len(self._blocks):
            return self._sum
        arrays = {
            key: self._sums[key].reshape(block.shape) if key in self._summed else None
            for key, block in self._blocks.items()
        }
        if isinstance(self.params, np.ndarray):
            return arrays[None]
        return list(arrays.values()) if isinstance(self.params, (list, tuple)) else arrays

    def _paired(self, where, grads):
        """Return (block, flat gradient) for every array that has one; raise before anything has changed."""
        vector_block = self._vector_block
        if vector_block is not None and not isinstance(grads, (ParameterVector, np.ndarray, dict)):
            grads = lent(where, "grads", grads)
        if vector_block is not None and isinstance(grads, (ParameterVector, np.ndarray)):
            g, shapes = grads, self.params.shapes
            if isinstance(grads, ParameterVector):
                if grads.shapes != shapes:
                    raise ValueError(f"{where}: grads has shapes {grads.shapes}, params has {shapes}")
                g = grads.vector if list(grads.shapes) == list(shapes) else None  # else by name, as any dict
            if g is not None:
                g = vector_block.gradient(where, "grads" if g is grads else "grads.vector", g)
                return [(vector_block, g)] if self._whole is not None else self._pieces(g)
        if isinstance(self.params, np.ndarray):
            block = self._blocks[None]
            g = block.gradient(where, "grads", grads)
            if not block.knows(grads):
                block.remember(grads)
            return [(block, g)]
        given = entries(where, "grads", grads)
        blocks = self._blocks
        if given.keys() != blocks.keys():
            missing = [blocks[key].label for key in blocks.keys() - given.keys()]
            extra = [given[key][0] for key in given.keys() - blocks.keys()]
            raise ValueError(
                f"{where}: grads must have the structure of params; "
                + "; ".join([f"none for {label}" for label in missing] + [f"unknown {label}" for label in extra])
            )
        given = {key: entry for key, entry in given.items() if entry[1] is not None}
        pairs = [(blocks[key], blocks[key].gradient(where, *entry)) for key, entry in given.items()]
        if len(blocks) > 1 and not all(blocks[key].knows(array) for key, (_, array) in given.items()):
            self._check_grads_apart(where, given)
        return pairs

    def _pieces(self, g):
        """Return (block, piece of a flat gradient) for every array of a ParameterVector."""
        pieces, start = [], 0
        for block in self._blocks.values():
            pieces.append((block, g[start : start + block.size]))
            start += block.size
        return pieces

    def _check_grads_apart(self, where, given):
        """Raise if a gradient shares memory with any parameter; they may share with each other unless set to 0."""
        if self.zero_grads:
            check_apart(where, list(given.values()))
        check_apart_from(where, given.values(), [(block.label, block.p) for block in self._blocks.values()])
        for key, (_, g) in given.items():
            self._blocks[key].remember(g)

    def __repr__(self):
        lr = self._lr if callable(self._lr) else f"{self._lr:g}"
        names = (*self._hyperparameters, *(name for name in SHARED if getattr(self, name)))
        given = "".join(f", {name}={self._schedules.get(name, getattr(self, name))}" for name in names)
        return f"{self._name}(lr={lr}{given})"
