"""How Python calls bodies: builtin functions that pack arguments, find the code for their types, and run it.

`Entry` makes two of them for a body:

    enter(parts, size, *arguments)      walks items 0 to size, in one part or in several over the pool
    bind(*arguments)                    returns `bytes`, a bound body: an argument of bodies that call it

They are written in LLVM's representation, in `entry_code`: Numba's own wrappers are compiled for each combination of
types, take longer to call, and need all of Numba in every process. The functions read arrays and numbers by the layout
that NumPy and CPython promise to extensions. If a body has no code for the types of its arguments, they call Python to
compile or load it, and go on.

The third function there, `LAUNCH`, splits a walk: Numba's pool runs a part of it in each thread. `numba.prange` takes
the GIL before it starts (while another Python thread worked, a call took 17 ms instead of 0.3), loses exceptions of
bodies, and takes 0.35 s to compile.

The GIL is released while a body runs. A bound body holds addresses: whoever keeps it must keep its arrays.
"""

import ctypes
import sys

import numpy as np

from . import cache, machine_code
from .entry_code import FIRST, TAGS, module
from .interruption import Interruption
from .words import LAUNCH
from .writer import LOOKED_UP, OBJECTS, POOL

lookup = (ctypes.c_int64 * LOOKED_UP)(*map(id, OBJECTS))
BUILTINS = (
    *("gd_enter", "gd_bind", "gd_map_gate", "gd_loss_gate", "gd_label_gate"),
    *("gd_step_gate", "gd_rule_gate", "gd_norm_gate"),
)
FLUSH_TO_ZERO = 1 << 15  # a bit of MXCSR, a thread's control register


class Entry:
    """The code of a body for each combination of argument types; `prepare` is called for a new one.

    `prepare(tags, *arguments)` gets the tags of the arguments and must call `add`. The first `given` arguments are
    the given ones (see `machine_code`); `number` identifies the types that a bound body is given.

    With `flush`, results below the smallest normal number (1.2e-38 in float32) become 0 while the body runs, on x86. A
    processor takes a hundred times as long for a subnormal result. Moments of gradients that stay 0 (of dead units, of
    pixels that are rarely lit) decay to the smallest subnormal number and stay there, because 0.9 x rounds to x: Adam's
    step of a network took three times as long after some epochs. Subnormal operands keep their value.
    """

    def __init__(self, prepare, given=0, number=0, flush=False):
        self._prepare, self._nodes = prepare, []
        self._table = (ctypes.c_int64 * 5)(0, given, id(prepare), number, FLUSH_TO_ZERO if flush else 0)
        self.enter, self.bind = (builtin(name, ctypes.addressof(self._table)) for name in ("gd_enter", "gd_bind"))

    def add(self, tags, code):
        """Run the code at this address for arguments of these tags."""
        words = np.frombuffer(tags, np.int64).tolist()
        node = (ctypes.c_int64 * (TAGS + len(words)))(self._table[FIRST], code, len(words), *words)
        self._nodes.append(node)
        self._table[FIRST] = ctypes.addressof(node)  # last, once the node is complete: other threads read the list


def connect_pool():
    """Give the launcher the functions of Numba's pool, which must have been started."""
    functions = machine_code.functions_of_pool()
    lookup[POOL : POOL + len(functions)] = functions


# --- From LLVM to Python


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


_FASTCALL = 0x0080  # METH_FASTCALL: a method's calling convention


def builtin(name, table, kept=None):
    """Return a builtin function whose `__self__` is the address of a table; it keeps an object as its module."""
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.argtypes, new.restype = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object], ctypes.py_object
    return new(ctypes.addressof(_functions()[name]), table, kept)


def launcher():
    """Return {symbol: address} of the function that splits a walk."""
    return {LAUNCH[0]: _functions()[LAUNCH[0]]}


_made = []  # made once and kept: builtin functions refer to their methods by address


def _functions():
    """Return {name: method} of the builtin functions, and the launcher's address under its name."""
    with Interruption(), machine_code.compiling():
        if not _made:
            found = _linked()
            methods = {name: _Method(name.encode(), found[name], _FASTCALL, None) for name in BUILTINS}
            _made.append(methods | {LAUNCH[0]: found[LAUNCH[0]]})
    return _made[0]


def _linked():
    """Return {symbol: address} of the functions of `entry_code`."""
    details = machine_code.processor(), sys.version
    code, _ = cache.code("entry", [module], details, lambda symbol: machine_code.assemble(module(), symbol))
    imports = {"gd_lookup": ctypes.addressof(lookup)}
    for each in code.needs:
        if each.startswith("Py"):
            imports[each] = ctypes.cast(getattr(ctypes.pythonapi, each), ctypes.c_void_p).value
    return machine_code.load(code, imports, (*BUILTINS, LAUNCH[0]))
