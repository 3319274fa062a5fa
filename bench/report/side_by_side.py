"""``gd bench --compare``: two trees of results side by side; ``gd bench --csv``: every timing of one, a row each."""

import csv

from .comparisons import CASE, case_cells, share_cell, times_cell
from .document import Claim, section, table
from .notation import count, duration, times
from .results import date, everything, fastest, geometric_mean, grouped, key, namer, processor, seconds, threads

CHANGED = 1.15  # times: smaller changes are taken for noise
SHOWN = 20  # of the largest changes
COLUMNS = ("family", "what", "size", "dtype", "threads", "library", "median", "low", "high", "rounds", "bytes", "flops")


def report(before, after):
    """Return title, opening and sections of a report on two trees of results.

    A kernel's time on two machines compares the machines; its share of the ceiling and its ratios to peers, which were
    timed in the same rounds, compare the code.
    """
    old, new = ({key(record): record for record in everything(results)} for results in (before, after))
    both = [(old[each], record) for each, record in new.items() if each in old and seconds(old[each], "gd")]
    both = [(then, now) for then, now in both if seconds(now, "gd")]
    ratios = [seconds(now, "gd") / seconds(then, "gd") for then, now in both]
    opening = [Claim(_claim(ratios))] if both else ["No computation was timed in both."]
    opening += [f"A: {_circumstances(before)}", f"B: {_circumstances(after)}"]
    rows = [_row(namer(after), *pair) for pair in both]
    order = sorted(range(len(rows)), key=lambda k: -max(ratios[k], 1 / ratios[k]))
    changed = [rows[k] for k in order if max(ratios[k], 1 / ratios[k]) > CHANGED]
    columns = (*CASE, "A", "B", "B takes", "share A", "share B", "fastest peer A", "fastest peer B")
    said = (
        "B takes: the time of B relative to A. Shares are of the ceiling; a peer's figure is its time relative to gd's."
    )
    sections = [
        section("Families", table(("family", "computations", "B takes"), _families(both, ratios))),
        section(f"The largest changes, above {CHANGED:g} times", said, table(columns, changed[:SHOWN])),
        section("All", said, table(columns, rows, f"All {len(rows)} computations")),
        section("In one only", table((*CASE, "in"), [*_only(before, new, "A"), *_only(after, old, "B")])),
    ]
    return "Two benchmarks side by side", opening, [each for each in sections if each]


def _claim(ratios):
    faster = sum(ratio < 1 / CHANGED for ratio in ratios)
    slower = sum(ratio > CHANGED for ratio in ratios)
    return (
        f"B takes {times(geometric_mean(ratios))} as long as A over {count(len(ratios))} computations (geometric "
        f"mean); by more than {100 * (CHANGED - 1):.0f} %, {count(faster)} are faster and {count(slower)} slower."
    )


def _circumstances(results):
    commit = results.get("environment", {}).get("commit")
    parts = processor(results), threads(results), date(results), commit and f"commit {commit}"
    return ", ".join(filter(None, parts))


def _row(name, then, now):
    ours = [seconds(record, "gd") for record in (then, now)]
    peers = [min(fastest(record).values(), default=None) for record in (then, now)]
    shares = map(share_cell, (then, now))
    return (*case_cells(name, now), *map(duration, ours), times(ours[1] / ours[0]), *shares, *map(times_cell, peers))


def _families(both, ratios):
    records = [now | {"ratio": ratio} for (_, now), ratio in zip(both, ratios, strict=True)]
    return [
        (name, count(len(group)), times(geometric_mean(record["ratio"] for record in group)))
        for name, group in grouped(records, "family").items()
    ]


def _only(results, others, which):
    name = namer(results)
    return [(*case_cells(name, record), which) for record in everything(results) if key(record) not in others]


def write_csv(results, path):
    """Write a row for each library in each case: seconds of a call, and the bytes and flops that it must move."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for record in everything(results):
            for library, timing in record.get("libraries", {}).items():
                row = record | timing | {"library": library}
                writer.writerow([row.get(column, "") for column in COLUMNS])
