"""Declaration: the rule, the state arrays and the coefficients that each class of optimizer declares."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from ..typing import Rate

if TYPE_CHECKING:
    from ..parameters import ParameterArray
    from .base import Optimizer
    from .small_steps import SmallSteps
    from .state import State
    from .steps import Norms

OPTIMIZERS: "dict[str, type[Optimizer]]" = {}  # name -> class, in order of declaration


class Declaration(ABC):
    """Class attributes and methods that an optimizer declares; `Optimizer` does the rest."""

    rule: Any = None  # the scalar formula, from kernels.rules
    ranges: dict[str, Any] = {}  # hyper-parameter -> Range, a tuple of them, bool, or f(where, name, value) -> value
    slots: tuple[str, ...] = ()  # names of the state arrays, in the order of the rule's arguments
    scalars: dict[str, float] = {}  # state that is a number: name -> initial value
    unsaved: dict[str, Callable[..., float]] = {}  # those that states of version 0.1.0 lack: name -> f(optimizer)
    unsigned: tuple[str, ...] = ()  # names of state arrays that are never negative, as 8 bits store them
    exact: tuple[str, ...] = ()  # names of state arrays that no state_dtype rounds, such as averages of parameters
    trust_norms: Any = None  # with a trust ratio: what to measure of each array before its step
    steady: bool = False  # True if, after the first step, the coefficients depend on the learning rate alone
    by_array: bool = False  # True if `coefficients` also takes an array of steps, whose coefficients are arrays
    evaluated: str = "parameters"  # what `fit` judges: these, or "averaged" ones
    decays_itself: bool = False  # True if weight_decay is a coefficient of the rule
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
    _lr_of_step: float  # of the last step, where scalars need it
    _hyperparameters: tuple[str, ...]  # names of the rule's own
    _schedules: dict[str, Any]  # of the rule's own: name -> schedule, or tuple with schedules

    def __init_subclass__(cls) -> None:
        if "coefficients" in vars(cls) and "by_array" not in vars(cls):  # a user's formula may not be meant for arrays
            cls.by_array = False
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

    def trust(self, parameter: float, update: float) -> float:  # pyright: ignore[reportReturnType]  # only with trust_norms
        """Return the trust ratio, which multiplies the rule's coefficient `lr`, from the norms of an array."""

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
