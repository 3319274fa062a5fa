"""The functions of `gates` in LLVM's representation.

A gate gets the address of a table (see the fields below) and the objects that Python passes, and looks at all of them
before it changes anything.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from .array_layout import (
    ALIGNED,
    C_ORDER,
    DATA,
    DTYPE,
    FLAGS,
    KIND,
    NDIM,
    OBJECT,
    PAGE,
    PLACED_FROM,
    SHAPE,
    TYPE,
    WRITEABLE,
)
from .words import BODY, LAUNCH, STATUS, WORD, WORDS
from .writer import CLOSED, EMPTY, FROM_DESCR, NOTHING, POINTER, SET_BASE, UINT8, Writer

# Fields of the table of a map or a loss. CODES: apart from all operands in float32 and in float64, over the first, over
# the second. RANGES: the lowest, the highest and the default of each number, in float64.
OPERANDS, NUMBERS, LARGEST, WIDTH, SKIPPED, BLOCK, CODES, RANGES = 0, 1, 2, 3, 4, 5, 6, 12

MAP, LOSS, LABELS = "map", "loss", "labels"  # what a gate runs
FLOAT32, FLOAT64, INDEX = (  # kinds of dtypes: see `KIND`
    int.from_bytes(text.encode(), "little") for text in ("ff=", "fd=", f"i{np.dtype(np.intp).char}=")
)
READABLE = C_ORDER | ALIGNED
UNLOCKED_FROM = 2_048  # elements: from there on the GIL is released, which takes as long as 1,000 elements
MOST_NUMBERS, MOST_OPERANDS = 4, 2
MOST_SUMS = 1_024  # losses of rows or blocks: they are added up one after the other
SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()


def write(module):
    """Emit the gates of functions; those of steps are in `step_code`."""
    _write_map(module, "gd_map_gate")
    _write_map(module, "gd_loss_gate", LOSS)
    _write_map(module, "gd_label_gate", LABELS)


class GateWriter(Writer):
    """Writes a builtin gate(*objects), which returns None where something that it requires does not hold."""

    def __init__(self, module, name):
        super().__init__(module, name, ir.FunctionType(WORD, [WORD] * 3), "self objects count")
        self.refused = self.function.append_basic_block("refused")
        self.table = self.call("PyLong_AsVoidPtr", WORD, self.function.args[0])
        self.require(self.equal(self.known(CLOSED), 0))

    def field(self, k):
        """Return a field of the table."""
        return self.load(self.table, 8 * k)

    def compare(self, a, sign, b):
        """Compare two words with a sign."""
        return self.builder.icmp_signed(sign, a, a.type(b) if isinstance(b, int) else b)

    def require(self, condition):
        """Go on only where a condition holds."""
        met = self.function.append_basic_block("met")
        self.builder.cbranch(condition, met, self.refused)
        self.builder.position_at_end(met)

    def require_type(self, x, kind):
        """Go on only if x is exactly of a type."""
        self.require(self.equal(self.load(x, TYPE), self.known(kind)))

    def kind(self, x):
        """Return the kind of an array's dtype."""
        return self.builder.and_(self.load(self.load(x, DTYPE), KIND[0], STATUS), STATUS(KIND[1]))

    def require_flags(self, x, flags):
        """Go on only if an array has these flags."""
        flags = STATUS(flags) if isinstance(flags, int) else flags
        self.require(self.equal(self.builder.and_(self.load(x, FLAGS, STATUS), flags), flags))

    def require_like(self, x, like, kind, ndim, flags):
        """Go on only if x is an array of a kind and shape, with these flags."""
        self.require_type(x, np.ndarray)
        self.require(self.equal(self.kind(x), kind))
        self.require(self.equal(self.load(x, NDIM, STATUS), ndim))
        self.require_flags(x, flags)
        own, expected = self.load(x, SHAPE), self.load(like, SHAPE)
        with cgutils.for_range(self.builder, self.builder.sext(ndim, WORD), intp=WORD) as loop:
            self.require(self.equal(self.nth(own, loop.index), self.nth(expected, loop.index)))

    def size(self, x, ndim):
        """Return the number of elements of an array."""
        size = cgutils.alloca_once_value(self.builder, WORD(1))
        shape = self.load(x, SHAPE)
        with cgutils.for_range(self.builder, self.builder.sext(ndim, WORD), intp=WORD) as loop:
            self.builder.store(self.times(self.builder.load(size), self.nth(shape, loop.index)), size)
        return self.builder.load(size)

    def word_of(self, value, double):
        """Return a number as the word of a float64, or of a float32."""
        b = self.builder
        single = b.zext(b.bitcast(b.fptrunc(value, SINGLE), STATUS), WORD)
        return b.select(double, b.bitcast(value, WORD), single)

    def unlocked(self, size):
        """Release the GIL if a walk is long; return a function that takes it again."""
        b, thread = self.builder, self.room(1)
        is_long = self.compare(size, ">=", UNLOCKED_FROM)
        with b.if_then(is_long, likely=False):
            self.store(self.call("PyEval_SaveThread", WORD), thread)

        def lock():
            with b.if_then(is_long, likely=False):
                self.call("PyEval_RestoreThread", NOTHING, self.load(thread))

        return lock

    def run(self, code, parts, items, given, own):
        """Run a body in parts; return (its status, the place of its error)."""
        b, error = self.builder, cgutils.alloca_once(self.builder, POINTER)
        given, own = (b.inttoptr(each, WORDS) for each in (given, own))
        launch = self.module.globals[LAUNCH[0]]
        return b.call(launch, [error, b.inttoptr(code, BODY.as_pointer()), parts, items, given, own]), error

    def empty(self, ndim, shape, dtype, size):
        """Return a new array of `size` bytes; a large one begins in the middle of a page, in an array of bytes."""
        b, made = self.builder, cgutils.alloca_once(self.builder, WORD)

        def call(position, *arguments):
            kind = ir.FunctionType(WORD, [each.type for each in arguments])
            result = b.call(b.inttoptr(self.known(position), kind.as_pointer()), arguments)
            self.fail_if(self.compare(result, "==", 0))
            return result

        self.call("Py_IncRef", NOTHING, dtype)  # NumPy's functions take a reference
        with b.if_else(self.compare(size, ">=", PLACED_FROM), likely=False) as (large, small):
            with large:
                bytes_, room = self.known(UINT8), self.room(1)
                self.call("Py_IncRef", NOTHING, bytes_)
                self.store(b.add(size, WORD(PAGE)), room)
                base = call(EMPTY, STATUS(1), room, bytes_, STATUS(0))
                data = self.load(base, DATA)
                data = b.add(data, b.and_(b.sub(WORD(PAGE // 2), data), WORD(PAGE - 1)))
                flags, none = STATUS(READABLE | WRITEABLE), WORD(0)
                array = call(FROM_DESCR, self.known(np.ndarray), dtype, ndim, shape, none, data, flags, none)
                kind = ir.FunctionType(STATUS, [WORD, WORD])
                b.call(b.inttoptr(self.known(SET_BASE), kind.as_pointer()), [array, base])
                b.store(array, made)
            with small:
                b.store(call(EMPTY, ndim, shape, dtype, STATUS(0)), made)
        return b.load(made)

    def end(self, result):
        """Return an object; and None where anything was refused."""
        self.builder.ret(result)
        self.builder.position_at_end(self.refused)
        none = self.known(None)
        self.call("Py_IncRef", NOTHING, none)
        self.builder.ret(none)

    def end_true(self):
        """Return True."""
        true = self.known(True)
        self.call("Py_IncRef", NOTHING, true)
        self.end(true)


def _write_map(module, name, form=MAP):
    """Emit gate(parts, out, *operands, *numbers): the result, or (value, gradient) of a loss.

    See `gates` for what is plain. With 0 `parts` it takes up to `LARGEST` elements, in one part. A body takes the words
    of (out, *operands, *numbers), without `SKIPPED` words where it writes over an operand; that of a loss takes (sums,
    wrong, gradient, prediction, target, scale, *numbers), and walks blocks; that of a loss with labels takes (values,
    gradient, prediction, labels, scale), and walks rows. Its gate is gate(parts, out, x, labels).
    """
    w = GateWriter(module, name)
    b, (_, objects, count) = w.builder, w.function.args
    parts, objects = w.integer(w.load(objects), WORD(0)), b.add(objects, WORD(8))
    operands, numbers, width = w.field(OPERANDS), w.field(NUMBERS), w.field(WIDTH)
    given_numbers = b.sub(count, b.add(operands, WORD(3 if form == LABELS else 2)))
    has_numbers = w.compare(given_numbers, "!=", 0)
    w.require(b.or_(b.not_(has_numbers), w.equal(given_numbers, numbers)))

    # The arrays
    given, x = w.load(objects), w.load(objects, 8)
    absent = w.equal(given, w.known(None))
    w.require_type(x, np.ndarray)  # before more of it is read
    kind, ndim = w.kind(x), w.load(x, NDIM, STATUS)
    double = w.equal(kind, STATUS(FLOAT64))
    w.require(b.or_(double, w.equal(kind, STATUS(FLOAT32))))
    w.require(w.equal(ndim, STATUS(2)) if form == LABELS else w.compare(ndim, ">", 0))
    size = w.size(x, ndim)
    w.require(w.compare(size, ">", 0))
    w.require(b.or_(w.compare(parts, ">", 0), w.compare(size, "<=", w.field(LARGEST))))
    parts = b.select(w.equal(parts, 0), WORD(1), parts)
    columns = w.nth(w.load(x, SHAPE), b.sext(b.sub(ndim, STATUS(1)), WORD))
    if form == LOSS:
        items, vector = b.sdiv(b.add(size, b.sub(w.field(BLOCK), WORD(1))), w.field(BLOCK)), size
        w.require(w.compare(items, "<=", MOST_SUMS))
    else:
        items = vector = b.select(w.equal(width, 3), b.sdiv(size, columns), size)
    like_out = b.select(absent, x, given)
    w.require_like(like_out, x, kind, ndim, b.select(absent, STATUS(READABLE), STATUS(READABLE | WRITEABLE)))
    data, over, begin = w.load(like_out, DATA), w.room(1), w.load(like_out, DATA)
    end = b.add(begin, b.mul(size, b.select(double, WORD(8), WORD(4))))

    def is_apart(start, stop):
        return b.or_(absent, b.or_(w.compare(stop, "<=", begin), w.compare(start, ">=", end)))

    w.store(0, over)
    with cgutils.for_range(b, operands, intp=WORD) as loop:
        place = b.add(loop.index, WORD(1))
        each = w.nth(objects, place)
        w.require_like(each, x, kind, ndim, READABLE)
        start = w.load(each, DATA)
        same = b.and_(b.not_(absent), w.equal(start, begin))
        w.require(b.or_(same, is_apart(start, b.add(start, b.sub(end, begin)))))
        w.store(b.select(b.and_(same, w.equal(w.load(over), 0)), place, w.load(over)), over)
    over = w.load(over)
    code = w.nth(w.table, b.add(w.times(over, 2), b.add(b.zext(double, WORD), WORD(CODES))))
    w.require(w.compare(code, "!=", 0))
    labels = None
    if form == LABELS:
        w.require(w.compare(items, "<=", MOST_SUMS))
        each = w.nth(objects, WORD(2))
        w.require_like(each, x, STATUS(INDEX), STATUS(1), READABLE)  # the rows are the first axis of x
        labels = w.load(each, DATA)
        w.require(is_apart(labels, b.add(labels, w.times(items, 8))))
        with cgutils.for_range(b, items, intp=WORD) as loop:
            w.require(b.icmp_unsigned("<", w.nth(labels, loop.index), columns))  # a negative label is huge here

    # What the body takes
    words = w.room(6 + 3 * (1 + MOST_OPERANDS) + MOST_NUMBERS)
    sums, wrong = (w.room(each) for each in {MAP: (0, 0), LOSS: (items, items), LABELS: (items, 0)}[form])
    first = {MAP: (), LOSS: (sums, items, wrong, items), LABELS: (sums, items)}[form]
    for k, word in enumerate(first):
        w.store(word, words, 8 * k)
    arrays, step = b.add(words, WORD(8 * len(first))), w.times(width, 8)

    def put(k, data):
        at = b.add(arrays, b.mul(w.word(k), step))
        for j, word in enumerate((data, vector, columns)):  # the columns of a vector are overwritten by what follows
            w.store(word, at, 8 * j)

    put(0, data)
    with cgutils.for_range(b, operands, intp=WORD) as loop:
        place = b.add(loop.index, WORD(1))
        put(place, w.load(w.nth(objects, place), DATA))
    rest, scale = b.add(arrays, b.mul(b.add(operands, WORD(1)), step)), None
    if form == LABELS:
        w.store(labels, rest)
        w.store(items, rest, 8)
        rest = b.add(rest, WORD(16))
    if form != MAP:
        scale = b.fdiv(DOUBLE(1.0), b.sitofp(vector, DOUBLE))
        w.store(w.word_of(scale, double), rest)
        rest = b.add(rest, WORD(8))
    with cgutils.for_range(b, numbers, intp=WORD) as loop:
        low, high, default = (
            w.load(b.add(w.table, w.times(loop.index, 24)), 8 * (RANGES + k), DOUBLE) for k in range(3)
        )
        slot = cgutils.alloca_once_value(b, default)
        with b.if_then(has_numbers):
            number = w.nth(objects, b.add(b.add(operands, WORD(1)), loop.index))
            w.require_type(number, float)
            value = w.load(number, OBJECT, DOUBLE)
            rounded = b.select(double, value, b.fpext(b.fptrunc(value, SINGLE), DOUBLE))
            for each in (value, rounded):
                w.require(b.and_(b.fcmp_ordered(">=", each, low), b.fcmp_ordered("<=", each, high)))
            b.store(value, slot)
        w.store(w.word_of(b.load(slot), double), rest, w.times(loop.index, 8))

    # From here on nothing is refused, but targets of a loss
    out = cgutils.alloca_once_value(b, given)
    with b.if_else(absent) as (new, old):
        with new:
            made = w.empty(ndim, w.load(x, SHAPE), w.load(x, DTYPE), b.sub(end, begin))
            w.store(w.load(made, DATA), arrays)
            b.store(made, out)
        with old:
            w.call("Py_IncRef", NOTHING, given)
    skipped = b.select(w.equal(over, 0), WORD(0), w.times(w.field(SKIPPED), 8))
    lock = w.unlocked(size)
    status, error = w.run(code, parts, items, words, b.add(words, skipped))
    lock()
    out = b.load(out)
    with b.if_then(w.compare(status, "!=", 0), likely=False):
        w.call("Py_DecRef", NOTHING, out)
        w.raise_from(error)
    if form == MAP:
        w.end(out)
        return
    total, refused = cgutils.alloca_once_value(b, w.load(sums, 0, DOUBLE)), cgutils.alloca_once_value(b, WORD(0))
    with cgutils.for_range(b, b.sub(items, WORD(1)), intp=WORD) as loop:
        following = w.load(b.add(sums, w.times(loop.index, 8)), 8, DOUBLE)
        b.store(b.fadd(b.load(total), following), total)
    if form == LOSS:
        with cgutils.for_range(b, items, intp=WORD) as loop:
            b.store(b.or_(b.load(refused), w.nth(wrong, loop.index)), refused)
    with b.if_then(w.compare(b.load(refused), "!=", 0), likely=False):
        w.call("Py_DecRef", NOTHING, out)
        b.branch(w.refused)
    pair = w.call("PyTuple_New", WORD, WORD(2))
    value = w.call("PyFloat_FromDouble", WORD, b.fmul(b.load(total), scale))
    for k, each in enumerate((value, out)):
        w.call("PyTuple_SetItem", STATUS, pair, WORD(k), each)
    w.end(pair)
