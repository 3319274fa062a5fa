"""SearchResult: the trials of a search, and their plot."""

from dataclasses import dataclass, field
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import new_figure, written
from ..typing import FilePath
from .distributions import Choice, LogUniform, RangeOfValues, Uniform, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes
    ----------
    round, number : int
        The round, and the trial's number in it; both count from 0.
    parameters : dict
        The hyper-parameters.
    seed : int
        The seed that the objective got: ``objective(trial.parameters, trial.seed)`` repeats the trial.
    score : float
        The score; -inf if the trial failed.
    error : str or None
        Why the trial failed.
    seconds : float
        How long it took; it does not count in comparisons of trials.
    """

    round: int
    number: int
    parameters: dict[str, Any]
    seed: int
    score: Any = None  # a float once the trial has ended
    error: str | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass
class SearchResult:
    """The trials of a search.

    Attributes
    ----------
    trials : list of Trial
        By round and number.
    ranges : list of dict
        The ranges {name: range} of each round.
    """

    trials: list[Trial] = field(default_factory=list)
    ranges: list[dict[str, RangeOfValues]] = field(default_factory=list)

    @property
    def ranked(self) -> list[Trial]:
        """The trials that did not fail, the best first; among equals the earlier first."""
        return sorted((trial for trial in self.trials if trial.error is None), key=lambda trial: -trial.score)

    @property
    def best(self) -> dict[str, Any] | None:
        """The hyper-parameters of the best trial; None if all failed."""
        return next((trial.parameters for trial in self.ranked), None)

    @property
    def score(self) -> float:
        """The score of the best trial; -inf if all failed."""
        return next((trial.score for trial in self.ranked), -inf)

    def plot(self, path: FilePath | None = None) -> "Figure":
        """Draw scores by hyper-parameter and by trial; return matplotlib's figure, and write it to `path` if given.

        Shades are rounds, and the bars below are their ranges. The axis of scores ends below most trials.
        """
        names, rounds, samples = list(self.ranges[0]), len(self.ranges), len(self.trials) // len(self.ranges)
        columns = len(names) + 1 if len(names) < 3 else ceil(sqrt(len(names) + 1))
        rows = ceil((len(names) + 1) / columns)
        figure = new_figure("SearchResult.plot", (4.4 * columns, 3.4 * rows + 0.8))
        from matplotlib import colormaps
        from matplotlib.lines import Line2D

        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        shades = colormaps["viridis"](np.linspace(0.85, 0.1, rounds))  # also ordered in greyscale
        scores = [trial.score for trial in self.ranked] or [0.0]
        floor = max(scores[-1], scores[0] - (3 * (scores[0] - float(np.median(scores))) or inf))
        for axis, name in zip(axes, names, strict=False):
            ranges = [each[name] for each in self.ranges]
            xs = np.array([ranges[0].code(trial.parameters[name]) for trial in self.trials], float)
            if not isinstance(ranges[0], Uniform) or ranges[0].integer:  # side by side, as many are equal
                xs += [0.5 * (trial.number + 0.5) / samples - 0.25 for trial in self.trials]
            axis.set_xlabel(name)
            _plot_ranges(axis, ranges, shades)
            _plot_trials(axis, xs, self.trials, floor, shades)
        axis, places = axes[len(names)], np.arange(1, len(self.trials) + 1)
        best = np.maximum.accumulate([trial.score for trial in self.trials])
        axis.plot(places[best >= floor], best[best >= floor], color="grey", drawstyle="steps-post")
        for k in range(1, rounds):
            axis.axvline(k * samples + 0.5, color="grey", linestyle=":", linewidth=1)
        axis.set_xlabel("trial (line: best so far)")
        axis.xaxis.get_major_locator().set_params(integer=True)
        _plot_trials(axis, places, self.trials, floor, shades)
        height = scores[0] - floor or abs(floor) or 1.0
        low, high = floor - 0.1 * height, scores[0] + 0.1 * height
        axes[0].set_ylim(low - _STRIP / (1 - _STRIP) * (high - low), high)
        axes[0].set_yticks([tick for tick in axes[0].get_yticks() if low <= tick <= high])
        for k, axis in enumerate(axes):
            axis.set_ylabel("" if k % columns else "score")
            axis.set_visible(k <= len(names))
        if self.best is not None:
            found = ", ".join(f"{name} {shown(value)}" for name, value in self.best.items())
            figure.suptitle(f"best score {self.score:.4g}: {found}")
        handles = [Line2D([], [], color=shade, marker="o", linewidth=4) for shade in shades]
        handles += [Line2D([], [], linestyle="", **style) for style in (_BEST, _LOW, _FAILED)]
        labels = [*(f"round {k + 1}" for k in range(rounds)), "best", "lower score", "failed"]
        figure.legend(handles, labels, loc="outside lower center", ncols=3 * columns, frameon=False)
        return written(figure, path)


_STRIP = 0.22  # the part of a panel below the scores
_BEST = {"marker": "*", "markersize": 14, "color": "white", "markeredgecolor": "black"}
_LOW = {"marker": "v", "markersize": 6, "color": "white", "markeredgecolor": "black"}
_FAILED = {"marker": "x", "markersize": 6, "color": "black"}


def _plot_ranges(axis, ranges, shades):
    """Scale the axis of a hyper-parameter; draw its range in each round as bars."""
    whole = ranges[0]
    if isinstance(whole, Choice):
        labels = [shown(option) for option in whole.options]
        slanted = sum(map(len, labels)) > 30
        axis.set_xticks(range(len(labels)), labels, rotation=30 * slanted, ha="right" if slanted else "center")
    elif isinstance(whole, LogUniform):
        axis.set_xscale("log", base=2 if whole.integer else 10)
        if whole.integer or whole.high < 1e3 * whole.low:
            axis.xaxis.get_major_locator().set_params(subs=(1,) if whole.integer else (1, 2, 5))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
    elif whole.integer:
        axis.xaxis.get_major_locator().set_params(integer=True)
    for k, (each, shade) in enumerate(zip(ranges, shades, strict=True), start=1):
        if isinstance(each, Choice):
            spans = [(whole.code(option) - 0.3, whole.code(option) + 0.3) for option in each.options]
        else:
            spans = [(each.low - 0.3 * each.integer, each.high + 0.3 * each.integer)]
        place = _STRIP * (1 - (k + 0.5) / (len(ranges) + 1))
        for span in spans:
            axis.plot(span, [place] * 2, color=shade, linewidth=4, transform=axis.get_xaxis_transform())


def _plot_trials(axis, xs, trials, floor, shades):
    """Draw trials at xs: points, the best a star; arrows for those below the floor, crosses for failed ones."""
    top = max(range(len(trials)), key=lambda k: trials[k].score)
    for k, (x, trial) in enumerate(zip(xs, trials, strict=True)):
        shade = {"color": shades[trial.round], "markeredgecolor": "black", "markeredgewidth": 0.5}
        if trial.error is not None:
            axis.plot(x, 0.9 * _STRIP, **_FAILED, transform=axis.get_xaxis_transform())
        elif trial.score < floor:
            axis.plot(x, 1.15 * _STRIP, **_LOW | shade, transform=axis.get_xaxis_transform())
        else:
            axis.plot(x, trial.score, **_BEST if k == top else {"marker": "o"} | shade, zorder=3 if k == top else 2)
