"""Delimited text (CSV, TSV and their kin) and Parquet: finds the layout from the first lines; pandas reads."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from ..version import to_install
from .layout import MISSING, POINT, SEPARATORS, Layout, layout_of, pointed, split
from .table import FILLED, DataError, Table, as_number, as_table, counted, shortened

SAMPLE = 2**18  # bytes from which the layout is found, and more where lines are long
CHUNK = 2**18
CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r"))  # bytes that text has not
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
DAMAGES = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def require_pandas(what: str) -> Any:
    """Return pandas, or raise DataError."""
    try:
        import pandas
    except ImportError:
        raise DataError(f"{what} needs pandas: {to_install('tables')}") from None
    return pandas


def read_parquet(path: Path, drop: Sequence[str] = ()) -> Table:
    """Return the columns of a Parquet file."""
    pandas = require_pandas(f"{path}: Parquet")
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: {to_install('tables')}") from None
    try:
        frame = pandas.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        why = "is damaged, has two columns of one name, or is of a kind that pyarrow"
        raise DataError(f"{path}: {why} {pyarrow.__version__} cannot read as Parquet") from error
    return as_table(str(path), frame, drop, advise=True)


def read_delimited(path: Path, header: bool | None = None, like: Layout | None = None, texts: tuple[str, ...] = ()):
    """Return the table in a text file, and its layout.

    `header` says whether the first line has names, if that is known; `like` is the layout of the file that a model
    was trained on; the columns `texts` are not taken for numbers.
    """
    encoding, sample = _inspected(path)
    pandas = require_pandas(f"{path}: a table")
    layout = layout_of(path, sample, header, like)
    with opened(path) as file, TextIOWrapper(file, encoding, newline="") as text:
        for _ in range(layout.first):
            text.readline()
        try:
            frame = pandas.read_csv(
                text,
                sep=r"\s+" if layout.separator == " " else layout.separator,
                header=None,
                names=layout.names,
                dtype={name: str for name in texts if name in layout.names},
                decimal=layout.decimal,
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
        frame = frame.dropna(how="all")
    own = frame.index
    table = as_table(str(path), frame)
    table.named, table.line = layout.named, lambda row: _line(path, encoding, layout, own[row])
    columns = table.columns
    for name, values in columns.items():
        if values.dtype.kind == "O" and name not in texts:
            columns[name] = _plain(values, layout)
    if layout.named and all(values.dtype.kind == "O" for values in columns.values()):
        again = np.logical_and.reduce([values == name for name, values in columns.items()])
        if again.any():
            raise DataError(f"{table.place(int(again.argmax()))} repeats the header; take it out")
    return table, layout


def _plain(values: Any, layout: Layout) -> Any:
    """Return texts in which numbers have a decimal point and no mark between thousands, if that makes numbers of most.

    pandas does not see numbers with thousands, and none in a column that has other texts, too.
    """
    present = [value for value in values if value is not None]
    commas = layout.separator != "," != layout.thousands and not any(map(POINT.fullmatch, present))
    plains = [pointed(value, "," if commas else layout.decimal, layout.thousands) for value in present]
    texts = sum(as_number(value) is None and value.lower() not in FILLED for value in plains)
    if plains == present or 5 * texts > len(plains):
        return values
    out, rest = values.copy(), iter(plains)
    out[:] = [None if value is None else next(rest) for value in values]
    return out


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file to read its bytes, decompressed; the kind of compression is known by the first bytes."""
    with path.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise DataError(f"{path}: is compressed by zstd, expected gzip, bzip2, xz or zip; decompress it first")
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if "[Content_Types].xml" in inside:
                raise DataError(f"{path}: is a workbook or a document, expected a table; save its sheet as CSV")
            if len(inside) != 1:
                raise DataError(f"{path}: is a zip archive of {len(inside)} files, expected one; extract it first")
            with archive.open(inside[0]) as member:
                yield member
        return
    with path.open("rb") if opener is None else opener(path) as file:
        yield file


def sample_of(path: Path) -> str:
    """Return the beginning of a file as text, whatever it holds."""
    with damages_told(path), opened(path) as file:
        return file.read(SAMPLE).decode("latin-1")


@contextmanager
def damages_told(path: Path) -> Iterator[None]:
    """Raise DataError for what goes wrong while a file is read and decompressed."""
    try:
        yield
    except DAMAGES as error:
        if isinstance(error, OSError) and error.strerror and not isinstance(error, gzip.BadGzipFile):
            raise DataError(f"{path}: {error.strerror}") from error
        raise DataError(f"{path}: is damaged: its compressed data are not complete or not valid") from error


def _inspected(path: Path) -> tuple[str, str]:
    """Return the encoding of a text file and the beginning of its text, whole lines, or raise DataError."""
    head, lines, ended = b"", 1, True
    with damages_told(path), opened(path) as file:
        while chunk := file.read(CHUNK):
            if not head:
                encoding = "utf-16" if chunk.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
                decoder = getincrementaldecoder(encoding)()
            if b"\0" in chunk and encoding != "utf-16":
                line = lines + chunk[: chunk.index(b"\0")].count(b"\n")
                raise DataError(f"{path}: is no text file, line {line} has a NUL byte")
            lines += chunk.count(b"\n")
            if ended := len(head) < SAMPLE or head.count(b"\n") < 20:
                head += chunk
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                if encoding == "utf-16":
                    raise DataError(f"{path}: is damaged: not all of it is UTF-16") from None
                encoding, decoder = "latin-1", getincrementaldecoder("latin-1")()
    text = head.decode(encoding, "ignore") if head else ""
    if not text.strip():
        raise DataError(f"{path}: is empty")
    controls, others = (len(head) - len(head.translate(None, each)) for each in (CONTROLS, bytes(range(127, 160))))
    if (encoding != "utf-16" and 50 * controls > len(head)) or (encoding == "latin-1" and 10 * others > len(head)):
        raise DataError(f"{path}: is no text file in UTF-8, UTF-16 or latin-1")
    if text.lstrip()[0] in "{[<":
        raise DataError(
            f"{path}: is {'HTML or XML' if text.lstrip()[0] == '<' else 'JSON'}, expected a table such as CSV"
        )
    return encoding, text if ended else text[: text.rindex("\n") + 1]


@contextmanager
def _rows(path: Path, encoding: str, layout: Layout) -> Iterator[Iterator[tuple[int, int, list[str]]]]:
    """Open a file; give (first line, last line, cells) of each of its rows, without the header."""
    with opened(path) as file, TextIOWrapper(file, encoding, newline="") as text:
        yield split(text, layout.separator, layout.first)


def _check_lines(path: Path, encoding: str, layout: Layout, open_quote: bool = False) -> None:
    """Raise DataError for the first line that has more or fewer cells than there are columns."""
    first, expected = 1, len(layout.names)
    with _rows(path, encoding, layout) as rows:
        for first, last, cells in rows:
            if last - first > 100 and len(cells) != expected:
                break
            if len(cells) != expected:
                quote = "opens a quote that is not closed there, and " if last > first else ""
                text = shortened(layout.separator.join(cells))
                raise DataError(
                    f"{path}: line {first} {quote}has {counted(len(cells), 'column')}, expected {expected}: {text}"
                )
        else:
            if not open_quote:
                return
    raise DataError(f"{path}: line {first} opens a quote that is not closed")


def _line(path: Path, encoding: str, layout: Layout, row: int) -> int:
    """Return the line in which a row begins."""
    with _rows(path, encoding, layout) as rows:
        return next((first for k, (first, _, _) in enumerate(rows) if k == row), row + 1)
