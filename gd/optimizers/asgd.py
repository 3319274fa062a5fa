"""Averaged stochastic gradient descent."""

from ..checks import NON_NEGATIVE
from ..kernels.rules import asgd
from .base import Optimizer


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: the average of the iterates converges faster than they do.

    ::

        eta = lr / (1 + lambd * lr * (t - 1))**alpha
        p  <- (1 - lambd * eta) * p - eta * g
        ax <- ax + (p - ax) / max(1, t - 1 - t0)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    lambd : float, default: 1e-4
        Decay of parameters and rate, at least 0.
    alpha : float, default: 0.75
        Power of the decay of the rate, at least 0.
    t0 : float, default: 1e6
        The step after which averaging begins; before, the average is the parameters themselves.

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `ax`, read by `averaged_params`. The defaults are
    PyTorch's, and so is the formula; under a schedule PyTorch decays the rate of the step before.

    References
    ----------
    Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Bottou, "Stochastic
    gradient descent tricks", 2012, section 5.1.
    """

    rule = staticmethod(asgd.asgd)
    slots = exact = ("ax",)
    ranges = {"lambd": NON_NEGATIVE, "alpha": NON_NEGATIVE, "t0": NON_NEGATIVE}

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, **options):
        super().__init__(params, lr, {"lambd": lambd, "alpha": alpha, "t0": t0}, **options)

    def _rates(self, t, lr):
        """Return eta and the weight of the average at step t."""
        return lr / (1.0 + self.lambd * lr * (t - 1)) ** self.alpha, 1.0 / max(1.0, t - 1 - self.t0)

    def coefficients(self, t, lr):
        eta, mu = self._rates(t, lr)
        return asgd.ASGDCoefficients(eta, 1.0 - self.lambd * eta, mu, 1.0 - mu)

    def torch_scalars(self, t):
        eta, mu = self._rates(t + 1, self.lr)
        return {"eta": eta, "mu": mu}

    def averaged_params(self):
        """Return a copy of the averaged parameters, in the structure of params."""
        return self._state.copies("ax")
