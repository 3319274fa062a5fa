"""The rules of Adam, AMSGrad, Adamax, NAdam, RAdam. AdamW is Adam with decoupled weight decay, a stage of `stages`."""

from typing import NamedTuple

from ..math import cast, maximum
from .stages import root


class AdamCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float  # computed in float64: float32 1 - 0.999 is off by 1.3e-5
    beta2: float
    one_minus_beta2: float
    step_size: float  # lr / (1 - beta1**t)
    v_scale: float  # 1 / (1 - beta2**t)
    eps: float
    eps_inside: float  # eps under the root; one of the two is 0


class AMSGradCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    step_size: float
    maximum_scale: float  # scales v before the maximum is taken: 1, or the bias correction
    v_scale: float  # scales the maximum: the bias correction, or 1
    eps: float
    eps_inside: float


class AdamaxCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    step_size: float
    eps: float  # added to the infinity norm
    eps_inside: float  # added to |g|; one of the two is 0


class NAdamCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    g_step: float  # lr (1 - mu_t) / (1 - mu_1 ... mu_t)
    m_step: float  # lr mu_t+1 / (1 - mu_1 ... mu_t+1)
    v_scale: float
    eps: float
    eps_inside: float


class RAdamCoefficients(NamedTuple):
    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    step_size: float  # lr r_t / (1 - beta1**t), with r_t = 1 if the step is not rectified
    rectified: float  # 1, or 0 for a plain step of momentum
    v_scale: float
    eps: float
    eps_inside: float


def adam(p, g, m, v, c: AdamCoefficients):
    """Kingma & Ba 2015, algorithm 1: p <- p - lr * m_hat / (sqrt(v_hat) + eps)."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return p - c.step_size * m / root(v, c), m, v


def amsgrad(p, g, m, v, largest, c: AMSGradCoefficients):
    """Reddi, Kale & Kumar 2018: Adam with the largest v so far."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    largest = maximum(largest, v * c.maximum_scale)
    return p - c.step_size * m / root(largest, c), m, v, largest


def adamax(p, g, m, u, c: AdamaxCoefficients):
    """Kingma & Ba 2015, algorithm 2: u <- max(beta2 * u, |g|); p <- p - lr * m_hat / u."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    u = maximum(c.beta2 * u, abs(g) + c.eps_inside)
    return p - c.step_size * m / (u + c.eps), m, u


def nadam(p, g, m, v, c: NAdamCoefficients):
    """Dozat 2016: Adam with Nesterov's look-ahead in the mean."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    return p - (c.g_step * g + c.m_step * m) / root(v, c), m, v


def radam(p, g, m, v, c: RAdamCoefficients):
    """Liu et al. 2020: a step of Adam once the variance of the root is tractable, before that a step of momentum."""
    m = c.beta1 * m + c.one_minus_beta1 * g
    v = c.beta2 * v + c.one_minus_beta2 * g * g
    denominator = root(v, c) if c.rectified > 0 else cast(1, v)
    return p - c.step_size * m / denominator, m, v
