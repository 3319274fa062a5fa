"""Optimizers that step matrices by their rows and columns, or whole."""

import numpy as np

from .optimizers import OPTIMIZERS, adam, slot_of


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
        row, col = slot_of(state, "row_var", row_mean), slot_of(state, "col_var", col_mean)
        row += fresh * (row_mean - row)
        col += fresh * (col_mean - col)
        mean = row.mean(-2, keepdims=True)
        v = row * col / (mean if eps_inside else np.maximum(mean, tiny))
    else:
        v = slot_of(state, "variance", p)
        v *= 1 - fresh
        v += fresh * squares
    u = g / np.sqrt(v if eps_inside else np.maximum(v, tiny**2))
    if relative_step:
        rate = min(lr, 1 / np.sqrt(t))
    if scale_parameter:
        rate *= max(eps[1], np.sqrt(np.mean(np.square(p))))
    u *= rate / max(1.0, np.sqrt(np.mean(np.square(u))) / d)
    if momentum:
        m = slot_of(state, "exp_avg", p)
        m *= momentum
        m += (1 - momentum) * u
        u = m
    p *= 1 - lr * weight_decay
    p -= u


def sm3(p, g, state, t, lr=0.1, momentum=0.9, eps=1e-8):
    """Anil et al. 2019, SM3-II; the cover is the slices of each axis, of vectors each element."""
    bounds = [
        slot_of(state, f"accumulator_{k}", p.max(_others(p, k), keepdims=True), 0.0) for k in range(max(1, p.ndim))
    ]
    v = bounds[0]
    for bound in bounds[1:]:
        v = np.minimum(v, bound)
    v = v + g * g
    for k, bound in enumerate(bounds):
        bound[...] = v.max(_others(p, k), keepdims=True)
    u = np.divide(g, np.sqrt(v + eps), out=np.zeros_like(g), where=~(v <= 0))
    if momentum:
        m = slot_of(state, "momentum_buffer", p)
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
    buffer = slot_of(state, "momentum_buffer", p)
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


OPTIMIZERS |= {"Adafactor": (adafactor, {}), "SM3": (sm3, {}), "Muon": (muon, {"weight_decay": 0.1})}
