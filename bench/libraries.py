"""Libraries to compare with: which are installed, and how many threads they use."""

import functools
import re
from importlib import import_module
from importlib.util import find_spec

import numba

from gd.kernels import pool

PACKAGES = {"optax": ("jax", "optax"), "sklearn": ("sklearn",)}  # libraries whose packages have other names
OWN = ("gd", "ceiling", "numpy", "products")


def package(library):
    """Return the name of the library of a variant such as "torch fused": its first word."""
    return library.partition(" ")[0]


@functools.cache
def installed(library):
    """Return True if a library, or a variant such as "torch fused", can be imported."""
    name = package(library)
    names = () if name in OWN else PACKAGES.get(name, (name,))
    if any(find_spec(each) is None for each in names):
        return False
    if pool.enter() > 1:  # start gd's threads first: loading OpenMP settles how idle threads wait
        pool.leave()
    try:
        for each in names:
            import_module(each)
    except Exception:  # such as a package for another version of Python: it cannot be timed
        return False
    return True


def set_threads(threads):
    """Set the number of threads of the installed libraries; threadpoolctl sets those of BLAS."""
    numba.set_num_threads(threads)
    if installed("torch"):
        import torch

        torch.set_num_threads(threads)
    if installed("numexpr"):
        import numexpr

        numexpr.set_num_threads(threads)
    if installed("thinc"):
        from thinc.api import set_current_ops
        from thinc.backends import NumpyOps

        set_current_ops(NumpyOps())


def torch_compiled(function):
    """Return torch.compile of a function, after a reset of its cache.

    torch compiles at most eight variants of one function, with those of earlier cases: a ninth would run uncompiled.
    """
    import torch

    torch.compiler.reset()
    return torch.compile(function)


def obeys(library):
    """Return True if a library's number of threads can be set: XLA takes all cores of the machine."""
    return package(library) not in ("jax", "optax")


def in_dtype(expression, dtype):
    """Return an expression with names for its numbers, and the numbers by name: numexpr would take them as float64."""
    numbers = {}

    def name(match):
        return numbers.setdefault(match[0], f"number{len(numbers)}")

    text = re.sub(r"(?<![\w.])\d+\.?\d*(?:e-?\d+)?", name, expression)
    return text, {each: dtype.type(number) for number, each in numbers.items()}
