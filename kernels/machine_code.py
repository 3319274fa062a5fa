"""From a Python function to machine code, by Numba's front end and LLVM.

Numba generates code for every function, and again for every function that it is inlined into. Here only a *body* gets
code. The functions that it calls (`device`, `overload`, `by_types`) stay in LLVM's intermediate representation, are
linked into the body and optimized there, once. A body ``f(start, stop, arguments)`` is compiled for the types of its
arguments (a tuple) to

    int32 body(void** error, intp start, intp stop, word* given, word* own)

The caller gives the first arguments, in 8-byte words at `given`; the others lie at `own` (see `words`):

    number             itself, in the lower bytes of a word
    array in C order   its address and its shape
    any other array    its address, its shape, and its strides in bytes
    bound body         the address of its words: its code, a number for the types that it is given, own arguments
    None               nothing

It returns 0 on success; else it sets `*error` to a description of the exception. The code is an object file, which the
disk cache keeps and LLVM's linker loads.

Only this module uses names that Numba does not promise to keep, apart from those needed to write intrinsics (`words`):
`tests/test_machine_code.py` has a test for each.
"""

import ctypes
import functools
import gc
import itertools
import pickle
import platform
import sys
from contextlib import contextmanager
from typing import NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numba
import numba.extending
import numpy as np
from llvmlite import ir
from numba import _dynfunc, types
from numba.core import callconv, cgutils, codegen, config, errors
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.registry import cpu_target
from numba.core.typed_passes import NativeLowering

from .settings import DEBUG, INTERPRETED
from .words import BODY, BOUND, BYTES, STATUS, loaded

ABI = 2  # increase it when the calling convention above changes

# By default LLVM uses vectors of 256 bits on Intel's processors, for the sake of old ones; with 512 a polynomial takes
# three quarters of the time. LLVM reads this attribute from the function that all others are inlined into.
_WIDE = '"prefer-vector-width"="512"'

# No fast math, not even contraction to fused multiply-adds: which products the compiler fuses depends on the
# loop around a rule, and so would the last bit (and the direction of Lion's step). This costs nothing measurable;
# where fusing pays, rules call `math.multiply_add`. The numpy error model makes x / 0 infinite instead of an exception.
OPTIONS = {"fastmath": False, "error_model": "numpy", "forceinline": True} | ({"boundscheck": True} if DEBUG else {})


# --- Numba's front end


@contextmanager
def compiling():
    """Keep other threads from compiling, and Python from collecting garbage, which takes an eighth of the time."""
    with global_compiler_lock:
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()


class _Representation(codegen.JITCodeLibrary):
    """A function compiled by Numba: its LLVM module, not yet optimized, and the libraries that it calls."""

    def add_linking_library(self, library):
        if library not in self._linking_libraries:
            self._linking_libraries.append(library)

    def add_ir_module(self, module):
        """Add a module as Numba does, but without its checks and its optimization of each function alone."""
        self._final_module.link_in(llvm.parse_assembly(str(module)))

    def add_llvm_module(self, module):
        self._final_module.link_in(module)

    def finalize(self):
        self._finalized = True

    def _get_module_for_linking(self):
        """Return the whole module, for one of Numba's libraries that shares an overload with ours."""
        if self._shared_module is None:
            module = self._final_module.clone()
            for library in _needed(self):
                module.link_in(library._get_module_for_linking(), preserve=True)
            for function in module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.external:
                    function.linkage = "linkonce_odr"
            self._shared_module = module
        return self._shared_module

    def linked(self, module, symbol):
        """Return (a module with everything that it needs, optimized, which exports only `symbol`; whether it lasts).

        It does not last if it holds the address of an object of this process, such as a large array.
        """
        self.add_ir_module(module)
        for library in _needed(self):
            ours = isinstance(library, _Representation)
            self._final_module.link_in(
                library._final_module if ours else library._get_module_for_linking(), preserve=True
            )
        for function in self._final_module.functions:
            if not function.is_declaration and function.name != symbol:
                function.linkage = "internal"
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)  # without Numba's first round, which serves reference counts
        held = [each.name for each in self._final_module.global_variables]
        return self._final_module, not any(name.startswith("numba.dynamic.globals") for name in held)


def _needed(library):
    """Return the libraries that one calls, directly or not: callers first, as LLVM links only what is referred to."""
    seen, order = {library}, []

    def visit(each):
        for needed in each._linking_libraries if isinstance(each, _Representation) else ():
            if needed not in seen:
                seen.add(needed)
                visit(needed)
                order.append(needed)

    visit(library)
    return order[::-1]


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    """Numba's last pass without the steps after it: machine code, and wrappers for Python and C."""

    _name = "gd_lowering"

    def run_pass(self, state):
        context, flags = state.targetctx, state.flags
        state.library = _Representation(context.codegen(), state.func_id.func_qualname)
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        context.enable_nrt = False  # no reference counts: bodies allocate no arrays, and their arguments have no owner
        super().run_pass(state)
        result = state.cr
        described, name = result.fndesc, result.fndesc.qualname.split(".")[-1]
        never = ctypes.cast(ctypes.pythonapi.PyErr_NoMemory, ctypes.c_void_p).value  # instead of a wrapper for Python
        function = _dynfunc.make_function(described.lookup_module(), name, "", never, result.env, ())
        context.insert_user_function(function, described, [state.library])
        state["cr"] = result._replace(cfunc=function)
        return True


class _Compiler(CompilerBase):
    """Numba's compiler with `_Lowering` as its last pass, for ``numba.njit(pipeline_class=...)``."""

    def define_pipelines(self):
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(_Lowering if each is NativeLowering else each, text) for each, text in manager.passes]
        manager.finalize()
        return [manager]


def njit(function, **options):
    """Compile a function for calls from bodies; the options are those of `numba.njit`."""
    dispatcher = numba.njit(pipeline_class=_Compiler, **OPTIONS | options)(function)
    if not INTERPRETED:
        resolve = dispatcher.get_call_template  # by itself it would compile again for each constant argument
        dispatcher.get_call_template = lambda args, kws: resolve(
            [types.unliteral(each) for each in args], {name: types.unliteral(each) for name, each in kws.items()}
        )
    return dispatcher


def overload(function):
    """Declare how calls of a function in bodies are compiled, like Numba's `overload`."""
    return numba.extending.overload(function, jit_options={"pipeline_class": _Compiler, **OPTIONS})


def by_types(choose):
    """Declare a function for bodies; ``choose(*types of arguments)`` returns the one to be called for them."""

    @functools.wraps(choose)
    def chosen(*arguments):  # without compilation
        return choose(*map(numba.typeof, arguments))(*arguments)

    overload(chosen)(choose)
    return chosen


def signature_of(arguments):
    """Return the types of a body's arguments; read-only arrays have the type of writable arrays."""
    return tuple(map(_type_of, arguments))


def _type_of(value):
    if isinstance(value, bytes):
        return BOUND
    kind = numba.typeof(value)
    if isinstance(kind, types.Array):
        return types.Array(kind.dtype, kind.ndim, kind.layout)
    return types.intp if isinstance(kind, types.Integer) and isinstance(value, int) else kind


class Code(NamedTuple):
    """The machine code of a body."""

    symbol: str
    object: bytes  # an object file
    needs: tuple  # the symbols that it uses but does not define
    lasting: bool = True  # True if another process can run it: it holds no address of this process's objects


def compile_body(body, kinds, given, symbol, names=None):
    """Compile a body for the types of its arguments; the first `given` of them are given by callers."""
    refusal = f"{body.__name__}: rules compute numbers from numbers; this one allocates, prints or calls Python"
    try:
        with compiling():
            code = _code(symbol, *_optimized(body, kinds, given, symbol, names))
    except errors.NumbaError as error:
        if "NRT required" in str(error):
            raise TypeError(refusal) from error
        raise
    if any(name.startswith(("NRT_", "Py", "numba_gil")) for name in code.needs):
        raise TypeError(refusal)
    return code


def assembly(body, kinds, given, names=None):
    """Compile a body again and return its assembly."""
    with compiling():
        module, _ = _optimized(body, kinds, given, "body", names)
        return str(cpu_target.target_context.codegen()._tm.emit_assembly(module))


def _optimized(body, kinds, given, symbol, names):
    arguments = types.BaseTuple.from_types(kinds, names)
    dispatcher = njit(body)
    dispatcher.compile((types.intp, types.intp, arguments))
    (result,) = dispatcher.overloads.values()
    context = result.target_context
    module = context.create_module(symbol)
    callee = context.declare_function(module, result.fndesc)
    function = ir.Function(module, BODY, symbol)
    set.add(function.attributes, _WIDE)  # llvmlite's own `add` knows no attributes with a value
    builder = ir.IRBuilder(function.append_basic_block())
    error, start, stop, *places = function.args
    values = loaded(context, builder, kinds[:given], places[0]) + loaded(context, builder, kinds[given:], places[1])
    values = [start, stop, context.make_tuple(builder, arguments, values)]
    status, _ = context.call_conv.call_function(
        builder, callee, types.none, (types.intp, types.intp, arguments), values
    )
    with builder.if_then(status.is_error, likely=False):
        builder.store(builder.bitcast(status.excinfoptr, BYTES), error)
        builder.ret(status.code)
    builder.ret(STATUS(0))
    library = _Representation(context.codegen(), symbol)
    library.add_linking_library(result.library)
    return library.linked(module, symbol)


def assemble(module, symbol):
    """Return the code of a module written in LLVM's representation."""
    codegen = cpu_target.target_context.codegen()
    module = llvm.parse_assembly(str(module))
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(codegen._tm, tuning)
    builder.getModulePassManager().run(module, builder)
    return _code(symbol, module)


def _code(symbol, module, lasting=True):
    content = cpu_target.target_context.codegen()._tm.emit_object(module)
    declared = [each.name for each in (*module.functions, *module.global_variables) if each.is_declaration]
    needs = tuple(name for name in declared if name.encode() in content)  # those that optimization left in use
    return Code(symbol, content, needs, lasting)


# --- Loading


def load(code, imports=(), symbols=()):
    """Link an object file into this process; return {symbol: address} of its own symbol, or of `symbols`.

    `imports` are addresses by name. Others are looked up in LLVM, among those of `provide`, and in the process.
    """
    symbols, imports = symbols or (code.symbol,), dict(imports)
    builder = llvm.JITLibraryBuilder().add_object_img(code.object).add_current_process()
    for each in symbols:
        builder.export_symbol(each)
    for name in code.needs:
        address = imports.get(name) or llvm.address_of_symbol(name) or (name in _provided and _provided[name]())
        if address:
            builder.import_symbol(name, address)
    library = builder.link(_linker(), f"{code.symbol}.{next(_number)}")
    _kept.append(library)  # code lives as long as its library
    return {each: library[each] for each in symbols}


_kept, _number, _provided = [], itertools.count(), {}


def provide(symbol, address):
    """Have `address()` called when code is loaded that uses a symbol."""
    _provided[symbol] = address


@functools.cache
def _linker():
    cpu_target.target_context.codegen()  # initializes LLVM for this processor, with Numba's own functions
    return llvm.create_lljit_compiler(use_jit_link=platform.system() != "Windows")


def versions():
    """Return the versions and settings of everything that compiles."""
    settings = config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT
    return ABI, numba.__version__, llvmlite.__version__, np.__version__, settings


def processor():
    """Return the target of the code: the machine, the processor, its features."""
    return cpu_target.target_context.codegen().magic_tuple()


def fuses():
    """Return True if the processor that code is for has an instruction for fused multiply-adds."""
    return "fmaf" not in _sample()  # that of libm


def vector_bits():
    """Return the width of the vectors that code is for, in bits."""
    return next((bits for register, bits in (("zmm", 512), ("ymm", 256)) if register in _sample()), 128)


@functools.cache
def _sample():
    """Return the assembly of 16 multiply-adds: LLVM alone knows what a name and a list of features imply."""
    module = """
        declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
        define <16 x float> @sample(<16 x float> %a, <16 x float> %b, <16 x float> %c) WIDE {
            %sum = call <16 x float> @llvm.fma.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %c)
            ret <16 x float> %sum
        }"""
    target = cpu_target.target_context.codegen()._tm
    return target.emit_assembly(llvm.parse_assembly(module.replace("WIDE", _WIDE)))


def functions_of_pool():
    """Return the addresses of Numba's parallel loop and of what gets and sets its mask; the pool must be started."""
    return tuple(map(llvm.address_of_symbol, ("numba_parallel_for", "get_num_threads", "set_num_threads")))


def pool_has_started():
    """Return True if Numba's thread pool has been started, by gd or others."""
    return getattr(sys.modules.get("numba.np.ufunc.parallel"), "_is_initialized", False)


def handing_on(context, builder, call):
    """Emit `call(error)`, which runs a body and returns its status, and raise what the body raised."""
    slot = cgutils.alloca_once(builder, callconv.excinfo_ptr_t)
    code = call(builder.bitcast(slot, BYTES.as_pointer()))
    with builder.if_then(builder.icmp_signed("!=", code, STATUS(0)), likely=False):
        convention = context.call_conv
        status = convention._get_return_status(builder, code, builder.load(slot))
        convention.return_status_propagate(builder, status)


def raise_from(address):
    """Raise the exception of a body, given the address of its description."""
    info = _Raised.from_address(address)
    kind, arguments, place = pickle.loads(ctypes.string_at(info.pickled, info.size))
    error = kind(*arguments)
    if place:
        error.add_note("in {}, {}:{}".format(*place))
    raise error


class _Raised(ctypes.Structure):
    """Numba's description of an exception, its first fields: those that are known at compile time."""

    _fields_ = [("pickled", ctypes.c_void_p), ("size", ctypes.c_int32)]
