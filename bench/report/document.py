"""The form of a report, a list of Sections, and its rendering to Markdown and to a single HTML file."""

import re
from html import escape
from typing import NamedTuple

from .notation import NOTHING

WRAPPED = 28  # characters: longer cells take several lines
LONG = 12  # rows: longer tables are folded if they have a `fold` line


class Lost(str):
    """A cell or a paragraph about a case in which gd is behind."""


class Claim(str):
    """The sentence that a report opens with."""


class Table(NamedTuple):
    """A table; columns of numbers are aligned to the right.

    Attributes
    ----------
    columns : sequence of str
    rows : list of sequences of str
    fold : str
        If not empty, the table is folded behind this line.
    """

    columns: tuple
    rows: list
    fold: str = ""


class Picture(NamedTuple):
    """A picture in SVG.

    Attributes
    ----------
    name : str
        The stem of its file beside the Markdown.
    says : str
        A description for readers who cannot see it.
    svg : str
    wide : bool
        True if it takes a row of its own.
    """

    name: str
    says: str
    svg: str
    wide: bool = False


class Code(str):
    """Lines to type."""


class Section(NamedTuple):
    """A piece of the report.

    Attributes
    ----------
    title : str
    parts : list of str, Claim, Lost, Code, Table or list of Picture
        Strings are paragraphs.
    """

    title: str
    parts: list


def section(title, *parts):
    """Return a section of the parts that are not empty; None if these are only sentences."""
    parts = [part for part in parts if part]
    return Section(title, parts) if any(type(part) is not str for part in parts) else None


def table(columns, rows, fold=""):
    """Return a table without empty columns, folded if it is long; None without rows."""
    if not rows:
        return None
    kept = [k for k, cells in enumerate(zip(*rows, strict=True)) if k == 0 or any(cell != NOTHING for cell in cells)]
    rows = [tuple(row[k] for k in kept) for row in rows]
    return Table(tuple(columns[k] for k in kept), rows, fold if len(rows) > LONG else "")


def marked(text, lost):
    """Return a cell, marked if gd is behind."""
    return Lost(text) if lost else text


def numeric(table):
    """Return for each column True if it is aligned to the right; the first never is."""
    cells = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    return [k > 0 and all(re.match(r"\d|-?$", cell) for cell in column) for k, column in enumerate(cells)]


# Markdown


def markdown(title, opening, sections, folder="pictures"):
    """Render a report, which opens with some parts, to Markdown; its pictures are files in a folder."""
    blocks = [f"# {_prose(title)}", *(_markdown_part(part, folder) for part in opening)]
    for section in sections:
        blocks.append(f"## {_prose(section.title)}")
        blocks += [_markdown_part(part, folder) for part in section.parts]
    return "\n\n".join(blocks) + "\n"


def _markdown_part(part, folder):
    if isinstance(part, Table):
        table = markdown_table(part)
        return f"<details><summary>{_prose(part.fold)}</summary>\n\n{table}\n\n</details>" if part.fold else table
    if isinstance(part, Code):
        return "\n".join("    " + line for line in part.splitlines())
    if isinstance(part, str):
        return f"**{_prose(part)}**" if isinstance(part, Claim | Lost) else _prose(part)
    return "\n".join(f"![{_prose(picture.says)}]({folder}/{picture.name}.svg)" for picture in part)


def markdown_table(table):
    """Render a table to Markdown."""
    sides = ["---:" if right else "---" for right in numeric(table)]
    rows = [
        [f"**{_literal(cell)}**" if isinstance(cell, Lost) else _literal(cell) for cell in row] for row in table.rows
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (map(_literal, table.columns), sides, *rows))


def _prose(text):
    """Escape Markdown's special characters, except in `code`."""
    return "".join(part if k % 2 else _literal(part) for k, part in enumerate(re.split(r"(`[^`]+`)", text)))


def _literal(text):
    """Escape all of Markdown's special characters, and line ends."""
    return re.sub(r"([\\`*|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", escape(re.sub(r"\s+", " ", text), False))


# HTML


def html(title, opening, sections, colours):
    """Render a report to one self-contained HTML file.

    Parameters
    ----------
    title : str
    opening : list
        The parts that the report opens with, as those of a section.
    sections : list of Section
    colours : str
        CSS of the pictures' colours.
    """
    anchors = _anchors(sections)
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, (title, _) in anchors.items())
    body = "".join(
        f'<section id="{anchor}"><h2>{escape(title)}</h2>{"".join(map(_html_part, parts))}</section>\n'
        for anchor, (title, parts) in anchors.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><title>{escape(title)}</title>'
        f"<style>{colours}{STYLE}</style></head>\n<body><header><h1>{escape(title)}</h1>"
        f"{''.join(map(_html_part, opening))}<nav>{links}</nav></header>\n<main>\n{body}</main></body></html>\n"
    )


def _anchors(sections):
    """Return {unique name: section}."""
    anchors = {}
    for section in sections:
        anchor = re.sub(r"\W+", "-", section.title.lower()).strip("-")
        anchors[anchor if anchor and anchor not in anchors else f"{anchor}-{len(anchors)}"] = section
    return anchors


def _inline(text):
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _html_part(part):
    if isinstance(part, Table):
        table = f'<div class="scroll" tabindex="0">{html_table(part)}</div>'
        return f"<details><summary>{_inline(part.fold)}</summary>{table}</details>" if part.fold else table
    if isinstance(part, Code):
        return f"<pre>{escape(part)}</pre>"
    if isinstance(part, str):
        return f"<p{_mark(part)}>{_inline(part)}</p>"
    figures = "".join(
        f"<figure{' class=wide' if picture.wide else ''}>{picture.svg}</figure>" for picture in part if picture.svg
    )
    return f'<div class="pictures">{figures}</div>'


def html_table(table):
    """Render a table to HTML."""
    right = [' class="n"' if each else "" for each in numeric(table)]
    names = "".join(f"<th{side}>{escape(name)}</th>" for name, side in zip(table.columns, right, strict=True))
    head = f"<thead><tr>{names}</tr></thead>" if any(table.columns) else ""
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_mark(cell, 'n' if side else 'long' if len(cell) > WRAPPED else '')}>{escape(cell)}</td>"
            for cell, side in zip(row, right, strict=True)
        )
        + "</tr>\n"
        for row in table.rows
    )
    return f"<table>{head}<tbody>\n{rows}</tbody></table>"


def _mark(text, more=""):
    kind = "lost" if isinstance(text, Lost) else "claim" if isinstance(text, Claim) else ""
    classes = [each for each in (more, kind) if each]
    return f' class="{" ".join(classes)}"' if classes else ""


STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1d2126;--soft:#5b6570;--line:#dfe3e8;--band:#f5f7f9;--link:#0b4fc4;
--lost:#b3261e;--lost-ground:#fdecea;--shade:#0003}
@media (prefers-color-scheme:dark){:root{--ground:#15181c;--ink:#e4e7ea;--soft:#9ba5af;--line:#30363d;--band:#1d2126;
--link:#8ab8ff;--lost:#ff9d94;--lost-ground:#43201d;--shade:#fff2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0 auto;max-width:72rem;padding:1.5rem clamp(.9rem,3vw,2.5rem) 4rem;background:var(--ground);
color:var(--ink);font:1rem/1.55 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.3rem;line-height:1.3;margin:0 0 .5rem;padding-top:2.6rem}
p{max-width:46rem;margin:.5rem 0 .9rem}
header p{color:var(--soft)}
header p.claim{color:var(--ink);font-size:1.25rem;line-height:1.4}
p.lost{padding:.6rem .9rem;border-left:4px solid var(--lost);background:var(--lost-ground)}
nav{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;padding:.7rem 0;border-block:1px solid var(--line);font-size:.9rem}
nav a,summary{color:var(--link);text-decoration:none}
nav a{padding:.2rem 0}
.scroll{overflow-x:auto;margin:.7rem 0 1.1rem;width:fit-content;max-width:100%;
background:linear-gradient(to left,var(--ground) 40%,transparent) 100% 0/3rem 100% no-repeat local,
linear-gradient(to left,var(--shade),transparent) 100% 0/1rem 100% no-repeat scroll}
table{border-collapse:collapse;font-size:.9rem;line-height:1.35;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{vertical-align:bottom;font-weight:600;border-bottom:2px solid var(--soft)}
td.n,th.n{text-align:right}
td:not(:first-child){white-space:nowrap}
td.long:not(:first-child){white-space:normal;min-width:15rem}
th:first-child,td:first-child{position:sticky;left:0;background:var(--ground);padding-left:0;min-width:6.5rem}
tbody tr:hover td{background:var(--band)}
td.lost,tbody tr:hover td.lost{color:var(--lost);font-weight:700}
details{margin:.6rem 0}
summary{cursor:pointer;padding:.35rem 0;width:fit-content}
code,pre{font:.9em ui-monospace,monospace}
pre{padding:.8rem 1rem;background:var(--band);border:1px solid var(--line);border-radius:6px;overflow-x:auto}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));gap:1.6rem 2rem;
margin:1rem 0}
figure{margin:0}
figure.wide{grid-column:1/-1;max-width:40rem}
svg{display:block;width:100%;height:auto;color:var(--ink)}
@media (max-width:40rem){th,td{padding:.3rem .5rem}table{font-size:.85rem}h1{font-size:1.6rem}
td.long:not(:first-child){min-width:10rem}}
@media print{.scroll{overflow:visible}nav{display:none}}
"""
