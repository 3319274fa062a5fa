"""``python -m gd.bench networks``: training steps of networks against plain NumPy, PyTorch and the bare products.

All sides run in one process, interleaved, on the same batches, with as many threads each; the figures are medians.
An epoch is timed in pieces of some steps each, which take turns. "products" are the matrix products alone of a step,
in NumPy. Peak memory (Linux only) is that of a process of each side's own, above what it holds before its first step.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import gd
from gd import datasets, reference
from gd.batches import batches
from gd.threads import single_threaded_blas

from .measure import interleaved

HIDDEN, BATCH, STEPS = (256, 128), 128, 40  # steps a turn
WIDE, WIDE_BATCHES = [4096, 4096, 4096], (16, 32, 64)
SIDES = ("gd", "numpy", "torch", "products")
MEMORY = """
import sys
from gd.bench import networks
networks.step_once(sys.argv[1], int(sys.argv[2]))
"""


class Sides:
    """The same network, of the same weights, on all sides; a call of each takes some steps."""

    def __init__(self, widths, X, y, batch, steps, torch):
        self.X, self.y, self.steps, self.widths = X, y, steps, widths
        self.rows = [rows for epoch in range(64) for rows in batches(len(X), batch, 0, epoch)][: 64 * steps]
        self.turns, self.batch, self.torch = {}, batch, torch
        self.model = gd.MLP(widths)

    def calls(self, *names):
        """Return {side: function that takes some steps}."""
        makers = {"gd": self.of_gd, "numpy": self.of_numpy, "products": self.of_products, "torch": self.of_torch}
        return {name: makers[name]() for name in names if name != "torch" or self.torch}

    def next_rows(self, side):
        """Return the batches of a side's next turn."""
        turn = self.turns[side] = self.turns.get(side, -1) + 1
        first = turn * self.steps % (len(self.rows) - self.steps + 1)
        return self.rows[first : first + self.steps]

    def of_gd(self):
        """Gd's fused step."""
        model, optimizer = self.model, gd.Adam(self.model.parameters)
        _, targets = model.check_data("bench", self.X, self.y)

        def call():
            with single_threaded_blas():
                order = np.concatenate(self.next_rows("gd"))
                for _ in model.descend(self.X, targets, order, len(order) // self.steps, optimizer):
                    pass

        return call

    def of_numpy(self):
        """The plain reference."""
        parameters = {name: view.copy() for name, view in self.model.parameters.items()}
        plain = reference.Optimizer("Adam", parameters)
        return lambda: reference.train_epoch(parameters, self.X, self.y, plain, self.next_rows("numpy"))

    def of_products(self):
        """The matrix products of a step."""
        batch = self.batch
        weights = [self.model.parameters[f"W{k}"].copy() for k in range(1, len(self.widths))]
        inputs = [np.random.default_rng(0).random((batch, width), np.float32) for width in self.widths]
        outs, gradients = [np.empty_like(each) for each in inputs], [np.empty_like(each) for each in weights]

        def call():
            for _ in range(self.steps):
                for k, weight in enumerate(weights):
                    np.matmul(inputs[k], weight, out=outs[k + 1])
                for k, weight in reversed(list(enumerate(weights))):
                    np.matmul(inputs[k].T, inputs[k + 1], out=gradients[k])
                    if k:
                        np.matmul(inputs[k + 1], weight.T, out=outs[k])

        return call

    def of_torch(self):
        """PyTorch, eagerly, with its fused Adam."""
        torch, layers = self.torch, []
        for k in range(1, len(self.widths)):
            layer = torch.nn.Linear(self.widths[k - 1], self.widths[k])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(self.model.parameters[f"W{k}"].T.copy()))
                layer.bias.copy_(torch.from_numpy(self.model.parameters[f"b{k}"].copy()))
            layers += [layer, torch.nn.ReLU()]
        net = torch.nn.Sequential(*layers[:-1])
        optimizer, loss = torch.optim.Adam(net.parameters(), fused=True), torch.nn.CrossEntropyLoss()
        X, y = torch.from_numpy(self.X), torch.from_numpy(self.y.astype(np.int64))

        def call():
            for rows in self.next_rows("torch"):
                index = torch.from_numpy(rows)
                optimizer.zero_grad()
                loss(net(X[index]), y[index]).backward()
                optimizer.step()

        return call


def wide_data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((1024, WIDE[0]), np.float32), rng.integers(0, WIDE[-1], 1024)


def memory(field):
    """Return a figure of this process in MiB; Linux only."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s*(\d+) kB", text)[1]) / 1024


def step_once(side, batch):
    """Print by how many MiB the peak memory of this process rises in three steps above what it holds before."""
    try:
        import torch
    except ImportError:
        torch = None
    call = Sides(WIDE, *wide_data(), batch, 3, torch).calls(side)[side]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    call()
    print(memory("VmHWM") - before)


def peak(side, batch):
    """Return the figure of `step_once` in a process of its own."""
    command = [sys.executable, "-c", MEMORY, side, str(batch)]
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(gd.get_threads())}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def line(title, steps, seconds):
    """Print a row of the table."""
    ours = seconds["gd"]
    others = "".join(
        f"{seconds[name] / ours:>9.2f}x" if name in seconds else f"{'-':>10}" for name in ("numpy", "torch")
    )
    print(f"{title:<34} {ours / steps * 1e3:>9.3f} {others} {ours / seconds['products']:>10.2f}", flush=True)


def main(only, sizes, rounds, torch, path=None):
    """Print the tables."""
    print("gd: milliseconds of a step (Adam); numpy, torch: factors of it; products: gd in parts of their time.\n")
    print(f"{'network, batch':<34} {'gd':>9} {'numpy':>10} {'torch':>9} {'products':>10}")
    data = datasets.load(path, 0, np.float32)
    widths = [data.X.shape[1], *HIDDEN, data.classes]
    sides = Sides(widths, data.X, data.y, BATCH, STEPS, torch)
    line(f"{'-'.join(map(str, widths))}, {BATCH}", STEPS, interleaved(sides.calls(*SIDES), 4 * rounds))
    for batch in WIDE_BATCHES:
        sides = Sides(WIDE, *wide_data(), batch, 3, torch)
        line(f"{'-'.join(map(str, WIDE))}, {batch}", 3, interleaved(sides.calls(*SIDES), rounds))
    if not Path("/proc/self/clear_refs").exists():
        return
    gradient = 4 * sides.model.parameters.vector.size / 2**20
    print(f"\nPeak memory of steps of the wide network, above what is there before; a gradient is {gradient:.0f} MiB:")
    for side in ("gd", "numpy", *(("torch",) if torch else ())):
        print(f"  {side:<6} {peak(side, WIDE_BATCHES[0]):>8.0f} MiB", flush=True)
