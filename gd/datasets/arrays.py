"""Arrays: .npz and .npy of NumPy, sparse .npz of SciPy, folders of IDX files, svmlight text, scikit-learn's digits."""

import gzip
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..version import to_install
from .table import DataError, listed, shortened

FEATURES, LABELS = ("X", "x", "data", "features", "images"), ("y", "Y", "labels", "label", "target", "targets")
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_FILE = re.compile(r"(?P<set>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")
ENTRY = re.compile(r"\d+:\S+")

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


def read_npz(path: Path, label: str | None) -> tuple[Any, Any, Any, Any]:
    """Return X, y, X_test and y_test of an archive of NumPy, None for those that it has not; X may be sparse."""
    arrays = _npz(path)
    if {"data", "indptr", "indices", "shape"} <= arrays.keys() or {"row", "col", "shape"} <= arrays.keys():
        return _sparse(path, arrays), _first(arrays, (label,) if label else LABELS), None, None
    lower = {name.lower(): array for name, array in arrays.items()}
    if {"x_train", "y_train"} <= lower.keys():
        if ("x_test" in lower) != ("y_test" in lower):
            raise DataError(f"{path}: must hold both x_test and y_test or none, holds {listed(arrays)}")
        return lower["x_train"], lower["y_train"], lower.get("x_test"), lower.get("y_test")
    X, y = _first(arrays, FEATURES), _first(arrays, (label,) if label else LABELS)
    if X is None or (label and y is None):
        expected = f"an array {label!r} of labels" if label and X is not None else "arrays X and y, or x_train, y_train"
        raise DataError(f"{path}: must hold {expected}, holds {listed(arrays) or 'none'}")
    return X, y, None, None


def read_npy(path: Path) -> Any:
    """Return the array of a .npy file."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: {_why(error)}") from error


def _npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                    arrays[name.removesuffix(".npy")] = array
            return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
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
    shape = tuple(int(size) for size in np.ravel(arrays["shape"]))
    try:
        if name == "coo":
            return coo_array((arrays["data"], (arrays["row"], arrays["col"])), shape=shape).tocsr()
        if name not in ("csr", "csc"):
            raise DataError(f"{path}: is a sparse matrix in {name}, expected csr, csc or coo")
        make: Any = csr_array if name == "csr" else csc_array
        matrix = make((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(f"{path}: is no sound sparse matrix: its indices do not fit its shape {shape}") from error
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    return matrix


def read_idx_folder(path: Path) -> tuple[Any, Any, Any, Any]:
    """Return X, y, X_test and y_test of IDX files as MNIST, Fashion-MNIST and EMNIST name them.

    A folder may hold several sets, as EMNIST's does: then `path` is the folder and the beginning of their names.
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
        raise DataError(f"{path}: has no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz")
    ((name, files),) = sets.items()
    found = []
    for part, other in (("train", "train"), ("test", "t10k")):
        for kind, dimensions in (("images", 3), ("labels", 1)):
            if (part, kind) not in files:
                raise DataError(f"{path}: has no file {name}{other}-{kind}-idx{dimensions}-ubyte, plain or .gz")
            found.append(_idx(files[part, kind]))
        images, labels = found[-2:]
        if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels) or not len(labels):
            raise DataError(f"{path}: {part} has images of shape {images.shape} and labels of shape {labels.shape}")
    X, y, X_test, y_test = found
    if X.shape[1:] != X_test.shape[1:]:
        raise DataError(f"{path}: images of train and test have different sizes, {X.shape[1:]} and {X_test.shape[1:]}")
    return X, y, X_test, y_test


def _idx(path: Path) -> NDArray[Any]:
    """Read an IDX file, plain or gzip: two zeros, type, number of dimensions, big-endian sizes, data."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        strerror = getattr(error, "strerror", None)
        raise DataError(f"{path}: {strerror or 'is damaged: its gzip data are not complete or not valid'}") from error
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
    lines = [line.partition("#")[0].split() for line in sample.splitlines()[:20]]
    lines = [cells for cells in lines[:-1] or lines if cells]
    entries = [cell for cells in lines for cell in cells[1:] if not cell.startswith("qid:")]
    return bool(entries) and all(map(ENTRY.fullmatch, entries))


def read_svmlight(path: Path) -> tuple[Any, Any]:
    """Return the CSR array and the labels of svmlight text, which scikit-learn reads.

    Columns are counted as the file does: if it counts from 1, column 0 is empty.
    """
    try:
        X, y = scikit_learn("datasets").load_svmlight_file(str(path), dtype=np.float64, zero_based=True)
    except (ValueError, OSError, EOFError, zlib.error, OverflowError) as error:
        raise DataError(f"{path}: {_wrong_line(path)}") from error
    from scipy.sparse import csr_array

    X = csr_array(X)
    X.sum_duplicates()
    return X, y


def _wrong_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for k, line in enumerate(file, start=1):
                text = line.partition("#")[0].strip()
                if "," in text.split(" ")[0]:
                    return f"line {k} has several labels, expected one: {shortened(text)}"
                if text and not _is_sound(text):
                    return f"line {k} must be a label and index:value pairs in ascending order, got {shortened(text)}"
    except OSError as error:
        return error.strerror or "cannot be read"
    return "is damaged, or no svmlight file"


def _is_sound(text):
    try:
        label, *entries = text.split()
        float(label)
        places = [int(entry.partition(":")[0]) for entry in entries if not entry.startswith("qid:")]
        for entry in entries:
            float(entry.partition(":")[2])
        return places == sorted(places) and not any(place < 0 for place in places)
    except ValueError:
        return False
