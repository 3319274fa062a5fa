"""optimizer: a class of optimizers from a scalar rule, in one call."""

import inspect
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..checks import NON_NEGATIVE, REAL, Range, check_range, shown
from ..kernels import user_rules
from .base import Optimizer
from .hyperparameters import SHARED, check_value

_TAKEN = {*SHARED, *dir(Optimizer), *Optimizer.__annotations__, "params", "steps", "step", "grad_norm", "norms", "ema"}
_TAKEN -= {"lr", "bias_correction"}


def optimizer(
    name: str,
    rule: Callable[..., tuple[Any, ...]],
    *,
    slots: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    coefficients: Callable[..., Mapping[str, float]] | None = None,
    ranges: Mapping[str, Any] | None = None,
    unsigned: Sequence[str] = (),
    exact: Sequence[str] = (),
) -> type[Optimizer]:
    """Return a new class of optimizers, from the formula for one element.

    The class has all that gd's own have: steps in one pass over memory, on all threads, in networks, linear models and
    estimators, with penalties, clipping, schedules, groups, states of few bits, checkpoints and `gd.Distributed`. Its
    kernels are compiled at the first step and kept on disk, until the rule or anything that it calls changes.

    Parameters
    ----------
    name : str
        The name of the class. Assign it to a variable of this name in a module, so that pickle finds it.
    rule : function
        ``rule(p, g, *slots, c)`` takes numbers: a parameter, its gradient, an element of each state array, and the
        coefficients. It returns the new parameter and the new state, as a tuple. It may call `gd.math`, functions of
        `numba.njit`, and read global numbers. A literal beside a float32 makes the result a float64, which takes
        twice the time: write ``cast(1, p)``.
    slots : sequence of str
        Names of the state arrays, which begin with 0, in the order of the rule's arguments.
    defaults : dict
        Hyper-parameters with their defaults: numbers, and tuples of them. By default {"lr": 1e-3}. The rule finds
        them in c: ``c.lr``, ``c.beta``, and of ``betas=(0.9, 0.999)`` ``c.beta1`` and ``c.beta2``. Each can be
        a schedule.
    coefficients : function, optional
        ``coefficients(t, **hyper-parameters)`` returns a dict of further coefficients for step t = 1, 2, ..., such as
        ``{"one_minus_beta": 1 - beta}`` or a bias correction. It computes in float64, but a rule
        would round 1 - beta.
    ranges : dict, optional
        What hyper-parameters may be, as (low, high): low <= value < high. By default any finite
        number, and lr 0 or above.
    unsigned : sequence of str
        Those of the slots that are never negative: ``state_dtype="int8"`` stores them more exactly.
    exact : sequence of str
        Those of the slots that no state_dtype rounds, such as averages of parameters.

    Returns
    -------
    class
        A subclass of `Optimizer`: ``Class(params, lr=..., **options)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; at the first step, if the rule cannot be compiled.

    Examples
    --------
    >>> import gd, numpy as np
    >>> from gd.math import sign
    >>> def signum(p, g, momentum, c):
    ...     momentum = c.beta * momentum + g
    ...     return p - c.lr * sign(momentum), momentum
    >>> Signum = gd.optimizer("Signum", signum, slots=["momentum"], defaults={"lr": 0.5, "beta": 0.9})
    >>> p = np.array([1.0, 2.0])
    >>> optimizer = Signum(p, beta=0.95)
    >>> optimizer.step(np.array([0.1, -30.0]))
    True
    >>> p.tolist(), optimizer
    ([0.5, 2.5], Signum(lr=0.5, beta=0.95))
    """
    where = "optimizer"
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{where}: name must be the name of a class, got {shown(name)}")
    slots, unsigned, exact = (
        _names(where, word, given) for word, given in (("slots", slots), ("unsigned", unsigned), ("exact", exact))
    )
    defaults = _checked_dict(where, "defaults", defaults)
    defaults = {"lr": 1e-3} | defaults
    given = _checked_dict(where, "ranges", ranges)
    for each in (*unsigned, *exact):
        if each not in slots:
            raise ValueError(f"{where}: unsigned and exact must name slots of {list(slots)}, got {each!r}")
    for each in (*defaults, *slots):
        if not isinstance(each, str) or not each.isidentifier() or each in _TAKEN:
            raise ValueError(f"{where}: {each!r} cannot name a hyper-parameter or slot: every optimizer has it already")
    for each in given.keys() - defaults.keys():
        raise ValueError(f"{where}: ranges must be of hyper-parameters {list(defaults)}, got {each!r}")
    allowed = {each: _range(f"{where}: ranges[{each!r}]", given, defaults[each], each) for each in defaults}
    if coefficients is not None and not callable(coefficients):
        raise TypeError(
            f"{where}: coefficients must be a function of t and {list(defaults)}, got {shown(coefficients)}"
        )
    for each, value in defaults.items():
        check_value(where, f"defaults[{each!r}]", value, allowed[each])
    try:
        made: Any = {} if coefficients is None else coefficients(1, **defaults)
    except TypeError as error:
        raise TypeError(f"{where}: coefficients must be a function of t and {list(defaults)}: {error}") from error
    if not isinstance(made, Mapping) or not all(isinstance(each, str) for each in made):
        raise TypeError(f"{where}: coefficients must return a dict of names to numbers, got {shown(made)}")
    fields: list[str] = list(_flat(defaults) | dict(made))
    kind: Any = namedtuple(f"{name}Coefficients", fields)
    formula = user_rules.copied(rule, f"{where}: rule", getattr(rule, "__name__", ""), {"c": kind})
    user_rules.declare(formula, f"{name}'s rule", ("p", "g", *slots, "c"), 1 + len(slots), kind, where)
    own = [each for each in defaults if each != "lr"]
    kinds = inspect.Parameter
    signature = inspect.Signature(
        [
            *(kinds(each, kinds.POSITIONAL_OR_KEYWORD) for each in ("self", "params")),
            *(kinds(each, kinds.POSITIONAL_OR_KEYWORD, default=value) for each, value in defaults.items()),
            kinds("options", kinds.VAR_KEYWORD),
        ]
    )

    def __init__(*arguments, **keywords):
        try:
            bound = signature.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        self, params, options = (bound.arguments.pop(each) for each in ("self", "params", "options"))
        Optimizer.__init__(self, params, bound.arguments.pop("lr"), bound.arguments, **options)

    __init__.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]

    def of_step(self, t, lr):
        values = {"lr": lr} | {each: getattr(self, each) for each in own}
        found = _flat(values)
        return kind(**found if coefficients is None else found | dict(coefficients(t, **values)))

    body = {
        "__doc__": _documentation(name, rule, slots, defaults, allowed),
        "__module__": sys._getframe(1).f_globals.get("__name__", "__main__"),
        "__init__": __init__,
        "coefficients": of_step,
        "rule": staticmethod(formula),
        "slots": slots,
        "unsigned": unsigned,
        "exact": exact,
        "steady": coefficients is None,
        "ranges": {each: allowed[each] for each in own},
    }
    return type(name, (Optimizer,), body)


def _names(where: str, name: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or len(set(map(str, given))) != len(given):
        raise TypeError(f"{where}: {name} must be a list of different names, got {shown(given)}")
    return tuple(given)


def _checked_dict(where: str, name: str, given: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{where}: {name} must be a dict, got {shown(given)}")
    return dict(given or {})


def _range(where: str, ranges: Mapping[str, Any], default: Any, name: str) -> Any:
    """Return the range of a hyper-parameter: of a tuple a tuple of them."""
    given = ranges.get(name)
    if isinstance(default, bool):
        return bool
    plain = NON_NEGATIVE if name == "lr" else REAL
    if isinstance(default, (tuple, list)):
        several = isinstance(given, (tuple, list)) and all(isinstance(each, (tuple, list)) for each in given)
        each = given if several and given else [given] * len(default)
        if len(each) != len(default):
            raise ValueError(f"{where} must be one range, or {len(default)} of them, got {shown(given)}")
        return tuple(plain if one is None else check_range(where, one) for one in each)
    return check_range(where, given) if name in ranges else plain


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Return hyper-parameters with a name for each number: betas=(a, b) gives beta1 and beta2."""
    found = {}
    for name, value in values.items():
        if isinstance(value, (tuple, list)):
            found |= {f"{name.removesuffix('s')}{k}": each for k, each in enumerate(value, 1)}
        else:
            found[name] = value
    return found


def _documentation(name: str, rule: Any, slots: Any, defaults: Mapping[str, Any], allowed: Mapping[str, Any]) -> str:
    lines = [(inspect.getdoc(rule) or f"{name}: an optimizer of the rule {rule.__name__}.").rstrip(), ""]
    lines += ["Parameters", "----------", "params, **options", "    See `gd.Optimizer`."]
    for each, value in defaults.items():
        several = isinstance(allowed[each], tuple) and not isinstance(allowed[each], Range)
        text = ", ".join(map(str, allowed[each])) if several else allowed[each]
        lines += [f"{each} : default: {value}", f"    In {text}."]
    return "\n".join([*lines, "", "Notes", "-----", f"State: {', '.join(slots) or 'none'}."])
