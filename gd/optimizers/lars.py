"""LARS."""

from ..checks import POSITIVE, UNIT
from ..kernels.rules import lars
from .base import Optimizer


class LARS(Optimizer):
    """LARS: momentum for large batches; each array has a rate in proportion to its size.

    ::

        v <- momentum * v + lr * trust_coefficient * |p| / |g| * g         the ratio is 1 where |p| or |g| is 0
        p <- p - v

    Parameters
    ----------
    params, **options
        See `Optimizer`. The norms |p| and |g| are those of each array; a flat vector is one array, a
        ParameterVector as many as it has names. With l2, g in both places is the gradient with the penalty,
        as in optax, whose weight_decay is ``l2`` here; the paper divides by |g| + l2 * |p|.
    lr : float or callable, default: 1
        The learning rate.
    momentum : float, default: 0.9
        In [0, 1).
    trust_coefficient : float, default: 1e-3
        Above 0 (eta in the paper).

    Notes
    -----
    Two passes: reads and writes 28 bytes an element in float32. State: `momentum_buffer`. The defaults are optax's.

    References
    ----------
    You, Gitman & Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1.
    """

    rule = staticmethod(lars.lars)
    trust_norms = staticmethod(lars.lars_norms)
    slots = ("momentum_buffer",)
    steady = True
    ranges = {"momentum": UNIT, "trust_coefficient": POSITIVE}

    def __init__(self, params, lr=1.0, momentum=0.9, trust_coefficient=1e-3, **options):
        super().__init__(params, lr, {"momentum": momentum, "trust_coefficient": trust_coefficient}, **options)

    def trust(self, parameter, update):
        return self.trust_coefficient * parameter / update if parameter > 0 and update > 0 else 1.0

    def coefficients(self, t, lr):
        return lars.LARSCoefficients(self.momentum, lr)
