"""What `gd.load` makes of damaged, foreign and hostile files: ``python tests/mutations.py [--files 5000] [--seed 0]``.

Changes files that `gd.save` wrote, at random in the ways below, and loads each. It exits with 1 unless every file
raised gd.CheckpointError or gave the tree that was saved, bit for bit, and loading never took more memory than the
bytes of the arrays, 50 times those of the JSON, and 128 KiB. (Whoever forges a file with right checksums can have any
tree; no more is asked of these than that they raise nothing else.)
"""

import argparse
import io
import json
import os
import pickle
import random
import string
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import gd
from gd.files.checkpoints import CheckpointError, load, save
from gd.files.safetensors import HEADER_BYTES

JSON_TIMES, CONSTANT = 50, 2**17  # bytes of memory for one of JSON, and beside all that
NUMBERS = (
    -1,
    0,
    1,
    3,
    2**31,
    2**32,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    10**30,
    0.5,
    1e308,
    True,
    None,
)
TOKENS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "1e999",
    "00",
    '"1"',
    "[]",
    "{}",
    "1" * 5000,
    "[" * 20_000,
    '{"a":' * 20_000,
)


class Trap:
    """What would end the process if it was unpickled."""

    def __reduce__(self):
        return os._exit, (77,)


def originals():
    """Return trees to save: a training's, one of all types, one that is empty."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 40), dtype=np.float32), rng.integers(0, 3, 60)
    model = gd.MLP([40, 50, 3])
    optimizer = gd.Adam(model.parameters)
    history = gd.fit(model, X, y, optimizer, epochs=2, progress=False)
    training = {"parameters": model.parameters, "optimizer": optimizer.state_dict(), "loss": np.array(history.loss)}
    every = {
        "nested": {"a/b": [1, 2.5, (None, True, "x\0\u2028"), {"~": -(2**70)}], "": float("nan")},
        **{
            name: rng.integers(0, 2, 40).astype(name)
            for name in ("bool", "int8", "uint16", "int64", "float16", "float64")
        },
        "scalar": np.float32(0.1),
        "none": np.zeros((3, 0, 2)),
        "large": rng.random((300, 100)),
    }
    return [{**training, "parameters": dict(model.parameters)}, every, {}]


def bits(content, chance):
    """Flip some bits."""
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def header_bits(content, chance):
    """Flip some bits of the header, or of its length."""
    end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(chance.choice((1, 1, 2))):
        content[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return content


def truncation(content, chance):
    """Leave the end out."""
    return content[: chance.choice((chance.randrange(len(content)), len(content) - 1, chance.randrange(9)))]


def insertion(content, chance):
    """Insert bytes somewhere, or at the end."""
    at = chance.choice((chance.randrange(len(content)), len(content)))
    content[at:at] = chance.choice((chance.randbytes(chance.randrange(1, 100)), bytes(chance.randrange(1, 5000)), b" "))
    return content


def pieces(content, chance):
    """Delete, repeat, move, shuffle or zero a piece."""
    start = chance.randrange(len(content))
    piece = content[start : start + chance.randrange(1, 4096)]
    del content[start : start + len(piece)]
    shuffled = bytearray(chance.sample(piece, len(piece)))
    at = chance.randrange(len(content) + 1)
    places = {start: (b"", piece + piece, shuffled, bytes(len(piece))), at: (piece,)}
    at, choices = chance.choice(list(places.items()))
    content[at:at] = chance.choice(choices)
    return content


def length(content, chance):
    """Claim another length of the header."""
    true = int.from_bytes(content[:8], "little")
    claims = (
        0,
        1,
        true - 1,
        true + 1,
        len(content),
        len(content) - 8,
        2**24,
        2**31,
        2**63,
        2**64 - 1,
        chance.getrandbits(64),
    )
    content[:8] = struct.pack("<Q", chance.choice(claims))
    return content


def parts(content):
    """Return (header, bytes of the arrays) of a file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), bytes(content[end:])


def joined(header, data):
    """Return a file of these parts."""
    text = header if isinstance(header, str) else json.dumps(header, ensure_ascii=False)
    encoded = text.encode(errors="surrogatepass")
    return bytearray(struct.pack("<Q", len(encoded)) + encoded + data)


def spaces(content, chance):
    """Write the header with other spaces and in another order: the tree is the same."""
    header, data = parts(content)
    entries = list(header.items())
    chance.shuffle(entries)
    return joined(
        json.dumps(dict(entries), indent=chance.choice((None, 0, 3)), ensure_ascii=chance.random() < 0.5), data
    )


def entries(content, chance):
    """Change an entry of the header: offsets that overlap or are huge or negative, shapes, dtypes, names."""
    header, data = parts(content)
    names = [name for name in header if name != "__metadata__"]
    if not names:
        header[chance.choice(("W", "", "__metadata__ "))] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        return joined(header, data)
    name, other = chance.choice(names), chance.choice(names)
    entry, number = header[name], chance.choice(NUMBERS)

    def offsets():
        entry["data_offsets"][chance.randrange(2)] = number

    def overlap():
        entry["data_offsets"] = header[other]["data_offsets"]

    def shape():
        entry["shape"] = chance.choice(
            ([number], [number, *entry["shape"]], [1] * chance.choice((65, 2_000)), [2**40, 2**40])
        )

    def dtype():
        entry["dtype"] = chance.choice(
            ("F64", "F32", "F16", "BF16", "I8", "U64", "BOOL", "F8_E4M3", "X9", "", "O", number)
        )

    def rename():
        header[chance.choice((name + "x", name[:-1], "__metadata__", "../" + name, "\ud800", "x" * 5_000))] = (
            header.pop(name)
        )

    def drop():
        del header[chance.choice(list(header))]

    def key():
        del entry[chance.choice(list(entry))]

    def more():
        entry["more"] = number

    def replaced():
        header[name] = chance.choice((number, [], "x", {}, header))

    def swapped():
        header[name], header[other] = header[other], header[name]

    change = chance.choice((offsets, offsets, overlap, shape, shape, dtype, rename, drop, key, more, replaced, swapped))
    change()
    try:
        return joined(header, data)
    except ValueError:  # it holds itself
        return joined("{" * 1_000, data)


def text(content, chance):
    """Write what JSON cannot hold, what Python's alone reads, or a key twice, into the text of the header."""
    header, data = parts(content)
    written = json.dumps(header, ensure_ascii=False)
    at = chance.choice([k for k, each in enumerate(written) if each in "0123456789[{,:"])
    token = chance.choice(TOKENS)
    first = json.dumps(dict([chance.choice(list(header.items()))]))[1:-1]
    versions = (
        written[:at] + token + written[at + 1 :],
        written[:at] + token + written[at:],
        "{" + first + ", " + written[1:],  # a key twice
        written[:-1] + "," * chance.randrange(3) + "}" * chance.randrange(3),
        written.replace('"', "'"),
        "\ufeff" + written,
    )
    return joined(chance.choice(versions), data)


def metadata(content, chance):
    """Change what is beside the tree, or some characters of it."""
    header, data = parts(content)
    own = header["__metadata__"]
    name = chance.choice(list(own))
    characters = list(own[name])
    for _ in range(chance.randrange(1, 4)):
        characters[chance.randrange(len(characters))] = chance.choice(string.printable + "é\0\U0001f600")
    own[name] = chance.choice(("".join(characters), "", "2", own[name] * 2, 3, None, [own[name]], {"a": own[name]}))
    if chance.random() < 0.2:
        del own[name]
    return joined(header, data)


def forged(content, chance):
    """Change the tree and its checksum: entries of other types, depths, arrays under other names."""
    header, data = parts(content)
    tree = header["__metadata__"]["tree"]
    at = chance.choice([k for k, each in enumerate(tree) if each in '0123456789[{,:"'])
    exchanged = [
        (tag, other)
        for tag in ("dict", "array", "scalar", "tuple", "int", "float", "[")
        for other in ("dict", "list", "tuple", "scalar", "{")
    ]
    tag, other = chance.choice(exchanged)
    deep = chance.choice((150, 5_000))
    tree = chance.choice(
        (
            tree[:at] + chance.choice(TOKENS) + tree[at + 1 :],
            tree.replace(tag, other, 1),
            '{"dict": {"a": ' * deep + tree + "}}" * deep,
            "[" * deep + "]" * deep,
            '{"dict": {"l": [' + ",".join(["[]"] * 2_000) + "]}}",
            '{"dict": {"\U0001f600": [' + ",".join(["[" * 95 + "]" * 95] * chance.choice((1, 9, 99))) + "]}}",
            "null",
        )
    )
    header["__metadata__"] |= {"tree": tree, "checksum": f"{crc32(tree.encode()):08x}"}
    return joined(header, data)


def foreign(content, chance):
    """Return a file of another kind."""
    arrays = {"W": np.ones(50)}
    buffer = io.BytesIO()
    kind = chance.randrange(9)
    if kind == 0:
        np.savez(buffer, **arrays)
    elif kind == 1:
        np.save(buffer, arrays["W"])
    elif kind == 2:
        np.save(buffer, np.array([Trap()]), allow_pickle=True)
    elif kind == 3:
        buffer.write(pickle.dumps({"W": arrays["W"], "trap": Trap()}))
    elif kind == 4:
        with zipfile.ZipFile(buffer, "w") as file:  # as torch.save writes them
            file.writestr("archive/data.pkl", pickle.dumps(Trap()))
            file.writestr("archive/version", "3\n")
    elif kind == 5:
        buffer.write(b"epoch 1: loss 0.5\n" * chance.randrange(1, 100))
    elif kind == 6:
        buffer.write(chance.randbytes(chance.randrange(5_000)))
    elif kind == 7:
        buffer.write(json.dumps({"W": [1, 2]}).encode())
    else:  # safetensors of another program
        own = {} if chance.random() < 0.5 else {"__metadata__": {"format": chance.choice(("pt", "np", "gd"))}}
        entry = {"dtype": chance.choice(("BF16", "F32", "F8_E5M2")), "shape": [2], "data_offsets": [0, 4]}
        return joined(own | {"W": entry}, b"abcd")
    return bytearray(buffer.getvalue())


MUTATIONS = (bits, header_bits, truncation, insertion, pieces, length, spaces, entries, text, metadata, forged, foreign)


def same(a, b):
    """Whether two trees agree in types, keys, dtypes, shapes and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return struct.pack("d", a) == struct.pack("d", b) if isinstance(a, float) else a == b


def most_memory(content):
    """Return how many bytes loading a file may take."""
    claim = int.from_bytes(content[:8], "little")
    read = claim if claim <= min(len(content) - 8, HEADER_BYTES) else 0
    return len(content) - read + JSON_TIMES * read + CONSTANT


def outcome(path, tree, may_differ):
    """Return what comes of loading a file: refused, same, forged, or FAULT and what it is; and the memory it took."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    loaded, found = None, None
    try:
        loaded = load(path)
    except CheckpointError as error:
        found = "refused" if str(error).startswith(f"load: {path} is ") else f"FAULT: {error}"
    except BaseException as error:
        found = f"FAULT: {type(error).__name__}: {error}"
    peak = tracemalloc.get_traced_memory()[1] - before
    if found is None:
        found = "same" if same(loaded, tree) else "forged" if may_differ else "FAULT: another tree"
    return found, peak


def main():
    """Mutate files, load them and print what came of it."""
    parser = argparse.ArgumentParser(description="Load damaged, foreign and hostile checkpoints.")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, start = random.Random(options.seed), time.perf_counter()
    counts, faults, worst = {}, [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        path, trees = Path(folder) / "checkpoint", originals()
        contents = []
        for tree in trees:
            save(path, tree)
            contents.append(path.read_bytes())
        load(path)  # what is imported and compiled once is not counted
        tracemalloc.start()
        for k in range(options.files):
            mutate, which = MUTATIONS[k % len(MUTATIONS)], chance.choice((0, 0, 1, 1, 2))
            content = mutate(bytearray(contents[which]), chance)
            path.write_bytes(content)
            found, peak = outcome(path, trees[which], mutate is forged)
            worst = max(worst, peak / most_memory(content))
            if peak > most_memory(content):
                found = f"FAULT: {peak:,} bytes of memory for a file of {len(content):,}"
            if found.startswith("FAULT"):
                faults.append(f"{mutate.__name__} of tree {which}, file {k}: {found}")
            counts.setdefault(mutate.__name__, Counter())[found.partition(":")[0]] += 1
    for name, counter in counts.items():
        print(f"{name + ':':<13}" + ", ".join(f"{count} {what}" for what, count in sorted(counter.items())))
    total = sum(counts.values(), Counter())
    print(
        f"{options.files} files in {time.perf_counter() - start:.1f} s: {total['refused']} raised gd.CheckpointError, "
        f"{total['same']} gave the tree that was saved, {total['forged']} a forged one, {len(faults)} faults"
    )
    print(
        f"peak memory: {worst:.0%} at most of the arrays' bytes, {JSON_TIMES} times those of the JSON and "
        f"{CONSTANT // 1024} KiB"
    )
    print("\n".join(faults[:20]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
