"""The largest errors of every activation and its derivative, in ULP, with PyTorch's if it is installed.

The same inputs go to both sides: 1.2 million points of every magnitude up to 2**7 and both signs. The exact
values are those of the plain reference in a wider type. The centre is |x| <= 4; the tails lie beyond, up to where
the exact value stops being a normal number. In the centre, derivatives below 0.01 are measured in the ULP of 0.01,
as some cross 0 there.
"""

import numpy as np

from gd import reference
from gd.activations import ACTIVATIONS

NAMES = ("sigmoid", "tanh", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "log_sigmoid", "softsign")
TORCH = {"log_sigmoid": "logsigmoid"}
POINTS, QUICK_POINTS = 400_000, 40_000  # of each sign, and the same number near 0
CENTRE, CROSSING = 4, 0.01


def accuracy(quick=False, names=NAMES):
    """Return the largest errors.

    Parameters
    ----------
    quick : bool, default: False
        Use a tenth of the points, and float32 only. (float64 needs a wider type, which not every platform has.)
    names : sequence of str, default: all that are not exact
        Names of activations.

    Returns
    -------
    list of dict
        "activation", "dtype", "what" ("forward" or "derivative"), and for "gd" and "torch" the largest errors in the
        centre and in the tails; None for "torch" if it is not installed.
    """
    wide = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
    dtypes = (np.float32, np.float64) if wide and not quick else (np.float32,)
    return [
        record
        for dtype in map(np.dtype, dtypes)
        for name in names
        for record in _of_activation(name, dtype, QUICK_POINTS if quick else POINTS)
    ]


def inputs(dtype, points, rng):
    """Return points of all magnitudes that matter to activations."""
    size = 2.0 ** rng.uniform(-20, 7, points)
    return np.concatenate([size, -size, rng.uniform(-20, 20, points)]).astype(dtype)


def errors(found, exact, x, derivative):
    """Return the largest error in ULP in the centre and in the tails."""
    centre = np.abs(x) <= CENTRE
    with np.errstate(all="ignore"):
        size = np.abs(exact.astype(x.dtype))
        unit = np.where(centre & derivative, np.maximum(size, x.dtype.type(CROSSING)), size)
        ulps = np.abs(found.astype(exact.dtype) - exact) / np.spacing(unit).astype(exact.dtype)
    usable = np.isfinite(exact) & (size >= np.finfo(x.dtype).smallest_normal)
    return [float(np.max(ulps[usable & region], initial=0)) for region in (centre, ~centre)]


def torch_values(name, x):
    """Return PyTorch's values and derivatives; None for both if it is not installed."""
    try:
        import torch
    except ImportError:
        return None, None
    tensor = torch.tensor(x, requires_grad=True)
    y = getattr(torch.nn.functional, TORCH.get(name, name))(tensor)
    y.backward(torch.ones_like(y))
    return y.detach().numpy(), tensor.grad.numpy()


def _of_activation(name, dtype, points):
    x = inputs(dtype, points, np.random.default_rng(0))
    wide = x.astype(np.float64 if dtype == np.float32 else np.longdouble)
    ours = ACTIVATIONS[name].forward(x), ACTIVATIONS[name].backward(np.ones_like(x), x)
    sides = zip(("forward", "derivative"), reference.ACTIVATIONS[name], ours, torch_values(name, x), strict=True)
    for what, function, own, other in sides:
        with np.errstate(all="ignore"):
            exact = function(wide)
        yield {
            "activation": name,
            "dtype": dtype.name,
            "what": what,
            "gd": errors(own, exact, x, what == "derivative"),
            "torch": None if other is None else errors(other, exact, x, what == "derivative"),
        }
