"""FTRL-Proximal."""

from typing import Any, Unpack

from numpy.typing import NDArray

from ..checks import NON_NEGATIVE, Range, check_number
from ..kernels.rules import ftrl
from ..typing import OptimizerOptions, Params, Rate
from .base import Optimizer


def _power(where: str, name: str, value: Any) -> float:
    """Return learning_rate_power if it is a number up to 0, else raise."""
    return check_number(where, name, value, Range(-float("inf"), 0.0, False, True))


class FTRL(Optimizer):
    """FTRL-Proximal: a rate for each coordinate, as Adagrad's, and an l1 that makes most parameters exactly 0.

    ::

        n' = n + g**2
        z <- z + g + l2_shrinkage * p - (n'**power - n**power) / lr * p          power = -learning_rate_power
        n <- n'
        p <- 0 where |z| <= l1, else (sign(z) * l1 - z) / (n**power / lr + beta / lr + l2)

    Click prediction, with rows that are sparse, takes it in `LinearModel`, or by `step_rows` for each feature that a
    batch has. Parameters follow from the state, so start from 0: a step forgets most of any other start. So it is not
    for networks, which cannot leave 0. Where lr is 0, nothing moves.

    Parameters
    ----------
    params, **options
        See `Optimizer`; but l1 and l2 are those of the formula: they count once for the sum of all gradients so far,
        where other optimizers add the penalty to each gradient. Hence they are larger, and proximal is no option.
    lr : float or callable, default: 1e-3
        The learning rate; the paper's alpha. A schedule does not rescale the sums in z.
    learning_rate_power : float, default: -0.5
        At most 0, where the rate does not fall.
    initial_accumulator_value : float, default: 0.1
        Initial value of n, at least 0; 0 in the paper.
    l2_shrinkage : float, default: 0
        At least 0: adds the gradient of l2_shrinkage / 2 * p**2 to z, but not to n.
    beta : float, default: 0
        At least 0; 1 in the paper.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `accumulator` (n) and `linear` (z), which state_dtype leaves
    in full, because p follows from both. The defaults are Keras' and TensorFlow's; their
    l2_regularization_strength and l2_shrinkage_regularization_strength are half of l2 and l2_shrinkage here, which are
    the paper's lambda_2.

    References
    ----------
    McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1.
    """

    rule: Any = staticmethod(ftrl.ftrl)
    slots: tuple[str, ...] = ("accumulator", "linear")
    exact: tuple[str, ...] = ("accumulator", "linear")
    unsigned: tuple[str, ...] = ("accumulator",)
    penalizes_itself = True
    steady = True
    has_rate = False
    ranges: dict[str, Any] = {
        "learning_rate_power": _power,
        "initial_accumulator_value": NON_NEGATIVE,
        "l2_shrinkage": NON_NEGATIVE,
        "beta": NON_NEGATIVE,
    }
    learning_rate_power: float
    initial_accumulator_value: float
    l2_shrinkage: float
    beta: float

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: Rate = 0.1,
        l2_shrinkage: Rate = 0.0,
        beta: Rate = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        own = {
            "learning_rate_power": learning_rate_power,
            "initial_accumulator_value": initial_accumulator_value,
            "l2_shrinkage": l2_shrinkage,
            "beta": beta,
        }
        super().__init__(params, lr, own, **options)

    def choose(self) -> None:
        if self.learning_rate_power != -0.5:
            self.rule = ftrl.ftrl_power

    def initial(self, slot: str, p: NDArray[Any]) -> float | NDArray[Any]:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def coefficients(self, t: int, lr: float) -> ftrl.FTRLCoefficients:
        power, inverse = -self.learning_rate_power, 1.0 / lr if lr > 0 else 0.0
        return ftrl.FTRLCoefficients(
            inverse, power, 0.0**power, self.l1, self.l2 + self.beta * inverse, self.l2_shrinkage
        )
