"""Train softmax regression and one hidden layer of 100 relu units on Fashion-MNIST, from several seeds.

    python docs/examples/fashion_mnist.py --data FOLDER

FOLDER holds the four IDX files of Fashion-MNIST (or MNIST), plain or gzip. Published accuracies, by Xiao, Rasul &
Vollgraf's benchmark of 2017: 0.842 for logistic regression and 0.871 for the network.
"""

import argparse

import numpy as np

import gd
from gd import datasets

MODELS = {  # widths, epochs, first learning rate
    "softmax regression": ([784, 10], 10, 3e-3),
    "100 relu": ([784, 100, 10], 15, 1e-3),
}


def accuracy(data, widths, epochs, lr, seed):
    """Return the test accuracy after training with a learning rate that falls to 0."""
    model = gd.MLP(widths, seed=seed)
    steps = epochs * -(-len(data.X) // 128)
    optimizer = gd.AdamW(model.parameters, lr=gd.schedules.CosineDecay(lr, steps))
    gd.fit(model, data.X, data.y, optimizer, batch_size=128, epochs=epochs, seed=seed)
    return model.score(data.X_test, data.y_test)


def main():
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    data = datasets.load(options.data, 0, np.float32)
    for name, (widths, epochs, lr) in MODELS.items():
        found = [accuracy(data, widths, epochs, lr, seed) for seed in range(options.seeds)]
        seeds = " ".join(f"{each:.4f}" for each in found)
        print(f"{name:<20} {epochs} epochs: mean {np.mean(found):.4f}, lowest {min(found):.4f}  ({seeds})", flush=True)


if __name__ == "__main__":
    main()
