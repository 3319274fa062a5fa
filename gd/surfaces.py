"""Surfaces: functions of two numbers that show the path of an optimizer."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .checks import check_choice, check_integer
from .comparison import label_ends, line_style
from .files import new_figure, written
from .optimizers import OPTIMIZERS, Optimizer, check_optimizer
from .typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = [digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5)]  # 0.0001 to 50
REACHED = 1e-12  # smaller values count as the minimum
ENOUGH = 0.9  # a rate that comes this share of the best one's powers of ten down will do: lower rates make calmer paths
SHOWN = ("SGD", "Momentum", "Nesterov", "Adagrad", "RMSprop", "Adadelta", "Adam", "Lion")


class Surface(NamedTuple):
    """A function whose minimum is 0, with its gradient.

    Attributes
    ----------
    formula : str
        The function in the notation that matplotlib typesets.
    value : callable
        f(x, y), for numbers or arrays.
    gradient : callable
        (df/dx, df/dy) at (x, y), for numbers.
    start : (float, float)
        The point where optimizers start.
    minima : tuple of (float, float)
    window : (float, float, float, float)
        Left, right, lower and upper end of the plot.
    """

    formula: str
    value: Callable[[Any, Any], Any]
    gradient: Callable[[float, float], tuple[float, float]]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    window: tuple[float, float, float, float]


BEALE = ((1, 1.5), (2, 2.25), (3, 2.625))  # the powers and constants of its three terms
SURFACES = {
    # x**2 - y**2 has no minimum, and the largest rate would win; y**4 / 2 gives it two. The start is near the ridge.
    "saddle": Surface(
        "x^2 - y^2 + y^4 / 2 + 1 / 2",
        lambda x, y: x**2 - y**2 + y**4 / 2 + 1 / 2,
        lambda x, y: (2 * x, 2 * y**3 - 2 * y),
        start=(-1.5, 0.01),
        minima=((0.0, 1.0), (0.0, -1.0)),
        window=(-1.8, 1.0, -0.6, 1.6),
    ),
    "ravine": Surface(  # of condition number 50
        "x^2 / 50 + y^2",
        lambda x, y: x**2 / 50 + y**2,
        lambda x, y: (x / 25, 2 * y),
        start=(-9.17, 2.03),
        minima=((0.0, 0.0),),
        window=(-10.0, 4.0, -3.0, 3.0),
    ),
    "rosenbrock": Surface(
        "(1 - x)^2 + 100 (y - x^2)^2",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
        start=(-1.2, 1.0),
        minima=((1.0, 1.0),),
        window=(-2.0, 2.0, -1.0, 3.0),
    ),
    "beale": Surface(
        "(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
        lambda x, y: sum((c - x + x * y**k) ** 2 for k, c in BEALE),
        lambda x, y: (
            sum(2 * (c - x + x * y**k) * (y**k - 1) for k, c in BEALE),
            sum(2 * (c - x + x * y**k) * k * x * y ** (k - 1) for k, c in BEALE),
        ),
        start=(1.0, 1.5),
        minima=((3.0, 0.5),),
        window=(-0.5, 4.5, -1.5, 2.0),
    ),
}


class Descent(NamedTuple):
    """The path of an optimizer on a surface.

    Attributes
    ----------
    optimizer : str
    lr : float
    path : ndarray of shape (steps + 1, 2)
        The start and the point after each step, or the average if the optimizer averages; shorter if it diverged.
    values : ndarray of shape (steps + 1,)
        Values of the surface along the path.
    """

    optimizer: str
    lr: float
    path: NDArray[Any]
    values: NDArray[Any]


def descend(surface: str, optimizer: str | type[Optimizer], steps: int = 200) -> Descent:
    """Let an optimizer of gd descend a surface, at a learning rate that suits both.

    All RATES are tried. Rates whose path leaves the window do not count. The lowest rate is taken that comes nine
    tenths as far down as the best one, in powers of ten; values below 1e-12 count as 1e-12.

    Parameters
    ----------
    surface : str
        A name of SURFACES.
    optimizer : str or class
        A name of `gd.optimizers.OPTIMIZERS`, or a class of your own.
    steps : int, default: 200
        Number of steps, at least 1.

    Returns
    -------
    Descent

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from gd.surfaces import descend
    >>> descent = descend("ravine", "Momentum")
    >>> descent.lr, len(descent.values)
    (0.1, 201)
    """
    chosen = SURFACES[check_choice("descend", "surface", surface, SURFACES)]
    check_optimizer("descend", "optimizer", optimizer)
    steps = check_integer("descend", "steps", steps, 1)
    descents = [_walk(chosen, optimizer, lr, steps) for lr in RATES]
    inside = [each for each in descents if len(each.values) == steps + 1 and _stays(each.path, chosen.window)]
    enough = ENOUGH * max(map(_decades, inside), default=-inf)
    return next((each for each in inside if _decades(each) >= enough), descents[0])


def _stays(path: NDArray[Any], window: tuple[float, float, float, float]) -> bool:
    left, right, low, high = window
    return bool((path >= (left, low)).all() and (path <= (right, high)).all())


def _decades(descent: Descent) -> float:
    """Return how far down a descent came, in powers of ten."""
    return np.log10(descent.values[0] / max(descent.values[-1], REACHED))


def _walk(surface: Surface, optimizer: Any, lr: float, steps: int) -> Descent:
    new: Any = OPTIMIZERS[optimizer]  # its defaults are unknown to type checkers
    p = np.array(surface.start)
    path: list[Any] = [surface.start]
    stepper, values = new(p, lr=lr), [surface.value(*surface.start)]
    with np.errstate(all="ignore"):  # a rate may be too large
        for _ in range(steps):
            stepper.step(np.array(surface.gradient(*p)))
            # the result may be an average, which is not the point of the gradients
            place = stepper.averaged_params() if hasattr(stepper, "averaged_params") else p.copy()
            value = surface.value(*place)
            if not np.isfinite(value):
                break
            path.append(place)
            values.append(value)
    return Descent(new.__name__, lr, np.array(path), np.array(values))


def table(surface: str, descents: Sequence[Descent]) -> list[str]:
    """Return the lines of a table of descents on the surface of this name, the lowest last value first."""
    lines = [f"{'optimizer':<18} {'learning rate':>13} {'last value':>11} {'distance to minimum':>19}"]
    for descent in sorted(descents, key=lambda descent: descent.values[-1]):
        to_minima = descent.path[-1] - np.array(SURFACES[surface].minima)
        distance = np.hypot(*to_minima.T).min()
        lines.append(f"{descent.optimizer:<18} {descent.lr:>13g} {descent.values[-1]:>11.3g} {distance:>19.3g}")
    return lines


def plot(descents: Mapping[str, Sequence[Descent]], path: FilePath | None = None) -> "Figure":
    """Draw paths on surfaces and values against steps; return matplotlib's figure, and write it to `path` if given.

    Parameters
    ----------
    descents : dict of str to list of Descent
        Descents by the name of the surface, for each the same optimizers: the first eight are drawn in colour.
    path : str or path, optional
    """
    height = 0.4 + 5 * len(descents)
    figure = new_figure("surfaces.plot", (14, height), layout="none")  # labels lie beside the axes
    axes = figure.subplots(len(descents), 2, squeeze=False)
    figure.subplots_adjust(0.05, 0.6 / height, 0.83, 1 - 0.4 / height, wspace=0.19, hspace=0.25)
    for (left, right), (name, each) in zip(axes, descents.items(), strict=True):
        surface = SURFACES[name]
        _contours(left, surface)
        ends = []
        for k, descent in enumerate(each):
            style = line_style(k)
            left.plot(*descent.path.T, **style)
            left.plot(*descent.path[-1], "o", markersize=5, markeredgecolor="white", color=style["color"], zorder=4)
            values = np.maximum(descent.values, REACHED)
            right.plot(values, **style)
            ends.append((len(values) - 1, values[-1], f"{descent.optimizer}, lr {descent.lr:g}", k))
        left.set_title(f"{name}: ${surface.formula}$", fontsize=11)
        left.set_xlabel("x")
        left.set_ylabel("y", rotation=0)
        right.set_title("Value by steps", fontsize=11)
        right.set_xlabel("step")
        right.set_ylabel(f"value above the minimum, cut at {REACHED:g}")
        right.set_yscale("log")
        right.set_ylim(bottom=min(values for _, values, _, _ in ends) / 2, top=10 * each[0].values[0])
        right.set_xlim(0, max(x for x, _, _, _ in ends))
        right.grid(color="0.92", linewidth=0.6)
        right.set_axisbelow(True)
        label_ends(right, ends)
    return written(figure, path)


def _contours(axis, surface: Surface) -> None:
    left, right, low, high = surface.window
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(low, high, 300))
    heights = np.log10(surface.value(x, y) + 1e-3)
    axis.contourf(x, y, heights, 24, cmap="Greys_r", vmin=3 * heights.min() - 2 * heights.max(), vmax=heights.max())
    axis.contour(x, y, heights, 12, colors="0.7", linewidths=0.5, linestyles="solid")
    axis.plot(*surface.start, "s", markersize=7, color="white", markeredgecolor="black", label="start", zorder=4)
    axis.plot(
        *zip(*surface.minima, strict=True),
        "*",
        color="white",
        markeredgecolor="black",
        markersize=13,
        label="minimum",
        zorder=4,
    )
    axis.plot([], [], "o", markersize=5, color="0.4", label="last step")
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
    axis.legend(loc="lower right", fontsize=8)
