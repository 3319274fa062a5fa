"""The section of the report on growth: the time per element, array, class or feature, by their number."""

from .document import Lost, section, table
from .notation import figures, power, times
from .results import kernels, listed, per_element, seconds

CLIFF = 2  # a time per unit that rises by more than this, beyond its ceiling's rise, is one


def section_of(results, pictures):
    """Return what it costs to grow."""
    groups = kernels(listed(results, "growth"))
    sizes = sorted({record["size"] for group in groups for record in group})
    rows = [_row(group, side, sizes) for group in groups for side in ("gd", "ceiling")]
    cliffs = [Lost(_in_words(*found)) for found in map(cliff, groups) if found]
    missing = [
        f"{record['what']} was not timed at {power(record['size'])}: {record['failed']['gd']}."
        for group in groups
        for record in group
        if record["failed"]
    ]
    said = (
        "The time per element, array, class or feature: where it stays level as their number grows, time is linear. "
        "The ceiling is a walk over as much data that computes next to nothing (of a new optimizer, the making of an "
        "object for each array): it rises where data leave a cache. The last column compares the largest size with the "
        "cheapest."
    )
    level = (
        f"No cliff: nowhere is the time per unit more than {CLIFF} times that of a smaller size, beyond its ceiling's."
    )
    found = table(("call", "ns per", *map(power, sizes), "rise"), list(filter(None, rows)))
    return section("Growth", said, *(cliffs or [level]), pictures, found, *missing)


def cliff(group):
    """Return (record, record) of a call: the smaller size, and that from which on its time per unit is far higher.

    It is so at all larger sizes: what only one size shows is noise, or the caches. Return None if there is no cliff.
    """
    timed, found = [record for record in group if seconds(record, "gd")], None
    for k in reversed(range(1, len(timed))):
        beyond, smaller = max(((_beyond(each, timed[k]), each) for each in timed[:k]), key=lambda pair: pair[0])
        if beyond <= CLIFF:
            break
        found = smaller, timed[k]
    return found


def _beyond(smaller, larger):
    """Return how many times the time per unit rises, divided by the ceiling's rise if it rises."""
    return _rise(smaller, larger, "gd") / max(1, _rise(smaller, larger, "ceiling") or 1)


def _rise(smaller, larger, side):
    before, after = per_element(smaller, side), per_element(larger, side)
    return after / before if before and after else None


def _in_words(smaller, larger):
    ceiling = _rise(smaller, larger, "ceiling")
    beside = f", its ceiling's {times(ceiling)}" if ceiling else ""
    return (
        f"A cliff in {larger['what']}: from {power(larger['size'])} on, the time per {larger['unit']} is "
        f"{times(_rise(smaller, larger, 'gd'))} that at {power(smaller['size'])}{beside}."
    )


def _row(group, side, sizes):
    """Return a row with the time per unit of each size; None if the side was not timed."""
    found = {record["size"]: per_element(record, side) for record in group if seconds(record, side)}
    if not found:
        return None
    names = (group[0]["what"], group[0]["unit"]) if side == "gd" else ("its ceiling", "")
    rise = found[max(found)] / min(found.values())
    return (*names, *(figures(found.get(size)) for size in sizes), times(rise))
