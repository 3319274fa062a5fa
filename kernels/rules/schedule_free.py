"""The rule of Schedule-Free AdamW."""

from typing import NamedTuple

from .stages import root


class ScheduleFreeCoefficients(NamedTuple):
    beta2: float
    one_minus_beta2: float
    lr: float
    y_step: float  # lr * (1 - beta1 * (1 - w)), with the weight w of z in the average x
    weight: float  # of z in y: w, unless beta1 is another than that of the last step
    one_minus_weight: float
    weight_decay: float
    v_scale: float
    eps: float
    eps_inside: float


def schedule_free_adamw(y, g, z, v, c: ScheduleFreeCoefficients):
    """Defazio et al. 2024, algorithm 1: z takes the steps, x averages it, y = (1 - beta1) * z + beta1 * x is p."""
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    update = g / root(v, c) + c.weight_decay * y
    y = c.one_minus_weight * y + c.weight * z - c.y_step * update
    return y, z - c.lr * update, v
