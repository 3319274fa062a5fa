"""How Python calls bodies: builtin functions that pack their arguments, find the code for their types, and run it.

`Entry` makes two of them for a body:

    enter(parts, size, *arguments)      walks items 0 to size, in one part or in several over the pool
    bind(*arguments)                    returns `bytes`, a bound body: an argument of bodies that call it

They are written for LLVM, in `entry_code`, since what Numba makes has to be compiled for each combination of types,
takes longer to call, and needs all of Numba in every process. They read arrays and numbers as NumPy and CPython
promise to extensions. Where a body has no code for the types of its arguments they call Python, which compiles or
loads it, and go on.

The third function there, `LAUNCH`, splits a walk: Numba's pool runs a part of it in each thread. `numba.prange` takes
the GIL before it starts (with another Python thread at work a call took 17 ms instead of 0.3), loses what a body
raises, and takes 0.35 s to compile.

The GIL is released while a body runs. A bound body holds addresses: whoever keeps it has to keep its arrays.
"""

import ctypes
import sys

import numpy as np

from . import cache, machine_code
from .entry_code import FIRST, LOOKED_UP, OBJECTS, POOL, TAGS, module
from .words import LAUNCH

_lookup = (ctypes.c_int64 * LOOKED_UP)(*map(id, OBJECTS))
FLUSH_TO_ZERO = 1 << 15  # the bit of MXCSR, the control register of a thread


class Entry:
    """The code of a body by the types of its arguments; `prepare` is asked for what is missing.

    It is called with the tags of the arguments, and the arguments, and has to call `add`. So many of the arguments are
    given; a body that is bound is told what it is to be given by a number.

    With `flush`, results below the smallest normal number (1.2e-38 in float32) become 0 while the body runs, on x86. A
    processor takes a hundred times as long for a subnormal result, and moments of gradients that stay 0, as those of
    dead units and of pixels that are rarely lit, decay to the smallest subnormal number and stay, as 0.9 x rounds to x
    there: Adam's step of a network took three times as long after some epochs. Subnormal operands keep their value.
    """

    def __init__(self, prepare, given=0, number=0, flush=False):
        self._prepare, self._nodes = prepare, []
        self._table = (ctypes.c_int64 * 5)(0, given, id(prepare), number, FLUSH_TO_ZERO if flush else 0)
        self.enter, self.bind = (_builtin(name, ctypes.addressof(self._table)) for name in ("gd_enter", "gd_bind"))

    def add(self, tags, code):
        """Have code, an address, run for arguments of these tags."""
        words = np.frombuffer(tags, np.int64).tolist()
        node = (ctypes.c_int64 * (TAGS + len(words)))(self._table[FIRST], code, len(words), *words)
        self._nodes.append(node)
        self._table[FIRST] = ctypes.addressof(node)  # once it is whole: others look meanwhile


def connect_pool():
    """Tell the launcher of Numba's pool, which has been started."""
    _lookup[POOL : POOL + 2] = machine_code.functions_of_pool()


# --- From LLVM to Python


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


_FASTCALL = 0x0080  # of a method


def _builtin(name, table):
    """Return a builtin function whose `__self__` is the address of a table."""
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    return new(ctypes.addressof(_functions()[name]), table, None)


def launcher():
    """Return {symbol: address} of what splits a walk."""
    return {LAUNCH[0]: _functions()[LAUNCH[0]]}


_made = []  # once, and kept: builtin functions know their methods by address


def _functions():
    """Return the methods of builtin functions by name, and the address of the launcher."""
    with machine_code.compiling():
        if not _made:
            found = _linked()
            methods = {name: _Method(name.encode(), found[name], _FASTCALL, None) for name in ("gd_enter", "gd_bind")}
            _made.append(methods | {LAUNCH[0]: found[LAUNCH[0]]})
    return _made[0]


def _linked():
    """Return the addresses of the functions below."""
    details = machine_code.processor(), sys.version
    code, _ = cache.code("entry", [module], details, lambda symbol: machine_code.assemble(module(), symbol))
    imports = {"gd_lookup": ctypes.addressof(_lookup)}
    for each in code.needs:
        if each.startswith("Py"):
            imports[each] = ctypes.cast(getattr(ctypes.pythonapi, each), ctypes.c_void_p).value
    return machine_code.load(code, imports, ("gd_enter", "gd_bind", LAUNCH[0]))
