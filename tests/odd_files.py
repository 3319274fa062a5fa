"""Damaged and odd files, drawn from a seed: ``python tests/odd_files.py [--count N] [--seed N]`` trains on each.

`gd train` must end with status 2 and one sentence, or have read what the file says: rows, features, classes.
"""

import argparse
import contextlib
import io
import random
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from layouts import CASES, ROWS, numbers, table

from gd.__main__ import main

TRAIN = ("train", "--hidden", "8", "--batch-size", "8", "--lr", "0.02", "--epochs", "8")
HTML = "<!DOCTYPE html>\n<html><head><title>404, not found</title></head>\n<body><p>No, such, file</p></body></html>\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def lines_of(rng):
    """Return the lines of a sound table, with one of three separators."""
    return table(rng.choice(",;\t")).splitlines()


def changed(change):
    """Return a maker of a text file from a function that changes its lines, and tells whether they are still right."""

    def make(rng):
        lines = lines_of(rng)
        right = change(lines, rng)
        return "\n".join(lines).encode() + b"\n", bool(right)

    return make


def replace_cell(*texts):
    def change(lines, rng):
        row = rng.randrange(1, len(lines))
        separator = re.search("[,;\t]", lines[0])[0]
        cells = lines[row].split(separator)
        cells[rng.randrange(4)] = rng.choice(texts)
        lines[row] = separator.join(cells)

    return changed(change)


def at_random(lines, rng):
    return rng.randrange(1, len(lines))


def cut(rng):
    content = table(rng.choice(",;\t")).encode()
    return content[: rng.randrange(len(content))], None


def flipped(rng):
    content = bytearray(table(rng.choice(",;\t")).encode())
    for _ in range(rng.randrange(1, 4)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content), None


def with_nul(rng):
    content = bytearray(table().encode())
    content[rng.randrange(len(content))] = 0
    return bytes(content), False


def longer(lines, rng):
    row = at_random(lines, rng)
    lines[row] += re.search("[,;\t]", lines[0])[0] + "7"


def shorter(lines, rng):
    row = at_random(lines, rng)
    lines[row] = lines[row].rpartition(re.search("[,;\t]", lines[0])[0])[0]


def one_class(lines, rng):
    lines[1:] = [re.sub("[a-z]+$", "ape", line) for line in lines[1:]]


def constant(lines, rng):
    lines[1:] = [re.sub("[a-z]+$", "7.5", line) for line in lines[1:]]


def all_labels_differ(lines, rng):
    lines[1:] = [f"{line}{k}" for k, line in enumerate(lines[1:])]


def label_gone(lines, rng):
    row = at_random(lines, rng)
    lines[row] = re.sub("[a-z]+$", "", lines[row])


def twice(lines, rng):
    lines += lines[:]  # one file after the other, each with its header


def other_separators(lines, rng):
    for row in range(rng.randrange(2, len(lines)), len(lines)):
        lines[row] = re.sub("[,;\t]", "~", lines[row])


def no_separator(lines, rng):
    lines[:] = [re.sub("[,;\t]", "~", line) for line in lines]


def quote(lines, rng):
    row = at_random(lines, rng)
    lines[row] = re.sub("([,;\t])([^,;\t]*)$", r'\1"\2', lines[row])


def blank_lines(lines, rng):
    for _ in range(4):
        lines.insert(at_random(lines, rng), "")
    return True


def last_separator(lines, rng):
    separator = re.search("[,;\t]", lines[0])[0]
    lines[:] = [line + separator for line in lines]
    return True


def spaced(lines, rng):
    lines[:] = [re.sub("([,;\t])", r"\1  ", line) + "  " for line in lines]
    return True


def few(lines, rng):
    del lines[rng.randrange(1, 6) :]


def binary(rng):
    start = rng.choice([b"", b"PK\3\4", b"PAR1", b"\x1f\x8b\x08", b"\x93NUMPY", b"BZh9", b"\xfd7zXZ\0", b"\0\0\x08\3"])
    return start + rng.randbytes(rng.randrange(1, 3000)), False


def text_of(*texts):
    return lambda rng: (rng.choice(texts).encode(), False)


def encoded_as(*encodings):
    def make(rng):
        name, right = rng.choice(encodings)
        return table().encode(name), right

    return make


def line_ends(rng):
    return table(rng.choice(",;\t")).replace("\n", rng.choice(["\r\n", "\r"])).encode(), True


def damaged_case(*names):
    """Return a maker of a file of another layout that was cut or flipped."""

    def make(rng):
        with tempfile.TemporaryDirectory() as folder:
            case = CASES[rng.choice(names)](Path(folder))
            content = bytearray(case.path.read_bytes())
        if rng.random() < 0.5:
            return bytes(content[: rng.randrange(len(content))]), None, case.path.suffix
        for _ in range(3):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(content), None, case.path.suffix

    return make


def arrays(*changes):
    """Return a maker of an .npz of arrays that are no task."""

    def make(rng):
        X, y = numbers()
        file = io.BytesIO()
        np.savez(file, **rng.choice(changes)(X.copy(), y))
        return file.getvalue(), False, ".npz"

    return make


def spoiled(value):
    def change(X, y):
        X[17, 2] = value
        return {"X": X, "y": y}

    return change


KINDS = {
    "cut": cut,
    "flipped": flipped,
    "NUL byte": with_nul,
    "binary": binary,
    "text among numbers": replace_cell("abc", "12a", "?", "1,5.7x", "--", "0x1F", "1_000", "12 kg", "$5"),
    "not finite": replace_cell("inf", "-Infinity", "1e400", "nan", "NaN", ""),
    "huge": replace_cell("1e300", "-1e160", "9" * 400),
    "line too long": changed(longer),
    "line too short": changed(shorter),
    "one class": changed(one_class),
    "constant target": changed(constant),
    "labels all different": changed(all_labels_differ),
    "label missing": changed(label_gone),
    "header twice": changed(twice),
    "separators change": changed(other_separators),
    "no separator": changed(no_separator),
    "open quote": changed(quote),
    "blank lines": changed(blank_lines),
    "last separator": changed(last_separator),
    "spaces": changed(spaced),
    "few rows": changed(few),
    "other text": text_of(
        "", "\n\n  \n", "a,b,c\n", HTML, LFS, '{"a": [1, 2],\n "b": 3}\n', "1\n2\n3\n", "to be, or not\n" * 9
    ),
    "encoding": encoded_as(("utf-8-sig", True), ("utf-16", True), ("utf-16-le", False), ("utf-32", False)),
    "line ends": line_ends,
    "other layout, damaged": damaged_case(
        "Parquet-0", "`.npz` with X and y-0", "`.npy`-0", "`.npz` of a sparse matrix-0", "compressed-0", "compressed-1",
        "compressed-2", "compressed-3", "svmlight, libsvm-0",
    ),
    "arrays": arrays(
        spoiled(np.nan), spoiled(np.inf), spoiled(1e200),
        lambda X, y: {"X": X, "y": y[:50]},
        lambda X, y: {"X": X, "y": np.zeros(ROWS, int)},
        lambda X, y: {"X": X.astype(str), "y": y},
        lambda X, y: {"X": X, "y": np.where(y == 1, np.nan, y)},
        lambda X, y: {"X": X.astype(complex), "y": y},
        lambda X, y: {"X": X, "labelled": y},
    ),
}  # fmt: skip


def odd_files(count, seed):
    """Yield (kind, contents, whether they are right: None if that cannot be said, suffix)."""
    rng = random.Random(seed)
    for k in range(count):
        kind = list(KINDS)[k % len(KINDS)]
        made = KINDS[kind](rng)
        content, right, suffix = made if len(made) == 3 else (*made, rng.choice([".csv", ".csv", ".txt"]))
        yield kind, content, right, suffix


def fault(kind, content, right, path):
    """Train on a file; return what is wrong with the answer, or None."""
    path.write_bytes(content)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        status = main([*TRAIN, "--data", str(path)])
    out, err = out.getvalue(), err.getvalue()
    if status == 2:
        if right:
            return f"refused, but it is right: {err}"
        sentence = err.count("\n") == 1 and err.startswith("gd train: ") and str(path) in err and len(err) < 600
        return None if sentence and not out else f"no sentence: {err!r} {out!r}"
    if status != 0 or err:
        return f"status {status}: {err}"
    if right is False:
        return f"trained: {out}"
    found = re.search(r"([\d,]+) rows to train, ([\d,]+) to test, (\d+) features, (\d+) classes", out)
    accuracy = re.search(r"accuracy ([\d.]+)", out)
    features = (4, 5, 6) if kind.startswith("other layout") else (4,)
    if found is None or int(found[3]) not in features or not 3 <= int(found[4]) <= 5:
        return f"trained on nonsense: {out}"
    if int(found[1]) > 60 and float(accuracy[1]) < 0.7:
        return f"trained on nonsense: {out}"
    return None


def run(count=200, seed=0):
    """Return the faults, and how many files were trained on."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for k, (kind, content, right, suffix) in enumerate(odd_files(count, seed)):
            path = Path(folder) / f"odd-{k}{suffix}"
            wrong = fault(kind, content, right, path)
            if wrong:
                found.append(f"{k} {kind}: {wrong}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults = run(options.count, options.seed)
    print(*faults, f"{options.count} files, {len(faults)} faults", sep="\n")
    sys.exit(bool(faults))
