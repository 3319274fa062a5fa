"""``python -m gd.bench linear``: gradients of mini-batches of linear models against plain NumPy and PyTorch.

Plain NumPy and PyTorch copy shuffled rows, then read the copy twice. All sides run in one process, interleaved, with
the same number of threads; figures are medians.
"""

import numpy as np

import gd
from gd import reference

from .measure import interleaved

ONE, TEN = None, 10
CASES = (  # rows of X, features, outputs, rows of the batch or None for all in order
    (1_000_000, 100, ONE, 1_000_000),
    (1_000_000, 100, ONE, None),
    (60_000, 784, ONE, 128),
    (60_000, 784, TEN, 60_000),
    (60_000, 784, TEN, None),
    (60_000, 784, TEN, 128),
)


def compare(n, features, outputs, batch, rounds, torch):
    """Return {side: median seconds of a gradient}."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, features), np.float32)
    rows = None if batch is None else rng.permutation(n)[:batch]
    if outputs is None:
        y, w, b = rng.standard_normal(n, np.float32), np.zeros(features, np.float32), np.zeros(1, np.float32)
        loss = "squared"
    else:
        y, loss = rng.integers(0, outputs, n), "softmax"
        w, b = np.zeros((features, outputs), np.float32), np.zeros(outputs, np.float32)
    out = np.empty_like(w), np.empty_like(b)

    def plain():
        batch_X, batch_y = (X, y) if rows is None else (X[rows], y[rows])
        return reference.linear_model_gradient(batch_X, batch_y, w, b, loss)

    calls = {
        "gd": lambda: gd.linear_model_gradient(X, y, w, b, loss, rows, out),
        "numpy": plain,
    }
    if torch:
        there_X, there_y = torch.from_numpy(X), torch.from_numpy(y)
        there_rows = None if rows is None else torch.from_numpy(rows)
        there_w, there_b = (torch.from_numpy(each).clone().requires_grad_() for each in (w, b))

        def eager():
            batch_X, batch_y = (there_X, there_y) if rows is None else (there_X[there_rows], there_y[there_rows])
            prediction = batch_X @ there_w + there_b
            functional = torch.nn.functional
            function = functional.mse_loss if outputs is None else functional.cross_entropy
            there_w.grad = there_b.grad = None
            function(prediction, batch_y).backward()

        calls["torch"] = eager
    return interleaved(calls, rounds, repeats=200 if batch and batch < 1000 else 1)


def main(only, sizes, rounds, torch):
    """Print the table."""
    print("gd: time of a gradient; the other columns as factors of it.\n")
    print(f"{'X':>16} {'outputs':>8} {'batch':>12} {'gd':>12} {'GB/s of X':>10} {'numpy':>7} {'torch':>7}")
    for n, features, outputs, batch in CASES:
        seconds = compare(n, features, outputs, batch, rounds, torch)
        gd_seconds, count = seconds["gd"], batch or n
        shown = f"{seconds['torch'] / gd_seconds:6.2f}x" if "torch" in seconds else "      -"
        kind = "in order" if batch is None else f"{batch:,}"
        print(
            f"{f'{n:,} x {features}':>16} {outputs or 1:>8} {kind:>12} {gd_seconds * 1e6:>10.1f}us "
            f"{count * features * 4 / gd_seconds / 1e9:>10.1f} {seconds['numpy'] / gd_seconds:>6.2f}x {shown}",
            flush=True,
        )
