"""Reads a tree of results: ratios to the peers, shares of the ceiling, and where gd is behind."""

import re
from datetime import datetime
from math import exp, inf, log

from ..libraries import package
from .notation import count, known, times

ENOUGH = 0.9  # of the ceiling
NO_PEERS = ("gd", "ceiling", "products")
HEADLINE = ("Adam", "sigmoid", "SGD", "gelu", "softmax_cross_entropy", "RMSprop", "mse", "tanh")  # the best known ones


def listed(results, section):
    """Return the list of a section, which may be absent."""
    return results.get(section) or []


def environment(results):
    """Return the environment of the run; empty if unknown."""
    return results.get("environment") or {}


def processor(results):
    """Return the name of the processor in few words: Intel Xeon, AMD EPYC (znver4)."""
    machine = environment(results)
    name = re.sub(r"\((R|TM)\)|\bprocessor\b|\bCPU\b|\d+-core\b|@.*", " ", machine.get("processor") or "", flags=re.I)
    words = " ".join(name.split()) or "unknown processor"
    return f"{words} ({machine['core']})" if machine.get("core") else words


def threads(results):
    """Write the number of threads of the run; None if it is unknown."""
    number = environment(results).get("threads")
    return f"{number} thread{'s' * (number != 1)}" if number else None


def date(results, time=""):
    """Write the day on which the run started, with the time in a format of strftime; None if it is unknown."""
    started = results.get("started") and datetime.fromisoformat(results["started"])
    return f"{started.day} {started:%B %Y{time}}".strip() if started else None


def ceilings(results, what):
    """Return the measured ceilings of a kind, "bandwidth" or "products"."""
    return (results.get("ceilings") or {}).get(what) or []


def seconds(record, library):
    """Return the median seconds of a call, or None."""
    median = (record.get("libraries", {}).get(library) or {}).get("median")
    return median if known(median) and median > 0 else None


def ratio(record, library):
    """Return how many times as long as gd a library took, or None."""
    ours, theirs = seconds(record, "gd"), seconds(record, library)
    return theirs / ours if ours and theirs else None


def share(record):
    """Return the share of the ceiling that gd reached, or None."""
    return ratio(record, "ceiling")


def ratios(record):
    """Return {library: ratio} of all variants of all peers."""
    found = {library: ratio(record, library) for library in record.get("libraries", {}) if library not in NO_PEERS}
    return {library: value for library, value in found.items() if value is not None}


def peer(library):
    """Return the peer of a library variant, such as torch for "torch fused"; gd's own variants are peers themselves."""
    name = package(library)
    return library if name == "gd" else name


def fastest(record):
    """Return {peer: ratio of its fastest variant}."""
    best = {}
    for library, value in ratios(record).items():
        best[peer(library)] = min(value, best.get(peer(library), inf))
    return best


def in_front(record):
    """Return {library: ratio} of the libraries that were faster than gd, the fastest first."""
    found = {library: value for library, value in ratios(record).items() if value < 1}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def far_from_ceiling(record):
    """Return True if gd's share of the ceiling is below ENOUGH."""
    reached = share(record)
    return reached is not None and reached < ENOUGH


def per_element(record, library="gd"):
    """Return the nanoseconds per element of gd or of another library, or None."""
    time, size = seconds(record, library), record.get("size")
    return time / size * 1e9 if time and size else None


def rate(record, what):
    """Return gd's billions of "bytes" or "flops" per second, or None."""
    ours, work = seconds(record, "gd"), record.get(what)
    return work / ours / 1e9 if ours and work else None


def spread(record):
    """Return the interquartile range of gd's rounds relative to the median, or None."""
    ours = (record.get("libraries") or {}).get("gd") or {}
    ends = ours.get("low"), ours.get("high")
    return (ends[1] - ends[0]) / ours["median"] if seconds(record, "gd") and all(map(known, ends)) else None


def key(record):
    """Return the fields that identify a record in a run."""
    return tuple(record.get(field) for field in ("family", "what", "size", "dtype", "threads"))


def epochs(results):
    """Return the epochs in the form of cases; their names include the size."""
    return [
        {**epoch, "family": "epochs", "what": f"{epoch.get('unit', 'epoch')} of {epoch['what']}", "size": None}
        for epoch in listed(results, "epochs")
    ]


def compared(results):
    """Return cases and epochs in one form."""
    return [*listed(results, "cases"), *epochs(results)]


def everything(results):
    """Return all records of `compared`, and those with other numbers of threads."""
    ours = compared(results)
    keys = set(map(key, ours))
    return [*ours, *(record for record in listed(results, "scaling") if key(record) not in keys)]


def peers(results):
    """Return the peers of a run: numpy, torch, then the others in their order."""
    found = dict.fromkeys(peer(library) for record in everything(results) for library in ratios(record))
    return sorted(found, key=lambda name: ("numpy", "torch").index(name) if name in ("numpy", "torch") else 2)


def grouped(records, *fields):
    """Return {value, or tuple of values of several fields: records}, in their order."""
    groups = {}
    for record in records:
        values = tuple(record.get(field) for field in fields)
        groups.setdefault(values if len(fields) > 1 else values[0], []).append(record)
    return groups


def kernels(records):
    """Return lists of records that differ only in size, each sorted by size."""
    groups = grouped(records, "family", "what", "dtype", "threads").values()
    return [sorted(group, key=lambda record: record.get("size") or 0) for group in groups]


def rank(record):
    """Return the index of a record's kernel in HEADLINE; its length for all other kernels."""
    word = record["what"].partition(" ")[0]
    return HEADLINE.index(word) if word in HEADLINE else len(HEADLINE)


def namer(results):
    """Return a function that names a record so that it differs from others of the run, except by size."""
    usual = environment(results).get("threads")
    by_what = grouped(everything(results), "what")
    dtypes = {record.get("dtype") for record in everything(results)} - {None}
    families = {what: len({record["family"] for record in group}) for what, group in by_what.items()}

    def name(record):
        parts, threads = [record["what"]], record.get("threads")
        if families.get(record["what"], 1) > 1:
            parts[0] += f" ({record['family']})"
        if len(dtypes) > 1 and record.get("dtype"):
            parts.append(record["dtype"])
        if threads not in (None, usual):
            parts.append("1 thread" if threads == 1 else f"{threads} threads")
        return ", ".join(parts)

    return name


def geometric_mean(values):
    """Return the geometric mean; None if there are no values."""
    values = list(values)
    return exp(sum(map(log, values)) / len(values)) if values else None


def comparisons(results):
    """Return all records in which gd and a peer were timed."""
    return list(filter(ratios, everything(results)))


def behind_peers(results):
    """Return all records in which a peer is faster, the worst first."""
    return sorted(filter(in_front, everything(results)), key=lambda record: min(in_front(record).values()))


def standing(results):
    """Return the sentence that says where gd stands; an empty one if it was compared with no peer."""
    compared, lost = comparisons(results), behind_peers(results)
    if not compared:
        return ""
    mean = geometric_mean(min(ratios(record).values()) for record in compared)
    return (
        f"A peer is faster than gd in {count(len(lost))} of {count(len(compared))} comparisons; over all of them, the "
        f"fastest peer takes {times(mean)} as long as gd (geometric mean)."
    )


def behind_ceiling(results):
    """Return the other records in which gd's share of the ceiling is below ENOUGH, the worst first."""
    records = (record for record in everything(results) if far_from_ceiling(record) and not in_front(record))
    return sorted(records, key=share)


def memory(results):
    """Return {what: {library: bytes}}."""
    groups = grouped(listed(results, "memory"), "what")
    return {what: {each["library"]: each["bytes"] for each in group} for what, group in groups.items()}


def takes_more(sizes):
    """Return True if gd takes more memory than the smallest of the others in {library: bytes}."""
    others = [size for library, size in sizes.items() if library != "gd" and known(size)]
    return known(sizes.get("gd")) and sizes["gd"] > min(others, default=inf)


def errors(row):
    """Return {library: (error in the centre, in the tails)} of a row of the accuracies."""
    return {library: tuple(pair) for library, pair in row.items() if isinstance(pair, list | tuple)}


def less_accurate(row):
    """Return two flags, for centre and tails: True if gd's error is larger than another library's, in two digits."""
    found = {
        library: [float(f"{each:.1e}") if known(each) else None for each in pair]
        for library, pair in errors(row).items()
    }
    worse = []
    for region in range(2):
        others = [pair[region] for library, pair in found.items() if library != "gd" and known(pair[region])]
        worse.append("gd" in found and known(found["gd"][region]) and found["gd"][region] > min(others, default=inf))
    return tuple(worse)
