"""``gd bench --readme``: the table in the README, made from a committed results file."""

from math import log
from textwrap import fill

from .document import markdown_table, table
from .notation import count, duration, figures, part, times
from .results import (
    ENOUGH,
    HEADLINE,
    compared,
    environment,
    epochs,
    fastest,
    geometric_mean,
    in_front,
    kernels,
    listed,
    peers,
    per_element,
    rank,
    seconds,
    share,
)

FOLDER = "docs/benchmark"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
ROWS, TRAININGS = 12, 3  # at most
CACHED = 100_000  # elements: a kernel has a row near this size, and one at its largest
PEERS = {"numpy": "plain NumPy", "torch": "PyTorch"}
VERSIONS = ("gd", "numpy", "numba", "torch")


def readme_table(results):
    """Return the README's table in Markdown, with the machine it was measured on.

    For each name in HEADLINE it shows the first kernel, at its size nearest to 100,000 elements and at its largest;
    then the first trainings.
    """
    trainings = epochs(results)[:TRAININGS]
    shown = {}
    for kernel in sorted(kernels(listed(results, "cases")), key=lambda kernel: rank(kernel[0])):
        shown.setdefault(rank(kernel[0]), kernel)
    shown.pop(len(HEADLINE), None)
    rows = []
    for records in map(_two, shown.values()):
        if len(rows) + len(records) + len(trainings) <= ROWS:
            rows += map(_row, records)
    rows += map(_row, trainings)
    found = table(("", "elements", "gd", *PEERS.values(), "share of the ceiling"), rows)
    parts = _filled(_where(results)), found and markdown_table(found), _filled(_in_all(results))
    return "\n\n".join(filter(None, parts))


def update_readme(text, results):
    """Return the text of a README with the table of these results between its markers.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the README needs one line {BEGIN} and, below it, one line {END}")
    return f"{before}{BEGIN}\n{readme_table(results)}\n{END}{after}"


def _filled(text):
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _two(kernel):
    """Return the records of a kernel at the size nearest to CACHED and at its largest size."""
    cached = min(kernel, key=lambda record: abs(log((record.get("size") or 1) / CACHED)))
    return [cached, kernel[-1]] if cached is not kernel[-1] else [cached]


def _row(record):
    ours, best = per_element(record), fastest(record)
    return (
        record["what"],
        count(record.get("size")),
        f"{figures(ours)} ns/element" if ours else duration(seconds(record, "gd")),
        *(times(best.get(peer)) for peer in PEERS),
        part(share(record), ENOUGH),
    )


def _where(results):
    """Return a sentence with the command and machine of the table."""
    machine = environment(results)
    versions = machine.get("versions") or {}
    dtypes = dict.fromkeys(record.get("dtype") for record in listed(results, "cases"))
    parts = [
        machine.get("processor"),
        f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}" if machine.get("threads") else None,
        *dtypes,
        *(f"{name} {versions[name]}" for name in VERSIONS if name in versions),
    ]
    return (
        f"By `{results.get('command') or 'gd bench'}`, written by `gd bench --readme` from "
        f"[{FOLDER}/results.json]({FOLDER}/results.json): {', '.join(filter(None, parts))}. Medians of interleaved "
        "rounds; a factor says how many times as long as gd the other took, of PyTorch its fastest variant."
    )


def _in_all(results):
    """Return a sentence on all comparisons, as the table shows only a few."""
    records = [record for record in compared(results) if fastest(record)]
    means = [
        f"{name} {times(geometric_mean(fastest(record)[peer] for record in records if peer in fastest(record)))}"
        for peer, name in PEERS.items()
        if peer in peers(results)
    ]
    lost = sum(map(bool, map(in_front, records)))
    return (
        f"Over all {count(len(records))} comparisons: {', '.join(means)} (geometric means); a peer is faster in "
        f"{count(lost)}, and [the report]({FOLDER}/report.md#where-gd-loses) lists each."
        if means
        else ""
    )
