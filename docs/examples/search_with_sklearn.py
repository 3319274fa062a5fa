"""Tune a network on handwritten digits with the searches of scikit-learn, which draw from the ranges of `gd.search`."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, RandomizedSearchCV, train_test_split

from gd.estimators.classes import MLPClassifier
from gd.search import Choice, LogUniform

RANGES = {
    "lr": LogUniform(1e-5, 1.0),
    "hidden_layer_sizes": Choice([(16,), (32,), (64,), (128,), (256,)]),
    "activation": Choice(["relu", "tanh", "silu"]),
}


def main():
    """Print the best hyper-parameters of each search, and their accuracies."""
    warnings.filterwarnings("ignore", category=ConvergenceWarning)  # trainings are short on purpose
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)  # pixels are 0 to 16
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    searches = {
        "random search, 20 trials of 10 epochs": RandomizedSearchCV(
            MLPClassifier(batch_size=64, max_iter=10, random_state=0), RANGES, n_iter=20, cv=3, random_state=0
        ),
        "successive halving, 27 trials of 3 epochs, 9 of 9, 3 of 27": HalvingRandomSearchCV(
            MLPClassifier(batch_size=64, random_state=0),
            RANGES,
            resource="max_iter",
            n_candidates=27,
            min_resources=3,
            max_resources=27,
            cv=3,
            random_state=0,
        ),
    }
    for name, search in searches.items():
        search.fit(X, y)
        print(name)
        print(f"  best: {search.best_params_}")
        test = search.score(X_test, y_test)
        print(f"  accuracy: {search.best_score_:.4f} in cross-validation, {test:.4f} on the test set")


if __name__ == "__main__":
    main()
