"""Data for `gd train`: scikit-learn's digits, IDX folders, .npz files and .csv files."""

import gzip
import struct
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .typing import FilePath

TEST_SHARE = 0.2


class DataError(Exception):
    """Raised for a file that cannot be read as data; the message is one line for the user."""


class Data(NamedTuple):
    """Features and class labels 0, 1, ..., for training and for testing."""

    name: str
    X: NDArray[Any]
    y: NDArray[np.intp]
    X_test: NDArray[Any]
    y_test: NDArray[np.intp]
    classes: int


def load(path: FilePath | None, seed: int, dtype: type[np.floating]) -> Data:
    """Return the data of a path, or scikit-learn's digits for None.

    An IDX folder has its own test set (MNIST's layout). Otherwise a fifth of the rows, drawn from the seed and
    stratified by class, is the test set. Pixels are scaled to [0, 1], other features to mean 0 and variance 1
    (of the training rows). Labels are numbered in sorted order.

    Raises
    ------
    DataError
        If the path holds no usable data.
    """
    if path is None:
        name, X, y = "digits", *_digits()
        return _split(name, X / 16, y, seed, dtype)  # pixels are 0 to 16
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    try:
        if path.is_dir():
            return _idx_folder(path, dtype)
        if path.suffix == ".npz":
            X, y = _npz(path)
        elif path.suffix == ".csv":
            X, y = _csv(path)
        else:
            raise DataError(f"{path}: expected a folder of IDX files, .npz or .csv")
    except (OSError, ValueError, EOFError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {(str(error) or type(error).__name__).splitlines()[0]}") from error
    y = _numbered(path, X, y)
    return _split(path.stem, X.reshape(len(X), -1), y, seed, dtype, standardize=True)


def _digits():
    return _scikit_learn("datasets").load_digits(return_X_y=True)


def _scikit_learn(module):
    try:
        import sklearn.datasets
        import sklearn.model_selection
    except ImportError:
        raise DataError('scikit-learn is missing: python -m pip install "gd[train]"') from None
    return getattr(sklearn, module)


def _split(name, X, y, seed, dtype, standardize=False):
    try:
        X, X_test, y, y_test = _scikit_learn("model_selection").train_test_split(
            X, y, test_size=TEST_SHARE, random_state=seed, stratify=y
        )
    except ValueError as error:
        raise DataError(f"{name}: cannot be split by class: {str(error).splitlines()[0]}") from error
    if standardize:
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        deviation[deviation == 0] = 1  # constant features become 0
        X, X_test = (X - mean) / deviation, (X_test - mean) / deviation
    X, X_test = (np.ascontiguousarray(each, dtype) for each in (X, X_test))
    return Data(name, X, y, X_test, y_test, int(y.max()) + 1)


def _idx_folder(path, dtype):
    parts = []
    for prefix in ("train", "t10k"):
        images, labels = (_idx(path, f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
        if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels) or not len(labels):
            raise DataError(f"{path}: {prefix} has images of shape {images.shape} and labels of shape {labels.shape}")
        parts += [(images.reshape(len(images), -1) / dtype(255)).astype(dtype), labels.astype(np.intp)]
    if parts[0].shape[1] != parts[2].shape[1]:
        raise DataError(f"{path}: images of train and t10k have different sizes")
    X, y, X_test, y_test = parts
    return Data(path.name, X, y, X_test, y_test, int(max(y.max(), y_test.max())) + 1)


def _idx(folder, name):
    """Read an IDX file of bytes, plain or gzip.

    Its parts are: two zeros, type, number of dimensions, big-endian sizes, data.
    """
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if len(content) < 4 or content[:3] != b"\0\0\x08":
                raise DataError(f"{path}: not an IDX file of bytes")
            shape = struct.unpack_from(f">{content[3]}I", content, 4)
            data = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
            if data.size != np.prod(shape, dtype=np.int64):
                raise DataError(f"{path}: has {data.size} bytes of data, expected {' x '.join(map(str, shape))}")
            return data.reshape(shape)
    raise DataError(f"{folder}: has no file {name} or {name}.gz")


def _npz(path):
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: not an .npz archive of arrays X and y")
        if not {"X", "y"} <= set(archive.files):
            raise DataError(f"{path}: must hold arrays X and y, holds {', '.join(archive.files) or 'none'}")
        return archive["X"], archive["y"]


def _csv(path):
    """Read a table of numbers whose last column is the label; a first line that is not numeric is a header."""
    with path.open(encoding="utf-8-sig") as file:
        first, second = file.readline(), file.readline()
    if not second.strip():
        raise DataError(f"{path}: must have at least two rows")
    try:
        [float(cell) for cell in first.split(",")[:-1]]
        header = 0
    except ValueError:
        header = 1
    table = np.genfromtxt(  # pyright: ignore[reportCallIssue]  # NumPy accepts comments=None
        path,
        delimiter=",",
        skip_header=header,
        dtype=str,
        ndmin=2,
        autostrip=True,
        comments=None,  # pyright: ignore[reportArgumentType]
        encoding="utf-8-sig",
    )
    if table.size == 0 or table.shape[1] < 2:
        raise DataError(f"{path}: must have at least two columns, the last one the label")
    labels = table[:, -1]
    with suppress(ValueError):  # where all labels are numbers, 1 and 1.0 are one class
        labels = labels.astype(float)
    return table[:, :-1].astype(float), labels


def _numbered(path, X, y):
    """Check X and y, and return y as class numbers."""
    if X.ndim < 2 or X.size == 0 or y.shape != (len(X),):
        raise DataError(f"{path}: X must be rows x features and y a label for each row, got {X.shape} and {y.shape}")
    if X.dtype.kind not in "fiub" or not np.isfinite(X).all():
        raise DataError(f"{path}: X must hold finite numbers, got {X.dtype} with missing or infinite values or text")
    if y.dtype.kind not in "fiubUS" or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        raise DataError(f"{path}: y must hold labels for all rows, got {y.dtype} or missing values")
    return np.unique(y, return_inverse=True)[1].astype(np.intp)
