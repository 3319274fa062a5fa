"""Rprop."""

from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import POSITIVE, Range
from ..kernels.rules import rprop
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


class Rprop(Optimizer):
    """Rprop: a step size for each parameter, which follows the sign of its gradient and not the size.

    ::

        s <- min(max(s * (etas[1] if g * g_before > 0, etas[0] if < 0, else 1), step_sizes[0]), step_sizes[1])
        g <- 0 where g * g_before < 0
        p <- p - sign(g) * s

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The size of the first step; after it, only weight_decay uses lr.
    etas : (float, float), default: (0.5, 1.2)
        Factors of a step whose gradient changed sign, in (0, 1), and of one whose gradient did not, above 1.
    step_sizes : (float, float), default: (1e-6, 50)
        The smallest and the largest step.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `prev` (the previous gradient), `step_size`.
    Meant for gradients of the whole data, not of mini-batches. The formula (Rprop- with the pause of iRprop-) and the
    defaults are PyTorch's; here gradients agree by their signs even where their product underflows.

    References
    ----------
    Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm",
    1993; Igel & Huesken, "Improving the Rprop learning algorithm", 2000 (iRprop-).
    """

    rule: Any = staticmethod(rprop.rprop)
    slots: tuple[str, ...] = ("prev", "step_size")
    unsigned: tuple[str, ...] = ("step_size",)
    has_rate = False
    steady = True
    ranges: dict[str, Any] = {
        "etas": (Range(0.0, 1.0, False), Range(1.0, float("inf"), False)),
        "step_sizes": (POSITIVE, POSITIVE),
    }
    etas: tuple[float, float]
    step_sizes: tuple[float, float]

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        etas: tuple[Rate, Rate] = (0.5, 1.2),
        step_sizes: tuple[Rate, Rate] = (1e-6, 50.0),
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, lr, {"etas": etas, "step_sizes": step_sizes}, **options)

    def choose(self) -> None:
        if self.step_sizes[0] > self.step_sizes[1]:
            raise ValueError(f"Rprop: step_sizes must be in ascending order, got {self.step_sizes}")

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return self.lr if slot == "step_size" else 0.0

    def coefficients(self, t: int, lr: float) -> rprop.RpropCoefficients:
        return rprop.RpropCoefficients(*self.etas, *self.step_sizes)
