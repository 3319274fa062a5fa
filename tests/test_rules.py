"""Rules and calls without compilation: see rules.py and interpreted.py."""

import subprocess
import sys
from pathlib import Path

import interpreted

import gd
from gd.losses.functions import LOSSES
from gd.optimizers import OPTIMIZERS

ROOT = Path(gd.__file__).parent.parent


def test_rules_in_plain_python_equal_the_reference():
    command = [sys.executable, "-W", "error", ROOT / "tests" / "rules.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {line[:16].strip(): int(line[16:].split()[0]) for line in done.stdout.splitlines()[1:5]}
    assert counts["optimizers"] == len(OPTIMIZERS)
    assert counts["losses"] == len(LOSSES)


def test_calls_in_plain_python_equal_compiled_ones():
    names = "step of a list", "linear_model_gradient", "AdEMAMix.step", "MLP.loss_and_gradients"
    count, lines = interpreted.compare(names, seeds=[0])
    assert count > len(names)
    assert not lines
