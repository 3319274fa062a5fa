"""Writes results as report.html, report.md and results.json.

The report depends on the tree of results alone; sections without data are left out.
"""

import json
from datetime import datetime
from pathlib import Path

from . import comparisons, drawing, particulars, plots
from .document import html, markdown
from .notation import duration
from .results import environment, grouped, listed


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
    title, lead, sections = report(results)
    pictures = [picture for section in sections for part in section.parts if type(part) is list for picture in part]
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    files = {f"pictures/{picture.name}.svg": drawing.alone(picture) for picture in pictures}
    files["results.json"] = json.dumps(results, indent=1) + "\n"
    files["report.md"] = markdown(title, lead, sections)
    files["report.html"] = html(title, lead, sections, drawing.COLOURS)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "report.html"


def report(results):
    """Return title, lead and list of Section."""
    try:
        pictures, missing = plots.all_pictures(results), None
    except ImportError as error:  # no matplotlib: report without pictures
        pictures, missing = dict.fromkeys(plots.KINDS), f"There are no pictures: {error}"
    sections = [
        comparisons.headline(results),
        comparisons.losing(results),
        comparisons.sweep(pictures["sweep"]),
        comparisons.epochs(results, pictures["epochs"]),
        comparisons.scaling(results, pictures["scaling"]),
        comparisons.roofline(results, pictures["roofline"]),
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
    return "gd benchmark", _lead(results), [section for section in sections if section]


def summary(results):
    """Return Markdown for a terminal: the headline and where gd loses, without folded tables."""
    found = [each for each in (comparisons.headline(results), comparisons.losing(results)) if each]
    sections = [each._replace(parts=[part for part in each.parts if not getattr(part, "fold", "")]) for each in found]
    return markdown("gd benchmark", _lead(results), sections)


def _lead(results):
    """Return a line with the machine, date and command of the results."""
    machine, parts = environment(results), []
    if machine.get("processor"):
        parts.append(machine["processor"])
    if machine.get("threads"):
        parts.append(f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}")
    if results.get("started"):
        started = datetime.fromisoformat(results["started"])
        parts.append(f"{started.day} {started:%B %Y %H:%M %Z}".strip())
    if machine.get("commit"):
        parts.append(f"commit {machine['commit']}")
    if results.get("command"):
        took = f" in {duration(results['seconds'])}" if results.get("seconds") else ""
        parts.append(f"`{results['command']}`{took}")
    return ", ".join(parts)
