"""Figures of matplotlib, which is an optional dependency."""

from typing import Any

from ..typing import FilePath
from ..version import to_install


def new_figure(where: str, size: tuple[float, float], layout: str = "constrained") -> Any:
    """Return an empty figure of matplotlib that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"{where} needs matplotlib: {to_install('train')}") from None
    figure = Figure(figsize=size, layout=layout)  # pyright: ignore[reportArgumentType]  # its types lack "none"
    FigureCanvasAgg(figure)
    return figure


def written(figure: Any, path: FilePath | None) -> Any:
    """Return a figure, after writing it to the path if there is one."""
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure
