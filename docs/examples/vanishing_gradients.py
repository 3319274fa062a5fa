"""Plot vanishing gradients layer by layer, in a deep network of sigmoid units and in one of relu units.

python docs/examples/vanishing_gradients.py --plot vanishing_gradients.png
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

import gd
from gd.files.figures import new_figure, written

LAYERS, WIDTH = 8, 40


def main():
    """Print the norms before and after training, and draw them by epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    X = gd.Normalizer().fit(X.astype(np.float32)).transform(X.astype(np.float32))
    figure = new_figure("vanishing_gradients.py", (9, 7.5)) if options.plot else None
    axes = figure.subplots(2, 2, sharey="col") if options.plot else None
    for k, activation in enumerate(("sigmoid", "relu")):
        model = gd.MLP([64, *[WIDTH] * LAYERS, 10], activation)
        norms = gd.GradientNorms(model, X[:300], y[:300])
        history = gd.fit(model, X, y, gd.Adam(model.parameters), 32, options.epochs, callbacks=norms, progress=False)
        first, last = norms.gradients[0][0], norms.gradients[0][-1]
        print(
            f"{activation:<8} gradient of the first layer {first:.1e}, of the last {last:.1e}; "
            f"after {options.epochs} epochs the loss is {history.loss[-1]:.3f}, the accuracy {model.score(X, y):.3f}"
        )
        if options.plot:
            norms.draw(axes[k])
            axes[k][0].set_ylabel(activation, fontsize=13)
    if options.plot:
        written(figure, options.plot)
        print(f"drawn {options.plot}")


if __name__ == "__main__":
    main()
