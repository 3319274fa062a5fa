"""What a checkpoint is worth when the process that writes it is killed: `gd.save`, and files written in place.

``python tests/crash.py [--trials 1000] [--only gd.save]`` forks a process that saves 4 MB of another value than the
file has, kills it at a random moment of the save, and reads what is left. It exits with 1 unless gd.load read the old
or the new value every time. A killed process is not a power cut: what it wrote still reaches the disk.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from gd.files.checkpoints import load, save

ELEMENTS = 2**20  # of float32


def load_gd(path):
    """Return the value of the newest file; the older ones must load, too."""
    for older in path.parent.glob(f"{path.name}.*"):
        load(older)
    tree = load(path)
    return tree["step"], tree["W"]


def load_npz(path):
    with np.load(path) as arrays:
        return int(arrays["step"]), arrays["W"]


def contenders():
    """Return by name how each writes {"step": ..., "W": ...} to a path, and reads step and W."""
    found = {
        "gd.save": (partial(save, keep=3), load_gd),
        "np.savez": (lambda path, tree: np.savez(path, **tree), load_npz),
    }
    try:
        import torch
    except ImportError:
        return found
    found["torch.save"] = (
        lambda path, tree: torch.save(tree | {"W": torch.from_numpy(tree["W"])}, path),
        lambda path: [torch.load(path)["step"], torch.load(path)["W"].numpy()],
    )
    return found


def tree(step):
    return {"step": step, "W": np.full(ELEMENTS, step, np.float32)}


def value(path, read):
    """Return the step of which a file is, -1 if of none, None if it does not load."""
    try:
        step, W = read(path)
        return step if np.array_equal(W, tree(step)["W"]) else -1
    except Exception:
        return None


def killed_save(write, path, step, delay):
    """Save in a forked process that is killed after a delay in seconds; return whether it was killed before its end."""
    ready, started = os.pipe()
    new = tree(step)
    child = os.fork()
    if not child:
        try:
            os.write(started, b".")
            write(path, new)
        finally:
            os._exit(0)
    os.close(started)
    os.read(ready, 1)
    os.close(ready)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def run(name, write, read, trials, folder):
    """Print what is left after so many saves that were killed; return whether all files load as the old or the new."""
    path = Path(folder) / f"checkpoint-{name}.npz"
    seconds = []
    for step in range(5):
        start = time.perf_counter()
        write(path, tree(step))
        seconds.append(time.perf_counter() - start)
    duration, rng = float(np.median(seconds)), np.random.default_rng(0)
    old, new, neither, unloadable, ended, at = 0, 0, 0, 0, 0, 4
    for step in range(5, 5 + trials):
        ended += not killed_save(write, path, step, rng.random() * duration)
        found = value(path, read)
        old, new = old + (found == at), new + (found == step)
        neither, unloadable = neither + (found not in (at, step, None)), unloadable + (found is None)
        if found not in (at, step):
            write(path, tree(step))
        at = found if found == at else step
    print(
        f"{name + ':':<11} {trials} trials: {old} files that load as the old, {new} as the new, {neither} as neither, "
        f"{unloadable} unloadable ({ended} saves ended before they were killed)",
        flush=True,
    )
    return not neither and not unloadable


def main():
    """Run all trials."""
    parser = argparse.ArgumentParser(description="Kill processes that save checkpoints and read what is left.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--only", choices=contenders())
    options = parser.parse_args()
    held = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, read) in contenders().items():
            if options.only in (None, name):
                held[name] = run(name, write, read, options.trials, folder)
        if "gd.save" in held:
            path = Path(folder) / "checkpoint-gd.save.npz"
            save(path, tree(0))
            left = [each.name for each in Path(folder).iterdir() if each.name.startswith(".")]
            print(f"temporary folders of gd.save after one more save: {len(left)}")
            held["gd.save"] &= not left
    return 0 if held.get("gd.save", True) else 1


if __name__ == "__main__":
    sys.exit(main())
