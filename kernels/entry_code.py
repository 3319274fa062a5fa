"""The functions of `entry` in LLVM's representation: they pack arguments, look up code, and split a walk."""

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from . import gate_code, step_code
from .array_layout import C_ORDER, DATA, DTYPE, FLAGS, FORTRAN_ORDER, KIND, NDIM, OBJECT, SHAPE, STRIDES, TYPE
from .words import BODY, HEAD, LAUNCH, STATUS, WORD, WORDS
from .writer import NOTHING, NUMBERS, POINTER, POOL, Writer, position

MOST = 4  # dimensions of an array
WIDEST = 1 + 2 * MOST  # maximum words of an argument
MESSAGE = f"kernels take numbers and arrays of up to {MOST} dimensions"
FIRST, GIVEN, PREPARE, NUMBER, FLUSH = range(5)  # fields of a body's table; FIRST is the address of its first node
NEXT, CODE, COUNT, TAGS = range(4)  # fields of a node: the code for one combination of types


def module():
    """Return the module of the functions gd_enter, gd_bind and gd_launch, and of gates."""
    module = ir.Module("gd_entry")
    module.triple = llvm.get_process_triple()
    _write_pack(module)
    _write_look_up(module)
    _write_launch(module)
    _write_enter(module)
    _write_bind(module)
    gate_code.write(module)
    step_code.write(module)
    return module


def _write_pack(module):
    """Emit word pack(objects, count, given, tags, words, own): the number of words, or -1 with an exception set."""
    w = Writer(module, "pack", ir.FunctionType(WORD, [WORD] * 6), "objects count given tags words own")
    b, (objects, count, given, tags, words, own) = w.builder, w.function.args
    size = b.alloca(WORD)
    b.store(WORD(0), size)
    done = w.function.append_basic_block("done")

    def put(value, k=0):
        """Write a word, k places behind the words written so far."""
        w.store(value, words, w.times(b.add(b.load(size), w.word(k)), 8))

    def end(tag, used):
        """Finish one object."""
        w.store(tag, tags, w.times(loop.index, 8))
        b.store(b.add(b.load(size), w.word(used)), size)
        b.branch(following)

    def case(condition):
        """Branch: go on where a condition holds, and return the block for where it does not."""
        holds, otherwise = (w.function.append_basic_block() for _ in range(2))
        b.cbranch(condition, holds, otherwise)
        b.position_at_end(holds)
        return otherwise

    with cgutils.for_range(b, count, intp=WORD) as loop:
        following = w.function.append_basic_block("following")
        with b.if_then(w.equal(loop.index, given)):
            w.store(b.add(words, w.times(b.load(size), 8)), own)
        value = w.nth(objects, loop.index)
        kind = w.load(value, TYPE)
        exactly = w.equal(kind, w.known(np.ndarray))
        arrays, others = (w.function.append_basic_block(name) for name in ("array", "other"))
        b.cbranch(exactly, arrays, others)

        b.position_at_end(arrays)
        ndim = w.load(value, NDIM, STATUS)
        few = b.icmp_signed("<=", ndim, STATUS(MOST))
        many, flags = w.function.append_basic_block("many"), w.load(value, FLAGS, STATUS)
        fits = w.function.append_basic_block("fits")
        b.cbranch(few, fits, many)
        b.position_at_end(fits)
        dimensions = b.sext(ndim, WORD)
        put(w.load(value, DATA))
        shape, strides = w.load(value, SHAPE), w.load(value, STRIDES)
        with cgutils.for_range(b, dimensions, intp=WORD) as axes:
            put(w.nth(shape, axes.index), b.add(axes.index, WORD(1)))
            put(w.nth(strides, axes.index), b.add(axes.index, b.add(dimensions, WORD(1))))
        in_c, in_fortran = (
            b.icmp_signed("!=", b.and_(flags, STATUS(flag)), STATUS(0)) for flag in (C_ORDER, FORTRAN_ORDER)
        )
        order = b.select(in_c, WORD(1), b.select(in_fortran, WORD(2), WORD(3)))
        offset, mask = KIND
        tag = b.and_(b.zext(w.load(w.load(value, DTYPE), offset, STATUS), WORD), WORD(mask))
        tag = b.or_(tag, b.or_(b.shl(dimensions, WORD(24)), b.shl(order, WORD(32))))
        end(tag, b.add(WORD(1), b.select(in_c, dimensions, w.times(dimensions, 2))))

        b.position_at_end(others)
        for type_, width in NUMBERS.items():
            otherwise = case(w.equal(kind, w.known(type_)))
            put(b.and_(w.load(value, OBJECT), WORD(2 ** (8 * width) - 1)))
            end(WORD(position(type_)), 1)
            b.position_at_end(otherwise)
        otherwise = case(w.equal(kind, w.known(int)))
        put(w.integer(value, WORD(-1)))
        end(WORD(position(int)), 1)
        b.position_at_end(otherwise)
        for constant in (True, False):
            otherwise = case(w.equal(value, w.known(constant)))
            put(int(constant))
            end(WORD(position(True)), 1)
            b.position_at_end(otherwise)
        otherwise = case(w.equal(kind, w.known(bytes)))
        put(w.call("PyBytes_AsString", WORD, value))
        end(WORD(position(bytes)), 1)
        b.position_at_end(otherwise)
        otherwise = case(w.equal(value, w.known(None)))
        end(WORD(position(None)), 0)
        b.position_at_end(otherwise)
        is_array = w.call("PyType_IsSubtype", STATUS, kind, w.known(np.ndarray))  # such as np.memmap
        b.cbranch(b.icmp_signed("!=", is_array, STATUS(0)), arrays, many)

        b.position_at_end(many)
        w.set_error(MESSAGE)
        b.ret(WORD(-1))
        b.position_at_end(following)
    with b.if_then(b.icmp_signed(">=", given, count)):
        w.store(b.add(words, w.times(b.load(size), 8)), own)
    b.branch(done)
    b.position_at_end(done)
    b.ret(b.load(size))


def _write_look_up(module):
    """Emit word look_up(table, tags, count): the address of the code for arguments of these tags, or 0."""
    w = Writer(module, "look_up", ir.FunctionType(WORD, [WORD] * 3), "table tags count")
    b, (table, tags, count) = w.builder, w.function.args
    node, matching = b.alloca(WORD), b.alloca(ir.IntType(1))
    b.store(w.load(table, 8 * FIRST), node)
    look, compare, found, proceed = (w.function.append_basic_block(x) for x in ("look", "compare", "found", "proceed"))
    b.branch(look)
    b.position_at_end(look)
    here = b.load(node)
    w.fail_if(w.equal(here, 0))
    b.store(w.equal(w.load(here, 8 * COUNT), count), matching)
    b.cbranch(b.load(matching), compare, proceed)
    b.position_at_end(compare)
    with cgutils.for_range(b, count, intp=WORD) as loop:
        same = w.equal(w.nth(tags, loop.index), w.nth(here, b.add(loop.index, WORD(TAGS))))
        b.store(b.and_(b.load(matching), same), matching)
    b.cbranch(b.load(matching), found, proceed)
    b.position_at_end(found)
    b.ret(w.load(here, 8 * CODE))
    b.position_at_end(proceed)
    b.store(w.load(here, 8 * NEXT), node)
    b.branch(look)


def _write_launch(module):
    """Emit the launcher: int32 gd_launch(void** error, body, word parts, word size, word* given, word* own).

    All threads of the pool flush subnormal results if the calling thread does. Numba's mask, the number of threads that
    the user set by `numba.set_num_threads`, is that of before: Numba's loop sets it to the number that it is given.
    """
    shared = ir.LiteralStructType([BODY.as_pointer(), WORD, WORD, WORDS, WORDS, STATUS, POINTER, STATUS])
    w = Writer(
        module, "run_part", ir.FunctionType(NOTHING, [WORDS] * 3 + [shared.as_pointer()]), "first count _ shared"
    )
    b, (first, count, _, work) = w.builder, w.function.args
    body, parts, size, given, own = (b.load(cgutils.gep_inbounds(b, work, 0, k)) for k in range(5))
    error, before = b.alloca(POINTER), w.control()
    w.set_control(b.load(cgutils.gep_inbounds(b, work, 0, 7)))
    first, count = b.load(first), b.load(count)  # Numba passes them as an array at address 0 with a step of 1
    with cgutils.for_range(b, count, intp=WORD) as loop:
        part = b.add(first, loop.index)
        start, stop = (b.sdiv(b.mul(size, each), parts) for each in (part, b.add(part, WORD(1))))
        code = b.call(body, [error, start, stop, given, own])
        with b.if_then(b.icmp_signed("!=", code, STATUS(0)), likely=False):
            b.store(b.load(error), cgutils.gep_inbounds(b, work, 0, 6))
            b.store(code, cgutils.gep_inbounds(b, work, 0, 5))
    w.set_control(before)
    b.ret_void()

    name, kind = LAUNCH
    run_part, w = w.function, Writer(module, name, kind, "error body parts size given own")
    b, (error, body, parts, size, given, own) = w.builder, w.function.args
    with b.if_then(w.equal(parts, 1)):  # works before the pool is started
        b.ret(b.call(body, [error, WORD(0), size, given, own]))
    work = b.alloca(shared)
    for k, value in enumerate((body, parts, size, given, own, STATUS(0), POINTER(None), w.control())):
        b.store(value, cgutils.gep_inbounds(b, work, 0, k))
    first, count, step = (cgutils.alloca_once_value(b, value) for value in (WORD(0), parts, WORD(1)))
    kind = ir.FunctionType(NOTHING, [POINTER] * 5 + [WORD, WORD, STATUS])
    parallel_for = b.inttoptr(w.known(POOL), kind.as_pointer())
    get_mask = b.inttoptr(w.known(POOL + 1), ir.FunctionType(STATUS, []).as_pointer())
    set_mask = b.inttoptr(w.known(POOL + 2), ir.FunctionType(NOTHING, [STATUS]).as_pointer())
    pointers = [b.bitcast(each, POINTER) for each in (run_part, first, count, step, work)]
    mask = b.call(get_mask, [])
    b.call(parallel_for, [*pointers, WORD(0), WORD(1), b.trunc(parts, STATUS)])
    b.call(set_mask, [mask])
    b.store(b.load(cgutils.gep_inbounds(b, work, 0, 6)), error)
    b.ret(b.load(cgutils.gep_inbounds(b, work, 0, 5)))


def _packed(w, objects, count, given):
    """Emit the packing of objects and the search for code; return (code, words, start of own words, count)."""
    b = w.builder
    tags, words, own = w.room(count), w.room(w.times(count, WIDEST)), w.room(1)
    size = w.call("pack", WORD, objects, count, given, tags, words, own)
    w.fail_if(w.equal(size, -1))
    table = w.table
    code = cgutils.alloca_once_value(b, w.call("look_up", WORD, table, tags, count))
    with b.if_then(w.equal(b.load(code), 0), likely=False):
        text = w.call("PyBytes_FromStringAndSize", WORD, tags, w.times(count, 8))
        w.fail_if(w.equal(text, 0))
        values = w.room(b.add(count, WORD(1)))
        w.store(text, values)
        with cgutils.for_range(b, count, intp=WORD) as loop:
            w.store(w.nth(objects, loop.index), values, w.times(b.add(loop.index, WORD(1)), 8))
        done = w.call("PyObject_Vectorcall", WORD, w.load(table, 8 * PREPARE), values, b.add(count, WORD(1)), WORD(0))
        w.call("Py_DecRef", NOTHING, text)
        w.fail_if(w.equal(done, 0))
        w.call("Py_DecRef", NOTHING, done)
        b.store(w.call("look_up", WORD, table, tags, count), code)
        with b.if_then(w.equal(b.load(code), 0)):
            w.set_error("there is no code for these arguments")
            b.ret(WORD(0))
    return b.load(code), words, w.load(own), size


def _builtin_writer(module, name):
    w = Writer(module, name, ir.FunctionType(WORD, [WORD] * 3), "self objects count")
    w.table = w.call("PyLong_AsVoidPtr", WORD, w.function.args[0])
    return w


def _write_enter(module):
    """Emit the builtin enter(parts, size, *arguments)."""
    w = _builtin_writer(module, "gd_enter")
    b, (_, objects, count) = w.builder, w.function.args
    parts, size = (w.integer(w.load(objects, 8 * k), WORD(0)) for k in range(2))
    code, given, own, _ = _packed(w, b.add(objects, WORD(16)), b.sub(count, WORD(2)), w.load(w.table, 8 * GIVEN))
    body, given, own = b.inttoptr(code, BODY.as_pointer()), *(b.inttoptr(each, WORDS) for each in (given, own))
    error, status = cgutils.alloca_once(b, POINTER), cgutils.alloca_once(b, STATUS)
    thread, before = w.call("PyEval_SaveThread", WORD), w.control()
    flush = b.trunc(w.load(w.table, 8 * FLUSH), STATUS)
    flushes = b.icmp_signed("!=", flush, STATUS(0))
    with b.if_then(flushes):
        w.set_control(b.or_(before, flush))
    b.store(b.call(module.globals[LAUNCH[0]], [error, body, parts, size, given, own]), status)
    with b.if_then(flushes):
        w.set_control(before)
    w.call("PyEval_RestoreThread", NOTHING, thread)
    with b.if_then(b.icmp_signed("!=", b.load(status), STATUS(0)), likely=False):
        w.raise_from(error)
    none = w.known(None)
    w.call("Py_IncRef", NOTHING, none)
    b.ret(none)


def _write_bind(module):
    """Emit the builtin bind(*arguments)."""
    w = _builtin_writer(module, "gd_bind")
    b, (_, objects, count) = w.builder, w.function.args
    code, words, _, size = _packed(w, objects, count, WORD(0))
    bound = w.call("PyBytes_FromStringAndSize", WORD, WORD(0), w.times(b.add(size, WORD(HEAD)), 8))
    w.fail_if(w.equal(bound, 0))
    at = w.call("PyBytes_AsString", WORD, bound)
    w.store(code, at)
    w.store(w.load(w.table, 8 * NUMBER), at, 8)
    with cgutils.for_range(b, size, intp=WORD) as loop:
        w.store(w.nth(words, loop.index), at, w.times(b.add(loop.index, WORD(HEAD)), 8))
    b.ret(bound)
