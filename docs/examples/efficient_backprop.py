"""Plot how each trick of "Efficient BackProp" (LeCun, Bottou, Orr & Mueller, 1998) lowers the error.

    python docs/examples/efficient_backprop.py --plot efficient_backprop.png

Trains a network of two hidden layers on handwritten digits by stochastic gradient descent, adding one trick each time.
Each run uses the learning rate, of those tried, whose loss is smallest after half of the epochs.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gd
from gd.files.figures import new_figure, written

HIDDEN, CLASSES = (50, 30), 10
RATES = [2.0**k for k in range(-9, 6)]
PLAIN = {
    "normalized": False,
    "activation": "sigmoid",
    "low": 0.0,
    "initializer": lambda shape, rng, dtype: rng.uniform(-1, 1, shape).astype(dtype),
    "by_layer": False,
    "emphasis": 0.0,
}
TRICKS = {  # each adds these options to those before it
    "plain": {},
    "+ normalized inputs": {"normalized": True},
    "+ initial weights by fan-in": {"initializer": "lecun_normal"},
    "+ scaled tanh, targets +-1": {"activation": "scaled_tanh", "low": -1.0},
    "+ rate of each layer by fan-in": {"by_layer": True},
    "+ large errors emphasized": {"emphasis": 0.2},
}


def train(data, how, rate, epochs, seed):
    """Return the accuracy on the test data after each epoch, and the last loss."""
    X, X_test, y, y_test = data
    if how["normalized"]:
        normalizer = gd.Normalizer().fit(X)
        X, X_test = normalizer.transform(X), normalizer.transform(X_test)
    model = gd.MLP(
        [X.shape[1], *HIDDEN, CLASSES],
        how["activation"],
        how["initializer"],
        loss="mse",
        output=how["activation"],
        seed=seed,
    )
    targets = gd.one_hot(y, CLASSES, low=how["low"])
    groups = model.groups(rate) if how["by_layer"] else ()
    optimizer = gd.SGD(model.parameters, lr=rate, groups=groups)
    accuracies = []
    watch = lambda history: accuracies.append(np.mean(model.predict(X_test).argmax(axis=1) == y_test))  # noqa: E731
    try:
        history = gd.fit(
            model,
            X,
            targets,
            optimizer,
            batch_size=8,
            epochs=epochs,
            callbacks=watch,
            emphasis=how["emphasis"],
            seed=seed,
            progress=False,
        )
    except FloatingPointError:
        return accuracies, np.inf
    return accuracies, history.loss[-1]


def main():
    """Print a line for each trick, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    data = train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=0, stratify=y)
    how, curves = PLAIN, {}
    for name, trick in TRICKS.items():
        how = how | trick
        short = max(1, options.epochs // 2)
        losses = [train(data, how, rate, short, seed=100)[1] for rate in RATES]
        rate = RATES[int(np.argmin(losses))]
        runs = [train(data, how, rate, options.epochs, seed)[0] for seed in range(options.seeds)]
        curves[name] = np.mean([run for run in runs if len(run) == options.epochs], axis=0)
        first, last = curves[name][0], curves[name][-1]
        print(f"{name:<32} rate {rate:7.4f}: accuracy {first:.3f} after one epoch, {last:.3f} at the end", flush=True)
    if options.plot:
        figure = new_figure("efficient_backprop.py", (7, 4.5))
        from matplotlib import colormaps

        axis = figure.add_subplot()
        for k, (name, curve) in enumerate(curves.items()):
            color = colormaps["viridis"](0.9 * k / (len(curves) - 1))
            errors = np.maximum(1 - curve, 1e-3)
            axis.plot(range(1, options.epochs + 1), errors, color=color, label=name, marker="osv^Dx"[k], markersize=4)
        axis.set_yscale("log")
        axis.set_xlabel("epoch")
        axis.set_ylabel("share of the test data that is wrong")
        axis.set_title("Efficient BackProp, trick by trick")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
        axis.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5, 1])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, fontsize=9)
        written(figure, options.plot)
        print(f"drawn {options.plot}")


if __name__ == "__main__":
    main()
