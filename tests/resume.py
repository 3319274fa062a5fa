"""What a training is worth that is killed again and again: ``python tests/resume.py [--trials 50] [--seed 0]``.

Trains with a checkpoint after each epoch in a process that is killed (SIGKILL) one to three times, at random moments of
random epochs, while it steps or saves, and started anew. It exits with 1 unless parameters, state of the optimizer,
learning rates and history are those of the training that nobody killed, bit for bit. The table also says how many kills
came when at least one epoch and not all of them were saved.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import gd

ROOT = Path(__file__).parent.parent
EPOCHS = 12
CASES = {  # name: model, optimizer of it, keywords of fit
    "network": (
        lambda: gd.MLP([40, 64, 32, 5], seed=3),
        lambda model: gd.Adam(model.parameters, lr=gd.schedules.CosineDecay(1e-2, 2_000), weight_decay=1e-3, ema=0.99),
        {"batch_size": 32},
    ),
    "linear model": (
        lambda: gd.LinearModel(40, 5, "softmax", l2=1e-4),
        lambda model: gd.Adam(model.parameters, lr=1e-2, amsgrad=True),
        {"batch_size": 8, "early_stopping": 50},
    ),
    "dropout, emphasis, plateau": (
        lambda: gd.MLP([40, 64, 5], dropout=0.3, seed=3),
        lambda model: gd.NAdam(model.parameters, lr=gd.schedules.ReduceOnPlateau(1e-2, patience=1), clip_norm=1.0),
        {"batch_size": 16, "accumulate": 2, "emphasis": 0.2, "early_stopping": 50},
    ),
}


def train(case, path):
    """Train, or go on from the checkpoint; say when it begins and when an epoch ends."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3_000, 40), dtype=np.float32)
    y = (X @ rng.standard_normal((40, 5), dtype=np.float32)).argmax(axis=1)
    build, optimize, keywords = CASES[case]
    model = build()
    optimizer = optimize(model)
    given = {"epochs": EPOCHS, "validation": (X[:300], y[:300]), "progress": False, "resume": True}
    given |= {"checkpoint": gd.Checkpoint(path, keep=2), "callbacks": [lambda history: print("epoch", flush=True)]}
    print("begins", flush=True)
    gd.fit(model, X, y, optimizer, **given, **keywords)


class Training:
    """A process that trains; `seconds` says how long the start took, and each epoch."""

    def __init__(self, case, path):
        command = [sys.executable, __file__, "--train", case, str(path)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.seconds, self.epochs, self._last = [], 0, None
        if not self.line():
            raise RuntimeError(f"{case} does not begin")

    def line(self):
        """Wait for what the process says next; return False where it has ended."""
        if not self.process.stdout.readline():
            return False
        now = time.perf_counter()
        self.seconds += [] if self._last is None else [now - self._last]
        self._last = now
        return True

    def end(self):
        """Wait for the end; return whether it was that of the training, rather than a kill."""
        while self.line():
            pass
        status = self.process.wait()
        self.process.stdout.close()
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the training ended with status {status}")
        return status == 0

    def kill(self, epochs, part, usual):
        """Kill it after so many epochs and this part of the next one, which takes its usual time."""
        for _ in range(epochs):
            self.line()
        time.sleep(part * usual)
        self.process.kill()


def saved(path):
    """Return how many epochs a checkpoint has, 0 where there is none."""
    return len(gd.load(path)["history"]["loss"]) if path.exists() else 0


def content(path):
    """Return all that a checkpoint holds but the seconds that epochs took, by name."""
    tree, found = gd.load(path), {}

    def walk(name, value):
        if isinstance(value, dict):
            for key in sorted(value):
                walk(f"{name}/{key}", value[key])
        elif isinstance(value, np.ndarray):
            found[name] = f"{value.dtype} {value.shape} {value.tobytes().hex()}"
        else:
            found[name] = repr(value)

    walk("", tree)
    return {name: value for name, value in found.items() if name != "/history/seconds"}


def main():
    """Kill trainings and compare what they come to."""
    parser = argparse.ArgumentParser(description="Kill trainings at random moments, and resume them.")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=2, metavar=("CASE", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(*options.train)
        return 0
    chance, counts, differences = random.Random(options.seed), {case: Counter() for case in CASES}, []
    with tempfile.TemporaryDirectory() as folder:
        expected, usual = {}, {}
        cases = list(itertools.islice(CASES, options.trials))
        for case in cases:
            for path in (Path(folder, f"{case}, which compiles"), Path(folder, case)):
                training = Training(case, path)
                training.end()
            expected[case], usual[case] = content(path), training.seconds
        for trial in range(options.trials):
            case, path = cases[trial % len(cases)], Path(folder, f"trial {trial}")
            count, first, *others = counts[case], *usual[case]
            for _ in range(chance.randrange(1, 4)):
                training, before = Training(case, path), saved(path)
                epochs = chance.randrange(EPOCHS - before) if before < EPOCHS else 0
                training.kill(epochs, chance.random(), sum(others) / len(others) if epochs else first)
                killed, after = not training.end(), saved(path)
                count.update(kills=killed, within=killed and 0 < after < EPOCHS)
                count["resumed"] += before > 0
            count["resumed"] += saved(path) > 0
            Training(case, path).end()
            found = content(path)
            count.update(trials=1, equal=found == expected[case])
            differences += [
                f"trial {trial}, {case}: {name}"
                for name in sorted(found.keys() | expected[case].keys())
                if found.get(name) != expected[case].get(name)
            ]
    total = sum(counts.values(), Counter())
    print(f"{'':<27} trials  kills  after an epoch  resumed  equal bit for bit")
    for case, count in {**counts, "all": total}.items():
        print(
            f"{case:<27} {count['trials']:6} {count['kills']:6} {count['within']:15} {count['resumed']:8} "
            f"{count['equal']:18}"
        )
    print("\n".join(differences[:20]))
    return 0 if total["equal"] == options.trials else 1


if __name__ == "__main__":
    sys.exit(main())
