"""Training: steps of networks and of linear models with Adam, on data of Fashion-MNIST's shape.

`what` holds the widths of the layers, such as "784-256-128-10", or "784-10" for softmax regression; the size is that
of a batch. A call takes several steps. "products" are the matrix products alone, in NumPy.
"""

import os
import re
import subprocess
import sys
from functools import cache, partial
from itertools import count, islice, pairwise
from pathlib import Path

import numpy as np

import gd
from gd import datasets, reference
from gd.batches import batches
from gd.runtime import single_threaded_blas

from ..cases import Family, Side
from ..libraries import installed

ROWS, LR, TURNS = 60_000, 1e-3, 64
NETWORK, WIDE = "784-256-128-10", "4096-4096-4096"
CLEAR_REFS = Path("/proc/self/clear_refs")
PEAK = """
import sys
from functools import cache, partial
from gd.bench.families import training
training.print_peak(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
CASES = ((NETWORK, 128), ("784-10", 128), (WIDE, 16), (WIDE, 32), (WIDE, 64))


class Training(Family):
    """Some steps; all sides start from equal weights and take equal batches."""

    name = "training"
    sizes = (16, 32, 64, 128)
    quick = (128,)
    odd = (7, 33)
    headline = (NETWORK, "784-10")
    whats = (NETWORK, "784-10", WIDE)
    settle = 0.1
    tolerance = 1e-3
    path = None  # path of the data, as `gd train --data` takes it

    def fits(self, case):
        """Return True for the cases that are timed."""
        return (case.what, case.size) in CASES

    def steps(self, case):
        """Return how many steps a call takes."""
        return 3 if case.what == WIDE else 40

    def makers(self, case):
        """Return a maker for each library."""
        libraries = {"gd": self._gd, "numpy": self._numpy, "torch": self._torch, "products": self._products}
        start = partial(Start, case, self.steps(case), self.path)
        return {name: lambda maker=maker: maker(start()) for name, maker in libraries.items()}

    def flops(self, case):
        """Return the flops of three products of each weight matrix and the batch, two for the first."""
        widths = widths_of(case.what)
        weights = [m * n for m, n in pairwise(widths)]
        return self.steps(case) * 2 * case.size * (3 * sum(weights) - weights[0])

    def _gd(self, start):
        optimizer = gd.Adam(start.model.parameters, lr=LR)
        _, targets = start.model.check_data("bench", start.X, start.y)

        def call():
            rows = start.next_rows()
            with single_threaded_blas():
                for _ in start.model.descend(start.X, targets, np.concatenate(rows), rows[0].size, optimizer):
                    pass

        return Side(call, lambda: start.loss_of(start.parameters))

    def _numpy(self, start):
        parameters = {name: view.copy() for name, view in start.parameters.items()}
        optimizer = reference.Optimizer("Adam", parameters, lr=LR)

        def call():
            reference.train_epoch(parameters, start.X, start.y, optimizer, start.next_rows())

        return Side(call, lambda: start.loss_of(parameters))

    def _torch(self, start):
        import torch

        layers = []
        for k in range(1, len(start.widths)):
            layer = torch.nn.Linear(start.widths[k - 1], start.widths[k])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(start.parameters[f"W{k}"].T.copy()))
                layer.bias.copy_(torch.from_numpy(start.parameters[f"b{k}"].copy()))
            layers += [layer, torch.nn.ReLU()]
        net, linear = torch.nn.Sequential(*layers[:-1]), layers[::2]
        optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
        loss = torch.nn.CrossEntropyLoss()
        X, y = torch.from_numpy(start.X), torch.from_numpy(start.y.astype(np.int64))

        def call():
            for rows in start.next_rows():
                index = torch.from_numpy(rows)
                optimizer.zero_grad()
                loss(net(X[index]), y[index]).backward()
                optimizer.step()

        def results():
            found = {}
            for k, layer in enumerate(linear, start=1):
                found |= {f"W{k}": layer.weight.detach().numpy().T, f"b{k}": layer.bias.detach().numpy()}
            return start.loss_of(found)

        return Side(call, results)

    def _products(self, start):
        weights = [start.parameters[f"W{k}"].copy() for k in range(1, len(start.widths))]
        inputs = [np.random.default_rng(0).random((start.batch, width), np.float32) for width in start.widths]
        outs, gradients = [np.empty_like(each) for each in inputs], [np.empty_like(each) for each in weights]

        def call():
            for _ in range(start.steps):
                for k, weight in enumerate(weights):
                    np.matmul(inputs[k], weight, out=outs[k + 1])
                for k, weight in reversed(list(enumerate(weights))):
                    np.matmul(inputs[k].T, inputs[k + 1], out=gradients[k])
                    if k:
                        np.matmul(inputs[k + 1], weight.T, out=outs[k])

        return Side(call, None)


class Start:
    """The common start of all sides of a case: data, weights, and the batches of each call."""

    def __init__(self, case, steps, path):
        self.widths, self.steps, self.batch = widths_of(case.what), steps, case.size
        self.X, self.y = data_of(self.widths[0], self.widths[-1], path)
        self.model = gd.MLP(self.widths)
        self.parameters, self._calls = self.model.parameters, -1
        self._rows = list(islice(self._batches(), TURNS * steps))

    def _batches(self):
        for epoch in count():
            yield from batches(len(self.X), self.batch, 0, epoch, drop_last=True)

    def next_rows(self):
        """Return the batches of the next call: they differ from call to call, then repeat."""
        self._calls += 1
        first = self._calls % TURNS * self.steps
        return self._rows[first : first + self.steps]

    def loss_of(self, parameters):
        """Return the loss of the first rows, to compare the sides after training."""
        return [np.asarray(reference.loss_and_gradients(parameters, self.X[:512], self.y[:512])[0])]


def peak_memory(library, what, batch):
    """Return the bytes by which steps raise the memory of a new process, or None if that cannot be measured."""
    if not CLEAR_REFS.exists() or not installed(library):
        return None
    command = [sys.executable, "-c", PEAK, library, what, str(batch)]
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(gd.get_threads())}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout.split()[-1])


def print_peak(library, what, batch):
    """Print by how many bytes a call raises the peak memory of this process above its memory before."""
    training = Training()
    side = training.sides(training.case(what, batch), (library,))[library]
    CLEAR_REFS.write_text("5")  # resets the peak
    before = _memory("VmRSS")
    side.call()
    print(_memory("VmHWM") - before)


def _memory(field):
    return 1024 * int(re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])


def widths_of(what):
    """Return the widths of the layers."""
    return [int(width) for width in what.split("-")]


@cache
def data_of(features, classes, path=None):
    """Return rows and labels of a dataset of this shape, else sparse random numbers."""
    if path is not None:
        data = datasets.load(path, 0, np.float32)
        if (data.X.shape[1], data.classes) == (features, classes):
            return data.X, data.y
    rng = np.random.default_rng(0)
    n = ROWS if features < 1000 else 1024
    X = rng.random((n, features), np.float32)
    X *= rng.random((n, features), np.float32) < 0.5
    return X, rng.integers(0, classes, n)
