"""Writes functions in LLVM's representation that look at Python's objects: see `entry_code` and `gate_code`."""

import platform

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from . import machine_code
from .words import BYTES, STATUS, WORD

NUMBERS = {  # bytes to read where an object's own fields begin
    float: 8,
    np.float64: 8,
    np.float32: 4,
    np.int64: 8,
    np.uint64: 8,
    np.int32: 4,
    np.uint32: 4,
    np.bool_: 1,
}
# What the functions look up by address: objects, functions of Numba's pool, NumPy's PyArray_Empty, PyArray_NewFromDescr
# and PyArray_SetBaseObject, and how often gates have been closed.
UINT8 = np.dtype(np.uint8)
OBJECTS = np.ndarray, int, bytes, tuple, None, True, False, "steps", UINT8
OBJECTS += TypeError, OverflowError, machine_code.raise_from, *NUMBERS
POOL, EMPTY, FROM_DESCR, SET_BASE, CLOSED, LOOKED_UP = (len(OBJECTS) + k for k in (0, 3, 4, 5, 6, 7))
POINTER, NOTHING = BYTES, ir.VoidType()
CONTROLLED = platform.machine() in ("x86_64", "AMD64")  # elsewhere subnormal results stay


class Writer:
    """Writes one function; addresses are words."""

    def __init__(self, module, name, kind, names):
        self.module = module
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "external" if name.startswith("gd_") else "internal"
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        for argument, each in zip(self.function.args, names.split(), strict=True):
            argument.name = each

    def at(self, address, offset=0, kind=WORD):
        """Return a pointer to the value `offset` bytes behind an address."""
        address = self.builder.add(address, self.word(offset))
        return self.builder.inttoptr(address, kind.as_pointer())

    def word(self, value):
        """Return a number as a word."""
        return WORD(value) if isinstance(value, int) else value

    def load(self, address, offset=0, kind=WORD):
        """Load the value `offset` bytes behind an address."""
        return self.builder.load(self.at(address, offset, kind))

    def store(self, value, address, offset=0):
        """Store a value `offset` bytes behind an address."""
        value = self.word(value)
        self.builder.store(value, self.at(address, offset, value.type))

    def nth(self, address, k):
        """Return the k-th word behind an address."""
        return self.load(address, self.times(k, 8))

    def times(self, value, factor):
        """Return a product of words."""
        return self.builder.mul(self.word(value), self.word(factor))

    def known(self, what):
        """Return what the table `gd_lookup` holds of one of `OBJECTS`, its address, or at a position after them."""
        place = what if type(what) is int and what >= POOL else position(what)
        table = self.module.globals.get("gd_lookup")
        if table is None:
            table = ir.GlobalVariable(self.module, ir.ArrayType(WORD, LOOKED_UP), "gd_lookup")
        return self.builder.load(cgutils.gep_inbounds(self.builder, table, 0, place))

    def call(self, name, result, *arguments):
        """Call a function of CPython or of this module."""
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(result, [each.type for each in arguments]), name)
        return self.builder.call(function, arguments)

    def room(self, words):
        """Return the address of new words on the stack."""
        return self.builder.ptrtoint(self.builder.alloca(WORD, self.word(words)), WORD)

    def equal(self, a, b):
        """Return whether two values are equal."""
        return self.builder.icmp_signed("==", a, self.word(b) if a.type == WORD else b)

    def control(self):
        """Return this thread's control register."""
        if not CONTROLLED:
            return STATUS(0)
        slot = cgutils.alloca_once(self.builder, STATUS)
        self.call("llvm.x86.sse.stmxcsr", NOTHING, self.builder.bitcast(slot, POINTER))
        return self.builder.load(slot)

    def set_control(self, value):
        """Set this thread's control register."""
        if CONTROLLED:
            slot = cgutils.alloca_once_value(self.builder, value)
            self.call("llvm.x86.sse.ldmxcsr", NOTHING, self.builder.bitcast(slot, POINTER))

    def integer(self, value, result):
        """Read an integer object; if it is no integer or too large, the function returns `result` with an exception."""
        number = self.call("PyNumber_AsSsize_t", WORD, value, self.known(OverflowError))
        with self.builder.if_then(self.equal(number, -1), likely=False):
            error = self.call("PyErr_Occurred", WORD)
            self.fail_if(self.builder.icmp_signed("!=", error, WORD(0)), result)
        return number

    def set_error(self, message):
        """Set a TypeError."""
        text = cgutils.global_constant(self.module, "message", cgutils.make_bytearray(message.encode() + b"\0"))
        self.call("PyErr_SetString", NOTHING, self.known(TypeError), self.builder.ptrtoint(text, WORD))

    def raise_from(self, error):
        """Raise the exception of a body, and return."""
        address = self.call("PyLong_FromVoidPtr", WORD, self.builder.ptrtoint(self.builder.load(error), WORD))
        self.call("PyObject_CallOneArg", WORD, self.known(machine_code.raise_from), address)
        self.call("Py_DecRef", NOTHING, address)
        self.builder.ret(WORD(0))

    def fail_if(self, condition, result=None):
        """Return from the function if a condition holds, with the exception that is set."""
        with self.builder.if_then(condition, likely=False):
            self.builder.ret(result if result is not None else WORD(0))


def position(what):
    """Return the position of one of `OBJECTS`."""
    return next(k for k, each in enumerate(OBJECTS) if each is what)
