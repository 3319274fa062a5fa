"""Optimizer: the base class of all optimizers, with the methods that users call."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal

from ..checks import NON_NEGATIVE, REAL, check_number
from ..kernels.compiler import has_run
from ..kernels.interruption import Interruption
from ..parameters import Structure
from ..typing import Array, FilePath, Grads, Integers, Params, Rate
from .declaration import check_declaration
from .groups import add_group, check_groups, make_groups, structure_of
from .hyperparameters import SHARED, set_own, set_shared
from .rebinding import Rebinding
from .state import State
from .state_folder import StateFolder
from .steps import Steps


class Optimizer(Rebinding):
    """The base class of all optimizers: it owns arguments, state and traversal.

    A step takes the gradient g and the parameters p of each array through these stages, in the same pass over memory
    as the optimizer's formula. Stages that are not asked for cost nothing::

        g <- grad_scale * g                                   (-grad_scale to maximize)
        g <- g * min(1, clip_norm_each / |g|)                 |g| of the array
        g <- g * min(1, clip_norm / |g|)                      |g| over all arrays
        g <- min(max(g, -clip_value), clip_value)
        g <- g + l2 * p + l1 * sign(p)
        p <- (1 - lr * weight_decay) * p
        p, state <- the optimizer's formula
        p <- sign(p) * max(|p| - lr * l1, 0)                  with proximal, in place of l1 * sign(p)
        average <- ema * average + (1 - ema) * p

    Parameters
    ----------
    params : ndarray, or a list, tuple, dict or generator of ndarrays, or ParameterVector
        Updated in place; float32 or float64, contiguous in any order of their axes, writeable, without overlap in
        memory. Lists, tuples and dicts may hold further ones; gradients are such a tree, too, and the key of an array
        is its path, such as ``"layers[0].w"``. Gradients in another order of axes are copied; norms and blocks of 8-bit
        states follow memory. One kernel call steps 8 or more arrays, and another measures them where norms come first.
    lr : float or callable
        The learning rate, or a schedule: a function of the number of steps taken before. Any other number of the
        optimizer's formula may be a schedule, too, such as ``momentum=cycle.momentum``, and so may l1, l2,
        weight_decay, the limits of clipping and ema, such as ``ema=lambda step: (1 + step) / (10 + step)``.
    l1, l2 : float, default: 0
        Penalties l1 * |p| and l2 / 2 * p**2: their gradients are added to the gradient (coupled).
    weight_decay : float, default: 0
        Decoupled decay (Loshchilov & Hutter 2019), times lr: so it follows lr's schedule.
    proximal : bool, default: False
        Take l1, which must be above 0 here or in a group, by a proximal step (Duchi & Singer 2009; Parikh & Boyd 2014),
        so that parameters become exactly 0; its lr is lr / (1 - momentum) where there is momentum. `SGD`, `Momentum`
        and `Nesterov` come to the minimum of loss + l1 * |p|. Rules that scale each element, such as Adam's, shrink all
        alike, decoupled like AdamW's decay: they come to another point, with fewer zeros. Not for Rprop, ASGD, LAMB,
        LARS, ScheduleFreeAdamW, Prodigy, Adafactor, SM3, Muon, and FTRL, whose own l1 does it.
    maximize : bool, default: False
        Ascend instead of descend.
    clip_value : float, optional
        The largest absolute value of an element of the gradient. This and the following limits may be infinite.
    clip_norm_each : float, optional
        The largest Euclidean norm of the gradient of each array, which may be other in a group.
    clip_norm : float, optional
        That over all arrays. It costs one more read. (PyTorch's ``clip_grad_norm_`` divides by the norm + 1e-6.)
    skip_nonfinite : bool, default: False
        Skip the step if the scaled gradient holds a NaN or an infinity. It costs the same read as clip_norm.
    ema : float, optional
        Decay in [0, 1) of an average of the parameters, which starts from them: see `ema_params`.
    state_dtype : str, optional
        "bfloat16" or "int8": store the state in 2 bytes per element, or in 1 byte and one float32 per 256 elements, all
        in one pass. Rounding is stochastic, so that means stay right. State that averages parameters is stored in full.
        One value that is not finite makes its 256 elements so.
    param_dtype : str, optional
        "bfloat16": params are uint16 arrays with the upper halves of float32 numbers (``tensor.view(torch.uint16)
        .numpy()``, or ``array.view(np.uint16)`` of ml_dtypes' bfloat16); gradients likewise, or float32.
    grad_dtype : str, optional
        "float64", "float32" or "bfloat16": gradients may have this dtype, too. The pass that reads them rounds them to
        the parameters' dtype, as ``astype`` would.
    master_weights : bool, default: False
        Keep the lower halves of bfloat16 parameters as state; else parameters are rounded stochastically.
    seed : int, default: 0
        Of stochastic rounding. The same seed gives the same bits, for any number of threads.
    zero_grads : bool, default: False
        Set the gradients to 0 in the pass that reads them, unless the step is skipped. So `step` writes to them.
    track_norms : bool, default: False
        Measure the norms of gradient, update and parameters in the same pass: see `norms`.
    state_dir : path, optional
        A folder that holds the state arrays as files, for states larger than memory; one process at a time can use it.
        Parameters and gradients may be np.memmap arrays, too. After `close`, or the end of the optimizer's context,
        another optimizer with the same parameters and state_dir continues bit for bit. A folder that was not closed is
        refused, as its arrays may belong to two steps: continue from a copy that `save_state` made.
    groups : list of dict, optional
        Other hyper-parameters for some arrays, ``{"params": [keys], "lr": 0.1, "weight_decay": 0}``: any of
        the optimizer's own, lr, and those from l1 to clip_norm_each. The attribute `groups` holds an optimizer for
        each, whose `lr` can be set.

    Attributes
    ----------
    steps : int
        Steps taken, the argument of schedules.
    grad_norm : float or None
        Norm of the last gradient, before it is clipped; None unless clipping by a norm or skip_nonfinite needs it.
    norms : Norms or None
        Euclidean norms over all arrays that the last step moved: ``gradient`` (scaled and clipped),
        ``update`` (of all that changed the parameters) and ``parameters`` (after the step); None without track_norms.

    Raises
    ------
    TypeError, ValueError
        If kernels cannot take an array, or a hyper-parameter is out of range; nothing has changed then.

    Notes
    -----
    For an optimizer of your own, `gd.optimizer` makes a subclass from its formula. Or write one: it declares `rule`,
    whose last argument c is annotated by a NamedTuple, `coefficients(t, lr)` that returns it, and `slots`, `ranges`,
    `unsigned`, `exact` and `steady` where it needs them. Its constructor passes its own hyper-parameters on as a dict.
    docs/own_rules.md has an example, and a table of all that a subclass declares.
    """

    def __init__(
        self,
        params: Params,
        lr: Rate,
        hyperparameters: dict[str, Any],
        *,
        l1: Rate = 0.0,
        l2: Rate = 0.0,
        weight_decay: Rate = 0.0,
        proximal: bool = False,
        maximize: bool = False,
        clip_value: Rate | None = None,
        clip_norm_each: Rate | None = None,
        clip_norm: Rate | None = None,
        skip_nonfinite: bool = False,
        ema: Rate | None = None,
        state_dtype: Literal["bfloat16", "int8"] | None = None,
        param_dtype: Literal["bfloat16"] | None = None,
        grad_dtype: Literal["float32", "float64", "bfloat16"] | None = None,
        master_weights: bool = False,
        seed: int = 0,
        zero_grads: bool = False,
        track_norms: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
        state_dir: FilePath | None = None,
        **unknown: Any,
    ) -> None:
        name = self._name = type(self).__name__
        if unknown:
            raise TypeError(f"{name}: unexpected keyword {next(iter(unknown))!r}")
        set_own(self, hyperparameters)
        shared = l1, l2, weight_decay, proximal, maximize, clip_value, clip_norm_each, clip_norm, skip_nonfinite, ema
        storage = state_dtype, param_dtype, grad_dtype, master_weights, seed, zero_grads, track_norms
        set_shared(self, dict(zip(SHARED, shared + storage, strict=True)))
        self.by_blocks = bool(state_dtype or param_dtype or zero_grads or track_norms)
        if (self.by_blocks or grad_dtype) and state_dir is not None:
            raise TypeError(f"{name}: state_dir takes no other dtype, zero_grads or track_norms")
        self.lr = lr
        self.steps, self.grad_norm, self.norms, self._lr_set = 0, None, None, False
        vars(self).update(self.scalars)
        self.choose()
        check_declaration(self)
        structure = structure_of(self, name, params)
        self.params = structure.params
        if (state_dtype or param_dtype or grad_dtype == "bfloat16") and not self.elementwise:
            raise TypeError(
                f"{name}: state_dtype, param_dtype and bfloat16 are not for {name}, which steps whole arrays"
            )
        self._specifications = check_groups(self, groups, structure)
        if state_dir is None or isinstance(state_dir, StateFolder):  # of the optimizer that has this group
            self._prepare(structure, state_dir)
            return
        folder = StateFolder(name, state_dir)
        try:
            self._prepare(structure, folder)
            folder.begin(self._state.restore_numbers, self._state.numbers)
        except BaseException:
            folder.abandon()
            raise

    def _prepare(self, structure: Structure, folder: StateFolder | None) -> None:
        """Make groups, state arrays and kernels."""
        self._structure = structure
        self.groups = make_groups(self, self._specifications, structure.arrays, folder)
        self._state = State(self, structure, self.groups, folder)
        self._steps = Steps(self, structure, self._state)

    def step(self, grads: Grads | None = None, grad_scale: float = 1.0) -> bool:
        """Update the parameters in place by their gradients.

        Parameters
        ----------
        grads : as params, optional
            The same structure, shapes and dtypes; read only (but see zero_grads). An array whose gradient is None keeps
            its values, state and count of steps. A ParameterVector takes a ParameterVector or one flat vector, in a
            single pass, or a dict. Gradients given to `accumulate` before are added; without grads, they are all.
        grad_scale : float, default: 1
            Multiplies the gradients: 1 / loss_scale, or 1 / n for sums over n examples.

        Returns
        -------
        applied : bool
            False if skip_nonfinite skipped the step, or all gradients are None. Both drop accumulated gradients.

        Raises
        ------
        TypeError, ValueError
            If grads do not match params; nothing has changed then.
        """
        if type(grad_scale) is not float or not isfinite(grad_scale):
            grad_scale = check_number(f"{self._name}.step", "grad_scale", grad_scale, REAL)
        if self._small is not None and grads is not None and self._small.take(grads, grad_scale):
            return True
        array = self._alone
        if array is None or grads is None:
            return self._steps.take(f"{self._name}.step", grads, grad_scale)
        if array.knows(grads) and array.fits(grads) and array.given.flags.writeable:  # a short way
            g = grads.reshape(-1)
        else:
            g = self._structure.pairs(f"{self._name}.step", grads)[0][1]
            if array.unread is not None:  # which must be set to 0 before a signal's handler can raise
                return self._steps.take(f"{self._name}.step", grads, grad_scale)
        update, state = array.update, vars(self)
        arguments = update.arguments(array, update.coefficients.vector(self.steps, grad_scale), g, self.steps)
        state["steps"] += 1
        try:
            update.kernel(*arguments)
        except BaseException as error:
            try:
                counts = has_run(error)
            except BaseException:  # of a second signal
                counts = has_run(error)
            state["steps"] -= not counts
            raise
        return True

    def accumulate(self, grads: Grads, grad_scale: float = 1.0) -> None:
        """Add gradients to those that the next step will take.

        Parameters
        ----------
        grads : as params
            As in `step`; None for an array without a gradient. Read, never written, and not kept.
        grad_scale : float, default: 1
            Multiplies these gradients, for example by the size of their batch.

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
        self._steps.accumulate(where, grads, check_number(where, "grad_scale", grad_scale, REAL))

    def step_rows(self, key: Any, rows: Integers, grad_rows: Array, grad_scale: float = 1.0) -> bool:
        """Update some rows of a matrix, such as those of an embedding that a batch has used.

        Other rows and their state are not changed: their moments do not decay and they are not penalized (the lazy
        semantics of PyTorch's SparseAdam). The call counts as one step of the matrix, for the bias correction of all
        its rows; `steps` becomes at least the matrix's count.

        Parameters
        ----------
        key : int or str
            Key of the matrix in params; None if params is the matrix itself.
        rows : ndarray of int, shape (n,)
            May repeat: the gradients of a repeated row are summed.
        grad_rows : ndarray of shape (n, columns)
            The gradient of each row.
        grad_scale : float, default: 1
            Multiplies the gradients.

        Returns
        -------
        applied : bool
            False if skip_nonfinite skipped the step.

        Raises
        ------
        KeyError
            If there is no such key.
        TypeError, ValueError
            If rows or grad_rows do not fit; for optimizers that step whole arrays, such as LAMB and Muon.

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
        return self._steps.rows(f"{self._name}.step_rows", key, rows, grad_rows, grad_scale)

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Add arrays to the parameters, with hyper-parameters of their own, as PyTorch's add_param_group does.

        They join with a fresh state, and their bias correction starts; schedules go on. From now on, gradients are
        those of all arrays, in the structure of the attribute `params`.

        Parameters
        ----------
        group : dict
            As in `groups`, but ``group["params"]`` holds new arrays: a list of them, which are put behind those of the
            optimizer, or a dict if params is one.

        Raises
        ------
        TypeError, ValueError
            If the group is wrong, params is one array or a ParameterVector, there is a state_dir, or gradients wait to
            be stepped; nothing has changed then.
        """
        add_group(self, group)

    @property
    def inside(self) -> Steps:
        """The steps for compiled loops that compute gradients themselves: see `Steps`."""
        return self._steps

    def close(self) -> None:
        """Write the state of `state_dir` to the disk; the optimizer takes no further step.

        An optimizer is also a context manager that closes it. Without state_dir there is nothing to do.
        """
        if self._state.folder is not None:
            self._state.folder.close(self._state.numbers())

    def save_state(self, path: FilePath) -> None:
        """Copy the state of `state_dir` into a new folder, from which another optimizer can continue.

        Parameters
        ----------
        path : str or path-like
            Of the new folder. Save the parameters, too: the two belong together. An interrupted copy is refused.

        Raises
        ------
        ValueError
            If the optimizer was made without state_dir, or closed.
        FileExistsError
            If there is something at path.
        """
        if self._state.folder is None:
            raise ValueError(f"{self._name}.save_state: the optimizer was made without state_dir; save its state_dict")
        self._state.folder.check()
        with Interruption():
            self._state.folder.copy(path, self._state.numbers())

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a flat dict: `steps`, and a copy of every state array.

        The keys are PyTorch's slot names (`exp_avg`, ...), after the key of the array if params is a list or a dict:
        `0.exp_avg`, `W1.exp_avg`. `W1.step` is there if arrays differ in the number of steps they took.
        Hyper-parameters and accumulated gradients are not part of it.
        """
        return self._state.to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the optimizer goes on as if it had not stopped.

        Raises
        ------
        KeyError
            If entries are missing or unknown.
        TypeError, ValueError
            If an entry has another shape or dtype; nothing has changed then.
        """
        self._state.load(f"{self._name}.load_state_dict", state)

    def ema_params(self) -> Any:
        """Return a copy of the averaged parameters, in the structure of params.

        Raises
        ------
        ValueError
            If the optimizer was made without ema.
        """
        if self.ema is None:
            raise ValueError(f"{self._name}.ema_params: the optimizer was made without ema; pass ema=0.999")
        return self._state.copies("ema")

    @property
    def schedules(self) -> dict[str, Any]:
        """The hyper-parameters that are schedules, by name; those of groups as ``groups[0].lr``."""
        own = ({"lr": self._lr} if callable(self._lr) else {}) | self._schedules
        groups = enumerate(self.groups)
        return own | {f"groups[{k}].{name}": each for k, group in groups for name, each in group.schedules.items()}

    @property
    def lr(self) -> float:
        """The learning rate of the next step; set it to a number or a schedule."""
        return self._lr(self.steps) if callable(self._lr) else self._lr

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._lr, self._lr_set = value if callable(value) else check_number(self._name, "lr", value, NON_NEGATIVE), True

    @property
    def last_lr(self) -> float:
        """The learning rate of the last step; before any step, that of the first."""
        return self._lr(max(self.steps - 1, 0)) if callable(self._lr) else self._lr
