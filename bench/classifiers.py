"""``python -m gd.bench.classifiers [DATA]``: the time until softmax regression reaches a test accuracy, against peers.

Softmax regression by gd and PyTorch (the same optimizer, rate, batches and start), scikit-learn's SGDClassifier and
LogisticRegression, with equal numbers of threads, one after the other in one process, several rounds. Only training
is timed, epoch by epoch; for LogisticRegression the smallest number of iterations that suffices counts. Kernels are
compiled before.
"""

import sys
from statistics import median
from time import perf_counter, sleep

import numpy as np
from threadpoolctl import threadpool_limits

import gd
from gd import datasets
from gd.batches import batches

from .measure import SETTLE

TARGET, LR, BATCH, EPOCHS, ROUNDS = 0.84, 2e-3, 256, 40, 3
ITERATIONS = (10, 15, 20, 30, 40, 60, 100)


def of_gd(data):
    """Yield (seconds of training so far, test accuracy) epoch by epoch."""
    start = perf_counter()
    model = gd.LinearModel(data.X.shape[1], data.classes, "softmax_cross_entropy")
    optimizer, seconds = gd.Adam(model.parameters, lr=LR), perf_counter() - start
    for _ in range(EPOCHS):
        start = perf_counter()
        gd.fit(model, data.X, data.y, optimizer, batch_size=BATCH, epochs=1, progress=False)
        seconds += perf_counter() - start
        yield seconds, model.score(data.X_test, data.y_test)


def of_torch(torch):
    """Return a function like `of_gd` for PyTorch."""

    def epochs(data):
        X, y = torch.from_numpy(data.X), torch.from_numpy(data.y.astype(np.int64))
        layer = torch.nn.Linear(data.X.shape[1], data.classes)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
        optimizer, loss = torch.optim.Adam(layer.parameters(), lr=LR, fused=True), torch.nn.CrossEntropyLoss()
        X_test, seconds = torch.from_numpy(data.X_test), 0.0
        for epoch in range(EPOCHS):
            start = perf_counter()
            for rows in batches(len(X), BATCH, 0, epoch):
                index = torch.from_numpy(rows)
                optimizer.zero_grad()
                loss(layer(X[index]), y[index]).backward()
                optimizer.step()
            seconds += perf_counter() - start
            with torch.no_grad():
                yield seconds, float(np.mean(layer(X_test).numpy().argmax(axis=1) == data.y_test))

    return epochs


def of_sgd_classifier(data):
    """Yield what `of_gd` yields, for scikit-learn's SGDClassifier, which trains each class against the rest."""
    from sklearn.linear_model import SGDClassifier

    model, seconds = SGDClassifier(loss="log_loss", random_state=0, n_jobs=gd.get_threads()), 0.0
    for _ in range(EPOCHS):
        start = perf_counter()
        model.partial_fit(data.X, data.y, classes=np.arange(data.classes))
        seconds += perf_counter() - start
        yield seconds, model.score(data.X_test, data.y_test)


def of_logistic_regression(data):
    """Yield what `of_gd` yields, for scikit-learn's LogisticRegression, by the number of its iterations."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    for iterations in ITERATIONS:
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=iterations).fit(data.X, data.y)
        yield perf_counter() - start, model.score(data.X_test, data.y_test)


def time_to(target, trainings):
    """Return (seconds, accuracy) of the first pair that reaches the target; infinite seconds if none does."""
    for seconds, accuracy in trainings:
        if accuracy >= target:
            return seconds, accuracy
    return float("inf"), accuracy


def main(path=None):
    """Print the table."""
    try:
        import torch

        torch.set_num_threads(gd.get_threads())
    except ImportError:
        torch = None
    data = datasets.load(path, 0, np.float32)
    sides = {"gd": of_gd, "SGDClassifier": of_sgd_classifier, "LogisticRegression": of_logistic_regression}
    if torch:
        sides["torch"] = of_torch(torch)
    found = {name: [] for name in sides}
    next(of_gd(data))  # compiles
    with threadpool_limits(gd.get_threads()):
        for _ in range(ROUNDS):
            for name, side in sides.items():
                sleep(SETTLE)
                found[name].append(time_to(TARGET, side(data)))
    own = median(seconds for seconds, _ in found["gd"])
    print(f"{data.name}: seconds of training until a test accuracy of {TARGET}; softmax regression, Adam, lr {LR}\n")
    for name, each in found.items():
        seconds = median(seconds for seconds, _ in each)
        print(f"{name:<20} {seconds:8.3f} s {seconds / own:8.2f} x gd   accuracy {each[0][1]:.4f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
