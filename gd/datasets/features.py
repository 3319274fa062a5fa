"""Features: from a table, an array or a sparse matrix to the rows that a model takes, as training rows showed."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import MOMENT_ROWS, Normalizer
from .table import LARGEST, DataError, Table, as_column, counted, leave_out, listed, shortened

CATEGORIES = 100  # of a column of texts, at most
UNSCALED: dict[str, Any] = {"mean": 0.0, "deviation": 1.0, "median": None}


class Scale:
    """(x - mean) / deviation by column; missing values become the median first, if there is one.

    Attributes
    ----------
    mean, deviation : ndarray of shape (columns,), or float
        A deviation of infinity makes a constant column 0.
    median : ndarray of shape (columns,), optional
    """

    def __init__(self, mean: Any, deviation: Any, median: Any) -> None:
        self.mean, self.deviation, self.median = mean, deviation, median

    def fit(self, blocks: Any, names: Sequence[Any], filled: bool, source: str) -> None:
        """Learn from a function that returns blocks of float64 rows, in which values are missing if `filled`."""
        if filled:
            rows = np.concatenate(list(blocks()))
            empty = np.isnan(rows).all(axis=0)
            if empty.any():
                raise DataError(
                    f"{source}: column {names[int(empty.argmax())]!r} has no value in the rows to train with"
                )
            self.median = np.nanmedian(rows, axis=0)
        normalizer = Normalizer()
        for block in blocks():
            normalizer.partial_fit(self._filled(block))
        self.mean, self.deviation = normalizer.mean, normalizer.deviation

    def write(self, block: NDArray[np.float64], out: NDArray[Any], place: str) -> None:
        """Write scaled rows into `out`."""
        with np.errstate(over="ignore"):
            out[...] = (self._filled(block) - self.mean) / self.deviation
        if not np.isfinite(out).all():
            raise DataError(f"{place}: a value is too far from those of the training for {out.dtype}")

    def _filled(self, block):
        return block if self.median is None else np.where(np.isnan(block), self.median, block)

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments of an equal scale."""
        return {"mean": self.mean, "deviation": self.deviation, "median": self.median}


class TableFeatures:
    """Columns of a table: numbers are standardized, texts and booleans become a column of 0 and 1 for each value.

    Attributes
    ----------
    names : list of str
        The columns, in order.
    categories : dict of str to list of str
        The values of each column of texts or booleans, in ascending order; "" where a value is missing.
    booleans : list of str
        Those of them that are booleans.
    ignored : list of str
        Columns that may be there: the label, and those left out.
    """

    def __init__(
        self,
        names: Sequence[str],
        categories: dict[str, list[str]],
        booleans: Sequence[str],
        ignored: Sequence[str],
        named: bool,
        scale: dict[str, Any],
    ) -> None:
        self.names, self.categories, self.booleans = list(names), categories, list(booleans)
        self.ignored, self.named, self.scale = list(ignored), named, Scale(**scale)

    @classmethod
    def learned(cls, table: Table, rows: NDArray[np.intp], filled: bool, ignored: Sequence[str]) -> "TableFeatures":
        """Return the features of a table: kinds from all of its rows, categories and statistics from some."""
        kinds = {name: table.kind(name) for name in table.columns}
        categories = {}
        for name, kind in kinds.items():
            if kind != "number":
                texts = table.texts(name, kind)[rows]
                categories[name] = sorted(set(texts))
                most = min(CATEGORIES, max(10, len(rows) // 2))
                if len(categories[name]) > most:
                    raise DataError(
                        f"{table.source}: column {name!r} has {len(categories[name])} different texts in {len(rows)} "
                        f"rows, such as {shortened(categories[name][-1])}, expected {most} at most{leave_out(name)}"
                    )
        booleans = [name for name, kind in kinds.items() if kind == "boolean"]
        features = cls(list(kinds), categories, booleans, ignored, table.named, UNSCALED)
        numbers = [column[rows] for column in features._numbers(table, filled)]
        if numbers:
            features.scale.fit(lambda: _stacked(numbers), features._of_numbers, filled, table.source)
        return features

    @property
    def _of_numbers(self):
        return [name for name in self.names if name not in self.categories]

    @property
    def width(self) -> int:
        """The number of features that a model takes."""
        return sum(self._widths)

    @property
    def _widths(self):
        return [len(self.categories[name]) if name in self.categories else 1 for name in self.names]

    def _numbers(self, table, filled):
        return [table.numbers(name, filled) for name in self._of_numbers]

    def transform(self, table: Table, dtype: Any) -> NDArray[Any]:
        """Return the rows that a model takes; raise DataError for a value that does not fit its column."""
        table = self._matched(table)
        out = np.zeros((table.rows, self.width), dtype)
        starts = np.cumsum([0, *self._widths])
        places = [start for name, start in zip(self.names, starts, strict=False) if name not in self.categories]
        first = 0
        for block in _stacked(self._numbers(table, self.scale.median is not None)):
            scaled = np.empty(block.shape, dtype)
            self.scale.write(block, scaled, table.source)
            out[first : first + len(block), places] = scaled
            first += len(block)
        for name, start in zip(self.names, starts, strict=False):
            if name in self.categories:
                texts = table.texts(name, "boolean" if name in self.booleans else "text")
                known = {text: k for k, text in enumerate(self.categories[name])}
                codes = np.array([known.get(text, -1) for text in texts], np.intp)
                rows = np.flatnonzero(codes >= 0)
                out[rows, start + codes[rows]] = 1
                if len(rows) < len(codes):
                    new = sorted({text for text, code in zip(texts, codes, strict=True) if code < 0})
                    warnings.warn(
                        f"{table.source}: column {name!r} has values that the training had not, {listed(new)}, in "
                        f"{len(codes) - len(rows)} of {len(codes)} rows: they count as none of its values",
                        stacklevel=2,
                    )
        return out

    def table_of(self, X: Any, source: str) -> Table:
        """Return the columns of an array as a table without names."""
        if not isinstance(X, np.ndarray) or X.ndim != 2:
            raise DataError(f"{source}: must be a table of {len(self.names)} columns, got {type(X).__name__}")
        return Table({str(k): as_column(source, str(k), X[:, k]) for k in range(X.shape[1])}, source, named=False)

    def _matched(self, table):
        """Return a table that has the names of the training, or raise."""
        count = len(table.columns)
        if not (self.named and table.named):  # columns have no names here or there: their order tells
            if count == len(self.names) and not (self.named and table.line):
                return table.renamed(self.names)
            if self.named or count != len(self.names) + len(self.ignored):
                expected = f"{len(self.names)} columns" + (f" named {listed(self.names)}" if self.named else "")
                raise DataError(f"{table.source}: has {count} columns without names, expected {expected}")
            table = table.renamed(map(str, range(count)))
        missing = [name for name in self.names if name not in table.columns]
        if missing:
            raise DataError(
                f"{table.source}: has no column {listed(missing)} of the {len(self.names)} that the model was trained "
                f"with; it has {listed(table.columns, 10)}"
            )
        surplus = [name for name in table.columns if name not in self.names and name not in self.ignored]
        if surplus:
            warnings.warn(
                f"{table.source}: not used, as the training had no such column: {listed(surplus)}", stacklevel=3
            )
        return table

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments of equal features, for `gd.save`."""
        keys = ("names", "categories", "booleans", "ignored", "named")
        return {**{key: getattr(self, key) for key in keys}, "scale": self.scale.state_dict()}

    def __repr__(self) -> str:
        kinds = [
            (len(self._of_numbers), "number"),
            (len(self.categories) - len(self.booleans), "text"),
            (len(self.booleans), "boolean"),
        ]
        text = ", ".join(counted(count, kind) for count, kind in kinds if count)
        return text + (f" (one-hot: {self.width} features)" if self.categories else "")


class ArrayFeatures:
    """Rows of numbers: an array of any number of axes, or a sparse matrix, of which only the scale changes.

    Attributes
    ----------
    width : int
        The number of features.
    sparse : bool
    """

    names: tuple[str, ...] = ()

    def __init__(self, width: int, sparse: bool, scale: dict[str, Any]) -> None:
        self.width, self.sparse, self.scale = width, sparse, Scale(**scale)

    @classmethod
    def learned(cls, X: Any, rows: NDArray[np.intp], filled: bool, largest: float | None, source: str):
        """Return the features of rows of numbers; `largest` is the value that becomes 1, if that is known."""
        sparse = not isinstance(X, np.ndarray)
        width = int(np.prod(X.shape[1:]))
        features = cls(width, sparse, UNSCALED)
        if sparse:
            if filled:
                raise DataError(f"{source}: --impute fills tables and dense arrays, this is a sparse matrix")
            X = features._matched(X, source)
            sizes = np.zeros(width)
            entries = X[rows]
            np.maximum.at(sizes, entries.indices, np.abs(entries.data.astype(np.float64)))
            features.scale.deviation = np.where(sizes > 0, sizes, 1.0)
        elif largest is not None:
            features.scale.deviation = float(largest)
        else:
            features.scale.fit(lambda: features._blocks(X, source, filled, rows), range(width), filled, source)
        return features

    def transform(self, X: Any, dtype: Any, source: str) -> Any:
        """Return the rows that a model takes; raise DataError if they are no finite numbers."""
        if isinstance(X, Table):
            X = self._of_table(X)
        if self.sparse != (not isinstance(X, np.ndarray)):
            kind = "sparse" if self.sparse else "dense"
            raise DataError(f"{source}: must be a {kind} matrix, as in training, got {type(X).__name__}")
        if self.sparse:
            from scipy.sparse import csr_array

            X = self._matched(X, source)
            with np.errstate(over="ignore"):
                data = (X.data / self.scale.deviation[X.indices]).astype(dtype)
            if not np.isfinite(data).all():
                raise DataError(f"{source}: a value is too far from those of the training for {data.dtype}")
            return csr_array((data, X.indices, X.indptr), shape=X.shape)
        out, first = np.empty((len(X), self.width), dtype), 0
        for block in self._blocks(X, source, self.scale.median is not None):
            self.scale.write(block, out[first : first + len(block)], source)
            first += len(block)
        return out

    def _blocks(self, X, source, filled, rows=None) -> Iterator[NDArray[np.float64]]:
        """Yield float64 blocks of all or some rows, each of finite numbers."""
        if X.ndim < 1 or X.dtype.kind not in "fiub":
            raise DataError(f"{source}: X must hold numbers, got {X.dtype} of shape {X.shape}")
        X = X.reshape(len(X), int(np.prod(X.shape[1:])))
        if X.shape[1] != self.width:
            raise DataError(f"{source}: X has {X.shape[1]} features, expected {self.width}")
        for start in range(0, len(X) if rows is None else len(rows), MOMENT_ROWS):
            some = slice(start, start + MOMENT_ROWS) if rows is None else rows[start : start + MOMENT_ROWS]
            block = X[some].astype(np.float64)
            wrong = np.abs(block) > LARGEST
            wrong |= np.isinf(block) if filled else np.isnan(block)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                at = start + row if rows is None else rows[start + row]
                raise DataError(
                    f"{source}: X must hold finite numbers, got {block[row, column]} in row {at + 1}, column {column}"
                )
            yield block

    def _matched(self, X, source):
        """Return a sparse matrix with the features of the training."""
        if X.dtype.kind not in "fiub":
            raise DataError(f"{source}: X must hold numbers, got {X.dtype}")
        wrong = ~(np.abs(X.data.astype(np.float64)) <= LARGEST)
        if wrong.any():
            at = int(wrong.argmax())
            row, column = np.searchsorted(X.indptr, at, "right"), X.indices[at]
            raise DataError(f"{source}: X must hold finite numbers, got {X.data[at]} in row {row}, column {column}")
        if X.shape[1] < self.width:
            X = X.copy()
            X.resize((X.shape[0], self.width))
        if X.shape[1] > self.width:
            surplus = np.unique(X.indices[X.indices >= self.width])
            if surplus.size:
                warnings.warn(
                    f"{source}: {surplus.size} features are not used, as the training had only {self.width}",
                    stacklevel=3,
                )
            X = X[:, : self.width]
        return X

    def _of_table(self, table):
        if self.sparse or len(table.columns) != self.width:
            expected = "a sparse matrix" if self.sparse else f"{self.width} columns of numbers"
            raise DataError(f"{table.source}: is a table of {len(table.columns)} columns, expected {expected}")
        filled = self.scale.median is not None
        return np.column_stack([table.numbers(name, filled) for name in table.columns])

    def state_dict(self) -> dict[str, Any]:
        """Return the arguments of equal features, for `gd.save`."""
        return {"width": self.width, "sparse": self.sparse, "scale": self.scale.state_dict()}

    def __repr__(self) -> str:
        return f"{self.width} sparse features" if self.sparse else f"{self.width} numbers"


def _stacked(columns: Sequence[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of rows of some columns."""
    for start in range(0, len(columns[0]) if columns else 0, MOMENT_ROWS):
        yield np.stack([column[start : start + MOMENT_ROWS] for column in columns], axis=1)
