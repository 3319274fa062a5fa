"""save and load: write a tree of arrays and numbers into one safetensors file, and check it when it is read.

The arrays are the tensors of the file, for any reader of safetensors. All else is JSON in the metadata:

============  ====================================================================================================
``format``    ``"gd"``
``version``   of this layout, ``"1"``
``tree``      the tree as `_encode` returns it; ``{"array": [dtype, shape, CRC-32]}`` stands for the tensor that has the
              path of keys to it as its name
``checksum``  the CRC-32 of ``tree``
============  ====================================================================================================

CRC-32 notices any flipped bit and any damage of up to 32 bits in a row; of other damage it misses one case in 2**32. It
is faster than disks; SHA-256 and BLAKE2 are not always. It does not protect against forged files: nothing relies on it.
"""

import json
import os
import re
import stat
import struct
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer, check_path, is_array
from ..kernels.interruption import Interruption
from ..typing import FilePath
from ..version import to_install
from .atomic import replacement
from .safetensors import HEADER_BYTES, Tensors, unique

FORMAT, VERSION = "gd", "1"
DTYPES = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split())
DEPTH = 100  # levels of a tree
JSON_BYTES = 2**22  # of a tree; when it is read, JSON can take many times as much memory


class CheckpointError(ValueError):
    """Raised for a file that is damaged, or that `gd.save` did not write."""


def save(path: FilePath, tree: Mapping[str, Any], keep: int = 1) -> None:
    """Write a tree of arrays and numbers into a file, which replaces the old one atomically.

    Whenever a process is killed or a machine loses power, the file under `path` is either the old one or the new one. A
    save that raises leaves the old one.

    Parameters
    ----------
    path : str or path-like
        If it is a symbolic link, the file that it leads to is replaced.
    tree : dict
        Its keys are str. Its values are NumPy arrays and scalars (bool, integers of 8 to 64 bits, floats of 16 to 64),
        int, float, bool, str, None, and lists, tuples and dicts of all these, at most 100 deep. A ParameterVector, like
        any mapping, is saved as a dict. No other thread may change the tree during the call.
    keep : int, default: 1
        How many files to keep: the old ``path`` becomes ``path.1``, the old ``path.1`` becomes ``path.2``, and so on to
        ``path.{keep - 1}``. Files with higher numbers are not changed.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or if the tree has more than 4 MiB of JSON, or 16 MiB with the names of its
        arrays: long lists belong in arrays.
    OSError
        If the file cannot be written, for example because the disk is full.
    ImportError
        If safetensors is not installed.

    Notes
    -----
    The file is written in a folder ``.{name}.{random}.gd-save`` beside it and flushed to the disk before it is
    renamed. A killed process leaves that folder; the next save to the same path removes it, where folders can be
    locked. Several threads or processes can save to one path, and the last one stays; but two that end at the same
    moment may use the same number for the old file. If only the last step fails, which flushes the names in the folder,
    the new file is in place.

    Examples
    --------
    >>> import gd, numpy as np, os, tempfile
    >>> params = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    >>> optimizer = gd.Adam(params)
    >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
    >>> gd.save(path, {"epoch": 3, "params": params, "optimizer": optimizer.state_dict()})
    >>> checkpoint = gd.load(path)
    >>> checkpoint["epoch"], checkpoint["params"]["b"]
    (3, array([0., 0., 0.]))
    >>> optimizer.load_state_dict(checkpoint["optimizer"])
    """
    safetensors = require_safetensors("gd.save")
    keep = check_integer("save", "keep", keep, 1)
    with Interruption():  # `realpath` ignores an OSError, also that of a signal's handler
        path = Path(os.path.realpath(check_path("save", "path", path)))
    if path.exists() and not path.is_file():
        raise ValueError(f"save: path must be that of a file, {path} is something else")
    text, arrays = encoded(tree)
    metadata = {"format": FORMAT, "version": VERSION, "tree": text, "checksum": _checksum(text)}
    with replacement(path, keep) as new:
        new.touch()
        mode = stat.S_IMODE(new.stat().st_mode)
        try:
            safetensors.numpy.save_file(arrays, new, metadata)
        except safetensors.SafetensorError as error:
            raise OSError(f"save: {path} could not be written: {error}") from error
        with open(new, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > HEADER_BYTES:
            raise ValueError(
                f"save: tree is {size:,} bytes of JSON with the names of its arrays, expected {HEADER_BYTES:,} at most"
            )
        new.chmod(mode)  # some versions of safetensors make files that only their owner can read


def load(path: FilePath) -> dict[str, Any]:
    """Return the tree that `gd.save` wrote, bit for bit.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict
        Mappings become dicts; all else has its old type. Arrays are aligned, writeable and in C order.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    CheckpointError
        If the file is damaged, of another kind or of a later version. Nothing in it is ever executed. Whatever it
        claims, its arrays take no more memory than the file has bytes. Its JSON, of which at most 16 MiB are read, can
        take 50 times its size and 128 KiB, as Python objects.
    """
    path = check_path("load", "path", path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait
        raise CheckpointError(f"load: {path} is not a file")
    with open(path, "rb") as file:
        try:
            tensors = Tensors(file)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"load: {path} is damaged or no safetensors file: {error}") from error
        try:
            return _read(tensors)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"load: {path} is damaged or no checkpoint of gd: {error}") from error


def require_safetensors(where: str) -> Any:
    """Return the module safetensors, or raise ImportError that names the function that needs it."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(f"{where} needs safetensors: {to_install('train')}") from None
    return safetensors


def encoded(tree: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the JSON of a tree and its arrays by name; raise as `save` does if the tree is not valid."""
    if not isinstance(tree, Mapping):
        raise TypeError(f"save: tree must be a dict, got {type(tree).__name__}")
    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(_encode(tree, (), arrays), ensure_ascii=False)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"save: tree has a str with {text[error.start]!r}, expected valid Unicode") from None
    if size > JSON_BYTES:
        raise ValueError(
            f"save: tree is {size:,} bytes of JSON, expected {JSON_BYTES:,} at most; make arrays of long lists"
        )
    return text, arrays


def _encode(value: Any, path: tuple[Any, ...], arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value as objects of JSON, and put its arrays into `arrays`.

    None, bool, int, float, str and list stay as they are. An object has one entry, whose key is the kind: dict,
    tuple, array, scalar (of NumPy), int (above 64 bits, in hexadecimal) or float (not finite: its bits).
    """
    kind = type(value)
    if len(path) > DEPTH:
        raise ValueError(f"save: tree is more than {DEPTH} levels deep, or holds itself")
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"int": hex(value)}
    if kind is float:
        return value if isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if kind in (list, tuple):
        entries = [_encode(each, (*path, k), arrays) for k, each in enumerate(value)]
        return entries if kind is list else {"tuple": entries}
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"save: the keys of {_where(path)} must be str, got {key!r}")
        return {"dict": {key: _encode(value[key], (*path, key), arrays) for key in value}}
    if is_array(value) or isinstance(value, np.generic):
        if value.dtype.name not in DTYPES or not value.dtype.isnative:
            expected = "bool, int8 to int64, uint8 to uint64 or float16 to float64 in the byte order of this machine"
            raise TypeError(f"save: {_where(path)} has dtype {value.dtype}, expected {expected}")
        array = arrays[_name(path)] = np.asarray(value, order="C")
        return {"scalar" if isinstance(value, np.generic) else "array": _description(array)}
    expected = "a dict, list, tuple, NumPy array, number, str or None"
    raise TypeError(f"save: {_where(path)} must be {expected}, got {kind.__name__}")


def _where(path: tuple[Any, ...]) -> str:
    return "tree" + "".join(f"[{key!r}]" for key in path)


def _name(path: tuple[Any, ...]) -> str:
    """Return the keys that lead to an array, joined by slashes and escaped as in a JSON Pointer (RFC 6901)."""
    name = "/".join(str(key).replace("~", "~0").replace("/", "~1") for key in path)
    return "~__metadata__" if name == "__metadata__" else name  # a reserved name of safetensors


def _description(array: NDArray[Any]) -> list[Any]:
    data: Any = array.reshape(-1).view(np.uint8)  # a buffer, which NumPy's stubs do not say
    return [array.dtype.name, list(array.shape), crc32(data)]


def _checksum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def _read(tensors: Tensors) -> dict[str, Any]:
    """Return the tree of a file, or raise ValueError."""
    metadata = tensors.metadata
    if metadata.get("format") != FORMAT:
        raise ValueError("gd.save did not write it")
    if metadata.get("version") != VERSION:
        raise ValueError(f"it has version {metadata.get('version')!r:.20}, this gd reads version {VERSION}")
    text = metadata.get("tree", "")
    if len(text) > JSON_BYTES or metadata.get("checksum") != _checksum(text):
        raise ValueError("its tree does not match the checksum")
    tree = _decode(json.loads(text, object_pairs_hook=unique), (), tensors)
    if tensors.names or type(tree) is not dict:
        raise ValueError("its tree does not match its arrays")
    return tree


def _decode(value: Any, path: tuple[Any, ...], tensors: Tensors) -> Any:
    """Return what `_encode` was given, and remove the names of its arrays from `tensors.names`.

    Lists and dicts are decoded in place, as a second copy of their JSON could take much memory.
    """
    if len(path) > DEPTH:
        raise ValueError(f"its tree is more than {DEPTH} levels deep")
    if isinstance(value, list):
        for k, each in enumerate(value):
            value[k] = _decode(each, (*path, k), tensors)
        return value
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("dict", dict(entries))]:
            for key, each in entries.items():
                entries[key] = _decode(each, (*path, key), tensors)
            return entries
        case [("tuple", list(entries))]:
            return tuple(_decode(entries, path, tensors))
        case [("int", str(digits))]:
            return int(digits, 16)
        case [("float", str(bits))] if re.fullmatch("[0-9a-f]{16}", bits):
            return struct.unpack(">d", bytes.fromhex(bits))[0]
        case [("array", description)]:
            return _array(tensors, _name(path), description)
        case [("scalar", [_, [], _] as description)]:
            return _array(tensors, _name(path), description)[()]
    raise ValueError("its tree has an entry of unknown kind")


def _array(tensors: Tensors, name: str, description: Any) -> NDArray[Any]:
    """Return an array if it matches its description, else raise ValueError."""
    if name not in tensors.names:
        raise ValueError(f"the array {name!r:.80} is missing")
    tensors.names.remove(name)
    array = tensors.read(name)
    if _description(array) != description:
        raise ValueError(f"the array {name!r:.80} does not match its checksum")
    return array
