"""Time gd inside other programs against their own optimizers: the table of docs/clients.md.

python docs/examples/clients.py [scipy thinc pyribs flower], with the extra `clients`. Both sides take turns in one
process; each line has the medians, and the ratio gd / own. For the peak memory of Flower: ``flower-memory gd`` and
``flower-memory own``.
"""

import re
import resource
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import gd

PAGE = (Path(__file__).parent.parent / "clients.md").read_text()


def recipe(title):
    """Return the names that a recipe defines."""
    names = {"gd": gd, "np": np}
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)
    return names


def compare(what, ours, theirs, rounds, each=1):
    """Print the times of two functions that take turns, for one of `each` steps."""
    times = {ours: [], theirs: []}
    for _ in range(rounds):
        for call, found in times.items():
            start = perf_counter()
            call()
            found.append((perf_counter() - start) / each)
    a, b = (median(found) * 1e6 for found in times.values())
    print(f"{what}: gd {a:.1f} us, own {b:.1f} us, ratio {a / b:.2f}", flush=True)


def adam(fun, x0, args=(), jac=None, maxiter=1000, lr=1e-3, **unknown):  # noqa: ARG001  # what SciPy passes to all methods
    """Adam as SciPy's users write it for `method=`."""
    import scipy.optimize

    x, m, v = x0.copy(), np.zeros_like(x0), np.zeros_like(x0)
    for t in range(1, maxiter + 1):
        g = jac(x, *args)
        if np.abs(g).max() <= 0:
            break
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        x = x - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return scipy.optimize.OptimizeResult(x=x, fun=fun(x, *args), nit=t)


def scipy():
    """Minimize with scipy.optimize.minimize(method=)."""
    from scipy.optimize import minimize

    for n, steps in ((10, 2000), (1000, 1000), (100_000, 100), (1_000_000, 20)):
        c, x0 = np.random.default_rng(0).standard_normal(n), np.zeros(n)

        def run(method, c=c, x0=x0, steps=steps):
            options = {"maxiter": steps, "lr": 1e-4} | ({"gtol": 0} if method is gd.minimize else {})
            return minimize(lambda x: (x - c) @ (x - c), x0, jac=lambda x: x - c, method=method, options=options)

        print("largest difference:", abs(run(gd.minimize).x - run(adam).x).max())
        compare(f"SciPy, Adam, n = {n}", lambda: run(gd.minimize), lambda: run(adam), 7, steps)


def thinc():
    """Step single arrays as Thinc and spaCy do."""
    from thinc.api import Adam

    from gd import thinc

    for averages in (False, True):
        for n in (100, 10_000, 480_000, 3_300_000):
            g, sides = np.random.default_rng(0).standard_normal(n).astype(np.float32), []
            for make in (thinc.Adam, Adam):
                optimizer, w, h = make(use_averages=averages), g.copy(), g.copy()
                sides.append(lambda o=optimizer, w=w, h=h, g=g: (h.__setitem__(slice(None), g), o((0, "W"), w, h)))
            compare(f"Thinc, Adam, averages {averages}, n = {n}", *sides, 200 if n < 1e6 else 15)


def pyribs():
    """Ascend as pyribs' emitters do."""
    from ribs.emitters.opt import AdamOpt

    for n in (100, 10_000, 1_000_000):
        g = np.random.default_rng(0).standard_normal(n)
        ours, theirs = recipe("pyribs")["Ascent"](g, 0.1, eps_hat=True), AdamOpt(g, 0.1)
        compare(f"pyribs, Adam, n = {n}", lambda o=ours, g=g: o.step(g), lambda o=theirs, g=g: o.step(g), 40)


def flower(sides=("gd", "own"), millions=10, rounds=3):
    """Aggregate the answers of two clients by FedAdam."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp.strategy import FedAdam
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    n = millions * 1_000_000
    for side in sides:
        strategy = recipe("Flower")["strategy"] if side == "gd" else FedAdam()
        strategy.fraction_train, arrays = 0.0, ArrayRecord({"W": Array(np.zeros(n, np.float32))})
        for k in range(1, rounds + 1):
            strategy.configure_train(k, arrays, None, None)
            answers = []
            for client in (1, 2):
                record = ArrayRecord({"W": Array(np.full(n, 0.01 * client, np.float32))})
                content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 1})})
                answers.append(Message(content, dst_node_id=1, message_type="train"))
            start = perf_counter()
            arrays, _ = strategy.aggregate_train(k, answers)
            seconds, peak = perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"Flower, FedAdam, {side}, n = {n}, round {k}: {seconds:.2f} s, peak {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    if "flower-memory" in sys.argv:
        flower((sys.argv[2],), 100, 1)
    else:
        for name in sys.argv[1:] or ("scipy", "thinc", "pyribs", "flower"):
            globals()[name]()
