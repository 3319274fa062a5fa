"""``python -m gd.bench accuracy``: the largest errors of every activation and its derivative, in ULP, beside PyTorch's.

The same inputs go to both sides: 1.2 million points of every magnitude up to 2**7 and both signs. The exact
values are those of the plain reference in a wider type. The centre is |x| <= 4, the tails lie beyond, as far as
the exact value is a normal number. Derivatives that cross 0 in the centre are measured in units of 0.01 there.
"""

import sys

import numpy as np

from gd import reference
from gd.activations import ACTIVATIONS

NAMES = ("sigmoid", "tanh", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "log_sigmoid", "softsign")
TORCH = {"log_sigmoid": "logsigmoid"}
POINTS = 400_000
CENTRE, CROSSING = 4, 0.01


def inputs(dtype, rng):
    """Return points of every magnitude that matters to activations."""
    size = 2.0 ** rng.uniform(-20, 7, POINTS)
    return np.concatenate([size, -size, rng.uniform(-20, 20, POINTS)]).astype(dtype)


def errors(found, exact, x, derivative):
    """Return the largest error in ULP in the centre and in the tails."""
    centre = np.abs(x) <= CENTRE
    with np.errstate(all="ignore"):
        size = np.abs(exact.astype(x.dtype))
        unit = np.where(centre & derivative, np.maximum(size, x.dtype.type(CROSSING)), size)
        ulps = np.abs(found.astype(exact.dtype) - exact) / np.spacing(unit).astype(exact.dtype)
    usable = np.isfinite(exact) & (size >= np.finfo(x.dtype).smallest_normal)
    return [float(np.max(ulps[usable & region], initial=0)) for region in (centre, ~centre)]


def torch_values(torch, name, x):
    """Return PyTorch's values and derivatives."""
    tensor = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, TORCH.get(name, name))(tensor)
    y.backward(torch.ones_like(y))
    return y.detach().numpy(), tensor.grad.numpy()


def table(dtype, torch):
    """Yield (name, what, errors of gd, errors of PyTorch or None) for forward passes and derivatives."""
    rng = np.random.default_rng(0)
    x = inputs(dtype, rng)
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    for name in NAMES:
        if name == "gelu" and dtype == np.float64:
            continue  # the reference has SciPy's float64 distribution function
        forward, derivative = reference.ACTIVATIONS[name]
        theirs = torch_values(torch, name, x) if torch else (None, None)
        ours = ACTIVATIONS[name].forward(x), ACTIVATIONS[name].backward(np.ones_like(x), x)
        for what, function, own, other in zip(
            ("forward", "derivative"), (forward, derivative), ours, theirs, strict=True
        ):
            with np.errstate(all="ignore"):
                exact = function(wide)
            yield (
                name,
                what,
                errors(own, exact, x, what == "derivative"),
                errors(other, exact, x, what == "derivative") if torch else None,
            )


def main(only, sizes, rounds, torch):
    """Print the table, in Markdown."""
    print("Largest error in ULP; the smaller is the better.\n")
    print("| activation | dtype | what | gd, centre | PyTorch, centre | gd, tails | PyTorch, tails |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for dtype in (np.float32, np.float64):
        if dtype == np.float64 and np.finfo(np.longdouble).nmant <= 52:
            print("(no wider type than float64 on this platform)", file=sys.stderr)
            continue
        for name, what, ours, theirs in table(np.dtype(dtype), torch):
            if only and name not in only:
                continue
            cells = [f"{ours[k]:.2f} | {format_error(theirs[k]) if theirs else '-'}" for k in range(2)]
            print(f"| {name} | {np.dtype(dtype).name} | {what} | {' | '.join(cells)} |", flush=True)


def format_error(ulps):
    return f"{ulps:.2f}" if ulps < 1e4 else f"{ulps:.0e}"
