"""What the benchmarks say of compiled kernels, beside what is counted by hand in the rules."""

import json
import platform

import llvmlite.binding
import numpy as np
import pytest

from gd.activations import ACTIVATIONS
from gd.bench import assembly
from gd.bench.instructions import innermost_loops
from gd.bench.recording import recorded
from gd.kernels import cache
from gd.kernels.compiler import Kernel, join
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.rules import activations
from gd.optimizers import OPTIMIZERS
from gd.runtime.machine import vector_bits

x86 = pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("fma"), reason="counted on x86")

ADD = """
	.p2align	2
_add:
	cbz	x3, LBB0_3
	mov	x8, x3
LBB0_2:
	ldp	q0, q1, [x1], #32
	ldp	q2, q3, [x2, #-16]
	add	x2, x2, #32
	fadd.4s	v0, v0, v2
	fmla.4s	v1, v3, v4
	stp	q0, q1, [x0], #32
	subs	x8, x8, #8
	b.ne	LBB0_2
LBB0_3:
	ret
"""
TWO_WAYS = """
f:
	jmp	.LBB0_2
.LBB0_1:
	vaddps	(%rdi,%rax,4), %zmm0, %zmm1
	vmovups	%zmm1, (%rsi,%rax,4)
	addq	$16, %rax
	cmpq	%rax, %rdx
	je	.LBB0_4
.LBB0_2:
	cmpq	%rdi, %rcx
	jae	.LBB0_1
	vaddss	(%rdi,%rax,4), %xmm0, %xmm1
	vmovss	%xmm1, (%rsi,%rax,4)
	vaddss	4(%rdi,%rax,4), %xmm0, %xmm1
	vmovss	%xmm1, 4(%rsi,%rax,4)
	addq	$16, %rax
	cmpq	%rax, %rdx
	jne	.LBB0_2
.LBB0_4:
	retq
"""


def halvings(x):
    count = x - x
    while x > 1:
        x, count = x / 2, count + 1
    return count


def inspect(*names, dtype="float32"):
    return assembly.table(names, [dtype])


@x86
@pytest.mark.parametrize("name, flops", [("Adam", 15), ("SGD", 3), ("sigmoid", 27), ("relu", 0)])
def test_flops_are_those_of_the_formula_and_vectors_those_of_the_machine(name, flops):
    found = inspect(name)[0]  # of an activation: the forward pass
    assert found["what"] == name
    assert found["vector_bits"] == vector_bits()
    assert found["flops_per_element"] == flops
    assert found["calls"] == 0
    json.dumps(found)


@x86
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizers_use_the_whole_vector(name, dtype):
    for found in inspect(name, dtype=dtype):
        if found["kernel"] != "combine":  # of a few norms
            assert found["vector_bits"] == vector_bits(), found
            assert found["flops_per_element"] > 0
            assert found["elements"] * np.dtype(dtype).itemsize * 8 == found["unroll"] * vector_bits()


@x86
@pytest.mark.parametrize("name", [name for name, each in sorted(OPTIMIZERS.items()) if each.elementwise])
def test_optimizers_in_few_bits_use_the_whole_vector(name):
    """Both loops: that of the rule, and that of the codes of all 8-bit states."""
    optimizer = OPTIMIZERS[name](np.zeros(300, np.uint16), state_dtype="int8", param_dtype="bfloat16")
    with recorded() as runs:
        optimizer.step(np.zeros(300, np.uint16))
    loops = innermost_loops(runs[0].kernel.assembly(runs[0].kinds), platform.machine())
    widths = [max(each.bits for each in loop) for loop in loops]
    coded = any(np.asarray(each).dtype.itemsize == 1 for each in optimizer.state_dict().values())
    assert widths.count(vector_bits()) == 1 + coded
    assert not any(each.calls for loop in loops for each in loop)


@x86
@pytest.mark.parametrize("form, over", [(0, "x"), (1, "dy"), (1, "x"), (2, "dy"), (2, "y")])
@pytest.mark.parametrize("name", [name for name, each in ACTIVATIONS.items() if each.elementwise])
def test_activations_in_place_use_the_whole_vector(name, form, over):
    each = ACTIVATIONS[name]
    function = (each.forward, each.backward, each.backward_from_output)[form]
    if function is None:
        pytest.skip("the derivative does not follow from the output")
    given = {operand: np.full(20, 0.5, np.float32) for operand in (("x",), ("dy", "x"), ("dy", "y"))[form]}
    with recorded() as runs:
        function(**given, out=given[over])
    found = assembly.inspect(runs[0].kernel, runs[0].kinds)
    assert found["vector_bits"] == vector_bits() or name == "identity", found  # over itself there is nothing to do


@x86
def test_a_loop_that_depends_on_its_data_is_scalar():
    kernel = join(map_elements, halvings)
    x = np.array([1, 2, 4, 0.5], np.float32)
    y = np.empty_like(x)
    with recorded() as runs:
        kernel(4, y, x)
    assert y.tolist() == [0, 1, 2, 0]
    assert assembly.inspect(kernel, runs[0].kinds)["vector_bits"] in (32, 64)


def test_the_same_is_found_of_a_new_kernel_and_of_one_from_the_disk_cache(monkeypatch):
    new, loaded = (Kernel(map_elements, (activations.sigmoid,)) for _ in range(2))
    x = np.ones(2, np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_find", lambda symbol: None)
        new(2, np.empty_like(x), x)
    loaded(2, np.empty_like(x), x)
    (kinds,), (compiled,) = new.compiled, loaded.compiled.values()
    assert compiled.was_cached
    assert assembly.inspect(new, kinds) == assembly.inspect(loaded, kinds)


def test_aarch64_is_read_in_the_notations_of_apple_and_of_others():
    other = ADD.replace("fadd.4s	v0, v0, v2", "fadd	v0.4s, v0.4s, v2.4s")
    other = other.replace("fmla.4s	v1, v3, v4", "fmla	v1.4s, v3.4s, v4.4s")
    expected = {
        "vector_bits": 128,
        "instructions": {"fadd": 1, "fmla": 1},
        "loads": 2,
        "stores": 1,
        "calls": 0,
        "elements": 8,
        "unroll": 2,
        "flops_per_element": 1.5,
    }
    for text in (ADD, other):
        assert assembly.main_loops(text, 4, "arm64") == [expected]


def test_the_shorter_way_round_a_loop_counts():
    (found,) = assembly.main_loops(TWO_WAYS, 4, "x86_64")
    assert found["vector_bits"] == 512
    assert found["elements"] == 16


def test_the_listing_is_the_assembly_of_each_kernel():
    text = assembly.listing("ADAM")
    assert text.startswith("# update-adam\n")
    assert "sqrtps" in text or "fsqrt" in text
    with pytest.raises(ValueError, match="listing: pattern must match one of AdaBelief"):
        assembly.listing("adams")
