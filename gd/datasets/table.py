"""Table: columns by name, of a file or a data frame, with the sentences that name a cell."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from decimal import Decimal
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILLED = ("?", "-", "--", ".", "na", "n.a.", "none")  # count as missing among numbers, where such are to be filled
FEW = 20  # different values of a column of which some are numbers, that is one of texts
BOOLEANS = {"true": "True", "false": "False", "1": "True", "0": "False"}
LARGEST = 1e150  # of numbers: their squares must be finite


class DataError(ValueError):
    """Raised for data that cannot be used; the message is one line for the user."""


@dataclass
class Table:
    """Columns of equal length.

    Attributes
    ----------
    columns : dict of str to ndarray
        Numbers, booleans, or objects: str, or None where a value is missing.
    source : str
        What messages call the table, such as a path.
    named : bool
        False if the columns have no names but their numbers.
    line : callable, optional
        Returns the line of a row in its file.
    advice : bool
        Whether messages name the options of `gd train` that help.
    """

    columns: dict[str, NDArray[Any]]
    source: str
    named: bool = True
    line: Callable[[int], int] | None = None
    advice: bool = False

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def place(self, row: int, name: str | None = None) -> str:
        """Return how messages name a row, or a cell; rows count from 1."""
        line = f"line {self.line(row)}, " if self.line else ""
        return f"{self.source}: {line}row {row + 1}" + (f", column {name!r}" if name is not None else "")

    def without(self, names: Iterable[str]) -> "Table":
        """Return the table without some columns."""
        out = set(names)
        return replace(self, columns={name: each for name, each in self.columns.items() if name not in out})

    def renamed(self, names: Iterable[str]) -> "Table":
        """Return the table with other names for its columns, in their order."""
        return replace(self, columns=dict(zip(names, self.columns.values(), strict=True)))

    def kind(self, name: str) -> str:
        """Return what a column holds: number, boolean or text."""
        values = self.columns[name]
        if values.dtype.kind in "fiu":
            return "number"
        if values.dtype.kind == "b":
            return "boolean"
        found = [value for value in values if value is not None]
        different = {value.lower() for value in found}
        if different & {"true", "false"} and different <= BOOLEANS.keys():
            return "boolean"
        found = [value for value in found if value.lower() not in FILLED]
        texts = sum(as_number(value) is None for value in found)
        if 2 * texts > len(found) or not found:
            return "text"
        return "text" if 20 * texts > len(found) and len(different) <= FEW else "number"

    def is_empty(self, name: str) -> bool:
        """Return True if all values of a column are missing."""
        values = self.columns[name]
        if values.dtype.kind == "O":
            return all(value is None or value == "?" for value in values)
        return values.dtype.kind == "f" and bool(np.isnan(values).all())

    def numbers(self, name: str, filled: bool) -> NDArray[np.float64]:
        """Return a column as finite numbers, NaN where a value is missing and is to be filled; else raise."""
        values = self.columns[name]
        if values.dtype.kind == "O":
            numbers = np.empty(len(values))
            for row, value in enumerate(values):
                number = as_number(value) if value is not None else np.nan
                if value is not None and number is None and not (filled and value.lower() in FILLED):
                    raise DataError(
                        f"{self.place(row, name)}: {shortened(value)} is no number{self._advice(name, value)}"
                    )
                numbers[row] = np.nan if number is None else number
        else:
            numbers = np.asarray(values, np.float64)
        wrong = np.isinf(numbers) | (np.abs(numbers) > LARGEST)
        wrong = wrong if filled else wrong | np.isnan(numbers)
        if wrong.any():
            row = int(wrong.argmax())
            if np.isnan(numbers[row]):
                raise DataError(f"{self.place(row, name)}: the value is missing{self._advice(name)}")
            raise DataError(f"{self.place(row, name)}: {numbers[row]:g} is no number between -1e150 and 1e150")
        return numbers

    def texts(self, name: str, kind: str) -> NDArray[Any]:
        """Return a column as texts, empty where a value is missing."""
        values = self.columns[name]
        if values.dtype.kind == "b":
            return np.array(["False", "True"], object)[values.astype(np.intp)]
        if values.dtype.kind != "O":
            missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
            return np.array(["" if gone else f"{v:.16g}" for v, gone in zip(values, missing, strict=True)], object)
        if kind == "boolean":
            known = ["" if value is None else BOOLEANS.get(value.lower(), value) for value in values]
            return np.array(known, object)
        return np.array(["" if value is None else value for value in values], object)

    def _advice(self, name, value="?"):
        missing = value.lower() in FILLED
        if not self.advice:
            return "; a model trained with --impute median fills it" if missing else ""
        if self.line and not self.named and self.line(0) == 1 and value != "?":
            return "; --header yes takes the first line for names, " + dropping(name) + " leaves the column out"
        fills = "--impute median fills missing values, " if missing else ""
        return f"; {fills}{dropping(name)} leaves the column out"


def as_table(source: str, frame: Any, drop: Iterable[str] = (), advise: bool = False) -> Table:
    """Return a table of a data frame, or of a dict of arrays; raise DataError if a column holds something else.

    The values of the columns to drop are not looked at.
    """
    names = [str(name) for name in (frame.keys() if isinstance(frame, Mapping) else frame.columns)]
    if len(set(names)) < len(names):
        raise DataError(f"{source}: two columns have the same name, expected different names, got {listed(names)}")
    given = frame if isinstance(frame, Mapping) else {name: frame[name] for name in frame.columns}
    values = [[None] * len(each) if name in drop else each for name, each in zip(names, given.values(), strict=True)]
    columns = {name: as_column(source, name, each, advise) for name, each in zip(names, values, strict=True)}
    if len({len(each) for each in columns.values()}) > 1:
        raise DataError(f"{source}: columns must have equal lengths")
    return Table(columns, source)


def as_column(source: str, name: str, given: Any, advise: bool = False) -> NDArray[Any]:
    """Return numbers, booleans or objects (str or None), or raise DataError for other values."""
    advice = leave_out(name) if advise else ""
    values = np.asarray(given, object) if isinstance(given, (list, tuple)) else np.asarray(given)
    if values.ndim != 1 or values.dtype.kind not in "fiubUSO":
        what = "dates or times" if values.dtype.kind in "mM" else f"{values.dtype} of {values.ndim} dimensions"
        raise DataError(f"{source}: column {name!r} holds {what}, expected numbers, booleans or texts{advice}")
    if values.dtype.kind in "fiub":
        return values
    pandas = sys.modules.get("pandas")
    if values.dtype.kind == "O" and pandas is not None:
        missing = pandas.isna(values)
    else:
        missing = [value is None or value != value for value in values]
    present = [value for value, gone in zip(values, missing, strict=True) if not gone]
    kinds = {type(each) for each in present}
    if kinds and kinds <= {bool, np.bool_} and len(present) == len(values):
        return values.astype(bool)
    if kinds and all(issubclass(each, (int, float, Decimal, np.number)) for each in kinds) and bool not in kinds:
        return np.array([np.nan if gone else _float(v) for v, gone in zip(values, missing, strict=True)])
    for value in present:
        if not isinstance(value, (str, bytes, bool, int, float, np.generic)):
            kind = type(value).__name__
            what = "dates or times" if isinstance(value, (date, time, timedelta)) else f"values of the type {kind}"
            raise DataError(f"{source}: column {name!r} holds {what}, expected numbers or texts{advice}")
    column = np.empty(len(values), object)
    column[:] = [None if gone else _text(v) or None for v, gone in zip(values, missing, strict=True)]
    return column


def _float(value):
    try:
        return float(value)
    except OverflowError:
        return np.inf


def dropping(name: str) -> str:
    """Return the option that leaves a column out, as a shell takes it."""
    text = '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name
    return ("--drop=" if text.startswith("-") else "--drop ") + quote(text)


def leave_out(name: str) -> str:
    """Return the advice to leave a column out."""
    return f"; {dropping(name)} leaves it out"


def _text(value):
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def as_number(text: str) -> float | None:
    """Return the number that a text is, or None."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def shortened(text: str, most: int = 40) -> str:
    """Return the repr of a text, cut if it is long."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}..."


def listed(names: Iterable[Any], most: int = 5) -> str:
    """Return names as a list, cut if there are many."""
    names = [shortened(name) if isinstance(name, str) else str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
