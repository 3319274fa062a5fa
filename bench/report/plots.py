"""The report's pictures."""

from collections import Counter
from itertools import chain
from math import floor, log10

import numpy as np

from . import drawing
from . import results as tree
from .drawing import DASHES, INK, MARKERS, SIZE, SLOTS, TEXT
from .notation import count, duration, figures, times
from .results import (
    ceilings,
    comparisons,
    fastest,
    grouped,
    kernels,
    listed,
    peer,
    per_element,
    rank,
    rate,
    ratio,
    ratios,
    seconds,
)

PANELS = 6  # at most, of a kind
DOT, WIDTH = 3.8, 240  # points: of a dot of `standing`, and of a strip
THINNEST, BETWEEN = 4, 1.5  # dots: of the height of a strip, and between the dots of two
TALL = (SIZE[0], 4.8)
BESIDE = (  # positions for the name of a point: offset and alignment
    (5, -2, "left", "top"),
    (-5, 2, "right", "bottom"),
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
)


def all_pictures(results):
    """Return {kind: list of Picture}; a kind without data has an empty list."""
    return {kind: draw(results) for kind, draw in KINDS.items()}


def standing(results):
    """Draw each comparison as a dot, in a strip a family, by how many times as long as gd the fastest peer took."""
    strips = {
        name: sorted(min(ratios(record).values()) for record in records)
        for name, records in grouped(comparisons(results), "family").items()
    }
    if not strips:
        return []
    low, high = drawing.around([*chain(*strips.values()), 1 / 1.5, 1.5], 1.08, 1.08)
    columns = floor(WIDTH / DOT)  # of dots; 1 lies between two of them
    width = log10(high / low) / columns
    stacks = {name: Counter(floor(log10(value) / width) for value in values) for name, values in strips.items()}
    heights = {name: max(THINNEST, max(stack.values()) + BETWEEN) for name, stack in stacks.items()}
    won = {name: f"{sum(value >= 1 for value in values)} of {len(values)}" for name, values in strips.items()}

    def draw(axes):
        drawing.decades(axes.xaxis, low, high, drawing.short)
        axes.set_ylim(sum(heights.values()), -2 * BETWEEN)
        axes.set_yticks([], [])
        top, sides = 0, {True: [], False: []}
        for name, stack in stacks.items():
            middle = top + heights[name] / 2
            for column, dots in stack.items():
                x = 10 ** ((column + 0.5) * width)
                sides[column >= 0] += [(x, middle + k - (dots - 1) / 2) for k in range(dots)]
            for x, text, ha in ((-0.02, name, "right"), (1.02, won[name], "left")):
                axes.text(x, middle, text, transform=axes.get_yaxis_transform(), ha=ha, va="center")
            top += heights[name]
            axes.axhline(top, color=INK, alpha=0.13, linewidth=0.6)
        for faster, dots in sides.items():
            look = {"marker": "o", "color": SLOTS[0]} if faster else {"marker": "D", "color": SLOTS[2]}
            axes.scatter([x for x, _ in dots], [y for _, y in dots], DOT**2 / 1.5, linewidths=0, clip_on=False, **look)
        axes.axvline(1, color=INK, linewidth=1.2)
        for x, text, ha, slot in ((-5, "a peer is faster", "right", 2), (5, "gd is faster", "left", 0)):
            look = {"color": SLOTS[slot], "weight": "bold"}
            axes.annotate(text, (1, -BETWEEN), (x, 0), textcoords="offset points", ha=ha, va="center", **look)
        axes.text(1.02, -BETWEEN, "gd won", transform=axes.get_yaxis_transform(), va="center", weight="bold")
        axes.spines["left"].set_visible(False)
        drawing.finish(axes, "", "how many times as long as gd the fastest peer took", "")

    says = "Where gd stands: a dot for each comparison, by how many times as long as gd the fastest peer took. gd won "
    says += ", ".join(f"{part} {name}" for name, part in won.items())
    return [drawing.picture("standing", says, draw, (SIZE[0], 1 + DOT / 72 * sum(heights.values())), wide=True)]


def on_roofline(results):
    """Return the records of the roofline: each kernel's largest size, if its operations are known."""
    records = [group[-1] for group in kernels(listed(results, "cases"))]
    return [record for record in records if rate(record, "flops") and rate(record, "bytes")]


def roofline(results):
    """Draw GFLOP/s against operations per byte, for each kernel's largest size, with the ceilings."""
    records = sorted(on_roofline(results), key=rank)
    if not records:
        return []
    points = [(record["flops"] / record["bytes"], rate(record, "flops"), record) for record in records]

    def draw(axes):
        x, roofs = drawing.around([x for x, _, _ in points], 2, 2), _roofs(results)
        heights = [y for _, y, _ in points] + [height for _, height, level in roofs if level]
        drawing.decades(axes.xaxis, *x, drawing.short)
        drawing.decades(axes.yaxis, *drawing.around(heights, 2, 2), drawing.short)
        for k, (label, height, level) in enumerate(roofs):
            line = {"color": INK, "linewidth": 1.2, "linestyle": DASHES[k % 4], "label": label}
            axes.plot(x, (height, height) if level else (x[0] * height, x[1] * height), **line)
        for k, family in enumerate(dict.fromkeys(record["family"] for record in records)):
            own = [(x, y) for x, y, record in points if record["family"] == family]
            look = {"marker": MARKERS[k % 8], "color": SLOTS[k % 8], "s": 22, "linewidths": 0, "zorder": 3}
            axes.scatter(*zip(*own, strict=True), label=family, **look)
        drawing.finish(axes, "Roofline", "operations per byte", "GFLOP/s")
        drawing.legend(axes, 2)
        _label_points(axes, points, _named(points))

    says = "Roofline: GFLOP/s of each kernel against its operations per byte, with the measured ceilings as lines"
    return [drawing.picture("roofline", says, draw, TALL, wide=True)]


def _roofs(results):
    """Return (label, height, True for GFLOP/s and False for GB/s) of the measured ceilings."""
    roofs, moved = [], ceilings(results, "bandwidth")
    if moved:
        most = max(each["bytes"] for each in moved)
        memory = max(_speed(each, "bytes") for each in moved if each["bytes"] > most / 8)
        best = max(_speed(each, "bytes") for each in moved)
        roofs.append((f"memory, {figures(memory)} GB/s", memory, False))
        if best > 1.2 * memory:
            roofs.append((f"caches, {figures(best)} GB/s", best, False))
    for dtype, products in grouped(ceilings(results, "products"), "dtype").items():
        best = max(_speed(each, "flops") for each in products)
        roofs.append((f"products in {dtype}, {figures(best)} GFLOP/s", best, True))
    return roofs


def _speed(each, what):
    return each[what] / each["seconds"]["median"] / 1e9


def _named(points):
    """Return the points to name: those of the headline, and of each family the slowest and the fastest in bytes/s."""
    named = [point for point in points if rank(point[2]) < len(tree.HEADLINE)]
    for family in dict.fromkeys(record["family"] for _, _, record in points):
        own = sorted((point for point in points if point[2]["family"] == family), key=lambda point: point[1] / point[0])
        named += [point for point in (own[0], own[-1]) if point not in named]
    return named


def _label_points(axes, points, named):
    """Name points in order, where the name covers no point, no line and no other name."""
    axes.figure.draw_without_rendering()
    unit, inside = axes.figure.dpi / 72, axes.get_window_extent().extents
    places = axes.transData.transform([(x, y) for x, y, _ in points])
    lines = [axes.transData.transform(line.get_xydata()) for line in axes.get_lines()]
    dots = [end + (start - end) * part for start, end in lines for part in np.linspace(0, 1, 200)[:, None]]
    taken = [(x - 2 * unit, y - 2 * unit, x + 2 * unit, y + 2 * unit) for x, y in [*places, *np.reshape(dots, (-1, 2))]]
    for x, y, record in named:
        for dx, dy, side, height in BESIDE:
            where = {"xytext": (dx, dy), "textcoords": "offset points", "ha": side, "va": height}
            text = axes.annotate(record["what"], (x, y), **where, fontsize=TEXT - 1)
            text.set_in_layout(False)
            box = text.get_window_extent().extents
            free = inside[0] <= box[0] and inside[1] <= box[1] and box[2] <= inside[2] and box[3] <= inside[3]
            if free and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _panels(groups):
    """Return the groups to draw, those of the headline first."""
    return sorted(groups, key=lambda group: rank(group[0]))[:PANELS]


def _of_peers(record):
    """Return {"gd", a peer or the ceiling: seconds}; for a peer, of its fastest variant."""
    ours = seconds(record, "gd")
    found = {"gd": ours} | {name: value * ours for name, value in fastest(record).items()} if ours else {}
    ceiling = seconds(record, "ceiling")
    return found | ({"ceiling": ceiling} if ceiling else {})


def _lines(records, value):
    """Return {side: list of value(record, seconds)}."""
    lines = {}
    for record in records:
        for side, time in _of_peers(record).items():
            lines.setdefault(side, []).append(value(record, time))
    return lines


def sweep(results):
    """Draw ns/element against the size, one panel per kernel."""
    styles, pictures = drawing.styles(results), []
    groups = [group for group in kernels(listed(results, "cases")) if len(group) >= 3 and group[0].get("size")]
    for k, group in enumerate(_panels(groups)):
        lines = _lines(group, lambda record, time: (record["size"], time / record["size"] * 1e9))

        def draw(axes, group=group, lines=lines):
            drawing.decades(axes.xaxis, *drawing.around([record["size"] for record in group]), drawing.powers)
            drawing.decades(
                axes.yaxis, *drawing.around([y for line in lines.values() for _, y in line], 1.5, 2.2), drawing.short
            )
            for side, line in lines.items():
                axes.plot(*zip(*line, strict=True), label=side, **styles[side])
            if group[-1].get("bytes"):
                drawing.caches(axes, results, group[-1]["bytes"] / group[-1]["size"])
            drawing.finish(axes, f"{group[0]['what']}, {group[0]['dtype']}", "elements", "ns/element")
            drawing.legend(axes)

        says = f"Nanoseconds per element of {group[0]['what']} against the number of elements, a line a library"
        pictures.append(drawing.picture(f"sweep-{k + 1}", says, draw))
    return pictures


def scaling(results):
    """Draw the speed-up against threads, one panel per kernel."""
    styles, pictures = drawing.styles(results), []
    groups = grouped(listed(results, "scaling"), "family", "what", "size", "dtype").values()
    groups = [sorted(group, key=lambda record: record["threads"]) for group in groups if len(group) >= 2]
    for k, group in enumerate(_panels(groups)):
        lines = _lines(group, lambda record, time: (record["threads"], time))
        fewest = group[0]["threads"]  # libraries without this number have no speed-up
        lines = {side: line for side, line in lines.items() if line[0][0] == fewest}
        title = f"{group[0]['what']}, {count(group[0]['size'])} elements"

        def draw(axes, group=group, lines=lines, title=title):
            counts = [record["threads"] for record in group]
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.plot(counts, [n / counts[0] for n in counts], label="ideal", color=INK, alpha=0.5, linewidth=1)
            for side, line in lines.items():
                axes.plot([n for n, _ in line], [line[0][1] / time for _, time in line], label=side, **styles[side])
            axes.set_xticks(counts, list(map(str, counts)))
            low, high = axes.get_ylim()
            ticks = [tick for tick in (0.25, 0.5, 1, 1.5, *(2**n for n in range(1, 12))) if low <= tick <= high]
            axes.set_yticks(ticks, list(map(drawing.short, ticks)))
            axes.minorticks_off()
            drawing.finish(axes, title, "threads", f"times as fast as with {counts[0]} thread{'s' * (counts[0] != 1)}")
            drawing.legend(axes)

        pictures.append(drawing.picture(f"scaling-{k + 1}", f"Speed-up of {title}, against threads", draw))
    return pictures


def epochs(results):
    """Draw bars of the time of an epoch, one panel per training."""
    styles, pictures = drawing.styles(results), []
    for k, record in enumerate(record for record in tree.epochs(results) if seconds(record, "gd")):
        bars = {library: seconds(record, library) for library in record["libraries"] if seconds(record, library)}

        def draw(axes, record=record, bars=bars):
            places = range(len(bars), 0, -1)
            for place, (library, time) in zip(places, bars.items(), strict=True):
                outline = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.9, "hatch": "///"}
                look = {"color": styles[peer(library)]["color"]} if peer(library) in styles else outline
                axes.barh(place, time, height=0.66, **look)
                text = duration(time) if library == "gd" else f"{duration(time)}, {times(ratio(record, library))}"
                axes.annotate(text, (time, place), (4, 0), textcoords="offset points", va="center")
            axes.set_yticks(list(places), list(bars))
            axes.set_xlim(0, 1.45 * max(bars.values()))
            drawing.finish(axes, record["what"], "seconds", "")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)

        says = f"Seconds of one {record['what']}, a bar a library"
        pictures.append(drawing.picture(f"epochs-{k + 1}", says, draw, (SIZE[0], 1 + 0.32 * len(bars))))
    return pictures


def bandwidth(results):
    """Draw the measured bandwidth against the bytes moved, one line per mix of reads and writes."""
    records = ceilings(results, "bandwidth")
    if not records:
        return []

    def draw(axes):
        drawing.decades(axes.xaxis, *drawing.around([each["bytes"] for each in records]), drawing.powers)
        drawing.decades(
            axes.yaxis, *drawing.around([_speed(each, "bytes") for each in records], 1.3, 1.6), drawing.short
        )
        for k, (mix, group) in enumerate(grouped(records, "mix").items()):
            line = sorted((each["bytes"], _speed(each, "bytes")) for each in group)
            axes.plot(*zip(*line, strict=True), label=mix, **drawing.style(k))
        drawing.caches(axes, results, 1)
        drawing.finish(axes, "Bandwidth by mix of reads and writes", "bytes moved by a call", "GB/s")
        drawing.legend(axes, 3)

    return [
        drawing.picture(
            "bandwidth", "Gigabytes a second against the bytes moved, a line a mix of reads and writes", draw
        )
    ]


def growth(results):
    """Draw nanoseconds per unit against the number of units, one line per call, with its ceiling."""
    groups = kernels([record for record in listed(results, "growth") if seconds(record, "gd")])
    if not groups:
        return []

    def draw(axes):
        records = list(chain(*groups))
        times = [side for record in records for side in (per_element(record), per_element(record, "ceiling")) if side]
        drawing.decades(axes.xaxis, *drawing.around([record["size"] for record in records]), drawing.powers)
        drawing.decades(axes.yaxis, *drawing.around(times, 1.5, 1.5), drawing.short)
        for k, group in enumerate(groups):
            for side, look in (("gd", {"label": group[0]["what"]}), ("ceiling", {"linestyle": ":", "marker": ""})):
                line = [(record["size"], per_element(record, side)) for record in group if seconds(record, side)]
                if line:
                    axes.plot(*zip(*line, strict=True), **drawing.style(k) | look)
        drawing.finish(axes, "Time per unit; dotted: its ceiling", "elements, arrays, classes, features", "ns/unit")
        drawing.legend(axes, 1)

    says = "Nanoseconds per element, array, class or feature against their number, a line a call; linear where level"
    return [drawing.picture("growth", says, draw, TALL, wide=True)]


KINDS = {
    "standing": standing,
    "growth": growth,
    "roofline": roofline,
    "sweep": sweep,
    "scaling": scaling,
    "epochs": epochs,
    "bandwidth": bandwidth,
}
