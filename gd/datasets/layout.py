"""Layouts: how a table lies in its text, found from the first lines: separator, marks in numbers, header."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .table import DataError, as_number, counted

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
LINES, CELLS = 1000, 20_000  # lines and cells that are looked at, at most
MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NaT", "NULL", "null", "\\N", "#DIV/0!"]
COMMENTS = ("#", "%", "|", "/")  # what a line before the table may begin with
INTEGER, EXCEL = re.compile(r"\d+"), re.compile(r'"?sep=(.)"?\s*')
TYPESET = str.maketrans("\u2212", "-", "\xa0\u202f\u2009")  # a minus; spaces between thousands
POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")  # 1.234.567,8
COMMAS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")  # 1,234,567.8


class Layout(NamedTuple):
    """How a table lies in its file; a saved model has that of the file that it was trained on."""

    names: list[str]
    named: bool  # whether the first line has the names
    separator: str = ","
    decimal: str = "."
    thousands: str = ""  # the mark between thousands
    first: int = 0  # lines before the rows


def split(lines: Any, separator: str, before: int = 0) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first line, last line, cells) of each row that is not blank, after some lines before the table."""
    for _ in range(before):
        next(lines, None)
    if separator == " ":
        lines = (line.strip(" \t\r\n").replace("\t", " ") + "\n" for line in lines)
    reader, last, limit = csv.reader(lines, delimiter=separator, skipinitialspace=True), before, csv.field_size_limit()
    while True:
        csv.field_size_limit(2**30)  # for this row
        try:
            cells = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        first, last = last + 1, before + reader.line_num
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield first, last, [cell.strip() for cell in cells]


def layout_of(path: Path, sample: str, header: bool | None, like: Layout | None) -> Layout:
    """Return the layout that the first lines show; with `like`, its marks of numbers, and names where it has some."""
    lines = list(islice(StringIO(sample, newline=""), LINES))
    excel = EXCEL.fullmatch(lines[0])
    before = 1 if excel else 0
    separator, rows = _separated(lines[before:], like, (excel[1],) if excel else tuple(SEPARATORS))
    if separator not in SEPARATORS or not rows:
        raise DataError(f"{path}: has no rows of columns with {', '.join(SEPARATORS.values())} between them")
    width = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    while len(rows) > 2 and len(rows[0]) not in (width, width - 1, width + 1) and rows[0][0][:1] in COMMENTS:
        before = next(split(iter(lines), separator, before))[1]
        rows = rows[1:]
    names, some = rows[0], rows[: 2 + max(50, CELLS // width)]
    decimal, thousands = _marks(separator, some[1:]) if like is None else (like.decimal, like.thousands)
    known = like is not None and like.named and 2 * len({*names} & {*like.names}) >= min(len(names), len(like.names))
    if header is None and like is not None:
        header = known or (like.named and not any(map(_is_number, names)))
    elif header is None:
        header = _has_header([[pointed(cell, decimal, thousands) for cell in row] for row in some])
    if not header:
        names = [str(k) for k in range(width)]
    elif len(names) == width + 1 and not names[-1]:
        names = names[:-1]
    elif len(names) == width - 1 and all(row[-1:] == [""] for row in rows[1:]):
        names = [*names, ""]
    elif len(names) == width - 1 and _are_names(lines[before:], separator, [row[0] for row in rows[1:]]):
        names = ["", *names]  # as R writes the names of rows
    if len(names) != width and len(rows) > 1:
        first, _, cells = next(split(iter(lines), separator, before))
        raise DataError(
            f"{path}: line {first} has {counted(len(cells), 'column')} between {SEPARATORS[separator]}, "
            f"expected {width} as in the lines after it"
        )
    if len(names) < 2 and like is None:
        raise DataError(f"{path}: has one column, expected several with {', '.join(SEPARATORS.values())} between them")
    if header:
        names = _unique([name.lstrip("# ") for name in names])
        before = next(split(iter(lines), separator, before))[1]
    return Layout(names, header, separator, decimal, thousands, before)


def pointed(cell: str, decimal: str, thousands: str) -> str:
    """Return a number with a decimal point and without marks between thousands; other texts as they are."""
    text = cell.translate(TYPESET) if cell[:1].isdigit() or cell[:1] in ("-", "+", "\u2212") else cell
    if thousands and (POINTS if decimal == "," else COMMAS).fullmatch(text):
        text = text.replace(thousands, "")
    return text.replace(",", ".") if decimal == "," and COMMA.fullmatch(text) else text


def _are_names(lines: list[str], separator: str, cells: list[str]) -> bool:
    """Return True if the first cells name or number their rows."""
    if len(set(cells)) < len(cells) or any(mark in cell for cell in cells for mark in "'\"\\"):
        return False
    counts = all(map(INTEGER.fullmatch, cells)) and [int(cell) for cell in cells] == [*range(1, len(cells) + 1)]
    quoted = all(line.startswith('"') for line in lines[1:] if line.strip())
    return counts or quoted or (separator != " " and not any(map(_is_number, cells)))


def _separated(lines: list[str], like: Layout | None, known: tuple[str, ...]) -> tuple[str, list[list[str]]]:
    """Return the separator that cuts most lines into equally many clean cells, and the cells."""
    best: tuple[float, str, list[list[str]]] = (0.0, ",", [[line.strip()] for line in lines if line.strip()])
    if like is not None and len(like.names) < 3:  # perhaps one column without the labels
        known = (like.separator,)
    for separator in dict.fromkeys((*(() if like is None else (like.separator,)), *known)):
        try:
            rows = [cells for _, _, cells in split(iter(lines), separator)]
        except csv.Error:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
        if width == 1:
            best = (0.0, separator, rows) if len(known) == 1 else best
            continue
        cells = [cell for row in rows[: 1 + CELLS // 10 // width] for cell in row]
        clean = sum(_is_clean(cell, separator) for cell in cells) / len(cells)
        score = count / len(rows) * clean * (0.9 if separator == " " else 1.0)  # texts have spaces, too
        if score > best[0]:
            best = score, separator, rows
    return best[1], best[2]


def _is_clean(cell: str, separator: str) -> bool:
    """Return True unless a cell seems to hold several."""
    if any(mark in cell for mark in SEPARATORS if mark not in (separator, " ")) and not COMMA.fullmatch(cell):
        return COMMAS.fullmatch(cell) is not None or POINTS.fullmatch(cell) is not None
    parts = cell.split()
    return len(parts) < 2 or not all(map(_is_number, parts))


def _marks(separator: str, rows: list[list[str]]) -> tuple[str, str]:
    """Return the decimal mark, and the mark between thousands if there is one."""
    cells = [cell.translate(TYPESET) for row in rows for cell in row]
    commas = [cell for cell in cells if "," in cell and (COMMA.fullmatch(cell) or COMMAS.fullmatch(cell))]
    english = bool(commas) and all(map(COMMAS.fullmatch, commas))
    if separator == "," or english or any(POINT.fullmatch(cell) and not POINTS.fullmatch(cell) for cell in cells):
        return ".", "," if english else ""
    if any(map(COMMA.fullmatch, cells)) or any("," in cell and POINTS.fullmatch(cell) for cell in cells):
        return ",", "."
    return ".", ""


def _has_header(rows: list[list[str]]) -> bool:
    """Return True if the first row has the names of the columns; numbers have decimal points."""
    first, rest = rows[0], [row for row in rows[1:] if row != rows[0]]
    if not rest:
        return not any(map(_is_number, first))
    columns = [[cell for cell in column if cell not in MISSING] for column in zip(*rest, strict=False)]
    pairs = [(name, column) for name, column in zip(first, columns, strict=False) if name not in (*MISSING, "?")]
    of_numbers = [2 * sum(map(_is_number, column)) > len(column) for _, column in pairs]
    new = [name not in column for name, column in pairs]
    of_texts = [not _is_number(name) for name, _ in pairs]
    no_text_again = not any(text and not own for text, own in zip(of_texts, new, strict=True))
    if _ascends(first) and any(new) and no_text_again:  # 0, 1, 2, ... as pandas writes it, or years
        counts = [int(name) for name, _ in pairs if INTEGER.fullmatch(name)]
        whole = len(counts) == of_texts.count(False)
        if whole and len(counts) > 2 and counts in ([*range(len(counts))], [*range(1, len(counts) + 1)]):
            return True
        fractions = sum(any("." in cell for cell in column) for _, column in pairs)
        if whole and not any(of_texts) and 2 * fractions >= len(pairs):
            return True
        strong = [
            text and (number or (len(counts) > 2 and 2 * len(set(column)) <= len(column)))
            for text, number, (_, column) in zip(of_texts, of_numbers, pairs, strict=True)
        ]
        if any(strong):
            return True
    votes = [not n or _is_number(name) for n, number, (name, _) in zip(new, of_numbers, pairs, strict=True) if number]
    if votes:  # of the columns of numbers: a text that comes again is no name
        return 2 * sum(votes) <= len(votes)
    texts = [name for name, _ in pairs if not _is_number(name)]
    return len(set(texts)) == len(texts) and all(new)


def _ascends(cells: list[str]) -> bool:
    """Return True if there are at least two numbers among some cells, each above the one before it."""
    numbers = [number for cell in cells if (number := as_number(cell)) is not None]
    return len(numbers) > 1 and all(a < b for a, b in pairwise(numbers))


def _is_number(cell: str) -> bool:
    return as_number(cell) is not None


def _unique(names: list[str]) -> list[str]:
    """Return names without repetitions, as pandas numbers them; "unnamed k" for those that are empty."""
    names = [name or f"unnamed {k}" for k, name in enumerate(names)]
    taken, counts, found = set(names), Counter[str](), []
    for name in names:
        own = name
        while counts[name] and (own := f"{name}.{counts[name]}") in taken:
            counts[name] += 1
        counts[name] += 1
        taken.add(own)
        found.append(own)
    return found
