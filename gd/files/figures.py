"""Figures of matplotlib, which is an extra."""


def new_figure(where, size, layout="constrained"):
    """Return an empty figure of matplotlib that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f'{where} needs matplotlib: python -m pip install "gd[train]"') from None
    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def written(figure, path):
    """Return a figure, and write it where there is a path."""
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure
