"""Compare training with states and parameters in fewer bits with float32, from several seeds.

    python docs/examples/low_bit_states.py --data FOLDER

FOLDER holds the four IDX files of Fashion-MNIST (or MNIST), plain or gzip. Losses are final means over the training
data, accuracies are over the test data. Fewer bits are also shown as the difference from float32.
"""

import argparse

import numpy as np

import gd
from gd import datasets
from gd.batches import batches

MODELS = {  # widths, epochs, learning rate
    "softmax regression": ([784, 10], 10, 1e-3),
    "100 relu": ([784, 100, 10], 10, 1e-3),
}
STORED = {
    "float32": {},
    "bfloat16 states": {"state_dtype": "bfloat16"},
    "int8 states": {"state_dtype": "int8"},
    "bfloat16 parameters, int8 states": {"param_dtype": "bfloat16", "state_dtype": "int8"},
    "bfloat16 parameters with master weights": {"param_dtype": "bfloat16", "master_weights": True},
}


def halves(x):
    """Return the upper halves of float32 numbers, rounded to the nearest: bfloat16 as uint16."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def train(data, widths, epochs, lr, seed, options):
    """Return the loss on the training data and the accuracy on the test data."""
    model = gd.MLP(widths, seed=seed)
    weights = model.parameters.vector
    small = options.get("param_dtype") is not None
    params = halves(weights) if small else weights
    steps = epochs * -(-len(data.X) // 128)
    optimizer = gd.AdamW(params, lr=gd.schedules.CosineDecay(lr, steps), seed=seed, **options)
    for epoch in range(epochs):
        for rows in batches(len(data.X), 128, seed, epoch):
            _, gradients = model.loss_and_gradients(data.X[rows], data.y[rows])
            optimizer.step(halves(gradients.vector) if small else gradients.vector)
            if small:
                weights.view(np.uint32)[:] = params.astype(np.uint32) << 16
    return model.loss_and_gradients(data.X, data.y)[0], model.score(data.X_test, data.y_test)


def main():
    """Print a line for each model and storage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    data = datasets.load(options.data, 0, np.float32)
    for name, (widths, epochs, lr) in MODELS.items():
        print(f"{name}, {epochs} epochs, {options.seeds} seeds")
        for storage, stored in STORED.items():
            found = [train(data, widths, epochs, lr, seed, stored) for seed in range(options.seeds)]
            loss, accuracy = np.mean(found, axis=0)
            if storage == "float32":
                base = loss, accuracy
                print(f"  {storage:<40} loss {loss:.4f}, accuracy {accuracy:.4f}", flush=True)
            else:
                change = f"{100 * (loss / base[0] - 1):+.2f} %, {100 * (accuracy - base[1]):+.2f} points"
                print(f"  {storage:<40} loss {loss:.4f}, accuracy {accuracy:.4f} ({change})", flush=True)


if __name__ == "__main__":
    main()
