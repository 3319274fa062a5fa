"""Gates: small calls on plain arrays are checked and run by compiled code; all other calls go on in Python.

A call of 100 elements takes 0.05 us of work, and microseconds of checks in Python. A gate is a builtin function that
looks at the objects it is given. If they are what nearly all calls bring, it allocates the result, runs the body, and
returns the result, in 0.15 us. Otherwise it has changed nothing and returns None: the caller goes on in Python, which
checks again, explains, converts, compiles, or splits over threads::

    result = gate.enter(0, out, x)
    if result is None:
        result = gate.split(out, x)
    return _apply(out, x) if result is None else result

*Plain* are objects of the type ndarray itself, float32 or float64, of one dtype and shape, in C order, aligned, not
empty, writeable where written to, the result None, one of the operands or apart from all; and numbers that are floats
in their ranges. A gate may refuse too much (a slow call), never too little (a wrong one). It knows a body only once the
Python path has *admitted* it, which checks, compiles and runs it first; so importing gd compiles nothing.

Gates are closed while anything observes kernels or decides how they are split, and where NumPy is not as expected.
"""

import ctypes
import sys
import threading
from itertools import chain
from math import inf, nextafter

import numpy as np

from . import observation
from .array_layout import KNOWN
from .entry import FLUSH_TO_ZERO, builtin, lookup
from .gate_code import (
    BLOCK,
    CODES,
    LABELS,
    LARGEST,
    LOSS,
    MAP,
    MOST_NUMBERS,
    MOST_OPERANDS,
    NUMBERS,
    OPERANDS,
    RANGES,
    SKIPPED,
    WIDTH,
)
from .machine_code import signature_of
from .settings import DEBUG, INTERPRETED
from .step_code import ARRAYS, COMBINE, NORM_BLOCK, NORM_FIELDS, NORMS, RULES
from .writer import CLOSED, EMPTY, FROM_DESCR, SET_BASE

ABI_VERSION = 0  # positions in the table of functions that NumPy promises to extensions
FUNCTIONS = {EMPTY: 184, FROM_DESCR: 94, SET_BASE: 282}
EXPECTED_ABI = 0x2000000
_lock = threading.Lock()
MOST_ARRAYS = 64  # of a step: each gradient is compared with each of the parameters


def refuse(*arguments):
    """Refuse, as a gate does of which no body is known."""


class Gate:
    """The gate of a function of arrays and numbers; ``enter(parts, out, *operands, *numbers)``.

    Parameters
    ----------
    operands : int
    numbers : sequence of (default, Range)
    rows : bool, default: False
        True if the body walks rows of matrices, and takes `out` also where that is an operand.
    form : str, default: MAP
        `LOSS` if the body is that of an elementwise loss, `LABELS` of one whose rows have labels, after the operands.
    block : int, default: 1
        Elements that count as 1 in the kernel's `parallel_from`.
    below : float, default: inf
        Bytes of an array from which on another kernel may be faster.
    """

    def __init__(self, operands, numbers=(), *, rows=False, form=MAP, block=1, below=inf):
        ends = chain.from_iterable((*_closed(allowed), float(default)) for default, allowed in numbers)
        self._name, self.enter = {MAP: "gd_map_gate", LOSS: "gd_loss_gate", LABELS: "gd_label_gate"}[form], refuse
        self._table, self._block, self._below = np.zeros(RANGES + 3 * len(numbers), np.int64), block, below
        self._kernel, self._least = None, inf  # of a call that may be split: the kernel, and the elements at least
        self._table[OPERANDS], self._table[NUMBERS], self._table[WIDTH] = operands, len(numbers), 3 if rows else 2
        self._table[SKIPPED], self._table[BLOCK] = 0 if rows else 2, block
        self._table[RANGES:].view(np.float64)[:] = list(ends)
        self._fits = operands <= MOST_OPERANDS and len(numbers) <= MOST_NUMBERS

    def split(self, out, x, *objects):
        """Return the result of plain objects of a size that may be split over threads, else None."""
        if type(x) is np.ndarray and x.size >= self._least and x.nbytes < self._below:
            return self._kernel.through(self, -(-x.size // self._block), out, x, *objects)
        return None

    def admit(self, kernel, arguments, dtype, over=None):
        """Run the body of a kernel from now on, of these arguments, where `out` is operand `over` or apart from all."""
        place = CODES + 2 * (0 if over is None else 1 + over) + (dtype == np.float64)
        if self._table[place] or not (OPEN and self._fits):
            return
        self._table[LARGEST] = (kernel.parallel_from - 1) * self._block
        self._least = self._table.item(LARGEST) + 1
        self._table[place] = kernel.address(signature_of(arguments))
        if self.enter is refuse:
            self._kernel, self.enter = kernel, builtin(self._name, self._table.ctypes.data, self._table)


def _closed(allowed):
    """Return the lowest and the highest float in a range."""
    low, high = allowed.low, allowed.high
    return low if allowed.includes_low else nextafter(low, inf), high if allowed.includes_high else nextafter(
        high, -inf
    )


class StepGate:
    """The gate of an optimizer's step: ``enter(state, steps, common, own, *gradients)``.

    The dict `state` gets the new count of steps; `common` and `own` are the coefficients, as tuples of floats.

    Parameters
    ----------
    kernel : Kernel
        An `update`.
    coefficients : int
        Their number.
    arrays : list of (p, vector, slots)
        Each p in the shape of its gradients, and its elements as a vector.
    guards : list of ndarray
        The user's arrays, which must be writeable.
    """

    def __init__(self, kernel, coefficients, arrays, guards):
        (_, vector, slots), *_ = arrays
        code = kernel.address(signature_of((vector, vector, 0, vector, *slots)))
        views, objects = [p.view() for p, _, _ in arrays], np.array(list(map(id, guards)))  # p may change its shape
        flush, total = FLUSH_TO_ZERO if kernel.loop.flush else 0, sum(p.size for p, _, _ in arrays)
        words = [len(arrays), code, flush, coefficients, len(slots), total, objects.size, objects.ctypes.data]
        assert len(words) == ARRAYS
        for (p, vector, slots), view in zip(arrays, views, strict=True):
            words += [id(view), vector.ctypes.data, p.size, *(each.ctypes.data for each in slots)]
        table = np.array(words, np.int64)
        self.enter = builtin("gd_step_gate", table.ctypes.data, (table, arrays, views, guards, objects))

    def __reduce__(self):
        raise TypeError("a gate knows arrays by their addresses: whoever is copied with its arrays makes a new one")


class RuleGate:
    """The gate of a rule, on arrays of the caller: ``enter(parts, common, own, p, g, *slots)``.

    Parameters
    ----------
    kernel : Kernel
        An `update`.
    coefficients, slots : int
        The numbers of coefficients and of state arrays.
    """

    def __init__(self, kernel, coefficients, slots):
        self._kernel, self._slots, self.least = kernel, slots, kernel.parallel_from
        flush = FLUSH_TO_ZERO if kernel.loop.flush else 0
        self._table = np.array([0, 0, flush, coefficients, slots, self.least - 1], np.int64)
        self.enter = builtin("gd_rule_gate", self._table.ctypes.data, self._table) if OPEN else refuse

    def admit(self, dtype):
        """Run the kernel's body from now on for arrays of this dtype."""
        if OPEN:
            x = np.empty(0, dtype)
            kinds = signature_of((x, x, 0, x, *[x] * self._slots))
            self._table[RULES + (dtype == np.float64)] = self._kernel.address(kinds)

    def split(self, common, own, p, *others):
        """Step arrays of a size that may be split over threads; None if they are not plain."""
        if type(p) is np.ndarray and p.size >= self.least:
            return self._kernel.through(self, p.size, common, own, p, *others)
        return None


class NormGate:
    """The gate of the norm of small gradients: ``enter(coefficients, *gradients)``.

    Parameters
    ----------
    kernel, combine : Kernel
        Of the norms of blocks, and of the norm of these.
    block : int
        Elements of a block.
    """

    def __init__(self, kernel, combine, block):
        self._kernel, self._combine, self._table = kernel, combine, np.zeros(NORM_FIELDS, np.int64)
        self._table[NORM_BLOCK] = block
        self.enter = refuse

    def admit(self, dtype, several):
        """Measure arrays of this dtype from now on; with `several` also those of more than one block."""
        if OPEN:
            matrix, x = np.empty((1, 0)), np.empty(0, dtype)
            self._table[NORMS + (dtype == np.float64)] = self._kernel.address(signature_of((matrix, x, x, x)))
            if several:
                self._table[COMBINE] = self._combine.address(signature_of((matrix[0], matrix)))
            self.enter = builtin("gd_norm_gate", self._table.ctypes.data, self._table)


def close(by=1):
    """Close all gates until `close(-1)`."""
    with _lock:
        lookup[CLOSED] += by


def _opened():
    """Give the gates NumPy's functions; return True if they are where they are expected."""
    if INTERPRETED or DEBUG or not KNOWN or sys.byteorder != "little":
        return False
    try:
        from numpy._core._multiarray_umath import _ARRAY_API as capsule

        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.argtypes, get.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
        table = (ctypes.c_void_p * (max(FUNCTIONS.values()) + 1)).from_address(get(capsule, None))
        if ctypes.CFUNCTYPE(ctypes.c_uint)(table[ABI_VERSION])() != EXPECTED_ABI:
            return False
    except (AttributeError, ImportError, ValueError):
        return False
    for place, position in FUNCTIONS.items():
        lookup[place] = table[position]
    return True


OPEN = _opened()  # True where there are gates
observation.switches.append(lambda observed: close(1 if observed else -1))
