"""Writes results as report.html, report.md and results.json.

The report depends on the tree of results alone; sections without data are left out.
"""

import json
from pathlib import Path

from . import comparisons, drawing, growth, particulars, plots, side_by_side
from .document import LONG, Claim, Table, html, markdown
from .notation import duration
from .results import date, environment, grouped, listed, processor, standing, threads


def write(results, folder):
    """Write results.json, report.md with its pictures, and report.html.

    Parameters
    ----------
    results : dict
        The tree.
    folder : str or path
        The folder, which is created if it does not exist.

    Returns
    -------
    Path
        The path of report.html.
    """
    folder = Path(folder)
    title, opening, sections = report(results)
    parts = [*opening, *(part for section in sections for part in section.parts)]
    pictures = [picture for part in parts if type(part) is list for picture in part]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    files = {f"pictures/{picture.name}.svg": drawing.alone(picture) for picture in pictures}
    files["results.json"] = json.dumps(results, indent=1) + "\n"
    files["report.md"] = markdown(title, opening, sections)
    files["report.html"] = html(title, opening, sections, drawing.COLOURS)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "report.html"


def write_comparison(before, after, folder):
    """Write comparison.md and comparison.html of two trees of results; return the Markdown of the first sections."""
    folder, parts = Path(folder), side_by_side.report(before, after)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.md").write_text(markdown(*parts), encoding="utf-8")
    (folder / "comparison.html").write_text(html(*parts, drawing.COLOURS), encoding="utf-8")
    title, opening, sections = parts
    return markdown(title, opening, [each for each in sections if each.title not in ("All", "In one only")])


def report(results):
    """Return title, opening and list of Section."""
    try:
        pictures, missing = plots.all_pictures(results), None
    except ImportError as error:  # no matplotlib: report without pictures
        pictures, missing = dict.fromkeys(plots.KINDS), f"There are no pictures: {error}"
    opening = [Claim(standing(results)), pictures["standing"], _lead(results)]
    sections = [
        comparisons.families(results),
        comparisons.roofline(results, pictures["roofline"]),
        comparisons.sweep(pictures["sweep"]),
        comparisons.epochs(results, pictures["epochs"]),
        comparisons.scaling(results, pictures["scaling"]),
        growth.section_of(results, pictures["growth"]),
        comparisons.losing(results),
        *(comparisons.family(results, *each) for each in grouped(listed(results, "cases"), "family").items()),
        comparisons.memory(results),
        particulars.ceilings(results, pictures["bandwidth"]),
        particulars.compilation(results),
        particulars.assembly(results),
        particulars.accuracy(results),
        comparisons.not_timed(results),
        particulars.machine(results, missing),
        particulars.again(results),
    ]
    return _title(results), list(filter(None, opening)), [section for section in sections if section]


def summary(results):
    """Return Markdown for a terminal: where gd stands and where it loses; of a long folded table its first line."""
    found = [comparisons.families(results), comparisons.losing(results), growth.section_of(results, [])]
    sections = [each._replace(parts=list(map(_in_short, each.parts))) for each in found if each]
    return markdown(_title(results), list(filter(None, [Claim(standing(results)), _lead(results)])), sections)


def _title(results):
    return f"gd benchmark, {processor(results)}" if environment(results) else "gd benchmark"


def _in_short(part):
    return part.fold if isinstance(part, Table) and part.fold and len(part.rows) > LONG else part


def _lead(results):
    """Return a line with the machine, date and command of the results."""
    commit, command = environment(results).get("commit"), results.get("command")
    took = f" in {duration(results['seconds'])}" if results.get("seconds") else ""
    parts = [processor(results) if environment(results) else None, threads(results), date(results, " %H:%M %Z")]
    parts += [commit and f"commit {commit}", command and f"`{command}`{took}"]
    return ", ".join(filter(None, parts))
