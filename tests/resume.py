"""What a training is worth that is killed again and again: ``python tests/resume.py [--trials 50] [--seed 0]``.

Trains with a checkpoint after each epoch in a process that is killed (SIGKILL) at random moments, while it steps and
while it saves, and started anew until the training is complete. It exits with 1 unless parameters, state of the
optimizer, learning rates and history are those of the training that nobody killed, bit for bit.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
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
    """Train, or go on from the checkpoint; say when it begins and when it ends."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3_000, 40), dtype=np.float32)
    y = (X @ rng.standard_normal((40, 5), dtype=np.float32)).argmax(axis=1)
    build, optimize, keywords = CASES[case]
    model = build()
    optimizer = optimize(model)
    print("begins", flush=True)
    held_out = X[:300], y[:300]
    checkpoint = gd.Checkpoint(path, keep=2)
    given = {"epochs": EPOCHS, "validation": held_out, "checkpoint": checkpoint, "resume": True, "progress": False}
    gd.fit(model, X, y, optimizer, **given, **keywords)
    print("complete", flush=True)


def start(case, path):
    """Return a process that trains, as soon as it does."""
    command = [sys.executable, __file__, "--train", case, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if process.stdout.readline() != "begins\n":
        raise RuntimeError(f"{case} does not begin")
    return process


def end(process):
    """Wait for a process; return whether its training is complete."""
    output, _ = process.communicate()
    if process.returncode not in (0, -9):
        raise RuntimeError(f"the training ended with status {process.returncode}")
    return output == "complete\n"


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
    chance, kills, resumed, equal, differences = random.Random(options.seed), [], 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        expected, seconds = {}, {}
        cases = list(itertools.islice(CASES, options.trials))
        for case in cases:
            for path in (Path(folder, f"{case}, which compiles"), Path(folder, case)):
                process, began = start(case, path), time.perf_counter()
                if not end(process):
                    raise RuntimeError(f"{case} does not end")
                seconds[case] = time.perf_counter() - began
            expected[case] = content(path)
        for trial in range(options.trials):
            case, path, complete, kills_of_trial = cases[trial % len(cases)], Path(folder, f"trial {trial}"), False, 0
            while not complete:
                process = start(case, path)
                resumed += path.exists()
                if kills_of_trial < 5:
                    time.sleep(chance.random() * seconds[case])
                    process.kill()
                complete = end(process)
                if not complete:
                    kills_of_trial += 1
                    kills.append(len(gd.load(path)["history"]["loss"]) if path.exists() else 0)
            found = content(path)
            equal += found == expected[case]
            differences += [
                f"trial {trial}, {case}: {name}"
                for name in found.keys() | expected[case].keys()
                if found.get(name) != expected[case].get(name)
            ]
    during = sum(0 < epochs < EPOCHS for epochs in kills)
    print(
        f"{options.trials} trainings of {EPOCHS} epochs: {len(kills)} kills, {during} of them after the first "
        f"checkpoint and before the last, {resumed} resumptions; {equal} equal those that nobody killed bit for bit"
    )
    print("\n".join(differences[:20]))
    return 0 if equal == options.trials else 1


if __name__ == "__main__":
    sys.exit(main())
