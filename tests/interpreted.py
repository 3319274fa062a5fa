"""All public calls without compilation, beside the compiled ones: ``python tests/interpreted.py [part of a name ...]``.

A good call of each public function is made in two processes, in one of them with NUMBA_DISABLE_JIT=1. Both must return
and change the same, within rounding. It prints what differs, and exits with 1 then.
"""

import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from bad_calls import CALLABLE, snapshot
from good_calls import World, good_call, parameters_of

import gd

TOLERANCES = {0: 2e-3, 1: 1e-8}  # by the seed of a call: it has float32 or float64


def step_a_list(seed, folder):
    """Step so many arrays that compiled code would visit them in one call."""
    params = [np.full(n, 0.5, (np.float32, np.float64)[seed]) for n in range(1, 11)]
    gd.Adam(params, clip_norm=1.0).step([np.arange(p.size, dtype=p.dtype) for p in params])
    return params


def step_in_few_bits(seed, folder):
    """Step in blocks of 256, whose arrays are stored in fewer bits, and measure norms."""
    p, g = np.full(300, 0.5, (np.float32, np.float64)[seed]), np.linspace(-1, 1, 300)
    options = ({"state_dtype": "int8", "zero_grads": True}, {"state_dtype": "bfloat16", "track_norms": True})
    optimizers = [gd.Adam(p.copy(), **each) for each in options]
    halves = np.full(300, 0x3F00, np.uint16)
    optimizers.append(gd.Adam(halves, state_dtype="int8", param_dtype="bfloat16", master_weights=True))
    for each in optimizers:
        each.step(g.astype(np.float32 if each.params is halves else p.dtype))
    return [(each.params, each.norms, each.state_dict()) for each in optimizers]


def call_of(each):
    """Return a function of a seed and a folder that makes a good call, and returns all that it returned and changed."""

    def make(seed, folder):
        call = good_call(each, World(seed, folder, [p.name for p in parameters_of(each)]))
        return call(), call.receiver, call.arguments, call.world.guarded()

    return make


# The first returns seconds, the other what the machine code is like
CALLS = {each.name: call_of(each) for each in CALLABLE if each.name not in ("warmup", "check_rule")}
CALLS |= {"step of a list": step_a_list, "step in few bits": step_in_few_bits}


def results(parts, seeds):
    """Return {(name, seed): the numbers of what a call returned and changed, or how it failed}."""
    found = {}
    for name, seed in itertools.product(CALLS, seeds):
        if parts and not any(part in name for part in parts):
            continue
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*(kink|max_iter).*")
            try:
                found[name, seed] = snapshot(CALLS[name](seed, folder), folder)
            except Exception as error:
                found[name, seed] = f"{type(error).__name__}: {error}"
    return found


def differences(found, expected, tolerance):
    """Yield the pairs that differ of two snapshots."""
    if isinstance(found, tuple) and isinstance(expected, tuple) and len(found) == len(expected):
        for pair in zip(found, expected, strict=True):
            yield from differences(*pair, tolerance)
    elif found != expected and not _near(found, expected, tolerance):
        yield found, expected


def _near(found, expected, tolerance):
    try:
        a, b = complex(found), complex(expected)
    except (TypeError, ValueError):
        return False
    return a == b or abs(a - b) <= tolerance * max(1, abs(b)) or (a != a and b != b)


def compare(parts=(), seeds=tuple(TOLERANCES)):
    """Make all calls, or those of some names; return how many there were, and lines that tell what differs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found")
        command = [sys.executable, *(f"-W{each}" for each in sys.warnoptions), __file__, "--write", path]
        environment, seeds_in_words = os.environ | {"NUMBA_DISABLE_JIT": "1"}, ",".join(map(str, seeds))
        with subprocess.Popen([*command, seeds_in_words, *parts], env=environment):
            expected, lines = results(parts, seeds), []
        found = pickle.loads(path.read_bytes())
    assert found.keys() == expected.keys()
    for (name, seed), each in found.items():
        if isinstance(each, str):
            lines.append(f"{name}: {each}")
        else:
            different = differences(each, expected[name, seed], TOLERANCES[seed])
            lines += [f"{name}: {a} instead of {b}" for a, b in list(different)[:1]]
    return len(found), lines


def main():
    """Compare and print."""
    if sys.argv[1:2] == ["--write"]:
        _, _, path, seeds, *parts = sys.argv
        Path(path).write_bytes(pickle.dumps(results(parts, list(map(int, seeds.split(","))))))
        return 0
    count, lines = compare(sys.argv[1:])
    print(*lines, f"{count} calls without compilation, {len(lines)} of them differ", sep="\n")
    return 1 if lines or not count else 0


if __name__ == "__main__":
    sys.exit(main())
