"""``python -m gd.bench activations``: every activation forward and backward against PyTorch and NumPy, and its ceiling.

All sides run in one process, interleaved, into arrays that are there already, with the same number of threads;
figures are medians. The ceiling walks the same arrays and computes next to nothing.
"""

import numpy as np

from gd import reference
from gd.activations import ACTIVATIONS
from gd.arrays import aligned_empty
from gd.kernels.compiler import join
from gd.kernels.loops.elementwise import map_into
from gd.kernels.rules.touch import add, copy

from .measure import interleaved

SIZES = (100_000, 32_000_000)
SUMMARIZED = ("sigmoid", "tanh", "elu", "gelu", "silu", "mish", "softplus")
NAMES = (*SUMMARIZED, "relu", "leaky_relu")


def torch_functions(torch, name):
    """Return functions (forward into y, backward into dx) of PyTorch's kernels, or None."""
    native = torch.ops.aten
    forward = {
        "sigmoid": lambda x, y: native.sigmoid.out(x, out=y),
        "tanh": lambda x, y: native.tanh.out(x, out=y),
        "elu": lambda x, y: native.elu.out(x, out=y),
        "gelu": lambda x, y: native.gelu.out(x, out=y),
        "silu": lambda x, y: native.silu.out(x, out=y),
        "mish": lambda x, y: native.mish.out(x, out=y),
        "softplus": lambda x, y: native.softplus.out(x, out=y),
        "relu": lambda x, y: native.relu.out(x, out=y),
        "leaky_relu": lambda x, y: native.leaky_relu.out(x, out=y),
    }[name]
    backward = {
        "sigmoid": lambda dy, x, y, dx: native.sigmoid_backward.grad_input(dy, y, grad_input=dx),
        "tanh": lambda dy, x, y, dx: native.tanh_backward.grad_input(dy, y, grad_input=dx),
        "elu": lambda dy, x, y, dx: native.elu_backward.grad_input(dy, 1.0, 1.0, 1.0, False, x, grad_input=dx),
        "gelu": lambda dy, x, y, dx: native.gelu_backward.grad_input(dy, x, grad_input=dx),
        "silu": lambda dy, x, y, dx: native.silu_backward.grad_input(dy, x, grad_input=dx),
        "mish": lambda dy, x, y, dx: native.mish_backward(dy, x),
        "softplus": lambda dy, x, y, dx: native.softplus_backward.grad_input(dy, x, 1.0, 20.0, grad_input=dx),
        "relu": lambda dy, x, y, dx: native.threshold_backward.grad_input(dy, y, 0.0, grad_input=dx),
        "leaky_relu": lambda dy, x, y, dx: native.leaky_relu_backward.grad_input(dy, x, 0.01, False, grad_input=dx),
    }[name]
    return forward, backward


def compare(name, size, rounds, torch):
    """Return ({side: seconds of the forward pass}, {side: seconds of the backward pass})."""
    rng = np.random.default_rng(0)

    def vector():
        array = aligned_empty(size, np.float32)
        rng.standard_normal(size, np.float32, array)
        return array

    activation, (function, derivative) = ACTIVATIONS[name], reference.ACTIVATIONS[name]
    x, y, dy, dx = (vector() for _ in range(4))
    activation.forward(x, y)
    forward = {
        "gd": lambda: activation.forward(x, y),
        "ceiling": lambda: join(map_into(y), copy)(size, y, x),
        "numpy": lambda: np.copyto(y, function(x)),
    }
    if activation.backward_from_output and name in ("sigmoid", "tanh", "relu"):  # as PyTorch does
        ours = lambda: activation.backward_from_output(dy, y, dx)  # noqa: E731
    else:
        ours = lambda: activation.backward(dy, x, dx)  # noqa: E731
    backward = {
        "gd": ours,
        "ceiling": lambda: join(map_into(dx), add)(size, dx, dy, x),
        "numpy": lambda: np.copyto(dx, dy * derivative(x)),
    }
    if torch:
        there, back = torch_functions(torch, name)
        tensors = [torch.from_numpy(each) for each in (x, y, dy, dx)]
        forward["torch"] = lambda: there(tensors[0], tensors[1])
        backward["torch"] = lambda: back(tensors[2], tensors[0], tensors[1], tensors[3])
    repeats = min(1000, max(1, 32_000_000 // size * 3))  # long turns: threads that slept need time to spread over cores
    return tuple(interleaved(calls, rounds, repeats) for calls in (forward, backward))


def main(only, sizes, rounds, torch):
    """Print the table."""
    print("gd: time of a pass; the other columns as factors of it. ceiling: its time over gd's, 1 is the most.\n")
    print(f"{'activation':<12} {'pass':<9} {'elements':>11} {'gd':>12} {'ns/elem':>8} ", end="")
    print(f"{'ceiling':>8} {'numpy':>7} {'torch':>7}")
    for size in sizes:
        ratios = {"torch": [], "numpy": []}
        for name in only or NAMES:
            for direction, seconds in zip(("forward", "backward"), compare(name, size, rounds, torch), strict=True):
                gd = seconds["gd"]
                if name in SUMMARIZED:
                    for side, values in ratios.items():
                        values += [seconds[side] / gd] if side in seconds else []
                shown = f"{seconds['torch'] / gd:6.2f}x" if "torch" in seconds else "      -"
                print(
                    f"{name:<12} {direction:<9} {size:>11,} {gd * 1e6:>10.2f}us {gd / size * 1e9:>8.3f} "
                    f"{seconds['ceiling'] / gd:>8.2f} {seconds['numpy'] / gd:>6.1f}x {shown}",
                    flush=True,
                )
        means = {side: np.exp(np.mean(np.log(values))) for side, values in ratios.items() if values}
        print("geometric mean of the exponential ones: " + ", ".join(f"{m:.2f}x {side}" for side, m in means.items()))
        print()
