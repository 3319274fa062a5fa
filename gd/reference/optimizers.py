"""Optimizers: f(p, g, state, t, **keywords) updates p and the arrays of state in place at step t = 1, 2, ..."""

from typing import Any

import numpy as np


def sgd(p, g, state, t, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False):
    """PyTorch's SGD; the first buffer is the gradient itself."""
    if momentum:
        b = _slot(state, "momentum_buffer", p)
        b *= momentum
        b += g if t == 1 else (1 - dampening) * g
        g = g + momentum * b if nesterov else b
    p -= lr * g


def momentum(p, g, state, t, lr=1e-2, momentum=0.9):
    """Polyak 1964."""
    v = _slot(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += v


def nesterov(p, g, state, t, lr=1e-2, momentum=0.9):
    """Nesterov 1983, at the look-ahead point."""
    v = _slot(state, "velocity", p)
    v *= momentum
    v -= lr * g
    p += momentum * v - lr * g


def adagrad(p, g, state, t, lr=1e-2, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False):
    """Duchi, Hazan & Singer 2011."""
    s = _slot(state, "sum", p, initial_accumulator_value)
    s += g * g
    p -= lr / (1 + (t - 1) * lr_decay) * g / _root(s, eps, eps_inside)


def rmsprop(p, g, state, t, lr=1e-2, rho=0.99, eps=1e-8, momentum=0.0, centered=False, eps_inside=False):
    """Tieleman & Hinton 2012; Graves 2013 (centered)."""
    v = _slot(state, "square_avg", p)
    v *= rho
    v += (1 - rho) * g * g
    variance = v
    if centered:
        a = _slot(state, "grad_avg", p)
        a *= rho
        a += (1 - rho) * g
        variance = np.maximum(v - a * a, 0)
    u = g / _root(variance, eps, eps_inside)
    if momentum:
        b = _slot(state, "momentum_buffer", p)
        b *= momentum
        b += u
        u = b
    p -= lr * u


def adadelta(p, g, state, t, lr=1.0, rho=0.9, eps=1e-6):
    """Zeiler 2012, algorithm 1."""
    v, u = _slot(state, "square_avg", p), _slot(state, "acc_delta", p)
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
        largest = _slot(state, "max_exp_avg_sq", p)
        if amsgrad == "corrected":
            np.maximum(largest, v / correction2, out=largest)
            v = largest * correction2
        else:
            v = np.maximum(largest, v, out=largest)
    p -= lr / correction1 * m / _root(v, eps, eps_inside, eps_hat, correction2)


def adamax(p, g, state, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, bias_correction=True, eps_inside=True):
    """Kingma & Ba 2015, algorithm 2."""
    beta1, beta2 = betas
    m, u = _slot(state, "exp_avg", p), _slot(state, "exp_inf", p)
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
    before, step = _slot(state, "prev", p), _slot(state, "step_size", p, lr)
    agreement = np.sign(g) * np.sign(before)
    step *= np.select([agreement > 0, agreement < 0], [etas[1], etas[0]], 1.0)
    np.clip(step, *step_sizes, out=step)
    before[...] = np.where(agreement < 0, 0, g)
    p -= np.sign(before) * step


def asgd(p, g, state, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6):
    """Polyak & Juditsky 1992, with the learning rate of Bottou."""
    average = _slot(state, "ax", p)
    eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
    p *= 1 - lambd * eta
    p -= eta * g
    average += (p - average) / max(1, t - 1 - t0)


def lion(p, g, state, t, lr=1e-4, betas=(0.9, 0.99)):
    """Chen et al. 2023, algorithm 2."""
    m = _slot(state, "exp_avg", p)
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
    m = _slot(state, "exp_avg", p, initial_accumulator_value)
    v = _slot(state, "exp_avg_sq", p, initial_accumulator_value)
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
    m, s = _slot(state, "exp_avg", p), _slot(state, "exp_avg_var", p)
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
    v = _slot(state, "momentum_buffer", p)
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
    fast, slow, v = (_slot(state, name, p) for name in ("exp_avg_fast", "exp_avg_slow", "exp_avg_sq"))
    fast *= beta1
    fast += (1 - beta1) * g
    slow *= beta3
    slow += (1 - beta3) * g
    v *= beta2
    v += (1 - beta2) * g * g
    p -= lr * (fast / (1 - beta1**t) + alpha * slow) / _root(v, eps, eps_inside, eps_hat, 1 - beta2**t)


def adopt(p, g, state, t, lr=1e-3, betas=(0.9, 0.9999), eps=1e-6, clip=True):
    """Taniguchi et al. 2024, algorithm 2."""
    m, v = _slot(state, "exp_avg", p), _slot(state, "exp_avg_sq", p)
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
    x, z, v = _slot(state, "x", p, p), _slot(state, "z", p, p), _slot(state, "exp_avg_sq", p)
    lr *= min(1, t / warmup_steps) if warmup_steps else 1
    state["lr_max"] = max(lr, state.get("lr_max", 0.0))
    weight = t**r * state["lr_max"] ** weight_lr_power
    state["weight_sum"] = state.get("weight_sum", 0.0) + weight
    v *= beta2
    v += (1 - beta2) * g * g
    z -= lr * (g / _root(v, eps, eps_inside, eps_hat, 1 - beta2**t) + weight_decay * p)
    x += (weight / state["weight_sum"] if weight else 0.0) * (z - x)
    p[...] = beta1 * x + (1 - beta1) * z


def adafactor(
    p,
    g,
    state,
    t,
    lr=1e-2,
    beta2_decay=-0.8,
    eps=(None, 1e-3),
    d=1.0,
    relative_step=True,
    scale_parameter=True,
    momentum=0.0,
    eps_inside=False,
    min_size_to_factor=1,
    weight_decay=0.0,
):
    """Shazeer & Stern 2018, algorithms 4 (of matrices) and 5; eps is a bound of v as in PyTorch, or added to g**2."""
    tiny, rate = (1e-30 if eps_inside else np.finfo(p.dtype).eps) if eps[0] is None else eps[0], lr
    squares, fresh = g * g + (tiny if eps_inside else 0.0), t**beta2_decay
    if p.ndim > 1 and min(p.shape[-2:]) >= min_size_to_factor:
        row_mean, col_mean = squares.mean(-1, keepdims=True), squares.mean(-2, keepdims=True)
        row, col = _slot(state, "row_var", row_mean), _slot(state, "col_var", col_mean)
        row += fresh * (row_mean - row)
        col += fresh * (col_mean - col)
        mean = row.mean(-2, keepdims=True)
        v = row * col / (mean if eps_inside else np.maximum(mean, tiny))
    else:
        v = _slot(state, "variance", p)
        v *= 1 - fresh
        v += fresh * squares
    u = g / np.sqrt(v if eps_inside else np.maximum(v, tiny**2))
    if relative_step:
        rate = min(lr, 1 / np.sqrt(t))
    if scale_parameter:
        rate *= max(eps[1], np.sqrt(np.mean(np.square(p))))
    u *= rate / max(1.0, np.sqrt(np.mean(np.square(u))) / d)
    if momentum:
        m = _slot(state, "exp_avg", p)
        m *= momentum
        m += (1 - momentum) * u
        u = m
    p *= 1 - lr * weight_decay
    p -= u


def sm3(p, g, state, t, lr=0.1, momentum=0.9, eps=1e-8):
    """Anil et al. 2019, SM3-II; the cover is the slices of each axis, of vectors each element."""
    bounds = [_slot(state, f"accumulator_{k}", p.max(_others(p, k), keepdims=True), 0.0) for k in range(max(1, p.ndim))]
    v = bounds[0]
    for bound in bounds[1:]:
        v = np.minimum(v, bound)
    v = v + g * g
    for k, bound in enumerate(bounds):
        bound[...] = v.max(_others(p, k), keepdims=True)
    u = np.divide(g, np.sqrt(v + eps), out=np.zeros_like(g), where=~(v <= 0))
    if momentum:
        m = _slot(state, "momentum_buffer", p)
        m *= momentum
        m += (1 - momentum) * u
        u = m
    p -= lr * u


def _others(p, axis):
    """Return all axes but one."""
    return tuple(k for k in range(p.ndim) if k != axis)


def muon(
    p,
    g,
    state,
    t,
    lr=1e-3,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.775, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn="original",
    use_muon=True,
    adam_betas=(0.9, 0.999),
    adam_eps=1e-8,
):
    """Jordan et al. 2024; what is no matrix takes a step of Adam."""
    if p.ndim != 2 or not use_muon:
        adam(p, g, state, t, lr, adam_betas, adam_eps)
        return
    buffer = _slot(state, "momentum_buffer", p)
    buffer *= momentum
    buffer += (1 - momentum) * g
    u = (1 - momentum) * g + momentum * buffer if nesterov else buffer
    rows, columns = p.shape[::-1] if adjust_lr_fn == "original_transposed" else p.shape
    ratio = 0.2 * np.sqrt(max(p.shape)) if adjust_lr_fn == "match_rms_adamw" else np.sqrt(max(1, rows / columns))
    p -= lr * ratio * newton_schulz(u, ns_coefficients, ns_steps, eps)


def newton_schulz(x, coefficients, steps, eps):
    """Return U S' V.T of the matrix U S V.T, with S' near 1, by a polynomial of odd powers that is applied again."""
    if x.shape[0] > x.shape[1]:
        return newton_schulz(x.T, coefficients, steps, eps).T
    a, b, c = coefficients
    x = x / max(np.linalg.norm(x), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def _slot(state, name, p, value=0.0):
    if name not in state:
        state[name] = np.full_like(p, value)
    return state[name]


def _moments(p, g, state, t, betas, bias_correction=True):
    """Update Adam's means of g and g**2; return them and their bias corrections."""
    beta1, beta2 = betas
    m, v = _slot(state, "exp_avg", p), _slot(state, "exp_avg_sq", p)
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
    m, v, n = (_slot(state, name, p) for name in ("exp_avg", "exp_avg_diff", "exp_avg_sq"))
    before = _slot(state, "previous_grad", p, g)
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
    n, z = _slot(state, "accumulator", p, initial_accumulator_value), _slot(state, "linear", p)
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
        start, s = _slot(state, "start", p, p), _slot(state, "grad_sum", p)
        r += d / d0 * rate * np.sum(g * (start - p))
        s *= beta3
        s += d / d0 * (d if safeguard_warmup else rate) * g
        length += np.sum(np.abs(s))
    d_hat = d_coef * r / length if length > 0 else 0.0
    d_max, first = max(d_max, d_hat), max(d, d_hat) if d == d0 else d
    numbers |= {"d": min(d_max, growth_rate * first), "d_max": d_max, "d_numerator": r}
    for p, g, state in zip(ps, gs, states, strict=True):
        m, v = _slot(state, "exp_avg", p), _slot(state, "exp_avg_sq", p)
        m *= beta1
        m += (1 - beta1) * d * g
        v *= beta2
        v += (1 - beta2) * (d * g) ** 2
        p *= 1 - rate * weight_decay
        p -= rate * m / (np.sqrt(v) + numbers["d"] * eps)


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
    "Adan": (adan, {}),
    "FTRL": (ftrl, {}),
    "Prodigy": (prodigy, {}),
    "Adafactor": (adafactor, {}),
    "SM3": (sm3, {}),
    "Muon": (muon, {"weight_decay": 0.1}),
}
