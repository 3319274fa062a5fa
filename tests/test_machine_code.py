"""Bodies: what they are called with, what they call, what they raise; and the names of Numba's that this rests on.

Of these names Numba promises nothing. Each has a test, so that a new version of Numba says which of them has changed.
They were checked with Numba 0.68.1 and llvmlite 0.50.0; pyproject.toml bounds Numba by that.
"""

import ctypes
import gc
import os
import platform
import subprocess
import sys
import threading
import weakref

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from conftest import optimized
from llvmlite import ir
from numba import types
from numba.core import callconv, codegen, compiler_lock
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.registry import cpu_target
from numba.core.typed_passes import NativeLowering

from gd.kernels import array_layout as layout
from gd.kernels import machine_code, pool
from gd.kernels.compiler import Kernel, device, join, loop, splitting
from gd.kernels.entry import Entry
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.loops.update import update
from gd.kernels.rules import lion, sgd
from gd.kernels.views import allocate, local, release, row_at, vector_at
from gd.kernels.words import address, invoke, member, split

# --- Calls


@loop(1)
def echo():
    """Write the arguments, as numbers, into the first."""

    def body(start, stop, arguments):
        out, matrix, a, b, c, d, e, f = arguments
        for i in range(start, stop):
            out[i] = matrix[i, 1] + 10 * a + 100 * b + 1000 * c + 10_000 * d + 100_000 * e + 1_000_000 * f

    return body


NUMBERS = (1, 2.0, np.float32(3), np.int64(4), np.uint64(5), True)


@pytest.mark.parametrize("order", ["C", "F", "A"])
@pytest.mark.parametrize("parallel_from", [1, float("inf")])
def test_arrays_and_numbers_of_all_kinds_arrive(order, parallel_from):
    matrix = np.arange(12.0).reshape(4, 3)
    given = {"C": matrix, "F": np.asfortranarray(matrix), "A": np.repeat(matrix, 2, axis=1)[:, ::2]}[order]
    out = np.zeros(4)
    with splitting(parallel_from):
        Kernel(echo, ())(4, out, given, *NUMBERS)
    assert out.tolist() == [1 + 3 * i + 1_543_210 for i in range(4)]


def test_read_only_arrays_and_memory_maps_share_the_code_of_others(tmp_path):
    kernel, x = Kernel(echo, ()), np.arange(12.0).reshape(4, 3)
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(4, 3))
    mapped[:] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    results = np.zeros((3, 4))
    for out, matrix in zip(results, (x, mapped, frozen), strict=True):
        kernel(4, out, matrix, *NUMBERS)
    assert (results == results[0]).all()
    assert len(kernel.compiled) == 1


@pytest.mark.parametrize("bad", ["text", [1, 2], np.zeros((1,) * 5), object()])
def test_other_objects_are_refused(bad):
    with pytest.raises(TypeError, match="kernels take numbers and arrays of up to 4 dimensions"):
        Kernel(echo, ())(4, np.zeros(4), bad, *NUMBERS)


def test_integers_that_do_not_fit_are_refused():
    with pytest.raises(OverflowError):
        Kernel(echo, ())(4, np.zeros(4), np.zeros((4, 3)), 2**80, *NUMBERS[1:])


def test_calls_keep_no_references():
    kernel, x, out = Kernel(echo, ()), np.zeros((4, 3)), np.zeros(4)
    kernel(4, out, x, *NUMBERS)
    before = sys.getrefcount(x), sys.getrefcount(None)
    for _ in range(1000):
        kernel(4, out, x, *NUMBERS)
    assert sys.getrefcount(x) == before[0]
    assert abs(sys.getrefcount(None) - before[1]) < 100


def test_code_is_made_once_for_each_types_however_many_threads_ask():
    kernel, results = Kernel(echo, ()), np.zeros((8, 4))
    work = [threading.Thread(target=kernel, args=(4, out, np.ones((4, 3)), *NUMBERS)) for out in results]
    for each in work:
        each.start()
    for each in work:
        each.join()
    assert len(kernel.compiled) == 1
    assert (results == results[0]).all()


def test_an_entry_asks_for_what_is_missing_and_hands_on_what_that_raises():
    def prepare(tags, *arguments):
        raise LookupError(f"nothing for {len(tags) // 8} of {arguments}")

    entry = Entry(prepare)
    with pytest.raises(LookupError, match="nothing for 2 of"):
        entry.enter(1, 0, 1, 2.0)
    with pytest.raises(LookupError):
        entry.bind(1.0, None)
    silent = Entry(lambda tags, *arguments: None)
    with pytest.raises(TypeError, match="no code"):
        silent.enter(1, 0, 1)


# --- Bodies that call bodies


@loop(1, given="x[:] x")
def add_to():
    """Add a number to own, where given says so."""

    def body(start, stop, arguments):
        given, number, own = arguments
        for i in range(start, stop):
            own[i] += given[i] * number

    return body


@loop(1)
def twice():
    """Call a bound body, and the first of an array of them."""

    def body(start, stop, arguments):
        given, one, several = arguments
        invoke(one, start, stop, (given, given.dtype.type(2)))
        invoke(member(several, 0), start, stop, (given, given.dtype.type(3)))

    return body


@loop(1, ordered=True)
def split_inside():
    """Split a bound body over the pool."""

    def body(start, stop, arguments):
        parts, given, bound = arguments
        for _ in range(start, stop):
            split(bound, parts, given.size, (given, given.dtype.type(1)))

    return body


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_body_calls_those_that_it_is_given(dtype):
    one, other = np.zeros(5, dtype), np.zeros(5, dtype)
    given = np.arange(5, dtype=dtype)
    first, second = (join(add_to).bind(given.dtype, each) for each in (one, other))
    Kernel(twice, ())(5, given, first, np.array([address(second)]))
    assert one.tolist() == (2 * given).tolist()
    assert other.tolist() == (3 * given).tolist()


@pytest.mark.skipif(pool.max_threads() < 2, reason="one thread")
def test_a_body_splits_another_over_the_pool():
    own, given = np.zeros(1001), np.ones(1001)
    with splitting(1):
        join(split_inside)(3, 1, given, join(add_to).bind(given.dtype, own))
    assert (own == 3).all()


def test_a_body_that_takes_something_else_raises_and_writes_nothing():
    own = np.zeros(5, np.float32)
    bound = join(add_to).bind(own.dtype, own)
    with pytest.raises(TypeError, match="a body that takes something else is given"):
        Kernel(twice, ())(5, np.ones(5), bound, np.array([address(bound)]))
    assert not own.any()


def test_what_drives_is_compiled_once_whatever_it_drives():
    driver = Kernel(twice, ())
    for rule in (sgd.sgd, lion.lion):
        join(update, rule)
    for own in (np.zeros(5), np.zeros(9)):
        bound = join(add_to).bind(own.dtype, own)
        driver(5, np.ones(5), bound, np.array([address(bound)]))
    assert len(driver.compiled) == 1


@loop(1)
def failing():
    """Raise in the middle of a walk."""

    def body(start, stop, arguments):
        (x,) = arguments
        for i in range(start, stop):
            if i == 7:
                raise ValueError("item seven", 7)
            x[i] = 1

    return body


@pytest.mark.parametrize("parallel_from", [1, float("inf")])
def test_what_a_body_raises_arrives(parallel_from):
    x = np.zeros(10)
    with splitting(parallel_from), pytest.raises(ValueError, match="item seven") as error:
        Kernel(failing, ())(10, x)
    assert error.value.args == ("item seven", 7)
    assert any("test_machine_code.py:" in note for note in error.value.__notes__)
    assert x[:5].all()


@loop(1)
def rooms():
    """Use arrays of a body's own."""

    def body(start, stop, arguments):
        (x,) = arguments
        large, small = allocate(x, 100_000), _small(x)
        for i in range(start, stop):
            large[99_999], small[7] = i, 1
            x[i] = large[99_999] + small[7]
        release(large)

    return body


_small = local(8)


def test_bodies_have_rooms_of_their_own():
    x = np.zeros(10, np.float32)
    Kernel(rooms, ())(10, x)
    assert x.tolist() == list(range(1, 11))


@loop(1)
def outside():
    """Make views that lie outside of their arrays."""

    def body(start, stop, arguments):
        x, where = arguments
        if where == 0:
            vector_at(x, x.size - 1, 2)[0] = 1
        else:
            row_at(x, len(x))[0] = 1

    return body


@pytest.mark.skipif(not machine_code.DEBUG, reason="checked with GD_DEBUG=1 only")
@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("parallel_from", [1, float("inf")])
def test_views_are_checked_with_gd_debug(where, parallel_from):
    with splitting(parallel_from), pytest.raises(IndexError):
        Kernel(outside, ())(2, np.zeros((3, 4)), where)


@pytest.mark.parametrize("fault", ["allocates", "prints"])
def test_rules_that_do_more_than_compute_are_refused(fault):
    def allocates(x):
        return x + len([x, x])

    def prints(x):
        print(x)
        return x

    with pytest.raises(TypeError, match="rules compute numbers from numbers"):
        Kernel(map_elements, ({"allocates": allocates, "prints": prints}[fault],))(3, np.zeros(3), np.ones(3))


FIRST = """
import threading
import numpy as np, gd
start = threading.Barrier(8)
def work(name):
    p = np.ones(100)
    start.wait()
    getattr(gd, name)(p).step(np.ones(100))
    results.append(p[0] < 1)
results = []
names = "Adam", "SGD", "Lion", "RMSprop", "Adam", "Momentum", "Yogi", "Adagrad"
threads = [threading.Thread(target=work, args=(name,)) for name in names]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(len(results), all(results))
"""


@pytest.mark.parametrize("turn", range(3))
def test_the_first_use_can_be_that_of_several_threads(turn):
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "8 True\n"), done.stderr


DEEP = """
import numpy as np, gd
X = np.ones((64, 5), np.float32)
for activation in ("relu", "prelu"):
    model = gd.MLP([5, 4, 4, 4, 3], activation=activation)
    gd.fit(model, X, np.zeros(64, int), gd.Adam(model.parameters), epochs=1, progress=False)
print("trained")
"""


@pytest.mark.full
def test_deep_networks_keep_within_their_arrays():
    environment = os.environ | {"GD_DEBUG": "1"}
    done = subprocess.run([sys.executable, "-c", DEEP], env=environment, capture_output=True, text=True)
    assert done.stdout == "trained\n", done.stderr


def test_constants_that_are_arguments_compile_nothing_anew():
    @device
    def plus(x, n):
        return x + n

    @loop(1)
    def constants():
        def body(start, stop, arguments):
            (x,) = arguments
            x[0] = plus(x[0], 1) + plus(x[0], 2)

        return body

    kernel = Kernel(constants, ())
    kernel(1, np.zeros(1))
    kernel.assembly(*kernel.compiled)  # compiled anew, wherever the code came from
    assert len(plus.overloads) == 1


# --- Names that Numba does not promise to keep


@numba.njit(nogil=True, forceinline=True)
def plain(x):
    return x + 1


def test_numba_compiles_and_inlines_with_these_options():
    assert plain(1.0) == 2.0
    assert callable(plain.get_call_template)
    assert list(plain.overloads) == [(types.float64,)]


def test_a_code_library_holds_a_module_and_those_that_it_calls():
    (result,) = plain.overloads.values()
    library = result.library
    assert isinstance(library, codegen.JITCodeLibrary)
    assert isinstance(library._linking_libraries, list)
    assert isinstance(library._final_module, llvm.ModuleRef)
    assert isinstance(library._get_module_for_linking(), llvm.ModuleRef)
    for name in ("_shared_module", "_finalized", "_codegen"):
        assert hasattr(library, name), name
    for name in ("add_linking_library", "add_llvm_module", "add_ir_module", "finalize"):
        assert callable(getattr(codegen.JITCodeLibrary, name)), name


def test_numbas_code_generator_has_a_machine_and_passes():
    generator = cpu_target.target_context.codegen()
    assert isinstance(generator._tm, llvm.TargetMachine)
    manager, builder = generator._module_pass_manager()
    manager.run(llvm.parse_assembly("define void @f() { ret void }"), builder)
    assert [type(each) for each in generator.magic_tuple()] == [str] * 3  # machine, processor, features


def test_what_the_processor_can_is_what_llvm_says_of_it():
    _, name, _ = machine_code.processor()
    if platform.machine() in ("x86_64", "AMD64") and name == llvm.get_host_cpu_name():
        features = llvm.get_host_cpu_features()
        assert machine_code.fuses() == (features.get("fma", False) or features.get("fma4", False))
        assert machine_code.vector_bits() == (512 if features.get("avx512f") else 256 if features.get("avx") else 128)
    else:
        assert machine_code.vector_bits() in (128, 256, 512)


def test_the_last_pass_but_one_is_the_one_that_is_replaced():
    found = []

    class Observed(CompilerBase):
        def define_pipelines(self):
            manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
            found.extend(each for each, _ in manager.passes)
            return [manager]

    assert numba.njit(pipeline_class=Observed)(lambda x: x + 1)(1) == 2
    assert found.count(NativeLowering) == 1
    assert callable(NativeLowering.run_pass)


def test_a_raised_exception_is_described_by_bytes_and_their_number():
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    assert list(callconv.excinfo_ptr_t.pointee.elements)[:2] == [byte, number]
    convention = cpu_target.target_context.call_conv
    assert callable(convention._get_return_status)
    assert callable(convention.return_status_propagate)


def test_arrays_of_numba_have_these_members():
    from numba.core import cgutils
    from numba.np.arrayobj import populate_array

    context = cpu_target.target_context
    module = ir.Module()
    builder = ir.IRBuilder(ir.Function(module, ir.FunctionType(ir.VoidType(), []), "f").append_basic_block())
    array = context.make_array(types.float32[:, ::1])(context, builder)
    word = ir.IntType(64)
    populate_array(array, ir.FloatType().as_pointer()(None), [word(2), word(3)], [word(12), word(4)], word(4), None)
    for name in ("data", "shape", "strides", "nitems"):
        assert getattr(array, name) is not None, name
    assert callable(cgutils.alloca_once)


def test_numba_tells_llvm_of_its_functions():
    cpu_target.target_context.codegen()
    numba.get_num_threads()  # starts the pool
    assert all(machine_code.functions_of_pool())
    assert sys.modules["numba.np.ufunc.parallel"]._is_initialized


def test_scipy_gives_its_blas_without_its_package():
    """Checked with SciPy 1.13 to 1.17; threadpoolctl sees the library, and a later import is as without gd."""
    code = """
import sys
from gd.kernels import blas
names = blas.load_blas()
assert {name for name in sys.modules if name.startswith("scipy.linalg")} == set(), sys.modules.keys()
from threadpoolctl import threadpool_info
assert any("scipy" in each["filepath"] for each in threadpool_info())
import scipy.linalg.cython_blas
assert scipy.linalg.cython_blas.__pyx_capi__ is names and scipy.linalg.cython_blas.__spec__.name
assert scipy.linalg.inv([[2.0]]) == 0.5
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_thread_limits_accelerate_and_restores_it():
    """Elsewhere than on macOS with functions of the same types, which note what they are told."""
    code = """
import ctypes, threading, types
import numpy as np
from gd.kernels import blas
from gd.kernels.compiler import join, loop, splitting
told, threads = [], threading.local()
def limit(model):
    threads.model = model
    told.append((threading.get_ident(), model))
    return 0
@loop(1)
def products():
    def body(start, stop, arguments):
        a, b, out = arguments
        blas.product(a[start:stop], b, False, out[start:stop])
    return body
get = ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: getattr(threads, "model", 7))
known = types.SimpleNamespace(BLASGetThreading=get)
known.BLASSetThreading = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(limit)
blas.accelerate = lambda: known
a, b, out = np.ones((64, 50)), np.ones((50, 40)), np.empty((64, 40))
with splitting(1):
    join(products)(64, a, b, out)
assert (out == 50).all()
calls = [[model for each, model in told if each == one] for one in dict(told)]
assert len(calls) == 2, calls
assert all(models == [blas.SINGLE, 7] * (len(models) // 2) for models in calls), calls
"""
    environment = os.environ | {"GD_CACHE_DIR": "off", "NUMBA_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_bodies_need_nothing_of_numbas_that_counts_references():
    assert cpu_target.target_context.subtarget(enable_nrt=False).enable_nrt is False
    kernel = Kernel(rooms, ())
    kernel(1, np.zeros(1))
    (compiled,) = kernel.compiled.values()
    assert set(compiled.code.needs) <= {"malloc", "free"}


def test_one_lock_is_held_while_numba_compiles():
    with compiler_lock.global_compiler_lock:
        assert compiler_lock.global_compiler_lock.is_locked()


def test_a_library_of_numbas_own_links_what_ours_compiled_first():
    """An overload that a body has used is the same function for a program's own njit."""

    @loop(1)
    def uses_isfinite():
        def body(start, stop, arguments):
            (x,) = arguments
            x[0] = np.isfinite(x[1]) + min(x[1], x[2])

        return body

    Kernel(uses_isfinite, ())(1, np.ones(3))
    assert numba.njit(lambda x: np.isfinite(x) + min(x, 2 * x))(1.0) == 2.0


@optimized
def test_compiling_leaves_the_garbage_collector_as_it_was():
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            Kernel(rooms, ())(1, np.zeros(1))
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_arrays_can_go_once_a_call_has_ended():
    kernel, x = Kernel(rooms, ()), np.zeros(3)
    kernel(3, x)
    gone = weakref.ref(x)
    del x
    assert gone() is None


@pytest.mark.parametrize("order", ["C", "F"])
def test_array_objects_are_laid_out_as_numpy_promises(order):
    array = np.ones((3, 4), np.float32, order=order)[::1]
    read = {8: ctypes.c_int64, 4: ctypes.c_int32}

    def field(offset, size=8, of=array):
        return read[size].from_address(id(of) + offset).value

    assert field(layout.TYPE) == id(np.ndarray)
    assert field(layout.DATA) == array.ctypes.data
    assert field(layout.NDIM, 4) == 2
    for k in range(2):
        assert ctypes.c_int64.from_address(field(layout.SHAPE) + 8 * k).value == array.shape[k]
        assert ctypes.c_int64.from_address(field(layout.STRIDES) + 8 * k).value == array.strides[k]
    assert field(layout.DTYPE) == id(array.dtype)
    flags = field(layout.FLAGS, 4)
    assert bool(flags & layout.C_ORDER) == array.flags.c_contiguous
    assert bool(flags & layout.FORTRAN_ORDER) == array.flags.f_contiguous
    assert bool(flags & layout.ALIGNED) == array.flags.aligned
    assert bool(flags & layout.WRITEABLE) == array.flags.writeable
    offset, mask = layout.KIND
    kind = (field(offset, 4, array.dtype) & mask).to_bytes(3, "little").decode()
    assert kind == array.dtype.kind + array.dtype.char + ("=" if sys.byteorder == "little" else kind[2])
