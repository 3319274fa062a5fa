"""The gates of optimizers' steps in LLVM's representation: see `gates` and `gate_code`."""

import numpy as np
from numba.core import cgutils

from .array_layout import DATA, NDIM, OBJECT, TYPE, WRITEABLE
from .gate_code import DOUBLE, FLOAT32, FLOAT64, MOST_SUMS, READABLE, GateWriter
from .words import STATUS, WORD

# Fields of the table of a step. GUARDS: the address of a list of arrays (objects) that must be writeable. ARRAYS: for
# each array a view (object) of p, the address of its elements, their number, and the addresses of its slots.
COUNT, CODE, FLUSH, COEFFICIENTS, SLOTS, TOTAL, GUARDED, GUARDS, ARRAYS = range(9)
VIEW, ELEMENTS, SIZE, FIRST_SLOT = range(4)
FIRST = 4  # position of the first gradient in the arguments of a step
# Fields of the table of a rule. RULES: its code in float32 and in float64. MOST: elements that are not split.
RULES, RULE_FLUSH, RULE_COEFFICIENTS, RULE_SLOTS, MOST, RULE_FIELDS = 0, 2, 3, 4, 5, 6
STATE = 3  # position of p among the objects of a rule
# Fields of the table of a norm. NORMS: the code of the norms of blocks in float32 and in float64.
NORMS, COMBINE, NORM_BLOCK, NORM_FIELDS = 0, 2, 3, 4


def write(module):
    """Emit the gates of steps."""
    _write_step(module)
    _write_rule(module)
    _write_norm(module)


def _write_step(module):
    """Emit gate(state, steps, common, own, *gradients): step all arrays, set state["steps"], and return True.

    `common` and `own` are tuples of floats, the coefficients. A signal cannot come between the step and its count.
    """
    w = GateWriter(module, "gd_step_gate")
    b, (_, objects, count) = w.builder, w.function.args
    arrays, slots = w.field(COUNT), w.field(SLOTS)
    gradients, width = b.add(objects, WORD(8 * FIRST)), b.add(slots, WORD(FIRST_SLOT))
    w.require(w.equal(count, b.add(arrays, WORD(FIRST))))

    def place(k):
        return b.add(w.table, b.add(w.times(b.mul(k, width), 8), WORD(8 * ARRAYS)))

    guards = w.field(GUARDS)
    with cgutils.for_range(b, w.field(GUARDED), intp=WORD) as loop:
        w.require_flags(w.nth(guards, loop.index), WRITEABLE)
    with cgutils.for_range(b, arrays, intp=WORD) as outer:
        g, own = w.nth(gradients, outer.index), place(outer.index)
        view = w.load(own, 8 * VIEW)
        kind = w.kind(view)
        w.require_like(g, view, kind, w.load(view, NDIM, STATUS), READABLE)
        begin, itemsize = w.load(g, DATA), b.select(w.equal(kind, STATUS(FLOAT64)), WORD(8), WORD(4))
        end = b.add(begin, b.mul(w.load(own, 8 * SIZE), itemsize))
        with cgutils.for_range(b, arrays, intp=WORD) as inner:
            other = place(inner.index)
            start = w.load(other, 8 * ELEMENTS)
            stop = b.add(start, b.mul(w.load(other, 8 * SIZE), itemsize))
            w.require(b.or_(w.compare(end, "<=", start), w.compare(begin, ">=", stop)))

    # The coefficients
    double = w.equal(w.kind(w.load(place(WORD(0)), 8 * VIEW)), STATUS(FLOAT64))
    coefficients = _coefficients(w, b.add(objects, WORD(16)), w.field(COEFFICIENTS), double)
    before, flush = w.control(), b.trunc(w.field(FLUSH), STATUS)
    words, lock = w.room(b.add(w.times(slots, 2), WORD(7))), w.unlocked(w.field(TOTAL))
    w.set_control(b.or_(before, flush))
    with cgutils.for_range(b, arrays, intp=WORD) as loop:
        own = place(loop.index)
        size, g = w.load(own, 8 * SIZE), w.load(w.nth(gradients, loop.index), DATA)
        p = w.load(own, 8 * ELEMENTS)
        for k, word in enumerate((coefficients, w.field(COEFFICIENTS), g, size, 0, p, size)):
            w.store(word, words, 8 * k)
        with cgutils.for_range(b, slots, intp=WORD) as inner:
            at = b.add(words, w.times(inner.index, 16))
            w.store(w.nth(own, b.add(inner.index, WORD(FIRST_SLOT))), at, 7 * 8)
            w.store(size, at, 8 * 8)
        w.run(w.field(CODE), WORD(1), size, words, b.add(words, WORD(5 * 8)))  # the body of `update` raises nothing
    w.set_control(before)
    lock()
    done = w.call("PyDict_SetItem", STATUS, w.load(objects), w.known("steps"), w.load(objects, 8))
    w.fail_if(w.compare(done, "!=", 0))
    w.end_true()


def _coefficients(w, objects, count, double):
    """Return the address of two tuples of floats as a vector, which must have so many numbers."""
    b = w.builder  # a word for each number, of which the next overwrites the second half in float32
    coefficients, length = w.room(b.add(count, WORD(1))), cgutils.alloca_once_value(b, WORD(0))
    for k in range(2):
        numbers = w.load(objects, 8 * k)
        is_tuple = w.call("PyType_IsSubtype", STATUS, w.load(numbers, TYPE), w.known(tuple))
        w.require(w.compare(is_tuple, "!=", 0))
        size = w.call("PyTuple_Size", WORD, numbers)
        w.require(w.compare(b.add(b.load(length), size), "<=", count))
        with cgutils.for_range(b, size, intp=WORD) as loop:
            number = w.call("PyTuple_GetItem", WORD, numbers, loop.index)
            w.require_type(number, float)
            at = b.mul(b.add(b.load(length), loop.index), b.select(double, WORD(8), WORD(4)))
            w.store(w.word_of(w.load(number, OBJECT, DOUBLE), double), b.add(coefficients, at))
        b.store(b.add(b.load(length), size), length)
    w.require(w.equal(b.load(length), count))
    return coefficients


def _write_rule(module):
    """Emit gate(parts, common, own, p, g, *slots): step arrays that the caller owns, and return True.

    With 0 `parts` it takes up to `MOST` elements, in one part. All arrays must be like p, and apart from each other.
    """
    w = GateWriter(module, "gd_rule_gate")
    b, (_, objects, count) = w.builder, w.function.args
    parts, arrays, slots = w.integer(w.load(objects), WORD(0)), b.add(objects, WORD(8 * STATE)), w.field(RULE_SLOTS)
    several = b.add(slots, WORD(2))
    w.require(w.equal(count, b.add(several, WORD(STATE))))
    p = w.load(arrays)
    kind, ndim, size, double = _sized(w, p)
    w.require(b.or_(w.compare(parts, ">", 0), w.compare(size, "<=", w.field(MOST))))
    code = w.nth(w.table, b.add(b.zext(double, WORD), WORD(RULES)))
    w.require(w.compare(code, "!=", 0))
    bytes_ = b.mul(size, b.select(double, WORD(8), WORD(4)))
    with cgutils.for_range(b, several, intp=WORD) as outer:
        each = w.nth(arrays, outer.index)
        is_g = w.equal(outer.index, 1)
        w.require_like(each, p, kind, ndim, b.select(is_g, STATUS(READABLE), STATUS(READABLE | WRITEABLE)))
        begin = w.load(each, DATA)
        with cgutils.for_range(b, outer.index, intp=WORD) as inner:
            start = w.load(w.nth(arrays, inner.index), DATA)
            apart = b.or_(w.compare(b.add(begin, bytes_), "<=", start), w.compare(begin, ">=", b.add(start, bytes_)))
            w.require(apart)
    coefficients = _coefficients(w, b.add(objects, WORD(8)), w.field(RULE_COEFFICIENTS), double)

    words = w.room(b.add(w.times(slots, 2), WORD(7)))
    g, p = (w.load(w.load(arrays, 8 * k), DATA) for k in (1, 0))
    for k, word in enumerate((coefficients, w.field(RULE_COEFFICIENTS), g, size, 0, p, size)):
        w.store(word, words, 8 * k)
    with cgutils.for_range(b, slots, intp=WORD) as loop:
        at = b.add(words, w.times(loop.index, 16))
        w.store(w.load(w.nth(arrays, b.add(loop.index, WORD(2))), DATA), at, 7 * 8)
        w.store(size, at, 8 * 8)
    before, lock = w.control(), w.unlocked(size)
    w.set_control(b.or_(before, b.trunc(w.field(RULE_FLUSH), STATUS)))
    parts = b.select(w.equal(parts, 0), WORD(1), parts)
    w.run(code, parts, size, words, b.add(words, WORD(5 * 8)))
    w.set_control(before)
    lock()
    w.end_true()


def _sized(w, x):
    """Return (kind, dimensions, elements, whether it is float64) of an array of floats that is not empty."""
    w.require_type(x, np.ndarray)
    kind, ndim = w.kind(x), w.load(x, NDIM, STATUS)
    double = w.equal(kind, STATUS(FLOAT64))
    w.require(w.builder.or_(double, w.equal(kind, STATUS(FLOAT32))))
    size = w.size(x, ndim)
    w.require(w.compare(size, ">", 0))
    return kind, ndim, size, double


def _write_norm(module):
    """Emit gate(coefficients, *gradients): the Euclidean norm of all scaled gradients together, as a float.

    `coefficients` is the vector that the kernel `norms` takes; gradients must have its dtype.
    """
    w = GateWriter(module, "gd_norm_gate")
    b, (_, objects, count) = w.builder, w.function.args
    vector = w.load(objects)
    _, _, length, double = _sized(w, vector)
    code, block = w.nth(w.table, b.add(b.zext(double, WORD), WORD(NORMS))), w.field(NORM_BLOCK)
    w.require(b.and_(w.compare(code, "!=", 0), w.compare(count, ">", 1)))
    total, gradients, several = cgutils.alloca_once_value(b, WORD(0)), b.add(objects, WORD(8)), b.sub(count, WORD(1))

    def blocks_of(size):
        return b.sdiv(b.add(size, b.sub(block, WORD(1))), block)

    elements = cgutils.alloca_once_value(b, WORD(0))
    with cgutils.for_range(b, several, intp=WORD) as loop:
        g = w.nth(gradients, loop.index)
        _, _, size, is_double = _sized(w, g)
        w.require(w.equal(is_double, double))
        w.require_flags(g, READABLE)
        b.store(b.add(b.load(elements), size), elements)
        b.store(b.add(b.load(total), blocks_of(size)), total)
    blocks = b.load(total)
    is_one = w.equal(blocks, 1)
    w.require(b.and_(w.compare(blocks, "<=", MOST_SUMS), b.or_(is_one, w.compare(w.field(COMBINE), "!=", 0))))

    parts, words, norm, lock = w.room(blocks), w.room(9), w.room(1), w.unlocked(b.load(elements))
    b.store(WORD(0), total)
    with cgutils.for_range(b, several, intp=WORD) as loop:
        g = w.nth(gradients, loop.index)
        size, data = w.size(g, w.load(g, NDIM, STATUS)), w.load(g, DATA)
        items, out = blocks_of(size), b.add(parts, w.times(b.load(total), 8))
        for k, word in enumerate((out, 1, items, w.load(vector, DATA), length, data, size, data, size)):
            w.store(word, words, 8 * k)
        w.run(code, WORD(1), items, words, words)  # neither body raises anything
        b.store(b.add(b.load(total), items), total)
    w.store(w.load(parts), norm)
    with b.if_then(b.not_(is_one)):
        for k, word in enumerate((norm, 1, parts, 1, blocks)):
            w.store(word, words, 8 * k)
        w.run(w.field(COMBINE), WORD(1), WORD(1), words, words)
    lock()
    w.end(w.call("PyFloat_FromDouble", WORD, w.load(norm, 0, DOUBLE)))
