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
LINES = 1000  # of them, at most
MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NaT", "NULL", "null", "\\N", "#DIV/0!"]
INTEGER, EXCEL = re.compile(r"\d+"), re.compile(r'"?sep=(.)"?\s*')
SPACES = str.maketrans("", "", "\xa0\u202f\u2009")  # between thousands
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
    """Return the layout that the first lines show."""
    lines = list(islice(StringIO(sample, newline=""), LINES))
    excel = EXCEL.fullmatch(lines[0])
    before = 1 if excel else 0
    separator, rows = _separated(lines[before:], like, (excel[1],) if excel else tuple(SEPARATORS))
    if separator not in SEPARATORS or not rows:
        raise DataError(f"{path}: has no rows of columns with {', '.join(SEPARATORS.values())} between them")
    names, width = rows[0], Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    decimal, thousands = _marks(separator, rows[1:])
    known = like is not None and like.named and 2 * len({*names} & {*like.names}) >= min(len(names), len(like.names))
    if header is None and not known:
        marks = str.maketrans(
            "," if decimal == "," else "", "." if decimal == "," else "", "." if decimal == "," else ""
        )
        header = _has_header([[cell.translate(marks) for cell in row] for row in rows])
    named = known if header is None else header
    if not named:
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
    if named:
        names = _unique([name.lstrip("# ") for name in names])
        before = next(split(iter(lines), separator, before))[1]
    return Layout(names, named, separator, decimal, thousands, before)


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
    for separator in dict.fromkeys((*(() if like is None else (like.separator,)), *known)):
        try:
            rows = [cells for _, _, cells in split(iter(lines), separator)]
        except csv.Error:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
        if width == 1:
            continue
        cells = [cell for row in rows[:100] for cell in row]
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
    cells = [cell.translate(SPACES) for row in rows for cell in row]
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
    pairs = list(zip(first, columns, strict=False))
    texts = [name for name in first if not _is_number(name) and name not in (*MISSING, "?")]
    new = [name for name, column in pairs if name in texts and name not in column]
    if len(new) == len(texts) and _ascends(first):  # 0, 1, 2, ... as pandas writes it, or years, perhaps with others
        fractions = any("." in cell for row in rest for cell in row if _is_number(cell))
        above = [name for name, column in pairs if name in texts and 2 * sum(map(_is_number, column)) > len(column)]
        whole = all(INTEGER.fullmatch(cell) for cell in first if _is_number(cell))
        enough = above or (whole and (len(first) - len(texts) > 2 or fractions))
        if enough and not any(map(_ascends, rest[:100])):
            return True
        counts = [cell for cell in first if cell and cell not in texts]
        if counts == [str(k) for k in range(len(counts))] and (fractions or texts or len(counts) > 2):
            return first != rows[1]
    votes = [
        _is_number(name)
        for name, column in pairs
        if name not in (*MISSING, "?") and 2 * sum(map(_is_number, column)) > len(column)
    ]
    if votes:  # of the columns of numbers
        return 2 * sum(votes) <= len(votes)
    return len(set(texts)) == len(texts) == len(new)


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
