"""Everything again in plain NumPy, straight from the papers.

It is the oracle of the tests, the baseline of the benchmarks and `gd train --compare numpy`, and
documentation that runs. It is written as a careful NumPy user would write it, in place where that is
natural, and imports nothing of the rest of gd.
"""

from inspect import signature

import numpy as np
from scipy import special

# --- Optimizers: f(p, g, state, t, **keywords) updates p and the arrays of state in place at step t = 1, 2, ...


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
    """Riedmiller & Braun 1993; where the sign turns, no step (iRprop-)."""
    before, step = _slot(state, "prev", p), _slot(state, "step_size", p, lr)
    agreement = np.sign(g) * np.sign(before)
    step *= np.select([agreement > 0, agreement < 0], [etas[1], etas[0]], 1.0)
    np.clip(step, *step_sizes, out=step)
    before[...] = np.where(agreement < 0, 0, g)
    p -= np.sign(before) * step


def asgd(p, g, state, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6):
    """Polyak & Juditsky 1992; the rate of Bottou."""
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
    """What Adam and its kin divide by: eps comes after the bias correction, or with eps_hat before it."""
    if eps_hat:
        return (np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps) / np.sqrt(correction)
    v = v / correction
    return np.sqrt(v + eps) if eps_inside else np.sqrt(v) + eps


def _trust_ratio(p, update, coefficient=1.0):
    sizes = np.linalg.norm(p), np.linalg.norm(update)
    return coefficient * sizes[0] / sizes[1] if all(sizes) else 1.0


# name -> (formula, keywords that differ from its own defaults)
OPTIMIZERS = {
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


# --- States in fewer bits: see `kernels.storage`


def bfloat16(x):
    """The two bfloat16 numbers between which float32 numbers lie, as uint16, and the odds of the upper one."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return (bits >> 16).astype(np.uint16), ((bits >> 16) + 1).astype(np.uint16), (bits & 0xFFFF) / 2**16


def from_bfloat16(halves):
    """The float32 numbers that uint16 stands for."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def from_8_bits(stored, size, block=256):
    """The float32 numbers of codes: numbers of four significant bits, counted from the block's largest downwards.

    Before the codes of each block is its largest, a float32, whose code is 127 or 255. A code of 0 is 0 in int8.
    """
    signed, found = stored.dtype == np.int8, []
    for first in range(0, stored.size, block + 4):
        largest = stored[first : first + 4].view(np.float32)[0]
        codes = stored[first + 4 : first + 4 + block].astype(np.int64)
        if not np.isfinite(largest):
            found.append(np.full(codes.size, np.nan))
            continue
        mantissa, exponent = np.frexp(np.float64(largest))  # a number is (8 + k % 8) * 2.0 ** (k // 8 - 130)
        k = 8 * (exponent + 126) + round(16 * mantissa) - 8 if largest else 0
        k = max(k - (127 if signed else 255), 0) + abs(codes)
        values = np.where(k < 8, 0, (8 + k % 8) * 2.0 ** (k // 8 - 130))
        found.append(np.sign(codes) * values if signed else values)
    return np.concatenate(found)[:size].astype(np.float32)


class Optimizer:
    """An optimizer of `OPTIMIZERS` over a dict of arrays, with the keywords that all of them take."""

    def __init__(
        self,
        name,
        params,
        *,
        lr=None,
        l1=0.0,
        l2=0.0,
        weight_decay=None,
        maximize=False,
        clip_value=None,
        clip_norm=None,
        ema=None,
        **keywords,
    ):
        self.formula, defaults = OPTIMIZERS[name]
        self.keywords = keywords if lr is None else {"lr": lr, **keywords}
        self.params, self.steps = params, 0
        self.l1, self.l2, self.maximize, self.clip_value, self.clip_norm = l1, l2, maximize, clip_value, clip_norm
        self.weight_decay = defaults.get("weight_decay", 0.0) if weight_decay is None else weight_decay
        if "weight_decay" in signature(self.formula).parameters:  # the formula decays by itself
            self.keywords, self.weight_decay = {**self.keywords, "weight_decay": self.weight_decay}, 0.0
        self.lr = self.formula.__defaults__[0] if lr is None else lr
        self.state = {key: {} for key in params}
        self.ema, self.averages = ema, {key: p.copy() for key, p in params.items()} if ema is not None else {}

    def step(self, grads, grad_scale=1.0):
        """Clipping, penalties, decoupled decay (Loshchilov & Hutter 2019), then the formula, then the average."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        self.steps += 1
        if self.clip_norm is not None:
            norm = np.sqrt(sum(np.sum(np.square(grad_scale * g)) for g in grads.values()))
            grad_scale = grad_scale * min(1, self.clip_norm / norm) if norm > 0 else grad_scale
        for key, p in self.params.items():
            g = grads[key]
            if grad_scale != 1 or self.maximize:
                g = (-grad_scale if self.maximize else grad_scale) * g
            if self.clip_value is not None:
                g = np.clip(g, -self.clip_value, self.clip_value)
            if self.l2:
                g = g + self.l2 * p
            if self.l1:
                g = g + self.l1 * np.sign(p)
            if self.weight_decay:
                p *= 1 - lr * self.weight_decay
            self.formula(p, g, self.state[key], self.steps, **{**self.keywords, "lr": lr})
            if self.ema is not None:
                self.averages[key] *= self.ema
                self.averages[key] += (1 - self.ema) * p


# --- Activations: (forward(x), derivative(x)); the parameters have gd's defaults


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x > 0, 1, e) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sech(x):
    e = np.exp(-np.abs(x))
    return 2 * e / (1 + e * e)


def normal_cdf(x):
    return special.ndtr(x.astype(np.float64)).astype(x.dtype)


def normal_density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_derivative(x, alpha=1.0):
    return np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


def gelu(x, approximate=False):
    if approximate:
        return x * sigmoid(2 * _GELU * (x + 0.044715 * x**3))
    return x * normal_cdf(x)


def gelu_derivative(x, approximate=False):
    if approximate:
        z = 2 * _GELU * (x + 0.044715 * x**3)
        return sigmoid(z) + x * sigmoid(z) * sigmoid(-z) * 2 * _GELU * (1 + 3 * 0.044715 * x**2)
    return normal_cdf(x) + x * normal_density(x)


def mish_derivative(x):
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t) * (1 + t)


def inside(x, low, high):
    return ((x > low) & (x < high)).astype(x.dtype)


_GELU = np.sqrt(2 / np.pi)
_SELU, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTIVATIONS = {
    "identity": (lambda x: x + 0, lambda x: np.ones_like(x)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x: inside(x, -3, 3) / 6),
    "tanh": (np.tanh, lambda x: sech(x) ** 2),
    "scaled_tanh": (lambda x: 1.7159 * np.tanh(x * 2 / 3), lambda x: 1.7159 * 2 / 3 * sech(x * 2 / 3) ** 2),
    "hard_tanh": (
        lambda x, min=-1.0, max=1.0: np.clip(x, min, max),
        lambda x, min=-1.0, max=1.0: inside(x, min, max),
    ),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "leaky_relu": (
        lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        lambda x, negative_slope=0.01: np.where(x > 0, 1, negative_slope).astype(x.dtype),
    ),
    "prelu": (
        lambda x, weight=0.25: np.where(x > 0, x, weight * x),
        lambda x, weight=0.25: np.where(x > 0, 1, weight).astype(x.dtype),
    ),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: inside(x, 0, 6)),
    "elu": (elu, elu_derivative),
    "selu": (lambda x: _SELU * elu(x, _SELU_ALPHA), lambda x: _SELU * elu_derivative(x, _SELU_ALPHA)),
    "celu": (lambda x, alpha=1.0: alpha * elu(x / alpha), lambda x, alpha=1.0: elu_derivative(x / alpha)),
    "gelu": (gelu, gelu_derivative),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    "hard_swish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    ),
    "mish": (lambda x: x * np.tanh(softplus(x)), mish_derivative),
    "softplus": (
        lambda x, beta=1.0, threshold=20.0: np.where(beta * x > threshold, x, softplus(beta * x) / beta),
        lambda x, beta=1.0, threshold=20.0: np.where(beta * x > threshold, 1, sigmoid(beta * x)),
    ),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    "unit_step": (lambda x: np.where(x < 0, 0, 1) + 0 * x, lambda x: np.zeros_like(x)),
}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, x):
    y = softmax(x)
    return y * (dy - np.sum(dy * y, axis=-1, keepdims=True))


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_softmax_backward(dy, x):
    return dy - softmax(x) * dy.sum(axis=-1, keepdims=True)


def maxout(x, pieces=2):
    return x.reshape(*x.shape[:-1], -1, pieces).max(axis=-1)


def maxout_backward(dy, x, pieces=2):
    grouped = x.reshape(*x.shape[:-1], -1, pieces)
    chosen = grouped.argmax(axis=-1)[..., None] == np.arange(pieces)
    return (chosen * dy[..., None]).reshape(x.shape)


ROW_ACTIVATIONS = {  # (forward(x), backward(dy, x))
    "softmax": (softmax, softmax_backward),
    "log_softmax": (log_softmax, log_softmax_backward),
    "maxout": (maxout, maxout_backward),
}


# --- Losses: mean value and gradient with respect to the prediction


def mean(values, derivatives):
    return np.mean(values, dtype=np.float64), derivatives / values.size


def mse(prediction, target):
    """Mean of the squared errors over all elements."""
    error = prediction - target
    return np.mean(error * error, dtype=np.float64), 2 / error.size * error


def mae(prediction, target):
    return mean(np.abs(prediction - target), np.sign(prediction - target))


def huber(prediction, target, delta=1.0):
    """Huber 1964."""
    error = prediction - target
    near = np.abs(error) <= delta
    return mean(
        np.where(near, error**2 / 2, delta * (np.abs(error) - delta / 2)), np.where(near, error, delta * np.sign(error))
    )


def smooth_l1(prediction, target, beta=1.0):
    """Girshick 2015."""
    error = prediction - target
    if beta == 0:
        return mae(prediction, target)
    near = np.abs(error) < beta
    return mean(
        np.where(near, error**2 / 2 / beta, np.abs(error) - beta / 2), np.where(near, error / beta, np.sign(error))
    )


def binary_cross_entropy_with_logits(prediction, target, positive_weight=1.0):
    """-weight t log s - (1 - t) log(1 - s) for s = sigmoid(prediction)."""
    return mean(
        positive_weight * target * softplus(-prediction) + (1 - target) * softplus(prediction),
        (1 - target) * sigmoid(prediction) - positive_weight * target * sigmoid(-prediction),
    )


def hinge(prediction, target):
    margin = 1 - target * prediction
    return mean(np.maximum(margin, 0), np.where(margin > 0, -target, 0))


def squared_hinge(prediction, target):
    margin = np.maximum(1 - target * prediction, 0)
    return mean(margin**2, -2 * margin * target)


def poisson(prediction, target, log_input=True, eps=1e-8):
    if log_input:
        return mean(np.exp(prediction) - target * prediction, np.exp(prediction) - target)
    return mean(prediction - target * np.log(prediction + eps), 1 - target / (prediction + eps))


def quantile(prediction, target, q=0.5):
    """Koenker & Bassett 1978."""
    error = target - prediction
    slope = np.where(error > 0, q, np.where(error < 0, q - 1, 0))
    return mean(slope * error, -slope)


def kl_divergence(prediction, target):
    """Kullback & Leibler 1951; predictions are log-probabilities."""
    positive = target > 0
    values = np.where(positive, target * (np.log(np.where(positive, target, 1)) - prediction), 0)
    return mean(values, -target)


def softmax_cross_entropy(logits, labels, label_smoothing=0.0, class_weights=None, ignore_index=None):
    """Mean over the rows of -sum_j weight_j target_j log softmax(logits)_j; Szegedy et al. 2016."""
    classes = logits.shape[1]
    weights = np.ones(classes) if class_weights is None else class_weights
    if labels.ndim == 2:
        target, counted = labels, np.ones(len(logits))
    else:
        kept = np.ones(len(logits), bool) if ignore_index is None else labels != ignore_index
        target = np.eye(classes)[np.where(kept, labels, 0)]
        counted = kept * weights[np.where(kept, labels, 0)]
        target = target * kept[:, None]
        label_smoothing = label_smoothing * kept[:, None]
    shares = weights * ((1 - label_smoothing) * target + label_smoothing / classes)
    values = -np.sum(shares * log_softmax(logits), axis=1)
    gradient = softmax(logits) * shares.sum(axis=1, keepdims=True) - shares
    return np.sum(values, dtype=np.float64) / counted.sum(), gradient / counted.sum()


LOSSES = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "smooth_l1": smooth_l1,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "poisson": poisson,
    "quantile": quantile,
    "kl_divergence": kl_divergence,
    "softmax_cross_entropy": softmax_cross_entropy,
}


# --- Linear models: mean loss of X w + b, and its gradients


def epsilon_insensitive(prediction, target, epsilon=0.1):
    """Vapnik 1995."""
    error = prediction - target
    excess = np.maximum(np.abs(error) - epsilon, 0)
    return mean(excess, np.where(excess > 0, np.sign(error), 0))


LINEAR_LOSSES = {
    "squared": mse,
    "logistic": binary_cross_entropy_with_logits,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "huber": huber,
    "epsilon_insensitive": epsilon_insensitive,
    "quantile": quantile,
    "poisson": poisson,
    "softmax": softmax_cross_entropy,
}


def linear_model_gradient(X, y, w, b, loss="squared", **parameters):
    """Return the loss, X^T slopes and the sum of slopes, where slopes is the derivative of the loss at X w + b."""
    value, slopes = LINEAR_LOSSES[loss](X @ w + b, y, **parameters)
    return value, X.T @ slopes, slopes.sum(axis=0)


# --- Networks: a dict of arrays W1, b1, W2, b2, ...


def forward(parameters, X, activation="relu"):
    """Return the inputs of all layers, and the output."""
    function, layers, inputs = ACTIVATIONS[activation][0], len(parameters) // 2, [X]
    for k in range(1, layers + 1):
        z = inputs[-1] @ parameters[f"W{k}"]
        z += parameters[f"b{k}"]
        inputs.append(z if k == layers else function(z))
    return inputs


def loss_and_gradients(parameters, X, y, activation="relu", loss="softmax_cross_entropy"):
    """Return the mean loss of a batch and its gradient as a dict like parameters, by backpropagation.

    Rumelhart, Hinton & Williams 1986. The derivative of an activation is taken at z = a W + b, kept from
    the forward pass.
    """
    function, derivative = ACTIVATIONS[activation]
    layers = len(parameters) // 2
    a, zs, inputs = X, [], []
    for k in range(1, layers + 1):
        inputs.append(a)
        z = a @ parameters[f"W{k}"]
        z += parameters[f"b{k}"]
        zs.append(z)
        a = z if k == layers else function(z)
    value, delta = LOSSES[loss](a, y)
    gradients = {}
    for k in range(layers, 0, -1):
        gradients[f"W{k}"] = inputs[k - 1].T @ delta
        gradients[f"b{k}"] = delta.sum(axis=0)
        if k > 1:
            delta = delta @ parameters[f"W{k}"].T
            delta *= derivative(zs[k - 2])
    return value, gradients


def predict(parameters, X, activation="relu"):
    """Return the class of each row."""
    return forward(parameters, X, activation)[-1].argmax(axis=1)


def train_epoch(parameters, X, y, optimizer, batches, activation="relu", loss="softmax_cross_entropy"):
    """Take one step for each array of row indices; return the mean loss."""
    total = 0.0
    for rows in batches:
        value, gradients = loss_and_gradients(parameters, X[rows], y[rows], activation, loss)
        optimizer.step(gradients)
        total += value * len(rows)
    return total / len(X)
