"""``python -m gd.bench``: Adam and a network against plain NumPy and, where installed, PyTorch.

Both sides run in one process, interleaved, with the same number of threads, on the same data; the
figures are medians. The ceiling is a loop that reads and writes as many arrays as Adam and computes next
to nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

import gd
from gd import reference
from gd.arrays import aligned_empty
from gd.kernels.compiler import join
from gd.kernels.loops.update import update
from gd.kernels.rules.common import CommonCoefficients
from gd.kernels.rules.touch import touch_2

from . import accuracy, activations, classifiers, gallery, linear, networks, optimizers
from .measure import interleaved

TABLES = {
    "optimizers": optimizers,
    "activations": activations,
    "accuracy": accuracy,
    "linear": linear,
    "networks": networks,
    "classifiers": classifiers,
    "gallery": gallery,
}
START = """
from time import perf_counter
start = perf_counter()
import gd
imported = perf_counter()
import numpy as np
gd.Adam(np.ones(100, np.float32)).step(np.ones(100, np.float32))
print(imported - start, perf_counter() - imported)
"""


def main():
    """Print the comparisons."""
    parser = argparse.ArgumentParser(prog="python -m gd.bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("all", *TABLES),
        default="all",
        help="one table, or the picture of the activations",
    )
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAMES", help="of what, as Adam,SGD")
    parser.add_argument("--sizes", type=lambda text: [int(float(each)) for each in text.split(",")], metavar="ELEMENTS")
    parser.add_argument(
        "--data", metavar="PATH", help="for networks and classifiers, as in gd train; default: the digits"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns each side gets (default: 7)")
    options = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(gd.get_threads())
    except ImportError:
        torch = None
    print(f"{gd.get_threads()} threads; PyTorch {torch.__version__ if torch else 'not installed'}; float32; medians\n")
    if options.what in TABLES:
        table = TABLES[options.what]
        more = {"path": options.data} if table in (classifiers, networks) else {}
        table.main(options.only, options.sizes or getattr(table, "SIZES", ()), options.rounds, torch, **more)
        return
    for size, rounds, repeats in ((10_000, 4 * options.rounds, 200), (1_000_000, 2 * options.rounds, 20)):
        adam(size, rounds, repeats, torch)
    adam(32_000_000, options.rounds, 1, torch)
    networks.main(None, None, options.rounds, torch, options.data)
    start(options.rounds)


def report(title, seconds, unit, scale):
    """Print one comparison; the ratios are to gd."""
    print(title)
    for name, value in seconds.items():
        print(f"  {name:<14} {value * scale:10.3f} {unit}   {value / seconds['gd']:6.2f} x gd")
    print()


def adam(size, rounds, repeats, torch):
    """Compare one step of Adam on a vector."""
    rng = np.random.default_rng(0)

    def vector():
        array = aligned_empty(size, np.float32)
        rng.standard_normal(size, np.float32, array)
        return array

    g = vector()
    p, q = vector(), vector()
    optimizer, plain = gd.Adam(p), reference.Optimizer("Adam", {"q": q})
    arrays = np.array(CommonCoefficients(), np.float32), vector(), g, vector(), vector()
    touching = join(update, touch_2)
    calls = {
        "gd": lambda: optimizer.step(g),
        "ceiling": lambda: touching(size, *arrays),
        "numpy": lambda: plain.step({"q": g}),
    }
    if torch:
        tensor = torch.nn.Parameter(torch.from_numpy(vector()))
        tensor.grad = torch.from_numpy(g)
        fused = torch.optim.Adam([tensor], fused=True)
        calls["torch fused"] = fused.step
    seconds = interleaved(calls, rounds, repeats)
    report(f"Adam, {size:,} elements", seconds, "ns/element", 1e9 / size)


def start(rounds):
    """Print how long a new process takes to import gd, and to its first step, without and with the disk cache."""
    figures = {"cold": [], "from the cache": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for each in figures.values():
                environment = {**os.environ, "GD_CACHE_DIR": folder}
                done = subprocess.run(
                    [sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=True
                )
                each.append([float(text) for text in done.stdout.split()])
    for name, each in figures.items():
        imported, stepped = np.median(each, axis=0)
        print(f"New process, {name}: import gd {imported:.2f} s, first step of Adam {stepped:.2f} s")


if __name__ == "__main__":
    main()
