"""Reading: from a path to rows, labels and what the file has of its own, whatever its layout."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..typing import FilePath
from .arrays import digits, is_svmlight, read_idx_folder, read_npy, read_npz, read_svmlight
from .delimited import SEPARATORS, Layout, read_delimited, read_parquet, sample_of
from .table import DataError, Table, listed
from .targets import Place, labels_of

LABELS = ("label", "target", "class", "y")
COUNTERS = ("index", "row", "nr", "no")  # columns left out if they count the rows, as those that end with "id"


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
        The column that is feature 0.
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

    def of_test(self) -> "Source":
        """Return the file's own test set, which must be there."""
        assert self.test is not None
        return Source(self.name, f"{self.path}: its test set", *self.test)

    @property
    def place(self) -> Place:
        """Return how messages name the label of a row."""
        if isinstance(self.X, Table):
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

    Raises
    ------
    DataError
        If the path holds no usable data.
    """
    if path is None:
        X, y = digits()
        return Source("digits", "digits", X, y, largest=16.0)
    path = Path(path)
    try:
        kind = _kind(path)
        if kind == "idx":
            X, y, *test = read_idx_folder(path)
            return Source(path.name, str(path), X, y, tuple(test), largest=_white(X), task="classification")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'cannot be read'}") from error
    stem = path.name.partition(".")[0] or path.name
    if kind in ("csv", "parquet"):
        return _of_table(stem, path, kind, label, drop, header, like)
    if drop:
        raise DataError(f"{path}: --drop leaves out columns of a table, this file holds an array")
    source = Source(stem, str(path), None)
    if kind == "svmlight":
        source.first = 1 if like is None else like["first"]
        source.X, source.y = read_svmlight(path)
        if like is None and source.X[:, :1].nnz:
            source.first = 0
        return source
    if kind == "npz":
        source.X, source.y, *test = read_npz(path, None if label is None or _is_integer(label) else label)
        if test[0] is not None:
            source.test = test[0], labels_of(str(path), test[1])
    else:
        source.X = read_npy(path)
    if source.y is None and label is not None and Path(label).suffix == ".npy":
        source.y, source.label = read_npy(Path(label)), None
    elif source.y is None:
        _cut_label(source, label, like)
    if source.X.ndim < 2 or 0 in source.X.shape:
        raise DataError(f"{path}: X must be rows x features, got shape {source.X.shape}")
    if source.y is not None:
        source.y = labels_of(str(path), source.y)
        if len(source.y) != source.X.shape[0]:
            shapes = f"{source.X.shape} and {source.y.shape}"
            raise DataError(f"{path}: X must be rows x features and y a label for each row, got {shapes}")
    source.largest = _white(source.X)
    return source


def kept(source: Source) -> dict[str, Any]:
    """Return what a saved model knows of the file that it was trained on, to read others like it."""
    columns = 0 if isinstance(source.X, Table) else source.X.shape[1]
    texts = [] if not isinstance(source.X, Table) else [n for n in source.X.columns if source.X.kind(n) == "text"]
    if source.label is not None and source.y is not None and source.y.dtype.kind == "O":
        texts.append(source.label)
    return {
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
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if path.suffix.lower() == ".npz":
        return "npz"
    if start[:3] in (b"\0\0\x08", b"\0\0\x0d"):
        raise DataError(f"{path}: is an IDX file; give the folder that holds images and labels")
    for magic, what in ((b"\xd0\xcf\x11\xe0", "Excel workbook"), (b"%PDF", "PDF"), (b"\x89HDF", "HDF5 file")):
        if start.startswith(magic):
            raise DataError(f"{path}: is a {what}, expected a table as CSV or Parquet, .npz, .npy, svmlight or IDX")
    if path.suffix.lower() in (".xlsx", ".xlsm", ".ods"):
        raise DataError(f"{path}: is a workbook, expected a table; save its sheet as CSV")
    if path.suffix.lower() == ".parquet":
        raise DataError(f"{path}: is no Parquet file: it does not begin with PAR1")
    return "svmlight" if is_svmlight(sample_of(path)) else "csv"


def _of_table(stem, path, kind, label, drop, header, like):
    known = None if like is None or like["layout"] is None else Layout(*like["layout"])
    if kind == "parquet":
        table, layout = read_parquet(path), None
    else:
        table, layout = read_delimited(path, header, known, tuple(like["texts"]) if like else ())
    unknown = [name for name in drop if name not in table.columns]
    if unknown:
        raise DataError(f"{path}: --drop {unknown[0]}: there is no such column, there are {listed(table.columns, 20)}")
    if not table.rows:
        raise DataError(f"{path}: has no rows")
    source = Source(stem, str(path), table, layout=layout)
    source.left_out = dict.fromkeys(drop, "--drop")
    if like is not None and len(table.columns) == like["columns"]:
        pass  # a model of arrays takes all of them
    elif like is not None and like["label"] is not None and not like["columns"]:
        whole = known is None or known.named or len(table.columns) == len(known.names)
        source.label = like["label"] if like["label"] in table.columns and whole else None
        source.left_out = {name: "as in training" for name in like["left_out"] if whole and name in table.columns}
    else:
        for k, (name, values) in enumerate(table.columns.items()):
            if layout is not None and k == 0 and name == "unnamed 0":
                source.left_out[name] = "has no name"
            elif values.dtype.kind in "iu" and table.named and len(values) > 1:
                counter = name.lower() in COUNTERS or name.lower().endswith("id")
                if counter and (np.diff(values.astype(np.float64)) == 1).all():
                    source.left_out[name] = "counts the rows"
        source.label, source.how = _label(path, table, label, [n for n in table.columns if n not in source.left_out])
    if source.label is not None:
        source.y = table.columns[source.label]
    out = [*source.left_out, *([source.label] if source.label is not None else [])]
    source.X = table.without(out)
    if not source.X.columns:
        raise DataError(f"{path}: has no column of features, only {listed(table.columns)}")
    return source


def _label(path: Path, table: Table, label: str | None, names: list[str]) -> tuple[str, str]:
    """Return the column of the labels, and how it was found."""
    if label is not None:
        if label in table.columns:
            return label, "--label"
        all_names = list(table.columns)
        if _is_integer(label) and -len(all_names) <= int(label) < len(all_names):
            return all_names[int(label)], "--label"
        raise DataError(f"{path}: --label {label}: there is no such column, there are {listed(table.columns, 20)}")
    found = [name for name in names if table.named and name.lower() in LABELS]
    if len(found) > 1:
        raise DataError(f"{path}: columns {listed(found)} could all be the label: name it by --label")
    if found:
        return found[0], "by its name"
    if not names:
        raise DataError(f"{path}: has no column for the labels")
    return names[-1], "the last one"


def _cut_label(source: Source, label: str | None, like: dict[str, Any] | None) -> None:
    """Take a column of a matrix without labels of its own as y, unless a model knows that there is none."""
    if like is not None and (like["label"] is None or source.X.shape[1:] != (like["columns"] + 1,)):
        return
    if label is None and like is None and not source.path.endswith(".npy"):
        raise DataError(f"{source.path}: has no labels y; --label takes the number of their column, or a .npy of them")
    if source.X.ndim != 2 or source.X.shape[1] < 2:
        raise DataError(f"{source.path}: must hold labels y as well, or a column of them, got shape {source.X.shape}")
    width = source.X.shape[1]
    text = like["label"] if like is not None else label or "-1"
    if not _is_integer(text) or not -width <= int(text) < width:
        raise DataError(f"{source.path}: --label {text}: there is no such column, there are {width}")
    at = int(text) % width
    y = source.X[:, [at]]
    source.y = np.asarray(y if isinstance(y, np.ndarray) else y.toarray())
    source.X, source.label = source.X[:, np.delete(np.arange(width), at)], str(at)
    source.how = "the last one" if label is None else "--label"


def _is_integer(text: str) -> bool:
    with suppress(ValueError):
        int(text)
        return True
    return False


def _white(X: Any) -> float | None:
    """Return 255 for pixels: bytes of at least two axes beside that of the rows."""
    return 255.0 if isinstance(X, np.ndarray) and X.dtype == np.uint8 and X.ndim > 2 else None


def separator_of(source: Source) -> str:
    """Return how the columns of a file are told apart, for its description."""
    return "" if source.layout is None else f"{SEPARATORS[source.layout.separator]} between columns"
