"""How the report draws: SVG in colours that follow the reader's light or dark page.

Lines differ in lightness, dashes and markers, so that they do without colours, too.
"""

import re
from html import escape
from io import StringIO
from math import ceil, floor, log10

from gd.files import new_figure

from .document import Picture
from .notation import figures, superscript
from .results import environment, peers

SIZE = (5.2, 3.9)  # inches of 72 units: text is 9 pixels high where a phone shows it 370 wide
TEXT = 9

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


def alone(picture):
    """Return the text of an SVG file with its own colours."""
    head, rest = picture.svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{COLOURS}{ALONE}</style>{rest}\n'


def picture(name, says, draw, size=SIZE, wide=False, panels=1):
    """Return a picture that a function draws into axes, or into an array of several side by side."""
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
        draw(figure.subplots(1, panels, sharey=True))
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


def style(k):
    """Return the style of the k-th line."""
    return {"color": SLOTS[k % 8], "marker": MARKERS[k % 8], "linestyle": DASHES[k % 8], "linewidth": 1.5}


def styles(results):
    """Return {"gd", a peer or "ceiling": style of its lines}, equal in all pictures of a run."""
    styles = {name: style(k) for k, name in enumerate(("gd", *peers(results)))}
    styles["gd"] |= {"linewidth": 2.4, "zorder": 4}
    styles["ceiling"] = {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.3}
    return styles


def finish(axes, title, x, y):
    """Set the title and labels of axes, and draw a grid."""
    axes.set_title(title, wrap=True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=INK, alpha=0.13, linewidth=0.6)
    axes.set_axisbelow(True)


def legend(axes, columns=4):
    """Write the legend below the axes."""
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=TEXT)


def decades(axis, low, high, label=figures):
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


def powers(value):
    """Write a power of ten."""
    return superscript(round(log10(value)))


def short(value):
    """Write a number in few characters."""
    return f"{value:,g}"


def around(values, below=1.3, above=1.3):
    """Return limits around some values."""
    return min(values) / below, max(values) * above


def caches(axes, results, per_unit):
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
