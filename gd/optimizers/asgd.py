"""Averaged stochastic gradient descent."""

from typing import Any, Unpack

from ..checks import NON_NEGATIVE
from ..kernels.rules import asgd
from ..typing import OptimizerOptions, Params, Rate
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
    PyTorch's, and so is the formula; under a schedule PyTorch decays the rate of the previous step.

    References
    ----------
    Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Bottou, "Stochastic
    gradient descent tricks", 2012, section 5.1.
    """

    rule: Any = staticmethod(asgd.asgd)
    slots: tuple[str, ...] = ("ax",)
    evaluated = "averaged"
    has_rate = False
    exact: tuple[str, ...] = ("ax",)
    ranges: dict[str, Any] = {"lambd": NON_NEGATIVE, "alpha": NON_NEGATIVE, "t0": NON_NEGATIVE}
    lambd: float
    alpha: float
    t0: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lambd: Rate = 1e-4,
        alpha: Rate = 0.75,
        t0: Rate = 1e6,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"lambd": lambd, "alpha": alpha, "t0": t0}, **options)

    def _rates(self, t: int, lr: float) -> tuple[float, float]:
        """Return eta and the weight of the average at step t."""
        return lr / (1.0 + self.lambd * lr * (t - 1)) ** self.alpha, 1.0 / max(1.0, t - 1 - self.t0)

    def coefficients(self, t: int, lr: float) -> asgd.ASGDCoefficients:
        eta, mu = self._rates(t, lr)
        return asgd.ASGDCoefficients(eta, 1.0 - self.lambd * eta, mu, 1.0 - mu)

    def torch_scalars(self, t: int) -> dict[str, float]:
        eta, mu = self._rates(t + 1, self.lr)
        return {"eta": eta, "mu": mu}

    def averaged_params(self) -> Any:
        """Return a copy of the averaged parameters, in the structure of params."""
        return self._state.copies("ax")
