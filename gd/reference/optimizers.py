"""Optimizers: f(p, g, state, t, **keywords) updates p and the arrays of state in place at step t = 1, 2, ..."""

from typing import Any

import numpy as np


def sgd(p, g, state, t, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False):
    """PyTorch's SGD; the first buffer is the gradient itself."""
    if momentum:
        b = slot_of(state, "momentum_buffer", p)
        b *= momentum
        b += g if t == 1 else (1 - dampening) * g
        g = g + momentum * b if nesterov else b
    p -= lr * g


def momentum(p, g, state, t, lr=1e-2, momentum=0.9):
    """Polyak 1964."""
    v = slot_of(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += v


def nesterov(p, g, state, t, lr=1e-2, momentum=0.9):
    """Nesterov 1983, at the look-ahead point."""
    v = slot_of(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += momentum * v - lr * g


def adagrad(p, g, state, t, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False):
    """Duchi, Hazan & Singer 2011."""
    s = slot_of(state, "sum", p, initial_accumulator_value)
    s += g * g
    p -= lr / (1 + (t - 1) * lr_decay) * g / _root(s, eps, eps_inside)


def rmsprop(p, g, state, t, lr=1e-2, rho=0.99, eps=1e-8, momentum=0.0, centered=False, eps_inside=False):
    """Tieleman & Hinton 2012; Graves 2013 (centered)."""
    v = slot_of(state, "square_avg", p)
    v *= rho
    v += (1 - rho) * g * g
    variance = v
    if centered:
        a = slot_of(state, "grad_avg", p)
        a *= rho
        a += (1 - rho) * g
        variance = np.maximum(v - a * a, 0)
    u = g / _root(variance, eps, eps_inside)
    if momentum:
        b = slot_of(state, "momentum_buffer", p)
        b *= momentum
        b += u
        u = b
    p -= lr * u


def adadelta(p, g, state, t, lr=1.0, rho=0.9, eps=1e-6):
    """Zeiler 2012, algorithm 1."""
    v, u = slot_of(state, "square_avg", p), slot_of(state, "acc_delta", p)
    v *= rho
    v += (1 - rho) * g * g
    delta = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    u *= rho
    u += (1 - rho) * delta * delta
    p -= lr * delta


def adam(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    amsgrad=False,
    bias_correction=True,
    eps_inside=False,
    eps_hat=False,
):
    """Kingma & Ba 2015, algorithm 1; Reddi, Kale & Kumar 2018 (amsgrad)."""
    m, v, correction1, correction2 = _moments(p, g, state, t, betas, bias_correction)
    if amsgrad:
        largest = slot_of(state, "max_exp_avg_sq", p)
        if amsgrad == "corrected":
            np.maximum(largest, v / correction2, out=largest)
            v = largest * correction2
        else:
            v = np.maximum(largest, v, out=largest)
    p -= lr / correction1 * m / _root(v, eps, eps_inside, eps_hat, correction2)


def adamax(p, g, state, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, eps_inside=True):
    """Kingma & Ba 2015, algorithm 2."""
    beta1, beta2 = betas
    m, u = slot_of(state, "exp_avg", p), slot_of(state, "exp_inf", p)
    m *= beta1
    m += (1 - beta1) * g
    u *= beta2
    np.maximum(u, np.abs(g) + (eps if eps_inside else 0), out=u)
    p -= lr / (1 - beta1**t if bias_correction else 1) * m / (u + (0 if eps_inside else eps))


def nadam(
    p,
    g,
    state,
    t,
    lr=2e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    momentum_decay=4e-3,
    eps_inside=False,
    eps_hat=False,
):
    """Dozat 2016, as PyTorch writes it."""
    m, v, _, correction2 = _moments(p, g, state, t, betas)
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = state["mu_product"] = state.get("mu_product", 1.0) * mu
    update = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
    p -= lr * update / _root(v, eps, eps_inside, eps_hat, correction2)


def radam(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    threshold=5.0,
    eps_inside=False,
    eps_hat=True,
):
    """Liu et al. 2020, algorithm 2."""
    m, v, correction1, correction2 = _moments(p, g, state, t, betas)
    longest = 2 / (1 - betas[1]) - 1
    rho = longest - 2 * t * betas[1] ** t / correction2
    m_hat = m / correction1
    if rho > threshold:
        r = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
        m_hat *= r / _root(v, eps, eps_inside, eps_hat, correction2)
    p -= lr * m_hat


def rprop(p, g, state, t, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
    """Riedmiller & Braun 1993; no step where the sign changes (iRprop-)."""
    before, step = slot_of(state, "prev", p), slot_of(state, "step_size", p, lr)
    agreement = np.sign(g) * np.sign(before)
    step *= np.select([agreement > 0, agreement < 0], [etas[1], etas[0]], 1.0)
    np.clip(step, *step_sizes, out=step)
    before[...] = np.where(agreement < 0, 0, g)
    p -= np.sign(before) * step


def asgd(p, g, state, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6):
    """Polyak & Juditsky 1992, with the learning rate of Bottou."""
    average = slot_of(state, "ax", p)
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    p *= 1 - lambd * eta
    p -= eta * g
    average += (p - average) / max(1, t - 1 - t0)


def lion(p, g, state, t, lr=1e-4, betas=(0.9, 0.99)):
    """Chen et al. 2023, algorithm 2."""
    m = slot_of(state, "exp_avg", p)
    p -= lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
    m *= betas[1]
    m += (1 - betas[1]) * g


def yogi(
    p,
    g,
    state,
    t,
    lr=1e-2,
    betas=(0.9, 0.999),
    eps=1e-3,
    initial_accumulator_value=1e-6,
    bias_correction=True,
    eps_inside=False,
    eps_hat=False,
):
    """Zaheer et al. 2018, algorithm 2, with bias correction."""
    beta1, beta2 = betas
    m = slot_of(state, "exp_avg", p, initial_accumulator_value)
    v = slot_of(state, "exp_avg_sq", p, initial_accumulator_value)
    m *= beta1
    m += (1 - beta1) * g
    v -= (1 - beta2) * np.sign(v - g * g) * g * g
    correction1, correction2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1, 1)
    p -= lr / correction1 * m / _root(v, eps, eps_inside, eps_hat, correction2)


def adabelief(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-16,
    bias_correction=True,
    eps_inside=False,
    eps_hat=False,
):
    """Zhuang et al. 2020, algorithm 2."""
    beta1, beta2 = betas
    m, s = slot_of(state, "exp_avg", p), slot_of(state, "exp_avg_var", p)
    m *= beta1
    m += (1 - beta1) * g
    s *= beta2
    s += (1 - beta2) * (g - m) ** 2 + eps
    correction1, correction2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1, 1)
    p -= lr / correction1 * m / _root(s, eps, eps_inside, eps_hat, correction2)


def lamb(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-6,
    bias_correction=True,
    eps_inside=False,
    eps_hat=False,
    weight_decay=0.0,
):
    """You et al. 2020, algorithm 2."""
    m, v, correction1, correction2 = _moments(p, g, state, t, betas, bias_correction)
    update = m / correction1 / _root(v, eps, eps_inside, eps_hat, correction2) + weight_decay * p
    p -= lr * _trust_ratio(p, update) * update


def lars(p, g, state, t, lr=1.0, momentum=0.9, trust_coefficient=1e-3):
    """You, Gitman & Ginsburg 2017, algorithm 1."""
    v = slot_of(state, "momentum_buffer", p)
    v *= momentum
    v += lr * _trust_ratio(p, g, trust_coefficient) * g
    p -= v


def ademamix(
    p,
    g,
    state,
    t,
    lr=1e-3,
    betas=(0.9, 0.999, 0.9999),
    alpha=5.0,
    warmup=0,
    eps=1e-8,
    eps_inside=False,
    eps_hat=False,
):
    """Pagliardini, Ablin & Grangier 2024, algorithm 1, with the warm-ups of its section 3."""
    beta1, beta2, beta3 = betas
    if t < warmup:
        alpha *= t / warmup
        long, short = np.log(beta3), np.log(beta1)
        beta3 = min(beta3, np.exp(long * short / ((1 - t / warmup) * long + t / warmup * short)))
    fast, slow, v = (slot_of(state, name, p) for name in ("exp_avg_fast", "exp_avg_slow", "exp_avg_sq"))
    fast *= beta1
    fast += (1 - beta1) * g
    slow *= beta3
    slow += (1 - beta3) * g
    v *= beta2
    v += (1 - beta2) * g * g
    p -= lr * (fast / (1 - beta1**t) + alpha * slow) / _root(v, eps, eps_inside, eps_hat, 1 - beta2**t)


def adopt(p, g, state, t, lr=1e-3, betas=(0.9, 0.9999), eps=1e-6, clip=True):
    """Taniguchi et al. 2024, algorithm 2."""
    m, v = slot_of(state, "exp_avg", p), slot_of(state, "exp_avg_sq", p)
    if t == 1:
        v[...] = g * g
        return
    normalized = g / np.maximum(np.sqrt(v), eps)
    m *= betas[0]
    m += (1 - betas[0]) * (np.clip(normalized, -((t - 1) ** 0.25), (t - 1) ** 0.25) if clip else normalized)
    p -= lr * m
    v *= betas[1]
    v += (1 - betas[1]) * g * g


def schedule_free_adamw(
    p,
    g,
    state,
    t,
    lr=2.5e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    warmup_steps=0,
    r=0.0,
    weight_lr_power=2.0,
    eps_inside=False,
    eps_hat=False,
    weight_decay=0.0,
):
    """Defazio et al. 2024, algorithm 1, with x stored rather than derived from y and z."""
    beta1, beta2 = betas
    x, z, v = slot_of(state, "x", p, p), slot_of(state, "z", p, p), slot_of(state, "exp_avg_sq", p)
    lr *= min(1, t / warmup_steps) if warmup_steps else 1
    state["lr_max"] = max(lr, state.get("lr_max", 0.0))
    weight = t**r * state["lr_max"] ** weight_lr_power
    state["weight_sum"] = state.get("weight_sum", 0.0) + weight
    v *= beta2
    v += (1 - beta2) * g * g
    z -= lr * (g / _root(v, eps, eps_inside, eps_hat, 1 - beta2**t) + weight_decay * p)
    x += (weight / state["weight_sum"] if weight else 0.0) * (z - x)
    p[...] = beta1 * x + (1 - beta1) * z


def slot_of(state, name, p, value=0.0):
    if name not in state:
        state[name] = np.full_like(p, value)
    return state[name]


def _moments(p, g, state, t, betas, bias_correction=True):
    """Update Adam's means of g and g**2; return them and their bias corrections."""
    beta1, beta2 = betas
    m, v = slot_of(state, "exp_avg", p), slot_of(state, "exp_avg_sq", p)
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    return m, v, *((1 - beta1**t, 1 - beta2**t) if bias_correction else (1, 1))


def _root(v, eps, eps_inside, eps_hat=False, correction=1.0):
    """Return the divisor of Adam and its variants: eps comes after the bias correction, or with eps_hat before it."""
    if eps_hat:
        return (np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps) / np.sqrt(correction)
    v = v / correction
    return np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps


def _trust_ratio(p, update, coefficient=1.0):
    sizes = np.linalg.norm(p), np.linalg.norm(update)
    return coefficient * sizes[0] / sizes[1] if all(sizes) else 1.0


# name -> (formula, keywords that differ from its own defaults)
OPTIMIZERS: dict[str, tuple[Any, dict[str, float]]] = {
    "SGD": (sgd, {}),
    "Momentum": (momentum, {}),
    "Nesterov": (nesterov, {}),
    "Adagrad": (adagrad, {}),
    "RMSprop": (rmsprop, {}),
    "Adadelta": (adadelta, {}),
    "Adam": (adam, {}),
    "AdamW": (adam, {"weight_decay": 1e-2}),
    "Adamax": (adamax, {}),
    "NAdam": (nadam, {}),
    "RAdam": (radam, {}),
    "Rprop": (rprop, {}),
    "ASGD": (asgd, {}),
    "Lion": (lion, {}),
    "Yogi": (yogi, {}),
    "AdaBelief": (adabelief, {}),
    "LAMB": (lamb, {}),
    "LARS": (lars, {}),
    "AdEMAMix": (ademamix, {}),
    "ADOPT": (adopt, {}),
    "ScheduleFreeAdamW": (schedule_free_adamw, {}),
}
