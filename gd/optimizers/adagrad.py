"""Adagrad."""

from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import NON_NEGATIVE
from ..kernels.rules import adagrad
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer
from .coefficients import split_eps


class Adagrad(Optimizer):
    """Adagrad: each coordinate's rate falls with the sum of its squared gradients.

    ::

        s <- s + g**2
        p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    lr_decay : float, default: 0
        At least 0.
    initial_accumulator_value : float, default: 0
        Initial value of s, at least 0.
    eps : float, default: 1e-10
        At least 0.
    eps_inside : bool, default: False
        Use sqrt(s + eps) instead, as Keras and optax do (they start s from 0.1).

    Notes
    -----
    Reads and writes 20 bytes an element in float32. State: `sum`. The defaults are PyTorch's.

    References
    ----------
    Duchi, Hazan & Singer, "Adaptive subgradient methods", JMLR 2011.
    """

    by_array: bool = True
    rule: Any = staticmethod(adagrad.adagrad)
    slots: tuple[str, ...] = ("sum",)
    unsigned: tuple[str, ...] = ("sum",)
    ranges: dict[str, Any] = {
        "lr_decay": NON_NEGATIVE,
        "initial_accumulator_value": NON_NEGATIVE,
        "eps": NON_NEGATIVE,
        "eps_inside": bool,
    }
    lr_decay: float
    initial_accumulator_value: float
    eps: float
    eps_inside: bool

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: Rate = 0.0,
        initial_accumulator_value: Rate = 0.0,
        eps: Rate = 1e-10,
        eps_inside: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {
            "lr_decay": lr_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "eps_inside": eps_inside,
        }
        super().__init__(params, lr, own, **options)

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return self.initial_accumulator_value

    def coefficients(self, t: int, lr: float) -> adagrad.AdagradCoefficients:
        return adagrad.AdagradCoefficients(lr / (1.0 + (t - 1) * self.lr_decay), *split_eps(self))
