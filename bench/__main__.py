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
from gd import datasets, reference
from gd.arrays import aligned_empty
from gd.batches import batches
from gd.kernels.compiler import join
from gd.kernels.loops.update import update
from gd.kernels.rules.common import CommonCoefficients

from . import accuracy, activations, classifiers, gallery, linear, optimizers
from .measure import interleaved

TABLES = {
    "optimizers": optimizers,
    "activations": activations,
    "accuracy": accuracy,
    "linear": linear,
    "classifiers": classifiers,
    "gallery": gallery,
}
WIDTHS, BATCH = (256, 128), 128
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
        more = {"path": options.data} if table is classifiers else {}
        table.main(options.only, options.sizes or getattr(table, "SIZES", ()), options.rounds, torch, **more)
        return
    for size, rounds, repeats in ((10_000, 4 * options.rounds, 200), (1_000_000, 2 * options.rounds, 20)):
        adam(size, rounds, repeats, torch)
    adam(32_000_000, options.rounds, 1, torch)
    network(options.data, options.rounds, torch)
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
    touching = join(update, optimizers.touch_2)
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


def network(path, rounds, torch):
    """Compare an epoch of training."""
    data = datasets.load(path, 0, np.float32)
    widths = [data.X.shape[1], *WIDTHS, data.classes]
    model = gd.MLP(widths)
    optimizer = gd.Adam(model.parameters)
    parameters = {name: view.copy() for name, view in model.parameters.items()}
    plain = reference.Optimizer("Adam", parameters)
    rows = len(data.X)

    def epoch_of_numpy():
        order = batches(rows, BATCH, 0, plain.steps)
        reference.train_epoch(parameters, data.X, data.y, plain, order)

    calls = {
        "gd": lambda: gd.fit(model, data.X, data.y, optimizer, batch_size=BATCH, epochs=1, progress=False),
        "numpy": epoch_of_numpy,
    }
    if torch:
        calls["torch fused"] = epoch_of_torch(torch, data, model)
    seconds = interleaved(calls, rounds)
    title = f"An epoch of {data.name}, {'-'.join(map(str, widths))}, relu, batch {BATCH}, Adam"
    report(title, seconds, "ms", 1e3)
    print(f"  gd's test accuracy after {rounds + 1} epochs: {model.score(data.X_test, data.y_test):.4f}\n")


def epoch_of_torch(torch, data, model):
    """Return a function that trains the same network from the same weights in PyTorch, eagerly."""
    layers = []
    for k in range(1, len(model.widths)):
        layer = torch.nn.Linear(model.widths[k - 1], model.widths[k])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(model.parameters[f"W{k}"].T.copy()))
            layer.bias.copy_(torch.from_numpy(model.parameters[f"b{k}"].copy()))
        layers += [layer, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer, loss = torch.optim.Adam(net.parameters(), fused=True), torch.nn.CrossEntropyLoss()
    X, y, epochs = torch.from_numpy(data.X), torch.from_numpy(data.y.astype(np.int64)), [0]

    def epoch():
        for rows in batches(len(X), BATCH, 0, epochs[0]):
            index = torch.from_numpy(rows)
            optimizer.zero_grad()
            loss(net(X[index]), y[index]).backward()
            optimizer.step()
        epochs[0] += 1

    return epoch


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
