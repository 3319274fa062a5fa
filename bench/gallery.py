"""``python -m gd.bench.gallery``: draws every activation and its derivative, computed by the kernels."""

from math import ceil

import numpy as np

from gd.activations import ACTIVATIONS

FILE, COLUMNS, LIMIT = "activations.png", 6, 5.0


def draw(path=FILE):
    """Draw all elementwise activations into a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    x = np.linspace(-LIMIT, LIMIT, 1001)
    names = sorted(name for name, each in ACTIVATIONS.items() if each.elementwise)
    figure = Figure(figsize=(2.6 * COLUMNS, 2.3 * ceil(len(names) / COLUMNS)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(ceil(len(names) / COLUMNS), COLUMNS, squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        activation = ACTIVATIONS[name]
        axis.axhline(0, color="0.85", linewidth=0.8)
        axis.axvline(0, color="0.85", linewidth=0.8)
        (value,) = axis.plot(x, activation.forward(x), color="tab:blue", linewidth=1.8)
        (slope,) = axis.plot(
            x, activation.backward(np.ones_like(x), x), color="tab:orange", linewidth=1.3, linestyle="--"
        )
        axis.set_title(name, fontsize=10)
        axis.set_xlim(-LIMIT, LIMIT)
        axis.tick_params(labelsize=7)
    figure.legend([value, slope], ["activation", "derivative"], loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)
    return path


if __name__ == "__main__":
    print(f"wrote {draw()}")
