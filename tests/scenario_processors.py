"""Scenarios of other processors than this one, which Numba compiles for: see scenarios.py."""

import ctypes
import ctypes.util
import platform
import re
from pathlib import Path

import llvmlite.binding
import pytest
from scenario_tools import Skipped

import gd
from gd.bench import assembly
from gd.kernels import compiler
from gd.kernels.machine_code import fuses
from gd.runtime import information

TARGETS = {  # none of which fuses: name, features of that name to leave out, what this processor must have
    "ivybridge": ("", "avx"),
    "x86-64-v2": ("", "sse4.2"),
    "x86-64": ("", "sse2"),  # such as kvm64
    "haswell": ("-fma", "avx2"),
}
LOOKED_AT = "sigmoid", "gelu", "hard_swish", "Adam"


def environment(target):
    return {"NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": TARGETS[target][0]}


def _require(target):
    feature = TARGETS[target][1]
    if platform.machine() not in ("x86_64", "AMD64") or not llvmlite.binding.get_host_cpu_features().get(feature):
        raise Skipped(f"this processor does not run code for {target}")
    assert not fuses()
    assert dict(information())["compiled for"] == f"{target}, without fused multiply-adds"


def compute(target):
    """The functions of kernels.math are as accurate as they say, packed, and call nothing."""
    _require(target)
    tests = str(Path(__file__).parent / "test_math.py")
    assert pytest.main(["-q", "-n0", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning", tests]) == 0


def compile_all(target):
    """No kernel calls libm, and the loops of those that compute most are packed."""
    _require(target)
    assert gd.warmup(progress=False) > 0
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    for kernel in compiler.kernels:
        for compiled in kernel.compiled.values():
            names = {each.decode() for each in re.findall(rb"(?<=\0)\w+(?=\0)", compiled.code.object)}
            assert {each for each in names if hasattr(libm, each)} <= {"malloc", "free"}, kernel
    for found in assembly.table(LOOKED_AT, ["float32"]):
        assert found["vector_bits"] >= 128, found
        assert found["calls"] == 0, found
