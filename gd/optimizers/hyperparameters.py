"""The hyper-parameters of an optimizer: checked when given, fixed from then on, or driven by a schedule."""

from collections.abc import Hashable, Mapping
from math import sqrt

from ..checks import NON_NEGATIVE, Range, check_flag, check_number, check_numbers
from .storage import OPTIONS

SHARED = ("l1", "l2", "weight_decay", "maximize", "clip_value", "clip_norm", "skip_nonfinite", "ema", *OPTIONS)


class Hyperparameters:
    """What `Optimizer` knows of its hyper-parameters."""

    ranges: dict = {}  # hyper-parameter -> Range, or a tuple of them, or bool, or f(where, name, value) -> value
    bias_correction, eps_hat = True, False  # where the optimizer has no such hyper-parameter

    def __setattr__(self, name, value):
        if name in self.__dict__ and (name in self.ranges or name in SHARED):
            raise AttributeError(f"{self._name}: {name} is fixed at construction; make another with this state_dict")
        super().__setattr__(name, value)

    def uses(self, name):
        """Whether a hyper-parameter is above 0, or driven by a schedule."""
        return name in self._schedules or getattr(self, name) > 0

    def _checked(self, name, value, allowed):
        if allowed is bool:
            return check_flag(self._name, name, value)
        if not isinstance(allowed, (Range, tuple)):
            return allowed(self._name, name, value)
        several = isinstance(allowed, tuple) and isinstance(value, (tuple, list))
        if callable(value) or (several and any(map(callable, value))):
            self._schedules[name] = value
            value = _at(value, 0)
        if isinstance(allowed, Range):
            return check_number(self._name, name, value, allowed)
        return check_numbers(self._name, name, value, allowed)

    def _scheduled(self, lr):
        """Return the learning rate of this step; set the hyper-parameters that a schedule drives."""
        where = f"{self._name}.step"
        if callable(lr):
            lr = check_number(where, f"lr({self.steps})", lr(self.steps), NON_NEGATIVE)
        for name, schedule in self._schedules.items():
            value, allowed = _at(schedule, self.steps), self.ranges[name]
            check = check_number if isinstance(allowed, Range) else check_numbers
            vars(self)[name] = check(where, f"{name}({self.steps})", value, allowed)
        return lr

    def _checked_groups(self, groups, arrays):
        where = f"{self._name}: groups"
        if not isinstance(groups, (list, tuple)) or not all(isinstance(group, Mapping) for group in groups):
            raise TypeError(f"{where} must be a list of dicts, got {groups!r}")
        if groups and None in arrays:
            raise ValueError(f"{where} needs params to be a list or a dict of arrays, got one array")
        allowed = {"lr", *self._hyperparameters, *SHARED[: SHARED.index("clip_norm")]}
        seen = set()
        for k, group in enumerate(groups):
            for keyword in group.keys() - allowed - {"params"}:
                raise TypeError(f"{where}[{k}] has an unexpected keyword {keyword!r}")
            keys = group.get("params")
            if not isinstance(keys, (list, tuple)) or not keys:
                raise TypeError(f"{where}[{k}]['params'] must be a list of keys of params, got {keys!r}")
            for key in keys:
                if not isinstance(key, Hashable):
                    raise TypeError(f"{where}[{k}]['params'] must be a list of keys of params, got {keys!r}")
                if key not in arrays or key in seen:
                    fault = "is in two groups" if key in seen else "is no key of params"
                    raise ValueError(f"{where}[{k}]['params']: {key!r} {fault}")
                seen.add(key)
        return tuple(dict(group) for group in groups)

    @property
    def schedules(self):
        """The hyper-parameters that are schedules, by name; those of groups as ``groups[0].lr``."""
        own = ({"lr": self._lr} if callable(self._lr) else {}) | self._schedules
        groups = enumerate(self.groups)
        return own | {f"groups[{k}].{name}": each for k, group in groups for name, each in group.schedules.items()}

    @property
    def lr(self):
        """The learning rate of the next step; set it to a number or a schedule."""
        return self._lr(self.steps) if callable(self._lr) else self._lr

    @lr.setter
    def lr(self, value):
        self._lr = value if callable(value) else check_number(self._name, "lr", value, NON_NEGATIVE)

    @property
    def last_lr(self):
        """The learning rate of the last step; of the first one before any."""
        return self._lr(max(self.steps - 1, 0)) if callable(self._lr) else self._lr


def _at(schedule, step):
    """Return the value of a schedule, or of a tuple of schedules and numbers."""
    if isinstance(schedule, (tuple, list)):
        return tuple(_at(each, step) for each in schedule)
    return schedule(step) if callable(schedule) else schedule


def split_eps(optimizer, v_scale=1.0):
    """Return the coefficients eps and eps_inside of a rule, one of which is 0.

    v_scale is the bias correction of v: with eps_hat, eps is added before it.
    """
    eps, inside = optimizer.eps, optimizer.eps_inside
    if optimizer.eps_hat:
        eps *= v_scale if inside else sqrt(v_scale)
    return (0.0, eps) if inside else (eps, 0.0)
