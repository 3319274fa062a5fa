"""Declaration: the rule, the state arrays and the coefficients that each class of optimizer declares."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from ..checks import Registry, check_choice, shown
from ..kernels import user_rules
from ..kernels.loops.update import coefficients_of
from ..typing import Rate

if TYPE_CHECKING:
    from ..parameters import ParameterArray
    from .base import Optimizer
    from .small_steps import SmallSteps
    from .state import State
    from .steps import Norms


def _is_optimizer(value: Any) -> bool:
    return (
        inspect.isclass(value) and issubclass(value, Declaration) and hasattr(value, "step") and value.rule is not None
    )


OPTIMIZERS: "Registry[type[Optimizer]]" = Registry(_is_optimizer)  # name -> class, in order of declaration


def one_by_one() -> "dict[str, type[Optimizer]]":
    """Return the optimizers that step an array as a vector, without its shape and without other arrays, by name."""
    return {name: kind for name, kind in OPTIMIZERS.items() if kind.steps_alone}


def check_optimizer(where: str, name: str, value: Any) -> Any:
    """Return a key of OPTIMIZERS, the name of one of gd's classes or a user's class, else raise."""
    return OPTIMIZERS.key(value) or check_choice(where, name, value, OPTIMIZERS)


class Declaration(ABC):
    """Class attributes and methods that an optimizer declares; `Optimizer` does the rest."""

    rule: Any = None  # the scalar formula, from kernels.rules
    ranges: dict[str, Any] = {}  # hyper-parameter -> Range, a tuple of them, bool, or f(where, name, value) -> value
    slots: tuple[str, ...] = ()  # names of the state arrays, in the order of the rule's arguments
    scalars: dict[str, float] = {}  # state that is a number: name -> initial value
    derived: tuple[str, ...] = ()  # properties that are numbers of the state, too
    unsaved: dict[str, Callable[..., float]] = {}  # numbers that older states lack: name -> f(optimizer, steps)
    unsigned: tuple[str, ...] = ()  # names of state arrays that are never negative, as 8 bits store them
    exact: tuple[str, ...] = ()  # names of state arrays that no state_dtype rounds, such as averages of parameters
    trust_norms: Any = None  # what to measure of each array before its step, for `trust`, or else for `estimate`
    walk: Any = None  # the class of `Walk` that steps the arrays of which `shapes` tells the state
    alone: bool = (
        True  # True if an array is stepped as a vector, without its shape and other arrays; set for each class
    )
    elementwise: bool = True  # False where steps need whole arrays, to measure or to walk; set for each class
    estimates: bool = False  # True if the coefficients follow from sums over all arrays: see `estimate`
    signed: tuple[str, ...] = ()  # names of scalars that may be negative
    steady: bool = False  # True if, after the first step, the coefficients depend on the learning rate alone
    by_array: bool = False  # True if `coefficients` also takes an array of steps, whose coefficients are arrays
    evaluated: str = "parameters"  # what `fit` judges: these, or "averaged" ones
    decays_itself: bool = False  # True if weight_decay is a coefficient of the rule
    penalizes_itself: bool = False  # True if l1 and l2 are coefficients of the rule
    has_rate: bool = True  # False if not lr alone tells how far a step moves, or p is no iterate: no proximal step
    bias_correction: bool = True  # for optimizers without this hyper-parameter
    eps_hat: bool = False  # likewise

    # Attributes of every optimizer, set at construction: first the hyper-parameters that all take
    l1: float
    l2: float
    weight_decay: float
    proximal: bool
    maximize: bool
    clip_value: float | None
    clip_norm_each: float | None
    clip_norm: float | None
    skip_nonfinite: bool
    ema: float | None
    state_dtype: Literal["bfloat16", "int8"] | None
    param_dtype: Literal["bfloat16"] | None
    grad_dtype: Literal["float32", "float64", "bfloat16"] | None
    master_weights: bool
    seed: int
    zero_grads: bool
    track_norms: bool
    params: Any
    given: dict[str, Any]  # the arguments that the caller passed, without params: a training that resumes asks for them
    groups: "tuple[Optimizer, ...]"
    by_blocks: bool  # True if arrays step in blocks of 256 elements
    steps: int
    grad_norm: float | None
    norms: "Norms | None"
    _alone: "ParameterArray | None"  # the one array, if its step is one kernel call
    _small: "SmallSteps | None"  # compiled steps, if there are any for its arrays
    _name: str
    _state: "State"
    _specifications: Sequence[dict[str, Any]]  # of the groups, as given
    _lr: Rate
    _lr_set: bool = False  # True if lr was set after the construction
    _lr_of_step: float = 0.0  # of the last step, where scalars need it
    _hyperparameters: tuple[str, ...]  # names of the rule's own
    _schedules: dict[str, Any]  # other than lr: name -> schedule, or tuple with schedules

    def __init_subclass__(cls) -> None:
        if "coefficients" in vars(cls) and "by_array" not in vars(cls):  # a user's formula may not be meant for arrays
            cls.by_array = False
        cls.elementwise = cls.trust_norms is None and cls.walk is None
        cls.steps_alone = cls.walk is None and not cls.estimates
        home, _, module = cls.__module__.rpartition(".")
        if home == __package__ and module in ("protocols", "rebinding", "base"):  # what all have in common
            return
        if home == __package__:  # not those of users
            OPTIMIZERS[cls.__name__] = cls  # pyright: ignore[reportArgumentType]  # all of gd's are Optimizers
        if "__init__" in vars(cls):
            cls.__init__ = _recording(cls.__init__)

    def choose(self) -> None:
        """Choose `rule` and `slots` by the hyper-parameters, where they decide."""

    @abstractmethod
    def coefficients(self, t: Any, lr: float) -> tuple[Any, ...]:
        """Return the named tuple of scalars that the rule takes at step t (1, 2, ...)."""

    def effective_lr(self, lr: float) -> float:
        """Return how far a constant gradient of 1 moves p in a step, in the end: more than lr with momentum."""
        return lr

    def trust(self, parameter: float, update: float, size: int) -> float:  # pyright: ignore[reportReturnType]
        """Return the trust ratio, which multiplies the rule's coefficient `lr`, from the norms of an array; if any."""

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        """Return {slot: shape} of an array that `walk` steps, None if the rule steps it as a vector.

        State of another shape than the array's has as many axes, some of length 1, so that the two broadcast.
        """
        return None

    def estimate(self, sums: list[float]) -> None:
        """Note what follows from the sums of `trust_norms`, here and in groups, for `coefficients` and `stepped`."""

    def stepped(self, lr: float) -> None:
        """Update the scalars of the state, before `steps` counts a step at this rate."""

    def torch_scalars(self, t: int) -> dict[str, float]:
        """Return the numbers, other than `step`, that torch.optim keeps after t steps, by name."""
        return {}

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        """Return the initial value of a state array: a number, or an array like p, the parameters as a vector."""
        return 0.0

    def uses(self, name: str) -> bool:
        """Return True if a hyper-parameter is above 0, or driven by a schedule."""
        return name in self._schedules or getattr(self, name) > 0


def check_declaration(of: "Optimizer") -> None:
    """Raise TypeError unless what a user's class declares fits together; gd's own rules are not looked at."""
    rule, name = of.rule, of._name
    if inspect.ismethod(rule):
        raise TypeError(f"{name}: rule must be declared as `rule = staticmethod({rule.__name__})`")
    rule = getattr(rule, "py_func", rule)
    if not inspect.isfunction(rule):
        raise TypeError(f"{name}: rule must be a function of p, g, the slots and c, got {shown(rule)}")
    if (rule.__module__ or "").startswith("gd."):
        return
    try:
        kind = coefficients_of(rule)
    except (KeyError, NameError, TypeError) as error:
        raise TypeError(
            f"{name}'s rule must take its coefficients as the last argument, annotated as `c: <their NamedTuple>`, "
            f"got {rule.__name__}{inspect.signature(rule)}; gd.optimizer needs no annotation"
        ) from error
    user_rules.declare(rule, f"{name}'s rule", ("p", "g", *of.slots, "c"), 1 + len(of.slots), kind)
    user_rules.check_globals(rule)
    found = of.coefficients(1, of.lr)
    if len(found) != len(kind._fields):
        raise TypeError(f"{name}.coefficients must return {', '.join(kind._fields)}, got {shown(tuple(found))}")


def _recording(initialize: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that also notes its arguments in `given`."""
    names = list(inspect.signature(initialize).parameters)

    @functools.wraps(initialize)
    def __init__(*arguments: Any, **keywords: Any) -> None:
        if arguments and "given" not in vars(arguments[0]):  # else a subclass noted its own
            given = dict(zip(names, arguments, strict=False)) | keywords
            vars(arguments[0])["given"] = {name: given[name] for name in given if name not in (names[0], "params")}
        initialize(*arguments, **keywords)

    return __init__
