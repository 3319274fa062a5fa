"""``gd bench --check``: finds shares of the ceiling and ratios to NumPy that fell since a baseline.

Absolute times are never compared: machines drift and differ, but both sides of a share or a ratio were timed in turns
in one run.
"""

from .notation import part, times
from .results import ENOUGH, compared, environment, key, ratio, share

TOLERANCE = 0.15
FIGURES = {  # name: (value, text) of a record
    "share of the ceiling": (share, lambda value: part(value, ENOUGH)),
    "ratio to NumPy": (lambda record: ratio(record, "numpy"), times),
}


def fallen(results, baseline, tolerance=TOLERANCE):
    """Return a line for each share of the ceiling and each ratio to NumPy that fell.

    Parameters
    ----------
    results, baseline : dict
        Trees of results. Records of equal family, kernel, size, dtype and number of threads are compared.
    tolerance : float, default: 0.15
        The relative fall that is allowed.

    Returns
    -------
    list of str
        First the cases in which gd fails in the results alone, then the falls, the largest first.
    """
    broken, falls, found = [], [], _by_key(results)
    for each, old in _by_key(baseline).items():
        new = found.get(each, {})
        failure = (new.get("failed") or {}).get("gd")
        if failure and "gd" not in (old.get("failed") or {}):
            broken.append(f"{_name(new, results)}: gd failed: {failure}")
        for what, (value, text) in FIGURES.items():
            then, now = value(old), value(new)
            if then and now and now < (1 - tolerance) * then:
                fall = now / then - 1
                falls.append((fall, f"{_name(new, results)}: {what} {text(then)} -> {text(now)} ({100 * fall:.0f} %)"))
    return broken + [line for _, line in sorted(falls)]


def missing(results, baseline):
    """Return a line for each case of the baseline, or figure of a case, that is not in the results."""
    lines, found = [], _by_key(results)
    for each, old in _by_key(baseline).items():
        name = _name(old, baseline)
        if each not in found:
            lines.append(name)
        else:
            lines += [
                f"{name}: {what}" for what, (value, _) in FIGURES.items() if value(old) and not value(found[each])
            ]
    return lines


def _by_key(results):
    return {key(record): record for record in compared(results)}


def _name(record, results):
    """Return a record's name as in "Adam, 1,000,000 float32", with the number of threads if it is not the run's."""
    size, threads = record.get("size"), record.get("threads")
    parts = [f"{size:,}" if size else "", record.get("dtype") or ""]
    name = ", ".join(filter(None, (record["what"], " ".join(filter(None, parts)))))
    usual = threads in (None, environment(results).get("threads"))
    return name if usual else f"{name}, {threads} thread{'s' * (threads != 1)}"
