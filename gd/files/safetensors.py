"""Tensors: reads each array of a safetensors file directly into its own aligned memory.

The package safetensors would copy each array twice, into its memory and from there to where kernels can take it; and a
header of 100 MB can become 4 GB of objects.
"""

import json
import os
import sys
from io import BufferedReader
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import aligned_empty

HEADER_BYTES = 2**24  # of JSON, which can take 50 times as much memory when it is read
DTYPES = {"BOOL": "bool"} | {
    f"{letter}{8 * size}": f"{kind}{8 * size}"
    for letter, kind, sizes in (("I", "int", (1, 2, 4, 8)), ("U", "uint", (1, 2, 4, 8)), ("F", "float", (2, 4, 8)))
    for size in sizes
}


class Tensors:
    """The arrays of an open binary file; raises ValueError unless it is a complete and valid safetensors file.

    ``metadata`` is a dict of str, and ``names`` the set of the names of the arrays.
    """

    metadata: dict[str, str]
    names: set[str]

    def __init__(self, file: BufferedReader) -> None:
        size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, HEADER_BYTES):
            raise ValueError(f"it has {size:,} bytes, and a header of {length:,}")
        text = file.read(length)
        if b"\0" in text:  # arrays instead of text: decoded, they would take several times as much memory
            raise ValueError("its header is no text")
        header = json.loads(text.decode(), object_pairs_hook=unique)
        metadata = header.pop("__metadata__", {}) if isinstance(header, dict) else None
        if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
            raise ValueError("its header is no safetensors header")
        self.metadata, self.names = metadata, set(header)
        self._file, self._first = file, 8 + length
        self._entries = {name: _entry(name, value) for name, value in header.items()}
        end = 0
        for start, stop in sorted(offsets for _, _, offsets in self._entries.values()):
            if start != end:
                raise ValueError("its arrays overlap, or leave gaps")
            end = stop
        if self._first + end != size:
            raise ValueError(f"it has {size:,} bytes, its arrays end at {self._first + end:,}")

    def read(self, name: str) -> NDArray[Any]:
        """Return an array, aligned and writeable, or raise ValueError."""
        given, shape, (start, stop) = self._entries[name]
        if given not in DTYPES:
            raise ValueError(f"the array {name!r:.80} has the dtype {given!r:.20}, which NumPy does not know")
        dtype = np.dtype(DTYPES[given])
        if prod(shape) * dtype.itemsize != stop - start:
            raise ValueError(f"the array {name!r:.80} has another size than its shape says")
        array = aligned_empty((stop - start) // dtype.itemsize, dtype)
        self._file.seek(self._first + start)
        buffer: Any = array.view(np.uint8)
        if self._file.readinto(buffer) != stop - start:
            raise ValueError(f"the array {name!r:.80} is cut off")
        if sys.byteorder == "big":
            array.byteswap(inplace=True)
        return array.reshape(shape)


def _entry(name: str, value: Any) -> tuple[str, list[int], tuple[int, int]]:
    """Return (dtype, shape, offsets) of the entry of an array in the header."""
    match value:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, stop]} if len(value) == 3:
            if all(type(each) is int and each >= 0 for each in (*shape, start, stop)) and start <= stop:
                return dtype, shape, (start, stop)
    raise ValueError(f"the entry of the array {name!r:.80} is not valid")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict, or raise ValueError if a key comes twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("it has a key twice")
    return entries
