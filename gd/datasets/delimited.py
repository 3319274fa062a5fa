"""Delimited text (CSV, TSV and their kin) and Parquet: finds the layout from the first lines; pandas reads."""

import bz2
import csv
import gzip
import lzma
import re
import zipfile
import zlib
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from ..version import to_install
from .table import DataError, Table, as_table, counted, shortened

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
SAMPLE = 2**17  # characters from which the layout is found
CHUNK = 2**20
MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null"]
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
DAMAGES = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
INTEGER, DECIMAL_COMMA = re.compile(r"\d+"), re.compile(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")


class Layout(NamedTuple):
    """How a table lies in its file; a saved model has that of the file that it was trained on."""

    names: list[str]
    named: bool  # whether the first line has the names
    separator: str = ","
    decimal: str = "."
    thousands: str | None = None


def require_pandas(what: str) -> Any:
    """Return pandas, or raise DataError."""
    try:
        import pandas
    except ImportError:
        raise DataError(f"{what} needs pandas: {to_install('tables')}") from None
    return pandas


def read_parquet(path: Path) -> Table:
    """Return the columns of a Parquet file."""
    pandas = require_pandas(f"{path}: Parquet")
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: {to_install('tables')}") from None
    try:
        frame = pandas.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: is a damaged Parquet file, or one that pyarrow {pyarrow.__version__} cannot read"
        ) from error
    return as_table(str(path), frame)


def read_delimited(path: Path, header: bool | None = None, like: Layout | None = None, texts: tuple[str, ...] = ()):
    """Return the table in a text file, and its layout.

    `header` says whether the first line has names, if that is known; `like` is the layout of the file that a model
    was trained on; the columns `texts` are not taken for numbers.
    """
    encoding, sample = _inspected(path)
    pandas = require_pandas(f"{path}: a table")
    layout, first = _layout(path, sample, header, like)
    with _opened(path) as file:
        try:
            frame = pandas.read_csv(
                file,
                sep=r"\s+" if layout.separator == " " else layout.separator,
                header=0 if layout.named else None,
                names=layout.names,
                dtype={name: str for name in texts if name in layout.names},
                decimal=layout.decimal,
                thousands=layout.thousands,
                encoding=encoding,
                na_values=MISSING,
                keep_default_na=False,
                skipinitialspace=True,
                low_memory=False,
            )
        except (ValueError, OverflowError, pandas.errors.ParserError) as error:
            _check_lines(path, encoding, layout, "inside string" in str(error))
            raise DataError(f"{path}: is no table with {SEPARATORS[layout.separator]} between its columns") from error
    if not len(frame):
        raise DataError(f"{path}: has no rows, only a header")
    if frame.iloc[:, -1].isna().any() or not isinstance(frame.index, pandas.RangeIndex):
        _check_lines(path, encoding, layout)  # a row that is too short looks as if its last values were missing
    for name in first:  # unnamed columns at the end of all lines, after a last separator
        if frame[name].isna().all():
            frame, layout = frame.drop(columns=name), layout._replace(names=[n for n in layout.names if n != name])
    table = as_table(str(path), frame)
    table.named = layout.named
    table.line = lambda row: _line(path, encoding, layout, row)
    return table, layout


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file to read its bytes, decompressed; the kind of compression is known by the first bytes."""
    with path.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise DataError(f"{path}: is compressed by zstd, expected gzip, bzip2, xz or zip; decompress it first")
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if len(inside) != 1:
                raise DataError(f"{path}: is a zip archive of {len(inside)} files, expected one; extract it first")
            with archive.open(inside[0]) as member:
                yield member
        return
    with path.open("rb") if opener is None else opener(path) as file:
        yield file


def sample_of(path: Path) -> str:
    """Return the beginning of a file as text, whatever it holds."""
    with _damages_told(path), _opened(path) as file:
        return file.read(SAMPLE).decode("latin-1")


@contextmanager
def _damages_told(path: Path) -> Iterator[None]:
    """Raise DataError for what goes wrong while a file is read and decompressed."""
    try:
        yield
    except DAMAGES as error:
        if isinstance(error, OSError) and error.strerror and not isinstance(error, gzip.BadGzipFile):
            raise DataError(f"{path}: {error.strerror}") from error
        raise DataError(f"{path}: is damaged: its compressed data are not complete or not valid") from error


def _inspected(path: Path) -> tuple[str, str]:
    """Return the encoding of a text file and the beginning of its text, or raise DataError."""
    head, lines = b"", 1
    with _damages_told(path), _opened(path) as file:
        while chunk := file.read(CHUNK):
            if not head:
                encoding = "utf-16" if chunk.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
                decoder = getincrementaldecoder(encoding)()
            if b"\0" in chunk and encoding != "utf-16":
                line = lines + chunk[: chunk.index(b"\0")].count(b"\n")
                raise DataError(f"{path}: line {line} has a NUL byte, expected a text file")
            lines += chunk.count(b"\n")
            head = head if len(head) > 4 * SAMPLE else head + chunk[: 4 * SAMPLE]
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                if encoding == "utf-16":
                    raise DataError(f"{path}: is damaged: not all of it is UTF-16") from None
                encoding, decoder = "latin-1", getincrementaldecoder("latin-1")()
    text = head.decode(encoding, "ignore")[:SAMPLE] if head else ""
    if not text.strip():
        raise DataError(f"{path}: is empty")
    if sum(c not in "\t\r\n\f" and not c.isprintable() for c in text) > len(text) / 50:
        raise DataError(f"{path}: is no text file")
    return encoding, text


def _split(lines: Any, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first line, last line, cells) of each row that is not blank; raise csv.Error for an open quote."""
    if separator == " ":
        lines = (line.strip(" \t\r\n") + "\n" for line in lines)
        lines = (line.replace("\t", " ") for line in lines)
    reader, last = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=False), 0
    for cells in reader:
        first, last = last + 1, reader.line_num
        if cells and (len(cells) > 1 or cells[0].strip()):
            yield first, last, [cell.strip() for cell in cells]


def _layout(path: Path, sample: str, header: bool | None, like: Layout | None) -> tuple[Layout, list[str]]:
    """Return the layout that the first lines show, and the unnamed columns that a last separator may have made."""
    lines = sample.splitlines(keepends=True)
    lines = lines[: -1 if len(lines) > 1 and len(sample) >= SAMPLE else None][:1000]
    separator, rows = _separated(lines, like)
    names, width = rows[0], Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    decimal, thousands = _decimal(separator, rows[1:])
    named = _has_header(rows, decimal, like) if header is None else header
    unnamed: list[str] = []
    if not named:
        names = [str(k) for k in range(width)]
    elif len(names) == width - 1 and any(row[-1:] != [""] for row in rows[1:]):
        names = ["", *names]  # as R writes the names of rows
    elif len(names) == width - 1:
        names = [*names, ""]
    if len(names) != width and len(rows) > 1:
        first, _, cells = next(
            (each for each in _split(lines, separator) if len(each[2]) != len(names)), (1, 1, rows[0])
        )
        raise DataError(
            f"{path}: line {first} has {counted(len(cells), 'column')} between {SEPARATORS[separator]}, "
            f"expected {len(names)}"
        )
    if len(names) < 2 and like is None:
        raise DataError(f"{path}: has one column, expected several with {', '.join(SEPARATORS.values())} between them")
    if named:
        names, unnamed = _unique([name.lstrip("# ") for name in names])
    return Layout(names, named, separator, decimal, thousands), unnamed


def _separated(lines: list[str], like: Layout | None) -> tuple[str, list[list[str]]]:
    """Return the separator that cuts most lines into equally many cells, and the cells."""
    best: tuple[float, str, list[list[str]]] = (0.0, ",", [])
    first = () if like is None else (like.separator,)
    for separator in dict.fromkeys((*first, *SEPARATORS)):
        try:
            rows = [cells for _, _, cells in _split(lines, separator)]
        except csv.Error:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
        share = count / len(rows) if width > 1 else 0.0
        share = share if separator != " " else 0.9 * share  # texts have spaces, too
        if share > best[0]:
            best = share, separator, rows
    if not best[2]:
        rows = [[line.strip()] for line in lines if line.strip()]
        best = 0.0, ",", rows
    return best[1], best[2]


def _decimal(separator: str, rows: list[list[str]]) -> tuple[str, str | None]:
    """Return the decimal mark, and the mark between thousands if there is one."""
    cells = [cell for row in rows for cell in row]
    if separator == "," or not any(DECIMAL_COMMA.fullmatch(cell) for cell in cells):
        return ".", None
    if any(re.fullmatch(r"[+-]?\d+\.\d+", cell) and not THOUSANDS.fullmatch(cell) for cell in cells):
        return ".", None  # both: the column with commas is no number, and will be named
    return ",", "." if any(THOUSANDS.fullmatch(cell) for cell in cells) else None


def _is_number(cell: str, decimal: str = ".") -> bool:
    try:
        float(cell.replace(decimal, ".") if decimal == "," else cell)
    except ValueError:
        return False
    return "_" not in cell


def _has_header(rows: list[list[str]], decimal: str, like: Layout | None) -> bool:
    """Return True if the first row has the names of the columns."""
    first, rest = rows[0], rows[1:]
    if like is not None and like.named and len({*first} & {*like.names}) * 2 >= min(len(first), len(like.names)):
        return True
    if not rest:
        return not any(_is_number(cell) for cell in first)
    numbers = [cell for cell in first if INTEGER.fullmatch(cell)]
    places = [int(cell) for cell in numbers]
    counted = places == [*range(len(places))] or (len(places) > 2 and places == [*range(1, len(places) + 1)])
    others = [cell for cell in first if cell not in numbers]
    if counted and len(places) > 1 and len(others) <= 2 and not any(_is_number(cell) for cell in others):
        fractional = any("." in cell or decimal in cell for row in rest for cell in row if _is_number(cell, decimal))
        if len(places) > 2 or fractional or others:
            return first != rest[0]
    columns = [[cell for cell in column if cell not in MISSING] for column in zip(*rest, strict=False)]
    votes = [
        _is_number(name, decimal)
        for name, column in zip(first, columns, strict=False)
        if name not in (*MISSING, "?") and 2 * sum(_is_number(cell, decimal) for cell in column) > len(column)
    ]
    if votes:  # over columns of numbers
        return 2 * sum(votes) <= len(votes)
    texts = [name for name in first if name]
    return len(set(texts)) == len(texts) and not any(
        name in column for name, column in zip(first, columns, strict=False)
    )


def _unique(names: list[str]) -> tuple[list[str], list[str]]:
    """Return names without repetitions, as pandas numbers them, and those that were empty, but for a first one."""
    found: list[str] = []
    unnamed = []
    for k, name in enumerate(names):
        own, count = name or f"unnamed {k}", 0
        while own in found:
            count += 1
            own = f"{name}.{count}"
        found.append(own)
        if k and not name:
            unnamed.append(own)
    return found, unnamed


@contextmanager
def _rows(path: Path, encoding: str, layout: Layout) -> Iterator[Iterator[tuple[int, int, list[str]]]]:
    """Open a file; give (first line, last line, cells) of each of its rows, without the header."""
    with _opened(path) as file, TextIOWrapper(file, encoding, newline="") as text:
        rows = _split(text, layout.separator)
        if layout.named:
            next(rows, None)
        yield rows


def _check_lines(path: Path, encoding: str, layout: Layout, open_quote: bool = False) -> None:
    """Raise DataError for the first line that has more or fewer cells than there are columns."""
    first = 1
    with _rows(path, encoding, layout) as rows:
        try:
            for first, last, cells in rows:
                if len(cells) != len(layout.names):
                    if last - first > 100:
                        open_quote = True
                        break
                    raise DataError(
                        f"{path}: line {first} has {counted(len(cells), 'column')}, expected {len(layout.names)}: "
                        f"{shortened(','.join(cells))}"
                    )
        except csv.Error:  # a cell is too long
            open_quote = True
    if open_quote:
        raise DataError(f"{path}: line {first} opens a quote that is not closed")


def _line(path: Path, encoding: str, layout: Layout, row: int) -> int:
    """Return the line in which a row begins."""
    with _rows(path, encoding, layout) as rows:
        return next((first for k, (first, _, _) in enumerate(rows) if k == row), row + 1)
