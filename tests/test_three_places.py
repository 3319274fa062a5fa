"""An optimizer, an activation and a loss, added to a copy of gd in three places each, are everywhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The rule, the declaration, the reference: (file, what is added at its end)
OPTIMIZER = (
    (
        "kernels/rules/sign_descent.py",
        '''"""Descent by the sign."""

from typing import NamedTuple

from ..math import sign


class SignCoefficients(NamedTuple):
    lr: float


def sign_descent(p, g, c: SignCoefficients):
    """Return p - lr * sign(g)."""
    return (p - c.lr * sign(g),)
''',
    ),
    (
        "gd/optimizers/sign_descent.py",
        '''"""Descent by the sign of the gradient."""

from ..kernels.rules import sign_descent
from .base import Optimizer


class SignDescent(Optimizer):
    """Descent by the sign of the gradient: p <- p - lr * sign(g)."""

    rule = staticmethod(sign_descent.sign_descent)

    def __init__(self, params, lr=1e-3, **options):
        super().__init__(params, lr, {}, **options)

    def coefficients(self, t, lr):
        return sign_descent.SignCoefficients(lr)
''',
    ),
    (
        "gd/reference/optimizers.py",
        """

def sign_descent(p, g, state, t, lr=1e-3):
    p -= lr * np.sign(g)


OPTIMIZERS["SignDescent"] = (sign_descent, {})
""",
    ),
)
ACTIVATION = (
    (
        "kernels/rules/activations.py",
        '''

def cubic(x, scale):
    """Return scale x**3."""
    return scale * x * x * x


def cubic_backward(dy, x, scale):
    """Return dy 3 scale x**2."""
    return dy * cast(3, x) * scale * x * x
''',
    ),
    ("gd/activations/functions.py", '\n\nActivation("cubic", "scale * x**3", "he_normal", scale=(0.5, POSITIVE))\n'),
    ("gd/reference/activations.py", '\n\nACTIVATIONS["cubic"] = (lambda x: 0.5 * x**3, lambda x: 1.5 * x**2)\n'),
)
LOSS = (
    (
        "kernels/rules/losses.py",
        '''

def fourth_power(prediction, target):
    """Return (prediction - target)**4."""
    error = prediction - target
    cube = error * error * error
    return cube * error, cast(4, error) * cube
''',
    ),
    (
        "gd/losses/functions.py",
        '''

@_elementwise
def fourth_power(prediction, target, reduction="mean", *, out=None):
    """Mean of the fourth powers of errors."""
    return _apply("fourth_power", rules.fourth_power, prediction, target, reduction, out)


LOSSES["fourth_power"] = Loss(fourth_power, rules.fourth_power)
''',
    ),
    (
        "gd/reference/losses.py",
        """

def fourth_power(prediction, target):
    error = prediction - target
    return mean(error**4, 4 * error**3)


LOSSES["fourth_power"] = fourth_power
""",
    ),
)
PROGRAM = """
import numpy as np, gd
from gd.bench.families import families
from gd.training.precompilation import tasks

assert {"SignDescent", "cubic", "cubic_backward", "fourth_power"} <= set(dir(gd))  # the API
assert "scale : float, default: 0.5" in gd.cubic.__doc__ and "fourth powers" in gd.fourth_power.__doc__  # documentation
assert "sign(g)" in gd.SignDescent.__doc__
of = families()
assert "SignDescent" in of["optimizers"].whats  # the benchmark
assert {"cubic", "cubic backward"} & set(of["activations"].whats) and "fourth_power" in of["losses"].whats
assert {"SignDescent", "cubic", "fourth_power"} <= tasks().keys()  # gd.warmup
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
model = gd.MLP([3, 4, 1], activation="cubic", loss="fourth_power", activation_parameters={"scale": 0.1})
y = X[:, :1].copy()
gd.fit(model, X, y, gd.SignDescent(model.parameters), batch_size=10, epochs=1, progress=False)
linear = gd.LinearModel(3, loss="fourth_power")
gd.fit(linear, X, y[:, 0], gd.SignDescent(linear.parameters), batch_size=10, epochs=1, progress=False)
"""


@pytest.mark.full
def test_each_is_added_in_three_places(tmp_path):
    for part in ("gd", "kernels", "bench", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for places in (OPTIMIZER, ACTIVATION, LOSS):
        assert len(places) == 3
        for file, text in places:
            with open(tmp_path / file, "a", encoding="utf-8") as added:
                added.write(text)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "GD_CACHE_DIR": str(tmp_path / "kernels-of-the-copy")}

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run("-c", PROGRAM)
    run("tests/stubs.py")
    stub = (tmp_path / "gd" / "activations" / "__init__.pyi").read_text()
    assert "def cubic(x: Array, out: Array | None = None, *, scale: float = 0.5)" in stub
    assert "from .losses import fourth_power as fourth_power" in (tmp_path / "gd" / "__init__.pyi").read_text()
    tests = ("test_optimizers.py", "test_activations.py", "test_losses.py")  # by their registries
    chosen = "equals_plain_numpy or has_a_reference"
    names = "SignDescent or cubic or fourth_power or has_a_reference"
    files = [f"tests/{name}" for name in tests]
    run("-m", "pytest", "-q", "-n0", "--full", "-p", "no:cacheprovider", *files, "-k", f"({chosen}) and ({names})")
