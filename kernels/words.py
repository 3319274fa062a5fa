"""Arguments of bodies as 8-byte words, and calls of bodies by bodies; `machine_code` describes how bodies are called.

Without compilation (NUMBA_DISABLE_JIT=1) each intrinsic here and in `views` is the Python function in its decorator.
"""

import hashlib

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .settings import INTERPRETED

WORD, STATUS, BYTES = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
WORDS = WORD.as_pointer()
BODY = ir.FunctionType(STATUS, [BYTES.as_pointer(), WORD, WORD, WORDS, WORDS])
LAUNCH = "gd_launch", ir.FunctionType(STATUS, [BYTES.as_pointer(), BODY.as_pointer(), WORD, WORD, WORDS, WORDS])
BOUND = types.voidptr  # a bound body (with arguments of its own): the address of its words
HEAD = 2  # words of a bound body before its arguments: code, and the number of the types that it must be given


def intrinsic_or(python):
    """Declare a Numba intrinsic; without compilation use a Python function instead, or nothing (None).

    A bound body is then a `functools.partial` of a function with the tuple of its own arguments.
    """
    return (lambda declare: python) if INTERPRETED else intrinsic


def address(bound):
    """Return the address of a bound body's words; whoever keeps it must keep that body, too."""
    return id(bound) + bytes.__basicsize__ - 1 if isinstance(bound, bytes) else bound


# --- Words


def number_of(kinds):
    """Return a number that identifies some types, the same number in every process."""
    return int.from_bytes(hashlib.sha256(repr([str(each) for each in kinds]).encode()).digest()[:8], "little") >> 1


def loaded(context, builder, kinds, place):
    """Return the values, of these types, whose words lie one after the other at `place`."""
    values, at = [], 0
    for kind in kinds:
        places = [builder.gep(place, [WORD(at + k)]) for k in range(_width(kind))]
        values.append(_value(context, builder, kind, places))
        at += len(places)
    return values


def _stored(context, builder, kinds, values):
    """Store the words of a tuple on the stack; return their address."""
    room = cgutils.alloca_once(builder, ir.ArrayType(WORD, max(1, sum(map(_width, kinds)))))
    place = builder.bitcast(room, WORDS)
    _write(context, builder, kinds, values, place)
    return place


def _write(context, builder, kinds, values, place):
    """Write the words of a tuple to `place`."""
    words = []
    for k, kind in enumerate(kinds):
        words += _words(context, builder, kind, builder.extract_value(values, k))
    for k, word in enumerate(words):
        at = builder.gep(place, [WORD(k)])
        builder.store(word, builder.bitcast(at, word.type.as_pointer()))


def _width(kind):
    if isinstance(kind, types.Array):
        return 1 + kind.ndim * (1 if kind.layout == "C" else 2)
    return 0 if kind == types.none else 1


def _value(context, builder, kind, places):
    if kind == types.none:
        return context.get_dummy_value()
    native = context.get_value_type(kind)
    if isinstance(kind, types.Array):
        native = context.get_data_type(kind.dtype).as_pointer()
    if isinstance(native, ir.PointerType):  # loaded as a pointer, for LLVM's alias analysis
        value = builder.load(builder.bitcast(places[0], native.as_pointer()))
        if not isinstance(kind, types.Array):
            return value
        lengths = [builder.load(each) for each in places[1:]]
        return array_at(context, builder, kind, value, lengths[: kind.ndim], lengths[kind.ndim :])
    word = builder.load(places[0])
    if isinstance(kind, types.Float):
        return builder.bitcast(word if native == ir.DoubleType() else builder.trunc(word, STATUS), native)
    return word if native == WORD else builder.trunc(word, native)


def _words(context, builder, kind, value):
    """Return the words and pointers to store for a value."""
    if isinstance(kind, types.Array):
        value = context.make_array(kind)(context, builder, value)
        places = [value.shape] if kind.layout == "C" else [value.shape, value.strides]
        return [value.data, *(builder.extract_value(place, k) for place in places for k in range(kind.ndim))]
    if kind == types.none:
        return []
    if isinstance(kind, types.Float):
        value = builder.bitcast(value, WORD if kind.bitwidth == 64 else STATUS)
    whole = value.type == WORD or isinstance(value.type, ir.PointerType)
    return [value if whole else builder.zext(value, WORD)]


def array_at(context, builder, kind, data, shape, strides=()):
    """Return an array that owns no memory; without strides it is in C order."""
    itemsize = WORD(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    if not strides:
        size, strides = itemsize, []
        for length in reversed(shape):
            strides.insert(0, size)
            size = builder.mul(size, length)
    result = context.make_array(kind)(context, builder)
    populate_array(result, data, shape, strides, itemsize, meminfo=None)
    return result._getvalue()


# --- Bodies that call bodies


def _raising(context, builder, call):
    """Emit `call(error)`, which runs a body and returns its status, and raise what the body raised."""
    from .machine_code import handing_on

    handing_on(context, builder, call)


def _calling(given, run):
    """Return the signature and the code of an intrinsic that calls a bound body with two integers and the given tuple.

    `run(builder, error, code, first, second, given, own)` emits the call. The intrinsic raises if the body expects
    other types.
    """

    def generate(context, builder, signature, arguments):
        bound, first, second, values = arguments
        kinds, words = tuple(signature.args[3]), builder.bitcast(bound, WORDS)
        code, number = (builder.load(builder.gep(words, [WORD(k)])) for k in range(HEAD))
        with builder.if_then(builder.icmp_signed("!=", number, WORD(number_of(kinds))), likely=False):
            message = f"a body that takes something else is given {', '.join(map(str, kinds))}"
            context.call_conv.return_user_exc(builder, TypeError, (message,))
        place, code = _stored(context, builder, kinds, values), builder.inttoptr(code, BODY.as_pointer())
        own = builder.gep(words, [WORD(HEAD)])
        _raising(context, builder, lambda error: run(builder, error, code, first, second, place, own))
        return context.get_dummy_value()

    return types.none(BOUND, types.intp, types.intp, given), generate


@intrinsic_or(lambda bound, start, stop, given: bound(start, stop, given))
def invoke(typing_context, bound, start, stop, given):
    """Let a bound body walk items start to stop; `given` is the tuple of its given arguments."""

    def run(builder, error, code, start, stop, given, own):
        return builder.call(code, [error, start, stop, given, own])

    return _calling(given, run)


@intrinsic_or(lambda bound, parts, size, given: bound(0, size, given))
def split(typing_context, bound, parts, size, given):
    """Let a bound body walk items 0 to size in parts over the pool, which must have been entered."""

    def run(builder, error, code, parts, size, given, own):
        name, kind = LAUNCH
        launch = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(launch, [error, code, parts, size, given, own])

    return _calling(given, run)


@intrinsic_or(lambda bodies, k: bodies[k])
def member(typing_context, bodies, k):
    """Return bound body k from an array of addresses."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.inttoptr(builder.load(builder.gep(data, [arguments[1]])), BYTES)

    return BOUND(bodies, types.intp), generate


@intrinsic_or(None)
def bound_at(typing_context, words):
    """Return the bound body whose words an array holds."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.bitcast(data, BYTES)

    return BOUND(words), generate


@intrinsic_or(None)
def invoke_words(typing_context, words, given, start, stop):
    """Let the bound body whose words an array holds walk items start to stop.

    The words of its given arguments begin at word `given` of the array; their types are not checked.
    """

    def generate(context, builder, signature, arguments):
        words, given, start, stop = arguments
        data = context.make_array(signature.args[0])(context, builder, words).data
        code = builder.inttoptr(builder.load(data), BODY.as_pointer())
        given, own = (builder.gep(data, [each]) for each in (given, WORD(HEAD)))
        _raising(context, builder, lambda error: builder.call(code, [error, start, stop, given, own]))
        return context.get_dummy_value()

    return types.none(words, types.intp, types.intp, types.intp), generate


@intrinsic_or(None)
def word_of(typing_context, bound, k):
    """Return word k of a bound body."""

    def generate(context, builder, signature, arguments):
        return builder.load(builder.gep(builder.bitcast(arguments[0], WORDS), [arguments[1]]))

    return types.intp(BOUND, types.intp), generate
