"""gd.save and gd.load: exact round trips, refused objects, damaged files, and saves that fail or end."""

import errno
import json
import os
import pickle
import random
import re
import signal
import string
import struct
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

pytest.importorskip("safetensors")
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mutations import same

import gd
import gd.files
from gd.files import checkpoints
from gd.files.checkpoints import DEPTH, DTYPES, JSON_BYTES, CheckpointError, load, save
from gd.version import to_install

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


def refusal(path):
    """Return the message with which load refuses a file, less the path that it must name; None if it loads."""
    try:
        load(path)
    except CheckpointError as error:
        message = str(error)
        assert message.startswith(f"load: {path} ")
        assert "\n" not in message
        return message.removeprefix(f"load: {path} ")
    return None


TREE = {
    "epoch": 3,
    "name": "Größe \0 \U0001f600 \u2028",
    "": {"a/b": np.float32(2.5), "a~1b": np.array(-7), "a": {"b": np.ones(3, np.uint16)}, "__metadata__": True},
    "__metadata__": np.zeros((2, 0, 3), np.float16),
    "~__metadata__": np.array([True, False]),
    "history": [1.5, float("inf"), -0.0, (None, [], (), {}, "x", 2**63, -(2**200))],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# Round trips


keys = st.one_of(
    st.sampled_from(["", "/", ".", "~", "a", "a/b", "~1", "__metadata__", "dict", "array", "0"]), st.text()
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(width=64),
    st.text(),
    hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
)
trees = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(keys, children, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=80)
@given(tree=st.dictionaries(keys, trees, max_size=4))
def test_trees_come_back_bit_for_bit(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    save(path, tree)
    assert same(load(path), tree)


def test_the_example_comes_back(path):
    save(path, TREE)
    assert same(load(path), TREE)
    save(path, {})
    assert load(str(path)) == {}


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_all_bit_patterns_of_every_dtype_come_back(path, rng, dtype):
    bits = np.frombuffer(rng.bytes(4096), np.uint8)
    array = (bits & 1).view(dtype) if dtype == "bool" else bits.view(dtype)
    save(path, {"array": array, "scalar": array[5], "0d": array[:1].reshape(())})
    assert same(load(path), {"array": array, "scalar": array[5], "0d": array[:1].reshape(())})


@pytest.mark.parametrize("bits", [0x7FF0000000000001, 0xFFF8000000000123, 0x7FF0000000000000, 0x8000000000000000, 1])
def test_all_bits_of_floats_come_back(path, bits):
    (number,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    save(path, {"x": number})
    assert struct.pack(">d", load(path)["x"]) == bits.to_bytes(8, "big")


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 16**5000, -(10**9999)], ids=hash)
def test_integers_of_any_size_come_back(path, number):
    save(path, {"x": number})
    assert load(path)["x"] == number


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_from_its_saved_state(path, bits):
    generator = np.random.Generator(getattr(np.random, bits)(7))
    generator.integers(0, 9, 3, np.uint32)  # half of a 64-bit word is left
    save(path, {"rng": generator.bit_generator.state})
    other = np.random.Generator(getattr(np.random, bits)(0))
    other.bit_generator.state = load(path)["rng"]
    assert np.array_equal(generator.integers(0, 9, 99, np.uint32), other.integers(0, 9, 99, np.uint32))
    assert generator.random() == other.random()


def test_arrays_come_back_ready_for_kernels(path):
    array = np.arange(24.0).reshape(2, 3, 4)
    tree = {"F": np.asfortranarray(array), "step": array[:, ::-1, ::2], "read-only": np.broadcast_to(3.0, (5,))}
    save(path, tree)
    loaded = load(path)
    for name, each in loaded.items():
        assert np.array_equal(each, tree[name])
        assert each.flags.carray
        assert each.ctypes.data % 64 == 0
    loaded["F"][:] = 0
    assert same(load(path)["F"], array)


def test_mappings_come_back_as_dicts(path):
    parameters = gd.ParameterVector.from_arrays({"W": np.arange(6.0).reshape(2, 3), "b": np.ones(2)})
    save(path, {"parameters": parameters, "ordered": OrderedDict(b=1, a=2)})
    assert same(load(path), {"parameters": dict(parameters), "ordered": {"b": 1, "a": 2}})


def test_training_goes_on_as_if_it_had_not_stopped(path):
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 5)), rng.random((40, 2))

    def build():
        model = gd.MLP([5, 4, 2], loss="mse", dtype=np.float64)
        return model, gd.Adam(model.parameters)

    model, optimizer = build()
    gd.fit(model, X, y, optimizer, epochs=2, progress=False)
    save(path, {"parameters": model.parameters, "optimizer": optimizer.state_dict()})
    gd.fit(model, X, y, optimizer, epochs=2, progress=False)
    other, its_optimizer = build()
    checkpoint = load(path)
    for name, view in other.parameters.items():
        view[...] = checkpoint["parameters"][name]
    its_optimizer.load_state_dict(checkpoint["optimizer"])
    gd.fit(other, X, y, its_optimizer, epochs=2, progress=False)
    assert same(other.parameters.vector, model.parameters.vector)


def test_any_reader_of_safetensors_sees_the_arrays(path):
    save(path, {"W": np.arange(3.0), "slots": [np.ones(2), {"a/b": np.zeros(1)}]})
    arrays = safetensors.numpy.load_file(path)
    assert sorted(arrays) == ["W", "slots/0", "slots/1/a~1b"]
    assert arrays["W"].tolist() == [0, 1, 2]


# Refused arguments


Pair = namedtuple("Pair", "a b")
REFUSED = {
    "big-endian": (np.ones(2, ">f4"), TypeError, r"tree\['a'\]\[1\] has dtype >f4, expected bool"),
    "object": (np.array([None]), TypeError, "has dtype object"),
    "complex": (np.ones(1, complex), TypeError, "has dtype complex128"),
    "longdouble": (np.ones(1, "g"), TypeError, "has dtype"),
    "str array": (np.array(["x"]), TypeError, "has dtype <U1"),
    "str scalar": (np.str_("x"), TypeError, "has dtype <U1"),
    "datetime": (np.datetime64("2020-01-01"), TypeError, "has dtype datetime64"),
    "structured": (np.zeros(1, "f4,f4"), TypeError, "has dtype"),
    "masked": (np.ma.ones(2), TypeError, r"tree\['a'\]\[1\] must be a dict, .* got MaskedArray"),
    "matrix": (np.ones((2, 2)).view(np.matrix), TypeError, "got matrix"),
    "bytes": (b"x", TypeError, "got bytes"),
    "set": ({1}, TypeError, "got set"),
    "complex number": (1j, TypeError, "got complex"),
    "function": (len, TypeError, "got builtin_function_or_method"),
    "named tuple": (Pair(1, 2), TypeError, "got Pair"),
    "enum": (signal.SIGTERM, TypeError, "got Signals"),
    "module": (errno, TypeError, "got module"),
    "key": ({"b": {3: 1}}, TypeError, r"the keys of tree\['a'\]\[1\]\['b'\] must be str, got 3"),
    "str": ("\ud800", ValueError, "expected valid Unicode"),
    "key of half a character": ({"\udc80": np.ones(1)}, ValueError, "expected valid Unicode"),
    "long": ("x" * (JSON_BYTES + 1), ValueError, "bytes of JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_come_back_is_refused_and_the_old_file_stays(path, case):
    save(path, {"x": 1})
    value, error, message = REFUSED[case]
    with pytest.raises(error, match=f"save: .*{message}"):
        save(path, {"a": [0, value]})
    assert load(path) == {"x": 1}
    assert os.listdir(path.parent) == [path.name]


def test_depth_is_limited_and_cycles_are_found(path):
    tree = {}
    for _ in range(DEPTH):
        tree = {"x": tree}
    save(path, tree)
    assert load(path) == tree
    with pytest.raises(ValueError, match="save: tree is more than 100 levels deep, or holds itself"):
        save(path, {"x": tree})
    entries = [1]
    entries += [entries, entries]
    with pytest.raises(ValueError, match="or holds itself"):
        save(path, {"x": entries})


def test_other_arguments_are_refused(path):
    with pytest.raises(TypeError, match="save: tree must be a dict, got list"):
        save(path, [1])
    with pytest.raises(ValueError, match="save: keep must be at least 1"):
        save(path, {}, keep=0)
    with pytest.raises(TypeError, match="save: keep must be an integer"):
        save(path, {}, keep=1.0)
    with pytest.raises(ValueError, match="save: path must be that of a file"):
        save(path.parent, {})
    with pytest.raises(FileNotFoundError):
        save(path / "missing" / "x", {})
    assert os.listdir(path.parent) == []


def test_the_message_without_safetensors_says_how_to_get_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    model, X, y = gd.MLP([2, 2]), np.ones((2, 2), np.float32), np.zeros(2, int)
    for call, who in (
        (lambda: save(path, {}), "gd.save"),
        (lambda: gd.fit(model, X, y, gd.Adam(model.parameters), checkpoint=path), "fit: checkpoint"),
    ):
        with pytest.raises(ImportError, match=f"^{who} needs safetensors: {re.escape(to_install('train'))}"):
            call()


# Damaged files


SMALL = {"step": 3, "W": np.arange(4, dtype=np.float32), "b": np.float64(0.5), "n": float("nan"), "e": np.ones((0, 2))}


def test_every_flipped_bit_is_noticed(path):
    save(path, SMALL)
    content = path.read_bytes()
    assert len(content) < 1000
    for k in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[k] ^= 1 << bit
            path.write_bytes(damaged)
            assert refusal(path), f"bit {bit} of byte {k}"


def test_every_other_byte_is_noticed_unless_it_means_the_same(path):
    save(path, SMALL)
    content = path.read_bytes()
    for k in range(len(content)):
        for value in b' \t\n"\\0}\xff':
            damaged = bytearray(content)
            damaged[k] = value
            path.write_bytes(damaged)
            assert refusal(path) or same(load(path), SMALL), f"byte {k} as {value}"


def test_every_truncation_and_addition_is_noticed(path):
    save(path, SMALL)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert refusal(path), length
    for more in (b"\0", b" ", content):
        path.write_bytes(content + more)
        assert refusal(path)
    path.write_bytes(content)
    assert same(load(path), SMALL)


def test_random_damage_is_noticed(path):
    save(path, SMALL)
    content, chance = path.read_bytes(), random.Random(0)
    for _ in range(2000):
        damaged = bytearray(content)
        start = chance.randrange(len(content))
        end = start + chance.randrange(1, 64)
        change = chance.choice(["delete", "repeat", "zero", "shuffle", "move"])
        piece = damaged[start:end]
        if change == "shuffle":
            chance.shuffle(piece)
        damaged[start:end] = {"delete": b"", "repeat": 2 * piece, "zero": bytes(len(piece))}.get(change, piece)
        if change == "move":
            del damaged[start:end]
            k = chance.randrange(len(damaged))
            damaged[k:k] = piece
        path.write_bytes(damaged)
        assert damaged == content or refusal(path) or same(load(path), SMALL)


class Trap:
    def __reduce__(self):
        return os._exit, (77,)


def test_foreign_files_are_refused(path):
    contents = {
        "empty": b"",
        "text": b"epoch 1: loss 0.5\n" * 100,
        "zeros": bytes(1000),
        "pickle": pickle.dumps(Trap()),
        "JSON": b'{"a": 1}',
    }
    for name, content in contents.items():
        path.write_bytes(content)
        assert "is damaged or no safetensors file" in refusal(path), name
    with open(path, "wb") as file:
        np.savez(file, W=np.ones(3))
    assert "is damaged or no safetensors file" in refusal(path)
    for metadata in (None, {"format": "pt"}, {"format": "gd"}):
        safetensors.numpy.save_file({"W": np.ones(3)}, path, metadata)
        assert "is damaged or no checkpoint of gd: " in refusal(path)


def test_a_missing_file_is_a_missing_file(path):
    with pytest.raises(FileNotFoundError, match=path.name):
        load(path)
    assert refusal(path.parent) == "is not a file"


@posix
def test_a_pipe_is_refused_rather_than_waited_for(path):
    os.mkfifo(path)
    assert refusal(path) == "is not a file"
    with pytest.raises(ValueError, match="is something else"):
        save(path, {})


def write(path, header, data=b""):
    """Write a safetensors file by hand."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def forged(text, version="1"):
    """Return the metadata with which load takes a text for a tree."""
    return {"format": "gd", "version": version, "tree": text, "checksum": f"{crc32(text.encode()):08x}"}


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_later_versions_are_refused(path):
    write(path, {"__metadata__": forged('{"dict": {}}')})
    assert load(path) == {}
    write(path, {"__metadata__": forged('{"dict": {}}', version="2")})
    assert refusal(path).endswith("it has version '2', this gd reads version 1")


TEXT = json.dumps({"dict": {"W": {"array": ["float32", [1], crc32(b"abcd")]}}})
HOSTILE = {
    "header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "header of 2**64 - 1": struct.pack("<Q", 2**64 - 1) + b"{}" * 100,
    "offsets behind the end": {"W": tensor(offsets=(0, 2**40), shape=(2**38,))},
    "offsets backwards": {"W": tensor(offsets=(4, 0))},
    "negative offsets": {"W": tensor(offsets=(-4, 0))},
    "overlapping": {"W": tensor(), "V": tensor()},
    "a gap": {"W": tensor(offsets=(1, 4))},
    "2**80 elements": {"W": tensor(shape=(2**40, 2**40))},
    "2**63": {"W": tensor(shape=(2**63, 0), offsets=(0, 0))},
    "an empty array too big for NumPy": {"W": tensor(shape=(2**62, 0), offsets=(0, 0))},
    "negative shape": {"W": tensor(shape=(-1,))},
    "100 dimensions": {"W": tensor(shape=(1,) * 100)},
    "10**6 dimensions": {"W": tensor(shape=(1,) * 10**6)},
    "another shape": {"W": tensor(shape=(1, 1))},
    "another dtype": {"W": tensor("I32")},
    "bfloat16": {"W": tensor("BF16", (2,))},
    "float8": {"W": tensor("F8_E4M3", (4,))},
    "an unknown dtype": {"W": tensor("X9")},
    "another name": {"V": tensor()},
    "one too many": {"W": tensor(), "V": tensor(shape=(0,), offsets=(4, 4))},
    "a deep header": b'{"W":' * 10**5,
    "deep lists": b"[" * 10**6,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(path, case):
    write(path, {"__metadata__": forged(TEXT), "W": tensor()}, b"abcd")
    assert load(path)["W"].tobytes() == b"abcd"
    header = HOSTILE[case]
    if isinstance(header, dict):
        write(path, {"__metadata__": forged(TEXT)} | header, b"abcd")
    elif header[:1] in (b"{", b"["):
        write(path, header)
    else:
        path.write_bytes(header)
    assert refusal(path)


HOSTILE_TREES = {
    "no JSON": "?",
    "empty": "",
    "a list": "[]",
    "a number": "5",
    "none": "null",
    "an array": '{"array": ["float32", [1], 0]}',
    "no tag": "{}",
    "unknown tag": '{"dict": {"a": {"exec": "1"}}}',
    "two tags": '{"dict": {}, "tuple": []}',
    "a dict of a list": '{"dict": []}',
    "a tuple of a dict": '{"dict": {"a": {"tuple": {}}}}',
    "a bad int": '{"dict": {"a": {"int": "0xg"}}}',
    "an int that is one": '{"dict": {"a": {"int": 5}}}',
    "a long int": '{"dict": {"a": 1%s}}' % ("0" * 5000),
    "a short float": '{"dict": {"a": {"float": "7ff8"}}}',
    "a bad float": '{"dict": {"a": {"float": "7ff800000000000g"}}}',
    "a float with spaces": '{"dict": {"a": {"float": "7ff8  0000  0000"}}}',
    "an array of nothing": '{"dict": {"W": {"array": null}}}',
    "an array as a scalar": TEXT.replace("array", "scalar"),
    "a key twice": '{"dict": {"a": 1, "a": 2}}',
    "the array twice": TEXT.replace("}}}", '}, "W": {"array": ["float32", [1], 0]}}}'),
    "half a character": '{"dict": {"\\ud800": {"array": ["float32", [1], 0]}}}',
    "deep lists": '{"dict": {"a": %s}}' % ("[" * 10**5 + "]" * 10**5),
    "deep dicts": '{"dict": {"a": ' * 10**5 + "1" + "}}" * 10**5,
    "deep within the parser's limit": '{"dict": {"a": %s}}' % ("[" * 150 + "]" * 150),
    "long": '{"dict": {}}' + " " * JSON_BYTES,
}


@pytest.mark.parametrize("case", HOSTILE_TREES)
def test_hostile_trees_with_right_checksums_are_refused(path, case):
    write(path, {"__metadata__": forged(HOSTILE_TREES[case])})
    assert refusal(path)
    write(path, {"__metadata__": forged(HOSTILE_TREES[case]), "W": tensor()}, b"abcd")
    assert refusal(path)


def test_duplicates_in_the_header_are_refused(path):
    entry = json.dumps(tensor())
    metadata = json.dumps(forged('{"dict": {}}'))
    write(path, f'{{"__metadata__": {metadata}, "W": {entry}, "W": {entry}}}'.encode(), b"abcd")
    assert refusal(path)
    write(path, f'{{"__metadata__": {metadata}, "__metadata__": {metadata}}}'.encode())
    assert refusal(path)


def test_mutated_files_are_refused_or_mean_the_same():
    """All 5,000: python tests/mutations.py."""
    command = [sys.executable, ROOT / "tests" / "mutations.py", "--files", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " 0 faults" in done.stdout


@posix
def test_memory_is_bounded_by_the_size_of_the_file(path):
    """With little memory to be had, hostile claims of much are refused and a file of that size loads."""
    program = (
        "import resource, sys; from gd.files import CheckpointError, load\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))\n"
        "try:\n    print(load(sys.argv[1])['W'].size)\n"
        "except CheckpointError as error:\n    print('refused')"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")

    def output():
        command = [sys.executable, "-c", program, path]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    save(path, {"W": np.ones(12 * 2**20)})  # 96 of the 128 MiB: there is no room for a copy
    assert output() == str(12 * 2**20)
    write(path, {"__metadata__": forged(TEXT), "W": tensor(offsets=(0, 2**33), shape=(2**31,))}, b"abcd")
    assert output() == "refused"


# Saves that replace, rotate and fail


def files(folder):
    return sorted(os.listdir(folder))


def test_the_last_saves_are_kept_under_numbers(path):
    for step in range(6):
        save(path, {"step": step}, keep=3)
        kept = [path, path.with_name(path.name + ".1"), path.with_name(path.name + ".2")][: step + 1]
        assert [load(each)["step"] for each in kept] == list(range(step, step - len(kept), -1))
        assert files(path.parent) == sorted(each.name for each in kept)
    save(path, {"step": 6})
    assert [load(each)["step"] for each in kept] == [6, 4, 3]


def test_rotation_ends_at_a_gap(path):
    names = [path, *(path.with_name(f"{path.name}.{k}") for k in range(1, 5))]
    for step in range(5):
        save(path, {"step": step}, keep=5)
    names[1].unlink()
    save(path, {"step": 5}, keep=5)
    assert [load(each)["step"] for each in names] == [5, 4, 2, 1, 0]


def test_a_file_that_another_process_has_just_rotated_does_not_matter(path, monkeypatch):
    def twice(source, target, replace=os.replace):
        replace(source, target)
        if source.name.endswith(".1"):
            replace(source, target)

    save(path, {"step": 0}, keep=3)
    save(path, {"step": 1}, keep=3)
    monkeypatch.setattr(os, "replace", twice)
    save(path, {"step": 2}, keep=3)
    assert [load(f"{path}{number}")["step"] for number in ("", ".1", ".2")] == [2, 1, 0]


def test_without_hard_links_the_old_file_is_copied(path, monkeypatch):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for step in range(3):
        save(path, {"step": step}, keep=2)
    assert [load(each)["step"] for each in (path, f"{path}.1")] == [2, 1]
    assert len(files(path.parent)) == 2


@posix
def test_the_file_has_the_mode_of_new_files_and_links_stay_links(path):
    link = path.with_name("latest")
    link.symlink_to(path)
    old = os.umask(0o027)
    try:
        save(link, {"x": 1})
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert load(link) == load(path) == {"x": 1}


class Failure(Exception):
    pass


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_save_that_ends_anywhere_leaves_files_that_load(path, monkeypatch, at, when):
    """One of fsync, rename path.1, link, rename to path.1, rename to path and fsync of the folder fails."""
    names = [path, *(path.with_name(f"{path.name}.{k}") for k in (1, 2))]
    for step in range(3):
        save(path, {"step": step}, keep=3)
    calls = []

    def failing(name, call):
        def fail(*arguments, **keywords):
            calls.append(name)
            if len(calls) == at + 1 and when == "before":
                raise Failure
            call(*arguments, **keywords)
            if len(calls) == at + 1:
                raise Failure

        return fail

    with monkeypatch.context() as patch:
        for name in ("fsync", "link", "replace"):
            patch.setattr(os, name, failing(name, getattr(os, name)))
        with pytest.raises(Failure):
            save(path, {"step": 3}, keep=3)
    assert calls == ["fsync", "replace", "link", "replace", "replace", "fsync"][: at + 1]
    replaced = at == 5 or (at == 4 and when == "after")
    found = [load(each)["step"] for each in names if each.exists()]
    assert found[0] == (3 if replaced else 2)
    assert found == sorted(found, reverse=True)
    assert files(path.parent) == [each.name for each in names if each.exists()]
    save(path, {"step": 4}, keep=3)
    assert [load(each)["step"] for each in names] == ([4, 3, 2] if replaced else [4, 2, 1])


@posix
def test_a_full_disk_leaves_the_old_file(path):
    save(path, {"W": np.zeros(10_000)})
    content = path.read_bytes()
    program = (
        "import resource, sys; import numpy as np; from gd.files import save\n"
        "for limit in (0, 1, 100, 4096, 50_000, 80_000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n        save(sys.argv[1], {'W': np.ones(10_000)})\n"
        "    except OSError as error:\n        print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, text=True, check=True)
    messages = done.stdout.splitlines()
    assert len(messages) == 6
    assert all(message.startswith(f"save: {path} could not be written: ") for message in messages), messages
    assert path.read_bytes() == content
    assert files(path.parent) == [path.name]


@pytest.mark.usefixtures("system")
def test_what_killed_saves_left_is_removed_and_nothing_else(path):
    def workspace(name):
        folder = path.with_name(name)
        folder.mkdir()
        (folder / "new").write_bytes(b"half")
        return folder

    others = [".model.safetensors.notes.gd-save", ".other.safetensors.abcdefgh.gd-save", "model.safetensors.abcdefgh"]
    others += [workspace(name).name for name in others]
    left, used = workspace(".model.safetensors.abcd_123.gd-save"), workspace(".model.safetensors.12345678.gd-save")
    lock = gd.files.atomic.lock(used)
    save(path, {"x": 1})
    assert not left.exists()
    assert used.exists()
    os.close(lock)
    save(path, {"x": 1})
    assert files(path.parent) == sorted({path.name, *others})


def test_a_folder_that_another_save_took_for_left_over_is_made_anew(path, monkeypatch):
    lock, tried = gd.files.atomic.lock, []

    def taken(folder):
        tried.append(folder)
        if len(tried) < 3:
            folder.rmdir()
        return lock(folder)

    monkeypatch.setattr(gd.files.atomic, "lock", taken)
    save(path, {"x": 1})
    assert len(set(tried)) == 3
    assert load(path) == {"x": 1}
    assert files(path.parent) == [path.name]


def test_folders_that_cannot_be_locked_do_not_matter(path, monkeypatch):
    def unsupported(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(gd.files.atomic, "lock", unsupported)
    save(path, {"x": 1})
    assert load(path) == {"x": 1}
    assert files(path.parent) == [path.name]


@pytest.mark.parametrize("keep", [1, 3])
def test_threads_that_save_to_one_path_do_not_harm_each_other(path, keep):
    save(path, {"x": np.zeros(1000)}, keep)
    faults, done = [], threading.Event()

    def work(number):
        try:
            for step in range(15):
                save(path, {"x": np.full(1000, 100.0 * number + step)}, keep)
        except BaseException as error:
            faults.append(error)

    def watch():
        try:
            while not done.is_set():
                x = load(path)["x"]
                assert (x == x[0]).all()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    assert not faults
    for name in files(path.parent):
        assert name in [path.name, *(f"{path.name}.{k}" for k in range(1, keep))]
        load(path.with_name(name))


@posix
def test_a_process_killed_while_it_saves_leaves_a_file_that_loads():
    command = [sys.executable, ROOT / "tests" / "crash.py", "--trials", "20", "--only", "gd.save"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "20 trials" in done.stdout
    assert "0 as neither, 0 unloadable" in done.stdout


def test_names_of_tensors_are_unambiguous():
    parts = {"", "~0", "~1", "a", "0", "__metadata__", *string.punctuation}
    paths = [(a,) for a in parts] + [(a, b) for a in parts for b in parts]
    assert len({checkpoints._name(each) for each in paths}) == len(paths)
    assert "__metadata__" not in map(checkpoints._name, paths)
