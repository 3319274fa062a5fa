"""Stages around an optimizer over a dict of arrays: scaling, clipping, penalties, weight decay, averaging."""

from inspect import signature
from typing import Any

import numpy as np

from .optimizers import OPTIMIZERS
from .proximal_optimizers import TOGETHER


class Optimizer:
    """An optimizer of `OPTIMIZERS` over a dict of arrays, with the keywords that all of them take."""

    def __init__(
        self,
        name,
        params,
        *,
        lr=None,
        l1=0.0,
        l2=0.0,
        weight_decay=None,
        proximal=False,
        maximize=False,
        clip_value=None,
        clip_norm_each=None,
        clip_norm=None,
        ema=None,
        **keywords,
    ):
        self.formula, defaults = OPTIMIZERS[name]
        self.keywords = keywords if lr is None else {"lr": lr, **keywords}
        self.params, self.steps = params, 0
        self.l1, self.l2, self.maximize, self.clip_value, self.clip_norm = l1, l2, maximize, clip_value, clip_norm
        self.clip_norm_each, self.proximal = clip_norm_each, proximal
        self.weight_decay = defaults.get("weight_decay", 0.0) if weight_decay is None else weight_decay
        if "weight_decay" in signature(self.formula).parameters:  # the formula applies it itself
            self.keywords, self.weight_decay = {**self.keywords, "weight_decay": self.weight_decay}, 0.0
        if "l1" in signature(self.formula).parameters:
            self.keywords, self.l1, self.l2 = {**self.keywords, "l1": l1, "l2": l2}, 0.0, 0.0
        self.lr: Any = self.formula.__defaults__[0] if lr is None else lr
        self.state = {key: {} for key in params}
        self.ema, self.averages = ema, {key: p.copy() for key, p in params.items()} if ema is not None else {}

    def step(self, grads, grad_scale=1.0):
        """Apply clipping, penalties, decoupled weight decay, the formula, the proximal step, then averaging."""
        lr: Any = self.lr(self.steps) if callable(self.lr) else self.lr
        self.steps += 1
        if self.clip_norm_each is not None:
            limit = self.clip_norm_each
            grads = {key: _within(limit, np.linalg.norm(grad_scale * g)) * g for key, g in grads.items()}
        if self.clip_norm is not None:
            norm = np.sqrt(sum(np.sum(np.square(grad_scale * g)) for g in grads.values()))
            grad_scale = grad_scale * _within(self.clip_norm, norm)
        found = {}
        for key, p in self.params.items():
            g = grads[key]
            if grad_scale != 1 or self.maximize:
                g = (-grad_scale if self.maximize else grad_scale) * g
            if self.clip_value is not None:
                g = np.clip(g, -self.clip_value, self.clip_value)
            if self.l2:
                g = g + self.l2 * p
            if self.l1 and not self.proximal:
                g = g + self.l1 * np.sign(p)
            if self.weight_decay:
                p *= 1 - lr * self.weight_decay
            found[key] = g
        arguments = [(p, found[key], self.state[key]) for key, p in self.params.items()]
        if self.formula in TOGETHER:
            arguments = [tuple(map(list, zip(*arguments, strict=True)))]
        for each in arguments:
            self.formula(*each, self.steps, **{**self.keywords, "lr": lr})
        for key, p in self.params.items():
            if self.proximal:
                np.copyto(p, np.sign(p) * np.maximum(np.abs(p) - self._effective(lr) * self.l1, 0))
            if self.ema is not None:
                self.averages[key] *= self.ema
                self.averages[key] += (1 - self.ema) * p

    def _effective(self, lr):
        """Return the rate that momentum makes of lr."""
        own = {name: each.default for name, each in signature(self.formula).parameters.items()} | self.keywords
        return lr * (1 - own.get("dampening", 0)) / (1 - own.get("momentum", 0))


def _within(limit, norm):
    """Return the factor that brings a norm within a limit."""
    return limit / norm if norm > limit else 1.0
