"""All rules as the plain Python that they are, against gd.reference: ``python tests/rules.py``.

With NUMBA_DISABLE_JIT=1, which this sets, rules and the loops around them are not compiled, so that a wrong formula can
be told from a wrong compilation, and a debugger can stop in either. It prints how many cases of optimizers, activations
and losses were computed and the largest error of each, and exits with 1 if one is above its bound.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":  # not where pytest looks for doctests
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "GD_CACHE_DIR": "off"}
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import test_activations
import test_losses
import test_optimizers

import gd
from gd import reference
from gd.activations.functions import ACTIVATIONS
from gd.kernels.settings import INTERPRETED
from gd.optimizers import OPTIMIZERS

BOUND = 1e-12


def error(found, expected):
    """Return the largest error, relative to the largest number where that is above 1; infinite for NaN."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    worst = np.max(np.abs(found - expected)) / max(1, np.abs(expected).max())
    return worst if worst == worst else np.inf


def optimizer(rng, name, keywords):
    """Step an array of few elements; compare it, its state and its average."""
    p = rng.standard_normal(17)
    expected = p.copy()
    stepped, plain = OPTIMIZERS[name](p, **keywords), reference.Optimizer(name, {"p": expected}, **keywords)
    for g in rng.standard_normal((8, 17)):
        stepped.step(g, grad_scale=0.5)
        plain.step({"p": g}, grad_scale=0.5)
    state, slots = stepped.state_dict(), plain.state["p"]
    errors = [error(p, expected), *(error(state[slot], slots[slot]) for slot in state.keys() & slots.keys())]
    if stepped.ema is not None:
        errors.append(error(stepped.ema_params(), plain.averages["p"]))
    return max(errors)


def activation(rng, name, parameters):
    """Compare an elementwise activation and its derivative."""
    function, (forward, derivative) = ACTIVATIONS[name], reference.ACTIVATIONS[name]
    x, dy = 4 * rng.standard_normal((2, 99))
    y, slope = function.forward(x, **parameters), dy * derivative(x, **parameters)
    errors = [error(y, forward(x, **parameters)), error(function.backward(dy, x, **parameters), slope)]
    if function.backward_from_output:
        errors.append(error(function.backward_from_output(dy, y, **parameters), slope))
    return max(errors)


def rows(rng, name, parameters):
    """Compare an activation of rows."""
    x, dy = rng.standard_normal((2, 7, 6))
    errors = [error(ACTIVATIONS[name].forward(x), getattr(reference, name)(x))]
    if name != "maxout":
        errors.append(error(ACTIVATIONS[name].backward(dy, x), getattr(reference, f"{name}_backward")(dy, x)))
    return max(errors)


def loss(rng, name, parameters):
    """Compare a loss and its gradient."""
    prediction, target = test_losses.example(name, rng, 9, 5, np.float64)
    found = getattr(gd, name)(prediction, target, **parameters)
    return max(map(error, found, reference.LOSSES[name](prediction, target, **parameters)))


CASES = {  # what: function of a generator, a name and keywords; names and keywords
    "optimizers": (optimizer, test_optimizers.CASES),
    "activations": (activation, test_activations.CASES),
    "of rows": (rows, [(name, {}) for name in test_activations.ROWS]),
    "losses": (loss, test_losses.CASES),
}


def main():
    """Compute all cases and print their errors."""
    failed, rng = [], np.random.default_rng(0)
    print(f"{'in plain Python':<16} rules  cases  largest error")
    with np.errstate(all="ignore"):  # in kernels nothing warns
        for what, (function, cases) in CASES.items():
            errors = {f"{name} {keywords}": function(rng, name, keywords) for name, keywords in cases}
            failed += [f"{each}: {worst:.1e}" for each, worst in errors.items() if not worst <= BOUND]
            names = len({name for name, _ in cases})
            print(f"{what:<16} {names:5} {len(errors):6} {max(errors.values()):14.1e}")
    print("\n".join(failed))
    return 1 if failed or not INTERPRETED else 0


if __name__ == "__main__":
    sys.exit(main())
