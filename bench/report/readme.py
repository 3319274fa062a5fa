"""``gd bench --readme``: the committed results, a folder a processor, with their index, and what the README shows."""

import json
import re
from math import log
from pathlib import Path
from textwrap import fill

import numpy as np

from . import drawing
from .document import markdown_table, table
from .notation import count, duration, figures, part, times
from .results import (
    ENOUGH,
    HEADLINE,
    behind_peers,
    comparisons,
    date,
    environment,
    epochs,
    fastest,
    geometric_mean,
    kernels,
    listed,
    peers,
    per_element,
    processor,
    rank,
    seconds,
    share,
    standing,
    threads,
)

FOLDER = "docs/benchmark"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
ROWS, TRAININGS = 12, 3  # at most, of each processor
CACHED = 100_000  # elements: a kernel has a row near this size, and one at its largest
PEERS = {"numpy": "plain NumPy", "torch": "PyTorch"}
VERSIONS = ("gd", "numpy", "numba", "torch")
SPEED, SHOWN, SIZE = "speed", "Adam", (7.4, 3.4)  # the picture: its name, its kernel, its inches


def folder_of(results):
    """Return the name of the folder of the results of this processor: intel-xeon."""
    return re.sub(r"\W+", "-", processor(results).partition(" (")[0].lower()).strip("-")


def committed(root):
    """Return {name of the folder: results} of a checkout, by name."""
    paths = sorted((Path(root) / FOLDER).glob("*/results.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def update(path):
    """Write the index of the results that are committed beside a README and their picture; replace what it says."""
    path, runs = Path(path), committed(Path(path).parent)
    (path.parent / FOLDER / "README.md").write_text(index(runs), encoding="utf-8")
    (path.parent / FOLDER / f"{SPEED}.svg").write_text(drawing.alone(speed(runs)), encoding="utf-8")
    path.write_text(update_readme(path.read_text(encoding="utf-8"), runs), encoding="utf-8")


def index(runs):
    """Return the page that names the committed results, by {folder: results}."""
    blocks = [
        "# Benchmark results",
        "Results of `gd bench`, a folder a processor. `gd bench --readme` runs all of it on the machine at hand, then "
        "writes its folder, this page and the figures in the README. `python -m gd.bench.report` writes them from the "
        "results again.",
        results_table(runs),
    ]
    for folder, results in runs.items():
        blocks += [
            f"## {_machine(results)}",
            standing(results),
            f"[Report]({folder}/report.md), [page]({folder}/report.html), [results.json]({folder}/results.json): "
            f"{_circumstances(results)}.",
            f"![Where gd stands on {processor(results)}]({folder}/pictures/standing.svg)",
        ]
    return "\n\n".join(map(_filled, filter(None, blocks))) + "\n"


def results_table(runs):
    """Return a table of the best known kernels in Markdown, by {folder: results}.

    For each name in HEADLINE it shows the first kernel, at its size nearest to 100,000 elements and at its largest;
    then the first trainings.
    """
    rows = {}
    for results in runs.values():
        for record in _shown(results):
            rows.setdefault((record["what"], record.get("size")), []).append(_row(results, record))
    columns = "", "elements", "processor", "gd", *PEERS.values(), "share of the ceiling"
    found = table(columns, [row for each in rows.values() for row in each])
    said = (
        "In float32: medians of interleaved rounds. A factor says how many times as long as gd the other took, of "
        "PyTorch its fastest variant."
    )
    return f"{_filled(said)}\n\n{markdown_table(found)}" if found else ""


def summary(runs):
    """Return what the README says of the results, by {folder: results}: the picture, and a line for each processor."""
    lines = [_filled(_in_all(*run), "  ") for run in runs.items()]
    picture = speed(runs)
    return "\n\n".join([f"![{picture.says}]({FOLDER}/{SPEED}.svg)", "\n".join(filter(None, lines))])


def speed(runs):
    """Draw nanoseconds an element of Adam's step against the number of elements: a panel a processor, a line a peer."""

    def draw(axes):
        axes = np.atleast_1d(axes)
        lines = [_lines(results) for results in runs.values()]
        values = [y for each in lines for line in each.values() for _, y in line] or [1.0]
        for axis, results, each in zip(axes, runs.values(), lines, strict=False):
            for k, (name, line) in enumerate(each.items()):
                axis.plot(*zip(*line, strict=True), label=name, **drawing.style(k))
            sizes = [x for line in each.values() for x, _ in line] or [1.0]
            drawing.decades(axis.xaxis, *drawing.around(sizes), drawing.powers)
            drawing.decades(axis.yaxis, *drawing.around(values), drawing.short)
            drawing.finish(axis, processor(results), "elements", "ns per element" if axis is axes[0] else "")
        drawing.legend(axes[0])

    says = f"Time of a step of {SHOWN} per element, by the number of elements: gd, plain NumPy and PyTorch"
    return drawing.picture(SPEED, says, draw, SIZE, panels=max(1, len(runs)))


def _lines(results):
    """Return {gd or a peer: [(elements, nanoseconds an element)]} of SHOWN, of each peer its fastest variant."""
    lines = {}
    for record in listed(results, "cases"):
        ours = per_element(record)
        if record["what"] == SHOWN and record.get("size") and ours:
            of_peers = fastest(record)
            ratios = {"gd": 1.0} | {name: of_peers[peer] for peer, name in PEERS.items() if peer in of_peers}
            for name, ratio in ratios.items():
                lines.setdefault(name, []).append((record["size"], ours * ratio))
    return {name: sorted(line) for name, line in lines.items()}


def update_readme(text, runs):
    """Return the text of a README with the summary of these results, by folder, between its markers.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the README needs one line {BEGIN} and, below it, one line {END}")
    return f"{before}{BEGIN}\n{summary(runs)}\n{END}{after}"


def _filled(text, indent=""):
    return fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _shown(results):
    """Return the records of the table."""
    trainings = epochs(results)[:TRAININGS]
    shown = {}
    for kernel in sorted(kernels(listed(results, "cases")), key=lambda kernel: rank(kernel[0])):
        shown.setdefault(rank(kernel[0]), kernel)
    shown.pop(len(HEADLINE), None)
    found = []
    for records in map(_two, shown.values()):
        if len(found) + len(records) + len(trainings) <= ROWS:
            found += records
    return found + trainings


def _two(kernel):
    """Return the records of a kernel at the size nearest to CACHED and at its largest size."""
    cached = min(kernel, key=lambda record: abs(log((record.get("size") or 1) / CACHED)))
    return [cached, kernel[-1]] if cached is not kernel[-1] else [cached]


def _row(results, record):
    ours, best = per_element(record), fastest(record)
    return (
        record["what"],
        count(record.get("size")),
        processor(results),
        f"{figures(ours)} ns/element" if ours else duration(seconds(record, "gd")),
        *(times(best.get(peer)) for peer in PEERS),
        part(share(record), ENOUGH),
    )


def _machine(results):
    """Return the processor, and the day of the run."""
    return ", ".join(filter(None, (processor(results), date(results))))


def _circumstances(results):
    """Return the threads, versions and commit of a run."""
    machine = environment(results)
    versions = machine.get("versions") or {}
    parts = [threads(results), *(f"{name} {versions[name]}" for name in VERSIONS if name in versions)]
    return ", ".join(filter(None, [*parts, machine.get("commit") and f"commit {machine['commit']}"])) or "gd"


def _in_all(folder, results):
    """Return a line on all comparisons of a run, as the table shows only a few."""
    records = comparisons(results)
    means = [
        f"{name} {times(geometric_mean(fastest(record)[peer] for record in records if peer in fastest(record)))}"
        for peer, name in PEERS.items()
        if peer in peers(results)
    ]
    lost = f"{count(len(behind_peers(results)))} of {count(len(records))}"
    return (
        f"- {_machine(results)}, {_circumstances(results)}: a peer is faster in "
        f"[{lost}]({FOLDER}/{folder}/report.md#where-gd-loses) comparisons; geometric means: {', '.join(means)}."
        if means
        else ""
    )
