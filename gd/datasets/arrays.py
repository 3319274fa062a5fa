"""Arrays: .npz and .npy of NumPy, sparse .npz of SciPy, folders of IDX files, svmlight text, scikit-learn's digits."""

import re
import struct
import zipfile
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..version import to_install
from .delimited import DAMAGES, damages_told, opened
from .table import DataError, listed, shortened

FEATURES, LABELS = ("X", "x", "data", "features", "images"), ("y", "Y", "labels", "label", "target", "targets")
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_FILE = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")
ENTRY = re.compile(r"(0|[1-9]\d*):[+-]?(\d|\.\d|nan|inf)\S*", re.IGNORECASE)

Arrays = dict[str, Any]


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scikit-learn's handwritten digits."""
    return scikit_learn("datasets").load_digits(return_X_y=True)


def scikit_learn(module: str) -> Any:
    """Return a module of scikit-learn, or raise DataError."""
    try:
        import sklearn.datasets
        import sklearn.model_selection
    except ImportError:
        raise DataError(f"scikit-learn is missing: {to_install('train')}") from None
    return getattr(sklearn, module)


def is_npz(path: Path, start: bytes) -> bool:
    """Return True for an archive of .npy files, whatever its name."""
    try:
        return start.startswith(b"PK") and all(name.endswith(".npy") for name in zipfile.ZipFile(path).namelist())
    except zipfile.BadZipFile:
        return False


def read_npz(path: Path, label: str | None, rows_only: bool) -> tuple[Any, Any, Any]:
    """Return X, y and (X_test, y_test) of an archive of NumPy, None for those that it has not; X may be sparse.

    With `rows_only` it may have no labels, or only test rows.
    """
    arrays = _npz(path)
    if {"data", "indptr", "indices", "shape"} <= arrays.keys() or {"row", "col", "shape"} <= arrays.keys():
        return _sparse(path, arrays), _first(arrays, (label,) if label else LABELS), None
    lower = {name.lower(): array for name, array in arrays.items()}
    test = (lower["x_test"], lower.get("y_test")) if "x_test" in lower else None
    if "x_train" in lower or (test and rows_only and not {"X", "x"} & arrays.keys()):
        if not rows_only and ("y_train" not in lower or (test and test[1] is None)):
            raise DataError(f"{path}: must hold labels beside x_train and x_test, holds {listed(arrays)}")
        return lower.get("x_train"), lower.get("y_train"), test
    X, y = _first(arrays, FEATURES), _first(arrays, (label,) if label else LABELS)
    if X is None or (label and y is None):
        expected = f"an array {label!r} of labels" if label and X is not None else "arrays X and y, or x_train, y_train"
        raise DataError(f"{path}: must hold {expected}, holds {listed(arrays) or 'none'}")
    return X, y, None


def read_npy(path: Path) -> Any:
    """Return the array of a .npy file."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{path}: {_why(error)}") from error


def _npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except (*DAMAGES, ValueError, MemoryError) as error:
        raise DataError(f"{path}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Return in our words why NumPy cannot read a file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "allow_pickle" in str(error):
        return "has an array of objects, expected numbers or texts; convert it by astype(float) or astype(str)"
    return "is damaged, or no file of NumPy"


def _first(arrays: Arrays, names: tuple[str, ...]) -> Any:
    return next((arrays[name] for name in names if name in arrays), None)


def _sparse(path: Path, arrays: Arrays) -> Any:
    """Return the CSR array of an archive by scipy.sparse.save_npz, or by numpy.savez of the same arrays."""
    from scipy.sparse import coo_array, csc_array, csr_array

    kind = arrays.get("format")
    name = "coo" if "row" in arrays else "csr" if kind is None else str(kind.astype(str))
    if name not in ("csr", "csc", "coo"):
        raise DataError(f"{path}: is a sparse matrix in {name}, expected csr, csc or coo; save its tocsr()")
    data = arrays["data"]
    try:
        shape = tuple(int(size) for size in np.ravel(arrays["shape"]))
        data = data.astype(np.float32) if data.dtype == np.float16 else data
        if name == "coo":
            matrix = coo_array((data, (arrays["row"], arrays["col"])), shape=shape)
        else:
            make: Any = csr_array if name == "csr" else csc_array
            matrix = make((data, arrays["indices"], arrays["indptr"]), shape=shape)
            matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
        matrix.sum_duplicates()
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path}: is no sound sparse matrix: its indices do not fit its shape") from error
    return matrix


def read_idx_folder(path: Path, rows_only: bool) -> tuple[Any, Any, Any]:
    """Return X, y and (X_test, y_test) of IDX files as MNIST, Fashion-MNIST and EMNIST name them, None for what is not.

    A folder may hold several sets, as EMNIST's does: then `path` is the folder and the beginning of their names.
    With `rows_only` it may have no labels.
    """
    folder, chosen = (path, "") if path.is_dir() else (path.parent, path.name)
    sets: dict[str, dict[tuple[str, str], Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := IDX_FILE.fullmatch(file.name):
            part = "train" if match["part"] == "train" else "test"
            sets.setdefault(match["set"], {}).setdefault((part, match["kind"]), file)
    sets = {name: files for name, files in sets.items() if name.startswith(chosen)}
    if len(sets) > 1:
        names = [str(folder / name.rstrip("-")) for name in sets]
        raise DataError(f"{path}: has IDX files of {len(sets)} sets, expected one: give {' or '.join(names)}")
    if not sets:
        raise DataError(
            f"{path}: is a folder without IDX files such as train-images-idx3-ubyte; of other layouts give the file"
        )
    ((name, files),) = sets.items()
    found: list[Any] = []
    for part, other in (("train", "train"), ("test", "t10k")):
        pair: list[Any] = [None, None]
        for k, kind in enumerate(("images", "labels")):
            if (part, kind) in files:
                pair[k] = _idx(files[part, kind])
            elif not (rows_only and kind == "labels") and any(each == part for each, _ in files):
                raise DataError(f"{path}: has no file {name}{other}-{kind}-idx{3 - 2 * k}-ubyte, plain or .gz")
        images, labels = pair
        if images is not None and (images.ndim < 2 or not len(images)):
            raise DataError(f"{path}: {part} has images of shape {images.shape}")
        if labels is not None and images is not None and labels.shape != images.shape[:1]:
            raise DataError(f"{path}: {part} has images of shape {images.shape} and labels of shape {labels.shape}")
        found.append((images, labels))
    (X, y), (X_test, y_test) = found
    if X is None and not rows_only:
        raise DataError(f"{path}: has no file {name}train-images-idx3-ubyte, plain or .gz")
    return X, y, None if X_test is None else (X_test, y_test)


def _idx(path: Path) -> NDArray[Any]:
    """Read an IDX file, plain or gzip: two zeros, type, number of dimensions, big-endian sizes, data."""
    with damages_told(path), opened(path) as file:
        content = file.read()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path}: not an IDX file")
    shape, dtype = struct.unpack_from(f">{content[3]}I", content, 4), np.dtype(IDX_TYPES[content[2]])
    size, start = int(np.prod(shape, dtype=object)), 4 + 4 * content[3]
    if len(content) - start != size * dtype.itemsize:
        expected = f"{' x '.join(map(str, shape))} of {dtype.itemsize}"
        raise DataError(f"{path}: has {len(content) - start} bytes of data, expected {expected}")
    data = np.frombuffer(content, dtype, offset=start)
    return data.astype(dtype.newbyteorder("=")).reshape(shape)


def is_svmlight(sample: str) -> bool:
    """Return True if text begins as svmlight or libsvm does: lines of a label, then index:value pairs."""
    lines = [line.partition("#")[0].split() for line in sample.removeprefix("\xef\xbb\xbf").splitlines()[:20]]
    entries = [cell for cells in lines[:-1] or lines for cell in cells[1:] if not cell.startswith("qid:")]
    return bool(entries) and 10 * sum(map(bool, map(ENTRY.fullmatch, entries))) >= 9 * len(entries)


def read_svmlight(path: Path) -> tuple[Any, Any]:
    """Return the CSR array and the labels of svmlight text, by scikit-learn; columns as the file counts them."""
    from scipy.sparse import csr_array

    with damages_told(path), opened(path) as file:
        mark = file.read(3)
        rest = BytesIO((b"" if mark == b"\xef\xbb\xbf" else mark) + file.read())
    try:
        X, y = scikit_learn("datasets").load_svmlight_file(rest, dtype=np.float64, zero_based=True)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: {_wrong_line(path)}") from error
    X = csr_array(X)
    X.sum_duplicates()
    return X, y


def _wrong_line(path: Path) -> str:
    with opened(path) as file, TextIOWrapper(file, "utf-8-sig", errors="replace") as lines:
        for k, line in enumerate(lines, start=1):
            text = line.partition("#")[0].strip()
            if "," in text.split(" ")[0]:
                return f"line {k} has several labels, expected one: {shortened(text)}"
            if text and not _is_sound(text):
                return f"line {k} must be a label and index:value pairs in ascending order, got {shortened(text)}"
    return "is damaged, or no svmlight file"


def _is_sound(text):
    try:
        label, *entries = text.split()
        float(label)
        places = [int(entry.partition(":")[0]) for entry in entries if not entry.startswith("qid:")]
        for entry in entries:
            float(entry.partition(":")[2])
        return places == sorted(set(places)) and all(0 <= place < 2**31 for place in places)
    except ValueError:
        return False
