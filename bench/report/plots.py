"""The report's pictures as SVG, in colours that follow the reader's light or dark page.

Lines differ in lightness, dashes and markers, so that they do without colours, too.
"""

import re
from html import escape
from io import StringIO
from math import ceil, floor, log10

import numpy as np

from gd.files import new_figure

from . import results as tree
from .document import Picture
from .notation import count, duration, figures, superscript, times
from .results import ceilings, environment, fastest, grouped, kernels, listed, peer, peers, rank, rate, ratio, seconds

SIZE = (5.2, 3.9)  # inches of 72 units: text is 9 pixels high where a phone shows it 370 wide
TALL = (5.2, 4.8)
PANELS = 6  # at most, of a kind
TEXT = 9

BESIDE = (  # positions for the name of a point: offset and alignment
    (5, -2, "left", "top"),
    (-5, 2, "right", "bottom"),
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
)

# A style sheet replaces these colours by the page's.
INK = "#0a0a0a"
SLOTS = tuple(f"#0b0b{k:02x}" for k in range(8))
LIGHT = ("#0b4fc4", "#858585", "#d1530a", "#0f7a55", "#a03fb8", "#a68300", "#0091ad", "#d6508f")
DARK = ("#8fc1ff", "#8f8f8f", "#ff8f45", "#3fb68b", "#c084e0", "#e6c84d", "#57d5ea", "#ff97c4")
MARKERS = "os^DvPX*"
DASHES = ("-", (0, (5, 1)), (0, (5, 1, 1, 1)), (0, (2, 1)), "-", (0, (5, 1)), (0, (5, 1, 1, 1)), (0, (2, 1)))

_light, _dark = (";".join(f"--p{k}:{colour}" for k, colour in enumerate(colours)) for colours in (LIGHT, DARK))
COLOURS = f":root{{{_light}}}@media (prefers-color-scheme:dark){{:root{{{_dark}}}}}\n"
ALONE = "svg{color:#1d2126}@media (prefers-color-scheme:dark){svg{color:#e4e7ea}}"


def all_pictures(results):
    """Return {kind: list of Picture}; a kind without data has an empty list."""
    return {kind: draw(results) for kind, draw in KINDS.items()}


def alone(picture):
    """Return the text of an SVG file with its own colours."""
    head, rest = picture.svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{COLOURS}{ALONE}</style>{rest}\n'


def _picture(name, says, draw, size=SIZE, wide=False):
    """Return a picture that a function draws into axes."""
    figure = new_figure("gd bench", size)
    from matplotlib import rc_context

    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": TEXT, "axes.titlesize": TEXT + 1}
    style |= {"text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.markersize": 4.5}
    style |= {
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
    }
    with rc_context(style):
        draw(figure.subplots())
        text = StringIO()
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return Picture(name, says, _clean(text.getvalue(), name, says), wide)


def _clean(svg, name, says):
    """Return the SVG element, with the page's colours and fonts and with unique names."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = svg.replace(INK, "currentColor").replace("'DejaVu Sans'", "system-ui, sans-serif")
    for k, slot in enumerate(SLOTS):
        svg = svg.replace(slot, f"var(--p{k})")
    head = f'<svg role="img" aria-label="{escape(says)}" stroke-linejoin="round" '
    return re.sub(r"\s*\n\s*", "\n", head + svg.removeprefix("<svg "))


def _style(k):
    return {"color": SLOTS[k % 8], "marker": MARKERS[k % 8], "linestyle": DASHES[k % 8], "linewidth": 1.5}


def _styles(results):
    """Return {"gd", a peer or "ceiling": style of its lines}, equal in all pictures of a run."""
    styles = {name: _style(k) for k, name in enumerate(("gd", *peers(results)))}
    styles["gd"] |= {"linewidth": 2.4, "zorder": 4}
    styles["ceiling"] = {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.3}
    return styles


def _finish(axes, title, x, y):
    """Set the title and labels of axes, and draw a grid."""
    axes.set_title(title, wrap=True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=INK, alpha=0.13, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(axes, columns=4):
    """Write the legend below the axes."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=TEXT)


def _decades(axis, low, high, label=figures):
    """Scale an axis by powers of ten, with ticks between them if there are few."""
    set_scale, set_limits = (
        (axis.axes.set_xscale, axis.axes.set_xlim)
        if axis.axis_name == "x"
        else (axis.axes.set_yscale, axis.axes.set_ylim)
    )
    set_scale("log")
    set_limits(low, high)
    span = log10(high / low)
    digits = (1, 2, 5) if span < 2.5 else (1,)
    exponents = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(ticks, [label(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def _powers(value):
    return superscript(round(log10(value)))


def _short(value):
    return f"{value:,g}"


def _around(values, below=1.3, above=1.3):
    return min(values) / below, max(values) * above


def _caches(axes, results, per_unit):
    """Mark the size of each cache on an axis, whose unit stands for a number of bytes."""
    caches = environment(results).get("caches") or {}
    low, high = axes.get_xlim()
    for name, size in caches.items():
        if size and low < size / per_unit < high:
            axes.axvline(size / per_unit, color=INK, alpha=0.45, linewidth=0.9, zorder=1)
            place = (size / per_unit, 1), (2.5, -1)
            axes.annotate(
                name, place[0], place[1], axes.get_xaxis_transform(), "offset points", va="top", fontsize=TEXT - 1
            )


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
        x, roofs = _around([x for x, _, _ in points], 2, 2), _roofs(results)
        heights = [y for _, y, _ in points] + [height for _, height, level in roofs if level]
        _decades(axes.xaxis, *x, _short)
        _decades(axes.yaxis, *_around(heights, 2, 2), _short)
        for k, (label, height, level) in enumerate(roofs):
            line = {"color": INK, "linewidth": 1.2, "linestyle": DASHES[k % 4], "label": label}
            axes.plot(x, (height, height) if level else (x[0] * height, x[1] * height), **line)
        for k, family in enumerate(dict.fromkeys(record["family"] for record in records)):
            own = [(x, y) for x, y, record in points if record["family"] == family]
            look = {"marker": MARKERS[k % 8], "color": SLOTS[k % 8], "s": 22, "linewidths": 0, "zorder": 3}
            axes.scatter(*zip(*own, strict=True), label=family, **look)
        _finish(axes, "Roofline", "operations per byte", "GFLOP/s")
        _legend(axes, 2)
        _label_points(axes, points, _named(points))

    says = "Roofline: GFLOP/s of each kernel against its operations per byte, with the measured ceilings as lines"
    return [_picture("roofline", says, draw, TALL, wide=True)]


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
    styles, pictures = _styles(results), []
    groups = [group for group in kernels(listed(results, "cases")) if len(group) >= 3 and group[0].get("size")]
    for k, group in enumerate(_panels(groups)):
        lines = _lines(group, lambda record, time: (record["size"], time / record["size"] * 1e9))

        def draw(axes, group=group, lines=lines):
            _decades(axes.xaxis, *_around([record["size"] for record in group]), _powers)
            _decades(axes.yaxis, *_around([y for line in lines.values() for _, y in line], 1.5, 2.2), _short)
            for side, line in lines.items():
                axes.plot(*zip(*line, strict=True), label=side, **styles[side])
            if group[-1].get("bytes"):
                _caches(axes, results, group[-1]["bytes"] / group[-1]["size"])
            _finish(axes, f"{group[0]['what']}, {group[0]['dtype']}", "elements", "ns/element")
            _legend(axes)

        says = f"Nanoseconds per element of {group[0]['what']} against the number of elements, a line a library"
        pictures.append(_picture(f"sweep-{k + 1}", says, draw))
    return pictures


def scaling(results):
    """Draw the speed-up against threads, one panel per kernel."""
    styles, pictures = _styles(results), []
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
            axes.set_yticks(ticks, list(map(_short, ticks)))
            axes.minorticks_off()
            _finish(axes, title, "threads", f"times as fast as with {counts[0]} thread{'s' * (counts[0] != 1)}")
            _legend(axes)

        pictures.append(_picture(f"scaling-{k + 1}", f"Speed-up of {title}, against threads", draw))
    return pictures


def epochs(results):
    """Draw bars of the time of an epoch, one panel per training."""
    styles, pictures = _styles(results), []
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
            _finish(axes, record["what"], "seconds", "")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)

        says = f"Seconds of one {record['what']}, a bar a library"
        pictures.append(_picture(f"epochs-{k + 1}", says, draw, (SIZE[0], 1 + 0.32 * len(bars))))
    return pictures


def bandwidth(results):
    """Draw the measured bandwidth against the bytes moved, one line per mix of reads and writes."""
    records = ceilings(results, "bandwidth")
    if not records:
        return []

    def draw(axes):
        _decades(axes.xaxis, *_around([each["bytes"] for each in records]), _powers)
        _decades(axes.yaxis, *_around([_speed(each, "bytes") for each in records], 1.3, 1.6), _short)
        for k, (mix, group) in enumerate(grouped(records, "mix").items()):
            line = sorted((each["bytes"], _speed(each, "bytes")) for each in group)
            axes.plot(*zip(*line, strict=True), label=mix, **_style(k))
        _caches(axes, results, 1)
        _finish(axes, "Bandwidth by mix of reads and writes", "bytes moved by a call", "GB/s")
        _legend(axes, 3)

    return [_picture("bandwidth", "Gigabytes a second against the bytes moved, a line a mix of reads and writes", draw)]


KINDS = {"roofline": roofline, "sweep": sweep, "scaling": scaling, "epochs": epochs, "bandwidth": bandwidth}
