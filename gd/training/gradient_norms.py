"""GradientNorms: records and plots the norms of gradients and outputs, to show vanishing and exploding gradients."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import new_figure, written
from ..models import MLP
from ..typing import FilePath
from .history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GradientNorms:
    """A callback of `fit` that records the norms of the gradients and outputs of each layer, on a few examples.

    Parameters
    ----------
    model : MLP
    X, y : ndarray
        The examples; some hundreds are enough. Each epoch costs one more forward and backward pass over them.

    Attributes
    ----------
    gradients : list of list of float
        The Euclidean norms of the gradients of the weights W1, W2, ..., before training and after each epoch.
    outputs : list of list of float
        The norms of the outputs of the hidden layers at these times, divided by the square root of the number of
        examples.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    References
    ----------
    Bengio, Simard & Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994; Glorot &
    Bengio, AISTATS 2010.

    Examples
    --------
    >>> import gd, numpy as np
    >>> X, y = np.random.default_rng(0).standard_normal((100, 4), np.float32), np.arange(100) % 2
    >>> model = gd.MLP([4, 8, 8, 8, 8, 2], "sigmoid")
    >>> norms = gd.GradientNorms(model, X, y)
    >>> history = gd.fit(model, X, y, gd.Adam(model.parameters), epochs=1, callbacks=norms, progress=False)
    >>> norms.gradients[0][0] < norms.gradients[0][-1] / 10  # the gradient of the first layer vanishes
    True
    """

    def __init__(self, model: MLP, X: Any, y: Any) -> None:
        if not isinstance(model, MLP):
            raise TypeError(f"GradientNorms: model must be an MLP, got {type(model).__name__}")
        model.check_data("GradientNorms", X, y)
        self.model: MLP = model
        self.X: Any = X
        self.y: Any = y
        self.gradients: list[list[float]] = []
        self.outputs: list[list[float]] = []
        self()

    def __call__(self, history: History | None = None) -> None:
        """Record the norms; return None, so that training goes on."""
        _, gradients = self.model.loss_and_gradients(self.X, self.y, step=0)
        weights = [gradient for name, gradient in gradients.items() if name.startswith("W")]
        self.gradients.append([float(np.linalg.norm(each)) for each in weights])
        outputs = self.model.layer_outputs(self.X)
        self.outputs.append([float(np.linalg.norm(each)) / len(self.X) ** 0.5 for each in outputs])

    def plot(self, path: FilePath | None = None) -> "Figure":
        """Draw both norms by epoch, one line per layer; return matplotlib's figure, and write it if a path is given.

        The first layers have dark lines; lines are named after the weights. A norm of 0 is left out.
        """
        figure = new_figure("GradientNorms.plot", (9, 4))
        axes = figure.subplots(1, 2)
        self.draw(axes)
        return written(figure, path)

    def draw(self, axes: Any) -> None:
        """Draw into two axes of matplotlib: see `plot`."""
        from matplotlib import colormaps

        names, hidden = [name for name in self.model.parameters if name.startswith("W")], len(self.outputs[0])
        labelled = {0, hidden // 2, hidden - 1, *range(hidden, len(names))}
        titles = ("norm of the gradient of W", "norm of the output of an example")
        for axis, norms, title in zip(axes, (self.gradients, self.outputs), titles, strict=True):
            axis.set_yscale("log")
            axis.set_xlabel("epoch")
            axis.set_title(title)
            axis.xaxis.get_major_locator().set_params(integer=True)
            norms = np.array(norms)
            norms[~(norms > 0)] = np.nan  # matplotlib leaves NaN out without a warning
            for k, values in enumerate(norms.T):
                color = colormaps["viridis"](0.9 * k / max(1, len(names) - 1))
                label = names[k] if k in labelled else None
                axis.plot(values, color=color, label=label, linewidth=1.5, marker=".", markersize=4)
            if norms.size:
                axis.legend(frameon=False, fontsize=8)
