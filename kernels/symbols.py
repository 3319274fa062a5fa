"""Where the compiled code of kernels lies, for tools that see addresses only.

This reads object files of Linux, ELF of 64 bits.
"""

import re
import struct
from collections import Counter

from .compiler import kernels

MAGIC = b"\x7fELF\x02"
SYMBOLS, FUNCTION, GLOBAL = 2, 2, 1  # type of a section, type and binding of a symbol


def functions():
    """Yield (address, size, name) of every function that was compiled for a kernel, or loaded from disk."""
    for kernel in list(kernels):
        for kinds, compiled in list(kernel.compiled.items()):
            code = compiled.code.object
            if code.startswith(MAGIC):
                dtypes = Counter(re.findall(r"float\d+", str(kinds))).most_common(1)
                yield from _placed(code, compiled, "-".join([kernel.name, *dict(dtypes)]))


def _placed(code, compiled, name):
    """Yield the functions of an object file where they were loaded to."""
    found = list(_functions(code))
    places = {section: compiled.address - value for _, binding, section, value, _ in found if binding == GLOBAL}
    for _, _, section, value, size in found:
        if section in places:
            yield places[section] + value, size, name


def _functions(code):
    """Yield (symbol, binding, section, offset in the section, size) of the functions in an object file."""
    (start,) = struct.unpack_from("=Q", code, 0x28)
    header, count = struct.unpack_from("=HH", code, 0x3A)
    # of a section: name, type, flags, address, offset, size, link to the section of the names, information, ...
    sections = [struct.unpack_from("=IIQQQQIIQQ", code, start + k * header) for k in range(count)]
    for _, kind, _, _, offset, length, link, *_, step in sections:
        if kind == SYMBOLS:
            names = sections[link][4]
            for at in range(offset, offset + length, step):
                name, kind_and_binding, _, section, value, size = struct.unpack_from("=IBBHQQ", code, at)
                if kind_and_binding & 15 == FUNCTION and section:
                    first = names + name
                    symbol = code[first : code.index(b"\0", first)].decode()
                    yield symbol, kind_and_binding >> 4, section, value, size
