"""Write an optimizer, check it against plain NumPy, and train a network by it, beside gd's Momentum.

python docs/examples/own_rules.py --plot own_rules.png
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import gd
from gd.files.figures import new_figure, written
from gd.math import sign


def signum(p, g, momentum, c):
    """Bernstein et al. 2018: m <- beta * m + (1 - beta) * g, then p <- p - lr * sign(m)."""
    momentum = c.beta * momentum + c.one_minus_beta * g
    return p - c.lr * sign(momentum), momentum


Signum = gd.optimizer(
    "Signum",
    signum,
    slots=["momentum"],
    defaults={"lr": 1e-3, "beta": 0.9},
    coefficients=lambda t, lr, beta: {"one_minus_beta": 1 - beta},
)


def in_numpy(p, g, momentum, c):
    """Return the same for arrays, in plain NumPy."""
    momentum = c.beta * momentum + (1 - c.beta) * g
    return p - c.lr * np.sign(momentum), momentum


def main():
    """Print what the check finds and how long an epoch takes; draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    check = gd.check_rule(Signum, in_numpy, elements=options.elements)
    print(check)
    X, y = load_digits(return_X_y=True)
    X = gd.Normalizer().fit(X.astype(np.float32)).transform(X.astype(np.float32))
    histories = {}
    for turn in range(2):  # the first compiles
        for make, lr in ((Signum, 1e-3), (gd.Momentum, 3e-2)):
            model = gd.MLP([64, 256, 128, 10])
            optimizer = make(model.parameters, lr=lr)
            history = gd.fit(model, X, y, optimizer, 64, options.epochs if turn else 1, progress=False)
            histories[make.__name__] = history
    for name, history in histories.items():
        print(f"{name:<9} {1e3 * np.median(history.seconds):.1f} ms an epoch, last loss {history.loss[-1]:.4f}")
    if options.plot:
        figure = new_figure("own_rules.py", (9, 3.6))
        left, right = figure.subplots(1, 2)
        seconds = {"plain NumPy": check.numpy_seconds, "gd": check.seconds, "memory alone": check.ceiling_seconds}
        bars = left.barh(list(seconds), [1e3 * each for each in seconds.values()], color=["0.6", "C0", "0.8"])
        left.bar_label(bars, fmt="%.1f ms", padding=3)
        left.invert_yaxis()
        left.set_xlim(right=1.25 * 1e3 * max(seconds.values()))
        left.set_title(f"a step of Signum, {options.elements:,} elements")
        left.set_xlabel("milliseconds")
        for name, history in histories.items():
            right.semilogy(range(1, len(history.loss) + 1), history.loss, label=name)
        right.set_title("digits, a network of 64-256-128-10")
        right.set_xlabel("epoch")
        right.set_ylabel("loss")
        right.legend()
        written(figure, options.plot)
        print(f"drawn {options.plot}")


if __name__ == "__main__":
    main()
