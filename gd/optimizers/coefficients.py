"""Coefficients: the scalars of a step as kernels take them, first those of all optimizers, then those of the rule."""

import struct
from math import inf, sqrt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.loops.update import coefficients_of
from ..kernels.rules.stages import CommonCoefficients
from .hyperparameters import scheduled

if TYPE_CHECKING:
    from .base import Optimizer


COMMON = len(CommonCoefficients._fields)  # of all optimizers, before those of the rule


class _WithEps(Protocol):
    eps: float
    eps_inside: bool
    eps_hat: bool


class _WithBetas(Protocol):
    bias_correction: bool

    @property
    def betas(self) -> tuple[float, ...]: ...


class Coefficients:
    """The coefficients of one optimizer or group, as kernels take them: one vector of a dtype.

    Parameters
    ----------
    owner : Optimizer
        Has the rate, the hyper-parameters and ``coefficients(t, lr)``.
    dtype : dtype
    """

    _vector: NDArray[Any]

    def __init__(self, owner: "Optimizer", dtype: np.dtype[Any]) -> None:
        self._owner, self._dtype, self._steady = owner, dtype, owner.steady
        self._varies, self._scalars = bool(owner._schedules), bool(owner.scalars)
        self._given: tuple[Any, ...] = None, None, (), ()  # lr, grad_scale, and what `values` returned for them
        self._format = self._values = None

    def values(
        self, t: int, grad_scale: float, rate: float | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the coefficients of step t + 1 in float64: those of all optimizers, and those of the rule.

        `rate` is the learning rate, by default that of the owner.
        """
        owner = self._owner
        given = owner._lr if rate is None else rate
        varies = self._varies or callable(given)
        lr: Any = given
        kept_lr, kept_scale, common, own = self._given
        if varies or lr != kept_lr or grad_scale != kept_scale:
            lr = scheduled(owner) if varies else lr
            common = _common(owner, lr, grad_scale)
        elif t > 1 and self._steady:
            return common, own
        if self._scalars:
            vars(owner)["_lr_of_step"] = lr
        own = owner.coefficients(t + 1, lr)
        if t and not varies:
            self._given = lr, grad_scale, common, own
        return common, own

    def vector(self, t: int, grad_scale: float, reuse: bool = True) -> NDArray[Any]:
        """Return the coefficients of step t + 1; with `reuse` in the vector that the last call returned."""
        found = self.values(t, grad_scale)
        if not reuse:
            return np.array(found[0] + found[1], self._dtype)
        if found == self._values:
            return self._vector
        common, own = found
        self._values = None  # until the vector holds them: Ctrl-C can come before
        if self._format is None:
            self._vector = np.empty(len(common) + len(own), self._dtype)
            self._format = struct.Struct(f"{self._vector.size}{self._dtype.char}")
        buffer: Any = self._vector
        try:
            self._format.pack_into(buffer, 0, *common, *own)  # half the time of np.array
        except OverflowError:
            self._vector[:] = common + own
        self._values = found
        return self._vector

    def ahead(self, t: int, count: int) -> NDArray[Any] | None:
        """Return the coefficients of the steps after t, a row each; None if only `vector` can tell them, one by one."""
        owner = self._owner
        if not owner.by_array or callable(owner._lr) or owner._schedules:
            return None
        with np.errstate(over="ignore"):
            common = _common(owner, owner._lr, 1.0)
            found = *common, *owner.coefficients(np.arange(t + 1, t + count + 1), owner._lr)
            rows = np.empty((count, len(found)), self._dtype)
            for column, value in zip(rows.T, found, strict=True):
                column[:] = value
        return rows

    def is_settled(self, t: int, grad_scale: float) -> bool:
        """Return True if the coefficients after t steps are those of the last step, and stay so."""
        return self._steady and t > 1 and self._given[:2] == (self._owner._lr, grad_scale)


def count_of(rule: Any) -> int:
    """Return how many coefficients the kernels of a rule take."""
    return COMMON + len(coefficients_of(rule)._fields)


def _common(owner: "Optimizer", lr: float, grad_scale: float) -> tuple[float, ...]:
    """Return the values of `CommonCoefficients`, in float64."""
    clip_value, l1, ema, threshold = owner.clip_value, owner.l1, owner.ema, 0.0
    if owner.proximal:
        l1, threshold = 0.0, owner.effective_lr(lr) * l1
    return (
        -grad_scale if owner.maximize else grad_scale,
        inf if clip_value is None else clip_value,
        l1,
        owner.l2,
        1.0 - lr * owner.weight_decay,
        0.0 if ema is None else ema,
        1.0 if ema is None else 1.0 - ema,
        threshold,
    )


def split_eps(optimizer: _WithEps, v_scale: Any = 1.0) -> tuple[Any, Any]:
    """Return a rule's coefficients eps and eps_inside, one of which is 0.

    v_scale is the bias correction of v; with eps_hat, eps is added before that correction.
    """
    eps, inside = optimizer.eps, optimizer.eps_inside
    if optimizer.eps_hat:
        eps = eps * (v_scale if inside else sqrt(v_scale) if isinstance(v_scale, float) else np.sqrt(v_scale))
    return (0.0, eps) if inside else (eps, 0.0)


def bias_corrections(optimizer: _WithBetas, t: Any) -> tuple[Any, Any]:
    """Return 1 / (1 - beta1**t) and 1 / (1 - beta2**t), or 1 and 1 if bias_correction is off; t may be an array."""
    if not optimizer.bias_correction:
        return 1.0, 1.0
    betas = optimizer.betas
    if not isinstance(t, np.ndarray):
        return 1.0 / (1.0 - betas[0] ** t), 1.0 / (1.0 - betas[1] ** t)
    first, second = (
        np.array([beta**each for each in t.tolist()]) for beta in betas[:2]
    )  # NumPy rounds powers otherwise
    return 1.0 / (1.0 - first), 1.0 / (1.0 - second)
