"""Yogi."""

from ..checks import NON_NEGATIVE, UNIT
from ..kernels.rules import yogi
from ..kernels.rules.adam import AdamCoefficients
from .base import Optimizer
from .coefficients import bias_corrections, split_eps


class Yogi(Optimizer):
    """Yogi: Adam whose second moment moves by steps of the size of g**2, so it cannot forget quickly.

    ::

        m <- beta1 * m + (1 - beta1) * g
        v <- v - (1 - beta2) * sign(v - g**2) * g**2
        p <- p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    params, **options
        See `Optimizer`.
    lr : float or callable, default: 1e-2
        The learning rate.
    betas : (float, float), default: (0.9, 0.999)
        In [0, 1).
    eps : float, default: 1e-3
        At least 0.
    initial_accumulator_value : float, default: 1e-6
        What v starts from, and m too, as in optax and TensorFlow Addons; the paper's m starts from 0.
    bias_correction, eps_inside, eps_hat : bool
        As in `Adam`. The paper has no bias correction.

    Notes
    -----
    Reads and writes 28 bytes an element in float32. State: `exp_avg`, `exp_avg_sq`. The defaults are optax's.

    References
    ----------
    Zaheer et al., "Adaptive methods for nonconvex optimization", NeurIPS 2018, algorithm 2.
    """

    rule = staticmethod(yogi.yogi)
    slots = ("exp_avg", "exp_avg_sq")
    unsigned = ("exp_avg_sq",)
    ranges = {
        "betas": (UNIT, UNIT),
        "eps": NON_NEGATIVE,
        "initial_accumulator_value": NON_NEGATIVE,
        "bias_correction": bool,
        "eps_inside": bool,
        "eps_hat": bool,
    }

    def __init__(
        self,
        params,
        lr=1e-2,
        betas=(0.9, 0.999),
        eps=1e-3,
        initial_accumulator_value=1e-6,
        bias_correction=True,
        eps_inside=False,
        eps_hat=False,
        **options,
    ):
        own = {"betas": betas, "eps": eps, "initial_accumulator_value": initial_accumulator_value}
        own |= {"bias_correction": bias_correction, "eps_inside": eps_inside, "eps_hat": eps_hat}
        super().__init__(params, lr, own, **options)

    def initial(self, slot, p):
        return self.initial_accumulator_value

    def coefficients(self, t, lr):
        beta1, beta2 = self.betas
        m_scale, v_scale = bias_corrections(self, t)
        eps = split_eps(self, v_scale)
        return AdamCoefficients(beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * m_scale, v_scale, *eps)
