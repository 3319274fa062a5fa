"""Tune learning rate, width and activation of a network on handwritten digits by `gd.search.narrowing_search`.

python docs/examples/search.py --plot search.png
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gd
from gd.search import Choice, LogUniform, narrowing_search

RANGES = {
    "lr": LogUniform(1e-5, 1.0),
    "width": LogUniform(8, 256, integer=True),
    "activation": Choice(["relu", "tanh", "silu"]),
}


def digits():
    """Return features and labels of the training, validation and test sets: 60, 20 and 20 % of the digits."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)  # pixels are 0 to 16
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    X, X_validation, y, y_validation = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    return (X, y), (X_validation, y_validation), (X_test, y_test)


def train(parameters, seed, data, epochs):
    """Return a network trained with these hyper-parameters."""
    model = gd.MLP([64, parameters["width"], 10], activation=parameters["activation"], seed=seed)
    optimizer = gd.Adam(model.parameters, lr=parameters["lr"])
    gd.fit(model, *data, optimizer, batch_size=64, epochs=epochs, progress=False, seed=seed)
    return model


def main():
    """Search, print the rounds and the best trial, and score that on the test set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each in narrower ranges (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=15, help="trials a round (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs a trial (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--plot", metavar="FILE", help="write a picture of the search")
    parser.add_argument("--journal", metavar="FILE", help="note each trial, and go on from those that are there")
    options = parser.parse_args()
    training, validation, test = digits()

    def accuracy(parameters, seed):
        return train(parameters, seed, training, options.epochs).score(*validation)

    result = narrowing_search(
        accuracy, RANGES, rounds=options.rounds, samples=options.samples, jobs=options.jobs, journal=options.journal
    )
    print(f"{'round':5}  {'best':>6}  {'lr':25} {'width':19} activation")
    for k, ranges in enumerate(result.ranges):
        best = max(trial.score for trial in result.trials if trial.round == k)
        print(f"{k + 1:5}  {best:6.4f}  {ranges['lr']!s:25} {ranges['width']!s:19} {ranges['activation']}")
    print(f"best:  {result.score:.4f}  {result.best}")
    longer = train(result.best, 0, training, 3 * options.epochs)
    print(f"trained for {3 * options.epochs} epochs: accuracy on the test set {longer.score(*test):.4f}")
    if options.plot:
        result.plot(options.plot)


if __name__ == "__main__":
    main()
