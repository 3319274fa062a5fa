"""Small files in the layouts that people have: each writes one and tells how to train on it and what is understood."""

import bz2
import gzip
import lzma
import struct
import zipfile
from typing import NamedTuple

import numpy as np

ROWS, CLASSES = 120, 3


class Case(NamedTuple):
    """A file, the options to train on it, and what `gd train` prints of it."""

    path: object
    options: tuple = ()
    prints: tuple = ("96 rows to train, 24 to test", "4 features, 3 classes")
    needs: tuple = ("pandas",)


def numbers(seed=0):
    """Return rows of four features around one of three places, and the number of the place."""
    rng = np.random.default_rng(seed)
    y = np.arange(ROWS) % CLASSES
    return rng.standard_normal((ROWS, 4)) + 4 * np.random.default_rng(9).standard_normal((CLASSES, 4))[y], y


def table(separator=",", header="a,b,c,d,kind", names=("ape", "bee", "cat"), decimal=".", seed=0, index=None):
    """Return the text of a table with the label in the last column."""
    X, y = numbers(seed)
    lines = [] if header is None else [header.replace(",", separator)]
    for k, (row, label) in enumerate(zip(X, y, strict=True)):
        cells = [f"{value:.3f}".replace(".", decimal) for value in row]
        lines.append(separator.join(([] if index is None else [str(index(k))]) + cells + [names[label]]))
    return "\n".join(lines) + "\n"


def write_idx(path, array, code=8):
    """Write an IDX file; gzip if the name says so."""
    content = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_images(folder, train="train", test="t10k", suffix=".gz", first=0, rows=(90, 30), sizes="idx3-ubyte"):
    """Write a folder of images as MNIST's, with labels from `first`."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name, count in zip((train, test), rows, strict=True):
        labels = (np.arange(count) % 3).astype(np.uint8)
        images = rng.integers(0, 50, (count, 4, 4)).astype(np.uint8)
        images[:, 0, 0] = labels * 100
        write_idx(folder / f"{name}-images-{sizes}{suffix}", images)
        write_idx(folder / f"{name}-labels-{sizes.replace('3', '1')}{suffix}", labels + np.uint8(first))
    return folder


def text(folder, content, name="table.csv", encoding="utf-8", **case):
    """Write a text file."""
    (folder / name).write_bytes(content.encode(encoding))
    return Case(folder / name, **case)


def mixed(folder, missing=False):
    """Write a table with texts, booleans and, if asked for, missing values."""
    X, y = numbers()
    lines = ["age, job, member, income"]
    for k, (row, label) in enumerate(zip(X, y, strict=True)):
        age = "?" if missing and k % 10 == 3 else "" if missing and k % 10 == 4 else f"{row[0]:.2f}"
        job = ["clerk", "smith", "?"][label] if k % 7 else ""
        lines.append(f"{age}, {job}, {['true', 'False'][label % 2]}, {['<=50K', '>50K'][int(label > 0)]}")
    return "\n".join(lines)


def numbered(folder):
    X, y = numbers()
    lines = [",0,1,2,3,4"] + [f"{k},{','.join(map(repr, row.tolist()))},{y[k]}" for k, row in enumerate(X)]
    return text(folder, "\n".join(lines), prints=("4 features, 3 classes", "left out: unnamed 0 (has no name)"))


def label_first(folder):
    X, y = numbers()
    lines = ["label,p0,p1,p2,p3"] + [f"{y[k]},{','.join(map(repr, row.tolist()))}" for k, row in enumerate(X)]
    return text(folder, "\n".join(lines), prints=("4 features, 3 classes", "column 'label' (by its name)"))


def label_by_number(folder):
    lines = [",".join([f"c{y}", *map(repr, row.tolist())]) for row, y in zip(*numbers(), strict=True)]
    return text(folder, "\n".join(lines), options=("--label", "0"), prints=("column '0' (--label)", "4 features"))


def compressed(folder, suffix):
    content = table().encode()
    path = folder / f"table.csv{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside.csv", content)
    else:
        path.write_bytes({".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix].compress(content))
    return Case(path)


def regression(folder):
    X, _ = numbers()
    lines = ["id,a,b,price"] + [
        f"{k + 1},{r[0]:.3f},{r[1]:.3f},{1000 + 100 * r[0] - 30 * r[1]:.2f}" for k, r in enumerate(X)
    ]
    prints = ("2 features\n", "column 'price' (the last one): regression", "test R2 ", "left out: id (counts the rows)")
    return text(folder, "\n".join(lines), prints=prints)


def parquet(folder):
    import pandas

    X, y = numbers()
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame["flag"], frame["target"] = pandas.array(y > 1), pandas.Categorical.from_codes(y, ["x", "y", "z"])
    frame.to_parquet(folder / "table.parquet")
    return Case(
        folder / "table.parquet", prints=("4 numbers, 1 boolean", "3 classes: 'x'"), needs=("pandas", "pyarrow")
    )


def npz(folder, **arrays):
    X, y = numbers()
    np.savez(folder / "arrays.npz", **(arrays or {"X": X, "y": y}))
    return Case(folder / "arrays.npz", needs=())


def keras(folder):
    images, labels = np.random.default_rng(0).integers(0, 50, (120, 4, 4)).astype(np.uint8), np.arange(120) % 3
    images[:, 0, 0] = labels * 100
    np.savez(
        folder / "mnist.npz", x_train=images[:90], y_train=labels[:90], x_test=images[90:], y_test=labels[90:, None]
    )
    return Case(folder / "mnist.npz", prints=("90 rows to train, 30 to test, 16 features, 3 classes",), needs=())


def half(folder):
    X, y = numbers()
    X = (X * 300 + 40_000).astype(np.float16)  # their sum and squares are infinite in float16
    return npz(folder, X=X, y=y + 1)._replace(prints=("4 features, 3 classes", "3 classes: 1, 2, 3"))


def integers(folder):
    X, y = numbers()
    return npz(folder, X=(X * 3 + 100).astype(np.uint8), y=y)


def matrix(folder):
    X, y = numbers()
    np.save(folder / "matrix.npy", np.column_stack([X, y]))
    return Case(folder / "matrix.npy", needs=())


def emnist(folder):
    for name in ("emnist-digits-", "emnist-letters-"):
        write_images(folder / "gzip", f"{name}train", f"{name}test", first=1)
    prints = ("90 rows to train, 30 to test, 16 features, 3 classes", "3 classes: 1, 2, 3")
    return Case(folder / "gzip" / "emnist-letters", prints=prints, needs=())


def sparse_rows():
    import scipy.sparse

    X, y = numbers()
    X = np.where(np.abs(X) > 1, X, 0)
    return scipy.sparse.csr_array(X), y


def svmlight(folder):
    X, y = sparse_rows()
    lines = []
    for k in range(X.shape[0]):
        row = zip(X.indices[X.indptr[k] : X.indptr[k + 1]], X.data[X.indptr[k] : X.indptr[k + 1]], strict=True)
        lines.append(" ".join([str(y[k] * 2 - 1), *(f"{c + 1}:{v:.4f}" for c, v in row)]))
    (folder / "rows.t").write_text("\n".join(lines) + "\n")
    return Case(folder / "rows.t", prints=("4 features, 3 classes", "3 classes: -1, 1, 3"), needs=())


def csr(folder):
    X, y = sparse_rows()
    np.savez(folder / "csr.npz", data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape, format=b"csr", y=y)
    return Case(folder / "csr.npz", needs=())


def csr_with_label(folder):
    import scipy.sparse

    X, y = sparse_rows()
    scipy.sparse.save_npz(folder / "csr.npz", scipy.sparse.hstack([y[:, None], X]).tocsr())
    return Case(folder / "csr.npz", options=("--label", "0"), needs=())


def labels_beside(folder):
    import scipy.sparse

    X, y = sparse_rows()
    scipy.sparse.save_npz(folder / "csr.npz", X)
    np.save(folder / "labels.npy", y)
    return Case(folder / "csr.npz", options=("--label", folder / "labels.npy"), needs=())


def with_test_file(folder):
    text(folder, table(seed=1), "test.csv")
    text(folder, table(seed=2), "validation.csv")
    options = ("--test", folder / "test.csv", "--validation", folder / "validation.csv", "--early-stopping", "5")
    prints = ("120 rows to train, 120 to test", "validation loss")
    return text(folder, table(), options=options, prints=prints)


LAYOUTS = {  # the first column of the table in docs/training.md -> files
    "CSV with a header": [lambda f: text(f, table()), lambda f: text(f, table().replace("\n", "\r\n"))],
    "CSV without a header": [lambda f: text(f, table(header=None))],
    "a header of numbers, as pandas writes it": [
        numbered,
        lambda f: text(f, table(header="0,1,2,3,4")),
        lambda f: text(f, table(header="0,1,2,3,label", names="123"), prints=("column 'label' (by its name)",)),
    ],
    "an index column": [
        numbered,
        lambda f: text(f, table(header=",a,b,c,d,kind", index=lambda k: f"row {k}")),
        lambda f: text(f, table(header="a,b,c,d,kind", index=lambda k: f"row {k}")),  # as R writes it
        lambda f: text(f, table(header="PassengerId,a,b,c,d,kind", index=lambda k: k + 892)),
    ],
    "other separators": [
        lambda f: text(f, table(";")),
        lambda f: text(f, table("\t"), "table.tsv"),
        lambda f: text(f, table("|"), "table.txt"),
        lambda f: text(f, table("   ", header=None), "table.data"),
        lambda f: text(f, table(", ")),
    ],
    "decimal commas": [
        lambda f: text(f, table(";", decimal=",")),
        lambda f: text(f, table("\t", decimal=",", header=None)),
    ],
    "quotes": [
        lambda f: text(f, table(header='"a, the first","b\nsecond",c,d,kind', names=('"a,pe"', '"be""e"', '"c\nat"')))
    ],
    "another column is the label": [label_first, label_by_number],
    "texts and booleans": [lambda f: text(f, mixed(f), prints=("1 number, 1 text, 1 boolean (one-hot: 7 features)",))],
    "missing values": [
        lambda f: text(f, mixed(f, True), options=("--impute", "median"), prints=("1 number, 1 text, 1 boolean",)),
        lambda f: text(f, mixed(f, True), options=("--drop", "age"), prints=("1 text, 1 boolean", "age (--drop)")),
    ],
    "compressed": [lambda f, s=s: compressed(f, s) for s in (".gz", ".bz2", ".xz", ".zip")],
    "other encodings": [
        lambda f: text(f, table(names=("\xe4ffin", "bee", "cat")), encoding="latin-1", prints=("3 classes: 'bee'",)),
        lambda f: text(f, table(), encoding="utf-8-sig"),
        lambda f: text(f, table(), encoding="utf-16"),
    ],
    "Parquet": [parquet],
    "`.npz` with X and y": [npz],
    "`.npz` with Keras's names": [keras],
    "float16, integers": [half, integers],
    "`.npy`": [matrix],
    "a folder of IDX files": [
        lambda f: Case(write_images(f / "i"), prints=("90 rows to train, 30 to test, 16 features",), needs=()),
        lambda f: Case(write_images(f / "i", suffix=""), prints=("90 rows to train, 30 to test",), needs=()),
        lambda f: Case(
            write_images(f / "i", sizes="idx3-ubyte", suffix="", first=5), prints=("classes: 5, 6, 7",), needs=()
        ),
    ],
    "IDX files with EMNIST's names": [emnist],
    "svmlight, libsvm": [svmlight],
    "`.npz` of a sparse matrix": [csr, csr_with_label, labels_beside],
    "numbers to predict": [regression],
    "files for testing and validation": [with_test_file],
}
CASES = {f"{name}-{k}": make for name, each in LAYOUTS.items() for k, make in enumerate(each)}
