"""Functions: the rules of optimizers as calls on arrays of the caller; see `gd.functional`."""

import inspect
import re
import threading
import weakref
from collections.abc import Callable
from functools import cache
from inspect import Parameter
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from ..checks import FLOATS, NON_NEGATIVE, REAL, check_apart, check_array, check_integer, check_number, renamed
from ..kernels.gates import RuleGate
from ..kernels.interruption import Interruption
from ..kernels.loops.reductions import NORM_BLOCK
from ..parameters import ParameterArray
from ..typing import Rate
from .coefficients import count_of
from .declaration import Declaration
from .gradients import Pairs
from .hyperparameters import SHARED
from .small_steps import norm_gate
from .storage import OPTIONS
from .update import Update, combined

if TYPE_CHECKING:
    from .base import Optimizer

MOST = 256  # combinations of options that a function remembers
STAGES = SHARED[: SHARED.index(OPTIONS[0])]  # shared options that a function takes
_kinds: "weakref.WeakKeyDictionary[Callable[..., bool], type[Optimizer]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Rule:
    """The rule of an optimizer with some options, which were checked; `enter` and `split` are those of its gate."""

    def __init__(self, name: str, kind: "type[Optimizer]", options: dict[str, Any]) -> None:
        self._name = name
        for keyword in options:
            if keyword in OPTIONS or keyword in ("params", "lr", "groups", "state_dir"):
                raise TypeError(f"{name}: unexpected keyword {keyword!r}")
        p = np.zeros(1)
        owner = self._owner = renamed(kind.__name__, name, lambda: kind(p, **options))
        for keyword in owner._schedules:
            raise TypeError(f"{name}: {keyword} must be a number, got a schedule; pass its value at this step")
        self._slots = owner._state.slots
        self._updates = {dtype: Update(owner, dtype, self._slots) for dtype in FLOATS}
        update = self._updates[FLOATS[0]]
        self.values = update.coefficients.values
        self.looks_first = owner.inside.looks_first
        limits = [each for each in (owner.clip_norm, owner.clip_norm_each) if each is not None]
        self._limit, self._is_simple = limits[0] if limits else None, len(limits) < 2
        self.is_plain = update.trust is None and not owner.scalars
        self._gate, self._norm = _gate_of(update.formula, owner.rule, len(self._slots)), norm_gate()
        self.enter, self.split = self._gate.enter, self._gate.split

    def scale(self, g: Any, grad_scale: float) -> float | None:
        """Return the scale that brings a plain gradient within its limit; None if it needs a closer look."""
        if type(g) is not np.ndarray or g.dtype not in FLOATS or not self._is_simple:
            return None
        update = self._updates[g.dtype]
        if g.size < self._gate.least:
            norm = self._norm.enter(update.scaled(grad_scale), g)
        elif g.flags.c_contiguous and g.flags.aligned:
            norm = combined(update.gradient_norms(g.reshape(-1), grad_scale))[0]
        else:
            norm = None
        if norm is None or not isfinite(norm):
            return None
        return grad_scale if self._limit is None or norm <= self._limit else grad_scale * (self._limit / norm)

    def step(self, p: Any, g: Any, state: tuple[Any, ...], t: Any, lr: Any, grad_scale: Any, scalars: Any) -> bool:
        """Check all arguments, explain what is wrong, and step."""
        name, owner = self._name, self._owner
        t, lr = check_integer(name, "t", t, 1), check_number(name, "lr", lr, NON_NEGATIVE)
        grad_scale, numbers = check_number(name, "grad_scale", grad_scale, REAL), self._numbers(scalars)
        if len(state) != len(self._slots):
            names = f" ({', '.join(self._slots)})" if self._slots else ""
            raise TypeError(f"{name}: state must be {len(self._slots)} arrays{names} behind p and g, got {len(state)}")
        p = check_array(name, "p", p, writeable=True, any_layout=True)
        array, given = ParameterArray("p", 1, p), [("p", p)]
        array.update = self._updates[array.dtype]
        own: Any = {"dtype": ("p", p.dtype), "shape": ("p", p.shape)}
        for k, each in enumerate(state):
            label = f"state[{k}]"
            each = check_array(name, label, each, **own, writeable=True, any_layout=True)
            array.slots += (array.flat(each),)
            if each.size and not np.may_share_memory(each, array.slots[-1]):
                raise ValueError(f"{name}: {label} must have its axes in the order of p's in memory")
            given.append((label, each))
        vector = array.gradient(name, "g", g)
        check_apart(name, [("g", vector), *given])
        scales = owner.inside.looked_at(Pairs([(array, vector)]), grad_scale)
        if scales is None:
            return False
        scale = scales.item(0) if isinstance(scales, np.ndarray) else scales
        if owner.scalars:
            with _lock:
                vars(owner).update(numbers, steps=t - 1)
                self._step(array, vector, t, scale, lr)
                owner.stepped(lr)
                scalars.update({each: getattr(owner, each) for each in owner.scalars})
            return True
        self._step(array, vector, t, scale, lr)
        if self.is_plain:
            self._gate.admit(array.dtype)
            if self.looks_first:
                self._norm.admit(array.dtype, p.size > NORM_BLOCK)
        return True

    def _step(self, array: ParameterArray, g: NDArray[Any], t: int, scale: float, lr: float) -> None:
        common, own = self.values(t - 1, scale, lr)
        with np.errstate(over="ignore"):
            vector = np.array(common + own, array.dtype)
        with Interruption():
            array.update.step(array, vector, g, t - 1)

    def _numbers(self, scalars: Any) -> dict[str, float]:
        """Return the numbers of the state; those before the first step if there are none."""
        expected = self._owner.scalars
        if not expected and scalars is None:
            return {}
        if not isinstance(scalars, dict) or (scalars and scalars.keys() != expected.keys()) or not expected:
            names = f"a dict, empty or of {', '.join(expected)}" if expected else "left out"
            raise TypeError(f"{self._name}: scalars must be {names}, got {scalars!r}")
        where, numbers = self._name, scalars.items()
        return expected | {each: check_number(where, f"scalars[{each!r}]", x, NON_NEGATIVE) for each, x in numbers}


@cache
def _gate_of(kernel: Any, rule: Any, slots: int) -> RuleGate:
    return RuleGate(kernel, count_of(rule), slots)


def function_of(kind: "type[Optimizer]") -> Callable[..., bool]:
    """Return the rule of an optimizer as a function of arrays that the caller owns.

    Parameters
    ----------
    kind : type
        A subclass of `gd.Optimizer`; the function has its name in lower case.

    Raises
    ------
    TypeError
        If kind is no such class.

    Examples
    --------
    >>> import gd, numpy as np
    >>> adam = gd.functional.function_of(gd.Adam)
    >>> p, m, v = np.zeros((3, 2))
    >>> adam(p, np.array([1.0, -2.0]), m, v, t=1, lr=0.1)
    True
    """
    if not isinstance(kind, type) or not issubclass(kind, Declaration):
        raise TypeError(f"function_of: kind must be a subclass of gd.Optimizer, got {kind!r}")
    own = inspect.signature(kind.__init__).parameters
    if not kind.steps_alone or inspect.isabstract(kind) or "lr" not in own:
        raise TypeError(
            "function_of: kind must be a class of its own formula with lr that steps arrays one by one, got "
            f"{kind.__name__}"
        )
    default, known, name = own["lr"].default, {}, kind.__name__.lower()

    def call(p, g, *state, t, lr=default, grad_scale=1.0, scalars=None, **options):
        key = (*options.items(), *map(type, options.values())) if options else ()
        try:
            rule = known.get(key)
        except TypeError:  # a list, such as betas
            rule = Rule(name, kind, options)
        if rule is None:
            rule = Rule(name, kind, options)
            if len(known) >= MOST:
                known.clear()
            known[key] = rule
        numbers = type(t) is int and t > 0 and type(lr) is float and lr >= 0.0 and isfinite(lr)
        if numbers and rule.is_plain and type(grad_scale) is float and isfinite(grad_scale) and scalars is None:
            scale = rule.scale(g, grad_scale) if rule.looks_first else grad_scale
            if scale is not None:
                common, own = rule.values(t - 1, scale, lr)
                if rule.enter(0, common, own, p, g, *state) or rule.split(common, own, p, g, *state):
                    return True
        return rule.step(p, g, state, t, lr, grad_scale, scalars)

    call.__name__ = call.__qualname__ = name
    call.__module__, call.__doc__ = kind.__module__, _documentation(kind)
    call.__signature__ = _signature(kind, own)
    _kinds[call] = kind
    return call


def _signature(kind: "type[Optimizer]", own: Any) -> inspect.Signature:
    from .base import Optimizer  # which imports the modules beside this one

    shared, only = inspect.signature(Optimizer.__init__).parameters, Parameter.KEYWORD_ONLY
    options = {each: own[each] for each in own if each not in ("self", "params", "options")}
    options |= {each: shared[each] for each in STAGES if each not in options}
    found = [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD, annotation=NDArray[Any]) for each in "pg"]
    found += [
        Parameter("state", Parameter.VAR_POSITIONAL, annotation=NDArray[Any]),
        Parameter("t", only, annotation=int),
    ]
    found += [each.replace(kind=only, annotation=_number(each.annotation)) for each in options.values()]
    found += [Parameter("grad_scale", only, default=1.0, annotation=float)]
    if kind.scalars:
        found += [Parameter("scalars", only, annotation=dict[str, float])]
    return inspect.Signature(found, return_annotation=bool)


def _number(annotation: Any) -> Any:
    """Return the annotation of a number for that of a number or schedule."""
    if annotation == Rate:
        return float
    if Callable[[int], float] in get_args(annotation):  # None is another choice
        return float | None
    return tuple[tuple(map(_number, get_args(annotation)))] if get_origin(annotation) is tuple else annotation


def _documentation(kind: "type[Optimizer]") -> str:
    """Return the documentation of a class as that of its function."""
    head, _, rest = (inspect.getdoc(kind) or "").partition("Parameters\n----------\n")
    own, *rest = rest.partition("\nExamples\n")[0].partition("\nNotes\n")
    own = re.sub(r"params, \*\*options\n(    .*\n)*", "", own).replace(" or callable", "")
    shared = ", ".join(each for each in STAGES if f"\n{each} : " not in own)
    slots = ", ".join(kind.slots) or "none, unless options need some"
    scalars = ""
    if kind.scalars:
        scalars = (
            "scalars : dict of float\n    The numbers of the state; empty before the first step, "
            "set by each, one dict for each array.\n"
        )
    return f"""{head}Parameters
----------
p : ndarray
    The parameters, float32 or float64, contiguous in any order of their axes; updated in place.
g : ndarray
    Their gradient, of the same shape and dtype; only read.
*state : ndarray
    The state arrays, each like p and apart from all others; updated in place. They are {slots};
    `initial_state` makes them. With ema the average of the parameters is the last.
t : int
    The number of this step of p, from 1.
{own.rstrip()}
{shared}
    As in `gd.Optimizer`. No option is a schedule: pass the numbers of this step.
grad_scale : float, default: 1
    Multiplies the gradient.
{scalars}
Returns
-------
applied : bool
    False if skip_nonfinite skipped the step.

Raises
------
TypeError, ValueError
    If an argument does not fit; nothing has changed then.
{"".join(rest)}"""


def initial_state(function: Callable[..., bool], p: NDArray[Any], **options: Any) -> tuple[NDArray[Any], ...]:
    """Return new state arrays for a function of `gd.functional`, in the order of its arguments.

    Parameters
    ----------
    function : callable
        Such as `gd.functional.adam`.
    p : ndarray
        The parameters, which are not changed; an average of them starts from their values.
    **options
        The options that the function will be called with, as they decide which arrays there are; lr, too, where a state
        begins with it, as Rprop's does.

    Raises
    ------
    TypeError, ValueError
        If the function is not from here, or p or an option does not fit.

    Examples
    --------
    >>> import gd, numpy as np
    >>> p = np.zeros(3)
    >>> len(gd.functional.initial_state(gd.functional.adam, p, amsgrad=True))
    3
    """
    where = "initial_state"
    kind = _kinds.get(function) if callable(function) else None
    if kind is None:
        raise TypeError(f"{where}: function must be one of gd.functional, got {function!r}")
    Rule(where, kind, {name: value for name, value in options.items() if name != "lr"})
    check_array(where, "p", p, writeable=True, any_layout=True)
    array = kind(p, **options)._structure.arrays[None]
    return tuple(array.shaped(slot) for slot in array.slots)
