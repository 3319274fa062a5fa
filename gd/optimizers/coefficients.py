"""The coefficients of a step: those that all optimizers have come first, then those of the rule."""

import struct
from math import inf, sqrt

import numpy as np

from .hyperparameters import scheduled


class Coefficients:
    """The coefficients of one optimizer or group, as kernels take them: one vector of a dtype.

    Parameters
    ----------
    owner : Optimizer
        Asked for its rate and hyper-parameters, and for ``coefficients(t, lr)``.
    dtype : dtype
    """

    def __init__(self, owner, dtype):
        self._owner, self._dtype = owner, dtype
        self._values = self._vector = self._format = self._given = None

    def vector(self, t, grad_scale, reuse=True):
        """Return the coefficients of the step after t steps; `reuse` the vector of the step before."""
        owner = self._owner
        if reuse and self.is_settled(t, grad_scale):
            return self._vector
        found = values(owner, t, grad_scale)
        if not reuse:
            return np.array(found, self._dtype)
        if found != self._values:
            self._values = self._given = None  # until the vector holds them, as Ctrl-C can come before it does
            if self._format is None:
                self._vector = np.empty(len(found), self._dtype)
                self._format = struct.Struct(f"{len(found)}{self._dtype.char}")
            try:
                self._format.pack_into(self._vector, 0, *found)  # half the time of np.array
            except OverflowError:
                self._vector[:] = found
            self._values = found
        self._given = None if callable(owner._lr) or owner._schedules or t == 0 else (owner._lr, grad_scale)
        return self._vector

    def is_settled(self, t, grad_scale):
        """Return whether the coefficients after t steps are those of the step before, and will be of the next."""
        return self._owner.steady and t > 1 and self._given == (self._owner._lr, grad_scale)


def values(owner, t, grad_scale):
    """Return the coefficients of the step after t steps, in float64."""
    lr = owner._lr
    if callable(lr) or owner._schedules:
        lr = scheduled(owner)
    if owner.scalars:
        vars(owner)["_lr_of_step"] = lr
    clip_value, ema = owner.clip_value, owner.ema
    return (
        -grad_scale if owner.maximize else grad_scale,
        inf if clip_value is None else clip_value,
        owner.l1,
        owner.l2,
        1.0 - lr * owner.weight_decay,
        0.0 if ema is None else ema,
        1.0 if ema is None else 1.0 - ema,
        *owner.coefficients(t + 1, lr),
    )


def split_eps(optimizer, v_scale=1.0):
    """Return the coefficients eps and eps_inside of a rule, one of which is 0.

    v_scale is the bias correction of v: with eps_hat, eps is added before it.
    """
    eps, inside = optimizer.eps, optimizer.eps_inside
    if optimizer.eps_hat:
        eps *= v_scale if inside else sqrt(v_scale)
    return (0.0, eps) if inside else (eps, 0.0)


def bias_corrections(optimizer, t):
    """Return 1 / (1 - beta1**t) and 1 / (1 - beta2**t), or 1 and 1 where bias_correction is off."""
    if not optimizer.bias_correction:
        return 1.0, 1.0
    betas = optimizer.betas
    return 1.0 / (1.0 - betas[0] ** t), 1.0 / (1.0 - betas[1] ** t)
