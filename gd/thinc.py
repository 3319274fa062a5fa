"""The optimizers as Thinc and spaCy call them: ``@optimizers = "gd.Adam.v1"`` in a configuration file.

The functions here are found by entry points, one for each optimizer; a program can call them, too.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import functional
from .kernels.compiler import join
from .kernels.loops.elementwise import map_elements_over_first
from .kernels.rules.averages import toward
from .optimizers import Optimizer as Base
from .optimizers import one_by_one

try:
    from thinc.optimizers import Optimizer as Stock
except ImportError:  # what reads all modules reads this one, too
    Stock: Any = object

LARGEST_DECAY = 0.9999  # of averages: Thinc's
BETAS = "beta1", "beta2", "beta3"
Key = tuple[int, str]


class Optimizer(Stock):  # as spaCy checks, but without its constructor
    """An optimizer in Thinc's protocol: it is called with one array and its gradient at a time.

    Parameters
    ----------
    name : str
        Of an optimizer, such as "Adam".
    learn_rate : float, list, iterator or Schedule
        A number, or one for each call of `step_schedules`, of which the last stays. So may be all numbers below. Of a
        `thinc.api.Schedule` those of its steps, as if there were no scores and keys.
    L2 : float, default: 0
        Coefficient of decoupled weight decay, which comes before the step (Thinc's comes behind it), or of a penalty.
    L2_is_weight_decay : bool, default: True
        False for a penalty.
    grad_clip : float, default: 1
        The largest norm of the gradient of each array; 0 for any.
    use_averages : bool, default: True
        Keep averages of the parameters in `averages`, with the decay min((1 + t) / (10 + t), 0.9999) at step t.
    **options
        The optimizer's own. eps_hat=True, where it exists, is the default here: so Adam and SGD are Thinc's.

    Attributes
    ----------
    averages : dict or None
        The averages by key, for ``nlp.use_params(optimizer.averages)``.
    schedules : dict
        The options that change.
    """

    learn_rate: Any
    L2: Any
    grad_clip: Any
    averages: dict[Key, Any] | None
    nr_update: dict[Key, int]
    schedules: dict[str, Iterator[Any]]

    def __init__(
        self,
        name: str,
        learn_rate: Any,
        *,
        L2: Any = 0.0,
        L2_is_weight_decay: bool = True,
        grad_clip: Any = 1.0,
        use_averages: bool = True,
        **options: Any,
    ) -> None:
        self._function, self.L2_is_weight_decay = functional.FUNCTIONS[name.lower()], L2_is_weight_decay
        self._takes_scalars = "scalars" in inspect.signature(self._function).parameters
        self.averages = {} if use_averages else None
        self.nr_update = defaultdict(int)
        self.schedules = {}
        self._step = 0  # which Thinc 9 reads
        self._states: dict[Key, Any] = {}
        self._own, self._given = tuple(options), {}
        for option, value in {"learn_rate": learn_rate, "L2": L2, "grad_clip": grad_clip, **options}.items():
            value = value.to_generator() if hasattr(value, "to_generator") else value
            if isinstance(value, (list, Iterator)):
                self.schedules[option] = iter(value)
                value = next(self.schedules[option])
            setattr(self, option, value)

    def step_schedules(self) -> None:
        """Take the next number of each schedule."""
        self._step += 1
        for option, schedule in self.schedules.items():
            setattr(self, option, next(schedule, getattr(self, option)))
        self._given = {}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        super().__setattr__("_given", {})

    def __call__(self, key: Key, weights: Any, gradient: Any, *, lr_scale: float = 1.0) -> tuple[Any, Any]:
        """Step an array in place, set its gradient to 0, and return both; an empty gradient changes nothing."""
        if not len(gradient):
            return weights, gradient
        options = self._given or self._options()
        t, lr = self.nr_update[key] + 1, float(self.learn_rate * lr_scale)
        if key not in self._states:
            self._states[key] = functional.initial_state(self._function, weights, lr=lr, **options), {}
        state, scalars = self._states[key]
        numbers = {"scalars": scalars} if self._takes_scalars else {}
        self._function(weights, gradient, *state, t=t, lr=lr, **options, **numbers)
        self.nr_update[key] = t
        gradient.fill(0)
        if self.averages is not None:
            average = self.averages.get(key)
            if average is None:
                average = self.averages[key] = np.zeros_like(weights)
            share = weights.dtype.type(1.0 - min((1 + t) / (10 + t), LARGEST_DECAY))
            join(map_elements_over_first, toward)(weights.size, average.ravel("K"), weights.ravel("K"), share)
        return weights, gradient

    def _options(self) -> dict[str, Any]:
        """Return the options of the function for the present numbers."""
        own = {name: getattr(self, name) for name in self._own}
        betas = tuple(own.pop(name) for name in BETAS if name in own)
        own |= {"betas": betas} if betas else {}
        own |= {"clip_norm_each": float(self.grad_clip)} if self.grad_clip else {}
        own |= {"weight_decay" if self.L2_is_weight_decay else "l2": float(self.L2)}
        super().__setattr__("_given", own)
        return own


def _factory(name: str, kind: type[Base]) -> Callable[..., Optimizer]:
    """Return the function that a configuration calls to make an optimizer."""
    given = inspect.signature(kind.__init__).parameters
    own: dict[str, Any] = {k: each.default for k, each in given.items() if k not in ("self", "params", "options", "lr")}
    decay = own.pop("weight_decay", 0.0)
    own |= dict(zip(BETAS, own.pop("betas", ()), strict=False))
    own |= {"eps_hat": True} if "eps_hat" in own else {}
    defaults = {"L2": decay, "L2_is_weight_decay": True, "grad_clip": 1.0, "use_averages": True} | own

    def make(learn_rate: Any = given["lr"].default, **options: Any) -> Optimizer:
        for option in options:
            if option not in defaults:
                raise TypeError(f"{name}: unexpected keyword {option!r}")
        for option, value in own.items():
            if isinstance(value, tuple) and option in options:  # JSON has lists, which are schedules otherwise
                options[option] = tuple(options[option])
        return Optimizer(name, learn_rate, **defaults | options)

    parameter, only = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
    shared = [parameter("learn_rate", parameter.POSITIONAL_OR_KEYWORD, default=given["lr"].default, annotation=Any)]
    shared += [parameter(option, only, default=default, annotation=Any) for option, default in defaults.items()]
    make.__signature__ = inspect.Signature(shared)  # pyright: ignore[reportFunctionMemberAccess]  # Thinc reads it
    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"Return {name} in Thinc's protocol: see `Optimizer`."
    return make


FACTORIES = {name: _factory(name, kind) for name, kind in one_by_one().items()}
globals().update(FACTORIES)
