"""Adan and FTRL, which end in a proximal step, and Prodigy, which estimates its rate: see `optimizers`."""

import numpy as np

from .optimizers import OPTIMIZERS, _root, slot_of


def adan(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.98, 0.92, 0.99),
    eps=1e-8,
    no_prox=False,
    eps_inside=False,
    eps_hat=False,
    weight_decay=0.0,
):
    """Xie et al. 2022, algorithm 1 without restarts; betas are 1 minus the paper's."""
    beta1, beta2, beta3 = betas
    m, v, n = (slot_of(state, name, p) for name in ("exp_avg", "exp_avg_diff", "exp_avg_sq"))
    before = slot_of(state, "previous_grad", p, g)
    change = g - before
    before[...] = g
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * change
    n *= beta3
    n += (1 - beta3) * (g + beta2 * change) ** 2
    eta = lr / _root(n, eps, eps_inside, eps_hat, 1 - beta3**t)
    if no_prox:
        p *= 1 - lr * weight_decay
    p -= eta * (m / (1 - beta1**t) + beta2 * v / (1 - beta2**t))
    if not no_prox:
        p /= 1 + lr * weight_decay


def ftrl(
    p,
    g,
    state,
    t,
    lr=1e-3,
    learning_rate_power=-0.5,
    initial_accumulator_value=0.1,
    l2_shrinkage=0.0,
    beta=0.0,
    l1=0.0,
    l2=0.0,
):
    """McMahan et al. 2013, algorithm 1, with the further powers and penalties of TensorFlow."""
    n, z = slot_of(state, "accumulator", p, initial_accumulator_value), slot_of(state, "linear", p)
    before = n**-learning_rate_power
    n += g * g
    after = n**-learning_rate_power
    z += g + l2_shrinkage * p - (after - before) / lr * p
    with np.errstate(invalid="ignore"):  # where all is 0
        led = -(z - np.sign(z) * l1) / ((beta + after) / lr + l2)
    np.copyto(p, np.where(np.abs(z) <= l1, 0, led))


def prodigy(
    ps,
    gs,
    states,
    t,
    lr=1.0,
    betas=(0.9, 0.999),
    beta3=None,
    eps=1e-8,
    d0=1e-6,
    d_coef=1.0,
    growth_rate=np.inf,
    bias_correction=False,
    safeguard_warmup=False,
    weight_decay=0.0,
):
    """Mishchenko & Defazio 2024, algorithm 4, of all arrays at once; eps takes the next d, as in their code."""
    beta1, beta2 = betas
    beta3, numbers = np.sqrt(beta2) if beta3 is None else beta3, states[0]
    d, d_max, r = (numbers.get(name, first) for name, first in (("d", d0), ("d_max", d0), ("d_numerator", 0.0)))
    rate = d * lr * (np.sqrt(1 - beta2**t) / (1 - beta1**t) if bias_correction else 1)
    r, length = beta3 * r, 0.0
    for p, g, state in zip(ps, gs, states, strict=True):
        start, s = slot_of(state, "start", p, p), slot_of(state, "grad_sum", p)
        r += d / d0 * rate * np.sum(g * (start - p))
        s *= beta3
        s += d / d0 * (d if safeguard_warmup else rate) * g
        length += np.sum(np.abs(s))
    d_hat = d_coef * r / length if length > 0 else 0.0
    d_max, first = max(d_max, d_hat), max(d, d_hat) if d == d0 else d
    numbers |= {"d": min(d_max, growth_rate * first), "d_max": d_max, "d_numerator": r}
    for p, g, state in zip(ps, gs, states, strict=True):
        m, v = slot_of(state, "exp_avg", p), slot_of(state, "exp_avg_sq", p)
        m *= beta1
        m += (1 - beta1) * d * g
        v *= beta2
        v += (1 - beta2) * (d * g) ** 2
        p *= 1 - rate * weight_decay
        p -= rate * m / (np.sqrt(v) + numbers["d"] * eps)


OPTIMIZERS |= {"Adan": (adan, {}), "FTRL": (ftrl, {}), "Prodigy": (prodigy, {})}
TOGETHER = (prodigy,)  # take lists of arrays, gradients and states, because all arrays share numbers
