"""Reading: from a path to rows, labels and what the file has of its own, whatever its layout."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..typing import FilePath
from .arrays import digits, is_npz, is_svmlight, read_idx_folder, read_npy, read_npz, read_svmlight
from .delimited import read_delimited, read_parquet, sample_of
from .layout import Layout
from .table import DataError, Table, listed
from .targets import Place, labels_of

LABELS = ("label", "target", "class", "y")
COUNTERS = "id index row rownames nr no sl_no instant".split()  # and names that end with Id: left out if they count
FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "a Feather file",
    b"\x80\x04\x95": "a pickle",
    b"SQLite": "a database",
    b"\x89PNG": "a picture",
}


@dataclass
class Source:
    """What a path holds.

    Attributes
    ----------
    name, path : str
    X : Table, ndarray or csr_array
    y : ndarray or None
        Labels as they are in the file; None if it has none.
    test : tuple of (X, y), optional
        The file's own test set.
    label : str, optional
        The column of the labels, or the array.
    place : callable
        Returns how messages name the label of a row.
    left_out : dict of str to str
        Columns that are not features, and why.
    largest : float, optional
        The largest value of a pixel.
    first : int
        The number of the first feature in svmlight text.
    layout : Layout, optional
        Of delimited text.
    """

    name: str
    path: str
    X: Any
    y: Any = None
    test: tuple[Any, Any] | None = None
    label: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    largest: float | None = None
    first: int = 0
    layout: Layout | None = None
    how: str = ""  # how the label was found
    task: str | None = None  # of the layout, if it has only one

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.X.rows if isinstance(self.X, Table) else self.X.shape[0]

    @property
    def ignored(self) -> list[str]:
        """The columns of a table that are not features: those left out, and the label."""
        return [*self.left_out, *([self.label] if self.label is not None else [])]

    def of_test(self) -> "Source":
        """Return the file's own test set, which must be there."""
        assert self.test is not None
        return Source(self.name, f"{self.path}: its test set", *self.test)

    @property
    def place(self) -> Place:
        """Return how messages name the label of a row."""
        if isinstance(self.X, Table) and self.label is not None:
            table, label = self.X, self.label
            return lambda row: table.place(row, label)
        return lambda row: f"{self.path}: row {row + 1} of y"


def read(
    path: FilePath | None,
    label: str | None = None,
    drop: Sequence[str] = (),
    header: bool | None = None,
    like: dict[str, Any] | None = None,
) -> Source:
    """Return what a path holds; None is scikit-learn's digits. `like` is `kept` of the file that a model learned from.

    With `like`, the file may have no labels; if it has a test set of its own, its rows are returned.

    Raises
    ------
    DataError
        If the path holds no usable data.
    """
    if path is None:
        source = Source("digits", "digits", *digits(), largest=16.0)
    else:
        path = Path(path)
        try:
            kind = _kind(path)
            stem = path.name if kind == "idx" else path.name.partition(".")[0] or path.name
            if kind in ("csv", "parquet"):
                source = _of_table(Source(stem, str(path), None), kind, label, drop, header, like)
            else:
                source = _of_arrays(Source(stem, str(path), None), kind, label, like)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or 'cannot be read'}") from error
    of_arrays = not isinstance(source.X, Table)
    if drop and of_arrays:
        raise DataError(f"{source.path}: --drop leaves out columns of a table, this is an array")
    if _is_file(label):
        source.y, source.label, source.how = read_npy(Path(label)), None, "--label"
    elif label is not None and of_arrays and not source.how:
        raise DataError(f"{source.path}: has labels of its own, --label {label} does not say others")
    if source.X is None and source.test is not None:
        return source.of_test()
    if source.y is not None:
        source.y = _checked_labels(source.path, source.y, source.rows)
    if source.test is not None:
        X, y = source.test
        if X.ndim < 2 or not len(X):
            raise DataError(f"{source.path}: test rows must be rows x features, got shape {X.shape}")
        source.test = X, None if y is None else _checked_labels(f"{source.path}: its test set", y, len(X))
        return source if like is None else source.of_test()
    return source


def _checked_labels(path: str, y: Any, rows: int) -> NDArray[Any]:
    y = labels_of(path, y)
    if len(y) != rows:
        raise DataError(f"{path}: y must be a label for each row, got {len(y)} labels for {rows} rows")
    return y


def _of_arrays(source: Source, kind: str, label: str | None, like: dict[str, Any] | None) -> Source:
    """Return a source with what a file of arrays holds."""
    path, beside = Path(source.path), _is_file(label)
    if kind == "svmlight":
        X, source.y = read_svmlight(path)
        first = 1 if like is None or X.shape[1] > like["columns"] else like["first"]
        source.first = 0 if X[:, :1].nnz else first
        source.X = X[:, source.first :]
    elif kind == "idx":
        source.X, source.y, source.test = read_idx_folder(path, like is not None)
        source.task = "classification"
    elif kind == "npz":
        name = None if label is None or beside or _is_integer(label) else label
        source.X, source.y, source.test = read_npz(path, name, like is not None or beside)
        source.how = "" if name is None or source.test is not None else "--label"
    else:
        source.X = read_npy(path)
    X = source.X if source.X is not None else source.test[0] if source.test is not None else None
    if X is None or X.ndim < 2 or 0 in X.shape[1:] or (like is None and not X.shape[0]):
        raise DataError(f"{path}: X must be rows x features, got {'none' if X is None else f'shape {X.shape}'}")
    if source.y is None and source.X is not None and not beside:
        _cut_label(source, kind, label, like)
    source.largest = 255.0 if isinstance(X, np.ndarray) and X.dtype == np.uint8 and X.ndim > 2 else None  # pixels
    return source


def kept(source: Source) -> dict[str, Any]:
    """Return what a saved model knows of the file that it was trained on, to read others like it."""
    if isinstance(source.X, Table):
        columns = len(source.X.columns)
        texts = [name for name in source.X.columns if source.X.kind(name) == "text"]
    else:
        columns, texts = int(np.prod(source.X.shape[1:])), []
    if source.label is not None and source.y is not None and source.y.dtype.kind == "O":
        texts.append(source.label)
    return {
        "table": isinstance(source.X, Table),
        "columns": columns,
        "first": source.first,
        "label": source.label,
        "left_out": list(source.left_out),
        "texts": texts,
        "layout": None if source.layout is None else list(source.layout),
    }


def _kind(path: Path) -> str:
    """Return the layout of a path, by its contents."""
    if path.is_dir() or (not path.exists() and path.parent.is_dir() and any(path.parent.glob(f"{path.name}*-idx3-*"))):
        return "idx"
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if not path.is_file():
        raise DataError(f"{path}: is no file or folder")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise DataError(f"{path}: is empty")
    for magic, what in FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"{path}: is {what}, expected a table as CSV or Parquet, .npz, .npy, svmlight or IDX files")
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if path.suffix.lower() == ".npz" or is_npz(path, start):
        return "npz"
    if path.suffix.lower() == ".parquet":
        raise DataError(f"{path}: is no Parquet file: it does not begin with PAR1")
    sample = sample_of(path)
    if sample[:2] == "\0\0" and sample[2:4] in ("\x08\x01", "\x08\x03", "\x0d\x03"):
        raise DataError(f"{path}: is an IDX file; give the folder that holds images and labels")
    return "svmlight" if is_svmlight(sample) else "csv"


def _of_table(
    source: Source, kind: str, label: str | None, drop: Sequence[str], header: bool | None, like: dict[str, Any] | None
) -> Source:
    """Return a source with the table of a file, and its label."""
    path, known = Path(source.path), None if like is None or like["layout"] is None else Layout(*like["layout"])
    if kind == "parquet":
        table = read_parquet(path, drop)
    else:
        table, source.layout = read_delimited(path, header, known, tuple(like["texts"]) if like else ())
    table.advice = like is None
    names = list(table.columns)
    drop = [_column(path, "--drop", name, names) for name in drop]
    if not table.rows:
        raise DataError(f"{path}: has no rows")
    beside = _is_file(label)
    if like is not None:
        whole = not like["table"] or known is None or known.named or len(names) == len(known.names)
        found = like["label"] if like["table"] else names[-1] if len(names) == like["columns"] + 1 else None
        source.label = found if found in names and whole and not beside else None
        source.left_out = {name: "as in training" for name in like["left_out"] if whole and name in names}
    else:
        source.left_out = dict.fromkeys(drop, "--drop")
        others = _not_features(table, [name for name in names if name not in drop])
        if beside:
            source.left_out |= others
        else:
            source.label, source.how = _label(path, table, label, [n for n in names if n not in {*drop, *others}])
            source.left_out |= {name: why for name, why in others.items() if name != source.label}
        if source.label in drop:
            raise DataError(f"{path}: --drop leaves out the column of --label, {source.label!r}")
    if source.label is not None:
        source.y = table.columns[source.label]
    source.X = table.without(source.ignored)
    if not source.X.columns:
        raise DataError(f"{path}: has no column of features, only {listed(names)}")
    return source


def _not_features(table: Table, names: list[str]) -> dict[str, str]:
    """Return the columns that are empty, or name or count the rows, and why they are left out."""
    found = {}
    for k, (name, values) in enumerate(table.columns.items()):
        if name not in names:
            continue
        if k == 0 and name == "unnamed 0":
            found[name] = "has no name"
        elif table.is_empty(name):
            found[name] = "is empty"
        elif values.dtype.kind in "iu" and len(values) > 1 and (np.diff(values.astype(np.float64)) == 1).all():
            lower = name.lower()
            counter = lower in COUNTERS or name.endswith(("Id", "ID", "_id")) or lower.startswith("unnamed")
            of_place = not table.named and k == 0 and len(names) > 2 and values[0] in (0, 1) and len(values) >= 10
            if of_place or (table.named and counter):
                found[name] = "counts the rows"
    return found


def _column(path: Path, option: str, text: str, names: list[str]) -> str:
    """Return the name of the column that an option names or numbers."""
    if text in names:
        return text
    if _is_integer(text) and -len(names) <= int(text) < len(names):
        return names[int(text)]
    raise DataError(f"{path}: {option} {text}: there is no such column, there are {listed(names, 20)}")


def _label(path: Path, table: Table, label: str | None, names: list[str]) -> tuple[str, str]:
    """Return the column of the labels, and how it was found."""
    if label is not None:
        return _column(path, "--label", label, list(table.columns)), "--label"
    lower = {name.lower() for name in table.columns}
    found = [n for n in names if table.named and n.lower() in LABELS and not (n.lower() == "y" and "x" in lower)]
    if len(found) > 1:
        raise DataError(f"{path}: columns {listed(found)} could all be the label: name it by --label")
    if found:
        return found[0], "by its name"
    if not names:
        raise DataError(f"{path}: has no column for the labels")
    return names[-1], "the last one"


def _cut_label(source: Source, kind: str, label: str | None, like: dict[str, Any] | None) -> None:
    """Take a column of a matrix without labels of its own as y, unless a model knows that there is none."""
    if like is not None and (like["label"] is None or source.X.shape[1:] != (like["columns"] + 1,)):
        return
    if label is None and like is None and kind != "npy":
        advice = "hold them in it as y, or give the number of their column, or a .npy of them, by --label"
        raise DataError(f"{source.path}: has no labels y; {advice}")
    if source.X.ndim != 2 or source.X.shape[1] < 2:
        raise DataError(f"{source.path}: must hold labels y as well, or a column of them, got shape {source.X.shape}")
    width = source.X.shape[1]
    text = like["label"] if like is not None else label or "-1"
    if not _is_integer(text) or not -width <= int(text) < width:
        if like is not None:
            return
        raise DataError(f"{source.path}: --label {text}: there is no such column, there are {width}")
    at = int(text) % width
    y = source.X[:, [at]]
    source.y = np.asarray(y if isinstance(y, np.ndarray) else y.toarray())
    source.X, source.label = source.X[:, np.delete(np.arange(width), at)], str(at)
    source.how = "the last one" if label is None else "--label"


def _is_file(label: str | None) -> TypeGuard[str]:
    """Return True if labels lie in a file of their own."""
    return label is not None and label.endswith(".npy")


def _is_integer(text: str) -> bool:
    with suppress(ValueError):
        int(text)
        return True
    return False
