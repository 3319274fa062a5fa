"""What one optimizer is: `Declaration` names the rule, the state arrays and the coefficients that a class declares."""

from abc import ABC, abstractmethod

OPTIMIZERS = {}  # name -> class, in order of declaration


class Declaration(ABC):
    """What a class of optimizer declares; `Optimizer` does the rest."""

    rule = None  # the scalar formula, from kernels.rules
    ranges: dict = {}  # hyper-parameter -> Range, or a tuple of them, or bool, or f(where, name, value) -> value
    slots = ()  # names of the state arrays, in the order of the rule's arguments
    scalars: dict = {}  # names of state that is a number, and what it starts from
    unsigned = ()  # names of state arrays that are never negative, as 8 bits store them
    exact = ()  # names of those that no state_dtype rounds, such as averages of parameters
    trust_norms = None  # of an optimizer with a trust ratio: what to measure of each array before its step
    steady = False  # whether the coefficients depend on the learning rate alone, after the first step
    decays_itself = False  # whether weight_decay is a coefficient of the rule's own
    bias_correction, eps_hat = True, False  # where the optimizer has no such hyper-parameter

    def __init_subclass__(cls):
        if Declaration not in cls.__bases__ and cls.__module__.startswith(f"{__package__}."):  # not those of users
            OPTIMIZERS[cls.__name__] = cls

    def choose(self):
        """Choose `rule` and `slots` by the hyper-parameters, where they decide."""

    @abstractmethod
    def coefficients(self, t, lr):
        """Return the named tuple of scalars that the rule takes at step t (1, 2, ...)."""

    def trust(self, parameter, update):
        """Return the trust ratio, by which the coefficient `lr` of the rule is multiplied, from an array's norms."""

    def stepped(self, lr):
        """Bring the scalars of the state up to date, before `steps` counts a step at this rate."""

    def torch_scalars(self, t):
        """Return the numbers besides `step` that torch.optim keeps after t steps, by name."""
        return {}

    def initial(self, slot, p):
        """Return what a state array starts from: a number, or an array like p, the parameters as a vector."""
        return 0.0

    def uses(self, name):
        """Whether a hyper-parameter is above 0, or driven by a schedule."""
        return name in self._schedules or getattr(self, name) > 0
