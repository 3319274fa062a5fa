"""The sections of the report that compare gd with its peers and its ceilings."""

from . import results as tree
from .document import LONG, Lost, Section, marked, section, table
from .notation import NOTHING, amount, count, duration, figures, part, percent, power, times
from .plots import on_roofline
from .reasons import NOISE, UNKNOWN, reason
from .results import (
    ENOUGH,
    behind_ceiling,
    behind_peers,
    everything,
    fastest,
    geometric_mean,
    grouped,
    in_front,
    kernels,
    less_accurate,
    listed,
    namer,
    peers,
    per_element,
    rate,
    ratio,
    ratios,
    seconds,
    share,
    spread,
    takes_more,
)

CASE = ("kernel", "size")  # in elements


def case_cells(name, record):
    """Return the cells of CASE."""
    return name(record), power(record.get("size"))


def _part(value):
    return marked(part(value, ENOUGH), value is not None and value < ENOUGH)


def share_cell(record):
    """Return the cell of the share of the ceiling, marked if it is below ENOUGH."""
    return _part(share(record))


def times_cell(value):
    """Return the cell of a ratio to a peer, marked if gd is behind."""
    return marked(times(value), value is not None and value < 1)


def families(results):
    """Return a row for each family: how often gd won, its share of the ceiling, and the ratios to the peers."""
    names, rows = peers(results), []
    for name, records in grouped(everything(results), "family").items():
        against = [record for record in records if fastest(record)]
        won = sum(not in_front(record) for record in against)
        means = [geometric_mean(fastest(each)[peer] for each in against if peer in fastest(each)) for peer in names]
        shares = [share(kernel[-1]) for kernel in kernels(records) if share(kernel[-1])]
        rows.append(
            (
                name,
                f"{won} of {len(against)}" if against else NOTHING,
                _part(geometric_mean(shares)),
                *map(times_cell, means),
                _part(min(shares, default=None)),
            )
        )
    columns = ("family", "won", "share of the ceiling", *names, "lowest share")
    return section(
        "Families",
        "How many times as long as gd each peer took: above 1, gd is faster.",
        table(columns, rows),
        "Ratios are geometric means over the comparisons of a family (cases, epochs, numbers of threads); each peer "
        "counts by its fastest variant. gd wins a comparison if no peer is faster. The ceiling is a loop over the same "
        "arrays that computes next to nothing; gd's share of it, at most 1 apart from noise, is taken at each kernel's "
        "largest size: the geometric mean, and the lowest.",
    )


def losing(results):
    """Return all comparisons in which gd is behind, by the reason."""
    by_peers, by_ceiling, name = behind_peers(results), behind_ceiling(results), namer(results)
    parts = [
        Lost(f"{', '.join(case_cells(name, record))}: gd was not timed: {record['failed']['gd']}")
        for record in everything(results)
        if "gd" in (record.get("failed") or {})
    ]
    if not any(ratios(record) or share(record) for record in [*everything(results), *listed(results, "growth")]):
        parts.append("Nothing was compared in this run: neither peers nor ceilings were timed.")
    if by_peers:
        said = "A peer is faster in these comparisons, by the reason, the worst first."
        parts += [f"{said} Sizes are elements, or rows of a batch for gradients."]
        parts += [_lost(name, why, group) for why, group in _by_reason(by_peers, results.get("started") or "")]
    if by_ceiling:
        said = f"No peer is faster, but gd reaches less than {ENOUGH} of the ceiling, in {count(len(by_ceiling))} cases"
        parts += [_by_size(name, by_ceiling, share_cell, "")._replace(fold=f"{said}, by size")]
    rough = dict.fromkeys(row["activation"] for row in listed(results, "accuracy") if any(less_accurate(row)))
    if rough:
        parts.append(f"Another library is more accurate somewhere in {', '.join(rough)}: see Accuracy.")
    large = [what for what, sizes in tree.memory(results).items() if takes_more(sizes)]
    if large:
        parts.append(f"Another library takes less memory in: {'; '.join(large)}.")
    return Section("Where gd loses", parts) if parts else None


def _by_reason(records, day):
    """Return (reason, records) pairs: the most frequent first, what has no known reason last."""
    groups = {}
    for record in records:
        groups.setdefault(reason(record, day), []).append(record)
    return sorted(groups.items(), key=lambda group: (group[0] in (NOISE, UNKNOWN), group[0] == UNKNOWN, -len(group[1])))


def _lost(name, why, records):
    """Return the table of the comparisons that are lost for one reason, folded behind it."""
    rows = []
    for record in records:
        faster = ", ".join(f"{library} {times(value)}" for library, value in in_front(record).items())
        rows.append((*case_cells(name, record), faster, duration(seconds(record, "gd")), share_cell(record)))
    found = table((*CASE, "who", "gd", "share of the ceiling"), rows)
    return found._replace(fold=f"{count(len(rows))} comparison{'s' * (len(rows) != 1)}. {why}")


def not_timed(results):
    """Return the cases and libraries that were not timed, and why."""
    name, found = namer(results), {}
    for record in everything(results):
        for library, why in (record.get("failed") or {}).items():
            found.setdefault((name(record), library, why), []).append(power(record.get("size")))
    rows = [
        (what, ", ".join(dict.fromkeys(sizes)), marked(library, library == "gd"), why)
        for (what, library, why), sizes in found.items()
    ]
    said = "A library that cannot run a case, or whose result is not that of plain NumPy, is not timed in it."
    return section("Not timed", said, table((*CASE, "library", "why"), rows, f"All {len(rows)} rows"))


def family(results, title, records):
    """Return the cases of a family: an overview by size, and every figure."""
    name = namer(results)
    libraries = tuple(dict.fromkeys(library for record in records for library in ratios(record)))
    rows = [
        (
            *case_cells(name, record),
            duration(seconds(record, "gd")),
            percent(spread(record)),
            figures(per_element(record)),
            figures(rate(record, "bytes")),
            share_cell(record),
            *(times_cell(ratio(record, library)) for library in libraries),
        )
        for record in records
    ]
    columns = (*CASE, "gd", "spread", "ns/element", "GB/s", "share of the ceiling", *libraries)
    said = (
        "gd: the median time of a call; spread: the interquartile range of all rounds, relative to the median; GB/s: "
        "from the bytes that the algorithm must move; libraries: how many times as long as gd."
    )
    glance, every = _glance(name, records), table(columns, rows)
    if glance or len(rows) > LONG:
        every = every._replace(fold=f"All {len(rows)} cases of {title}, with every library")
    return section(title[:1].upper() + title[1:], *glance, said, every)


def _glance(name, records):
    """Return a sentence and a table by size if most kernels have all sizes, and nothing for a few rows of one size."""
    groups = kernels(records)
    sizes = {record.get("size") for record in records}
    if (len(sizes) < 2 and len(records) <= LONG) or 4 * len(records) < 3 * len(sizes) * len(groups):
        return ()
    if any(map(fastest, records)):
        said = "How many times as long as gd the fastest of all peers took, by size:"
        cell = lambda record: times_cell(min(fastest(record).values(), default=None))  # noqa: E731
    elif any(map(share, records)):
        said, cell = "The share of the ceiling, by size:", share_cell
    else:
        said, cell = "Nanoseconds an element, by size:", lambda record: figures(per_element(record))
    return said, _by_size(name, records, cell, NOTHING)


def _by_size(name, records, cell, otherwise):
    """Return a table with a row per kernel, in the given order, and a column per size."""
    sizes, rows = sorted({record.get("size") or 0 for record in records}), []
    for group in grouped(records, "family", "what", "dtype", "threads").values():
        cells = {record.get("size") or 0: cell(record) for record in group}
        rows.append((name(group[0]), *(cells.get(size, otherwise) for size in sizes)))
    return table(("kernel", *map(power, sizes)), rows)


def sweep(pictures):
    """Return the pictures of time against size."""
    said = (
        "Each peer is shown by its fastest variant; lower is faster. Vertical lines mark where a call moves as many "
        "bytes as a cache holds. On the left, the overhead of a call dominates."
    )
    return section("Size sweep", said, pictures)


def roofline(results, pictures):
    """Return each kernel's flops and bytes per second against the ceilings."""
    name = namer(results)
    rows = [
        (
            *case_cells(name, record),
            figures(record["flops"] / record["bytes"], 2),
            figures(rate(record, "flops")),
            figures(rate(record, "bytes")),
        )
        for record in on_roofline(results)
    ]
    said = (
        "Each kernel at its largest size. A point on the slanted line moves its data as fast as the machine was "
        "measured to; the level lines are the speed of matrix products."
    )
    columns = (*CASE, "operations/byte", "GFLOP/s", "GB/s")
    return section("Roofline", said, pictures, table(columns, rows, f"All {len(rows)} points"))


def scaling(results, pictures):
    """Return gd's speed-up by threads."""
    records, rows = listed(results, "scaling"), []
    threads = sorted({record["threads"] for record in records})
    for group in grouped(records, "family", "what", "size", "dtype").values():
        time = {record["threads"]: seconds(record, "gd") for record in group if seconds(record, "gd")}
        if time:
            first = time[min(time)]
            speed_up = [times(first / time[n]) if n in time else NOTHING for n in threads[1:]]
            rows.append((group[0]["what"], power(group[0].get("size")), duration(first), *speed_up))
    said = (
        "gd's time with the fewest threads, and how many times as fast it is with more. Arrays that do not fit into "
        "caches scale like memory bandwidth, which the ceiling shows."
    )
    columns = (*CASE, "gd", *(f"{n} threads" for n in threads[1:]))
    return section("Threads", said, pictures, table(columns, rows, f"All {len(rows)} kernels"))


def epochs(results, pictures):
    """Return epochs of training against those of the peers."""
    records = tree.epochs(results)
    libraries = tuple(dict.fromkeys(library for record in records for library in ratios(record)))
    rows = [
        (
            record["what"],
            duration(seconds(record, "gd")),
            percent(spread(record)),
            *(times_cell(ratio(record, library)) for library in libraries),
            times(ratio(record, "products")),
        )
        for record in records
    ]
    said = (
        "The same training from the same weights. A library's column says how many times as long as gd it took; "
        "products are the training's matrix products alone."
    )
    return section("Epochs", said, pictures, table(("training", "gd", "spread", *libraries, "products"), rows))


def memory(results):
    """Return the peak memory of each library."""
    found = tree.memory(results)
    libraries = tuple(dict.fromkeys(library for sizes in found.values() for library in sizes))
    rows = [
        (
            what,
            *(marked(amount(sizes.get(each)), each == "gd" and takes_more(sizes)) for each in libraries),
        )
        for what, sizes in found.items()
    ]
    return section("Peak memory", "Each library ran in its own process.", table(("", *libraries), rows))
