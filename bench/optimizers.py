"""``python -m gd.bench optimizers``: one step of every optimizer, at every size, against NumPy and PyTorch.

All sides run in one process, interleaved, with the same number of threads; the figures are medians. The ceiling
is the same walk over the same arrays with a rule that computes next to nothing, and for LAMB and LARS, whose
norms need a pass of their own, one that only reads besides. PyTorch takes part with each of its variants (a loop
over the parameters, foreach, and fused where there is one); the fastest counts.
"""

import numpy as np

from gd import reference
from gd.arrays import aligned_empty
from gd.kernels.compiler import join
from gd.kernels.loops.reductions import BLOCK, read
from gd.kernels.loops.update import update
from gd.kernels.rules.common import CommonCoefficients
from gd.kernels.rules.touch import TOUCH
from gd.optimizers import OPTIMIZERS

from .measure import interleaved

SIZES = (1, 100, 10_000, 100_000, 1_000_000, 32_000_000)
FASTEST = ("torch loop", "torch foreach", "torch fused")


def compare(name, size, rounds, torch):
    """Return {side: median seconds of a step}."""
    rng = np.random.default_rng(0)

    def vector():
        array = aligned_empty(size, np.float32)
        rng.standard_normal(size, np.float32, array)
        return array

    p, q, g = vector(), vector(), vector()
    optimizer, plain = OPTIMIZERS[name](p), reference.Optimizer(name, {"q": q})
    slots = [vector() for _ in optimizer.slots]
    scalars = np.array(CommonCoefficients(), np.float32)
    touching, sums = join(update, TOUCH[len(slots)]), np.empty(-(-size // BLOCK))

    def ceiling():
        if optimizer.norms:
            for array in (q, g, *slots)[: 2 if name == "LARS" else None]:
                join(read)(len(sums), sums, array)
        touching(size, scalars, q, g, *slots)

    calls = {"gd": lambda: optimizer.step(g), "ceiling": ceiling, "numpy": lambda: plain.step({"q": g})}
    if torch and hasattr(torch.optim, name):
        for variant in FASTEST:
            tensor = torch.nn.Parameter(torch.from_numpy(vector()))
            tensor.grad = torch.from_numpy(g)
            options = {
                "torch loop": {"foreach": False},
                "torch foreach": {"foreach": True},
                "torch fused": {"fused": True},
            }
            try:
                calls[variant] = getattr(torch.optim, name)([tensor], **options[variant]).step
            except (TypeError, RuntimeError):  # there is no such variant
                continue
    return interleaved(calls, rounds, repeats=min(200, max(1, 10_000_000 // size)))


def main(only, sizes, rounds, torch):
    """Print the table."""
    print("gd: time of a step; the other columns as factors of it. ceiling: its time over gd's, 1 is the most.\n")
    print(f"{'optimizer':<18} {'elements':>10} {'gd':>12} {'ns/element':>10} {'ceiling':>8} {'numpy':>7} {'torch':>7}")
    for size in sizes:
        for name in only or OPTIMIZERS:
            seconds = compare(name, size, rounds if size > 1_000_000 else 3 * rounds, torch)
            gd = seconds["gd"]
            theirs = {variant: seconds[variant] for variant in FASTEST if variant in seconds}
            best = min(theirs, key=theirs.get) if theirs else None
            shown = f"{theirs[best] / gd:6.1f}x {best.removeprefix('torch ')}" if best else "     - "
            print(
                f"{name:<18} {size:>10,} {gd * 1e6:>10.2f}us {gd / size * 1e9:>10.3f} {seconds['ceiling'] / gd:>8.2f} "
                f"{seconds['numpy'] / gd:>6.1f}x {shown}",
                flush=True,
            )
        print()
