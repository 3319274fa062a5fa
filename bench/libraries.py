"""Libraries to compare with: which are there, and how many threads they use."""

import functools
import re
from importlib import import_module
from importlib.util import find_spec

from gd.kernels import pool

PACKAGES = {"optax": ("jax", "optax"), "sklearn": ("sklearn",)}  # those whose packages are named otherwise
OWN = ("gd", "ceiling", "numpy", "products")


def package(library):
    """Return the name of the library of a variant such as "torch fused": its first word."""
    return library.partition(" ")[0]


@functools.cache
def installed(library):
    """Whether a library, or a variant such as "torch fused", is there and can be imported."""
    name = package(library)
    names = () if name in OWN else PACKAGES.get(name, (name,))
    if any(find_spec(each) is None for each in names):
        return False
    if pool.enter() > 1:  # gd's threads start first: how idle ones wait is settled when OpenMP is loaded
        pool.leave()
    try:
        for each in names:
            import_module(each)
    except Exception:  # such as a package for another version of Python's: it cannot be timed
        return False
    return True


def set_threads(threads):
    """Let the libraries that are there use so many threads; those of BLAS are threadpoolctl's business."""
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
    """Return a function as torch.compile makes it, with none compiled before.

    Of one function torch compiles eight variants at most, those of earlier cases counted: a ninth would run as if never
    compiled.
    """
    import torch

    torch.compiler.reset()
    return torch.compile(function)


def obeys(library):
    """Whether a library can be told how many threads to use: XLA takes all cores of the machine."""
    return package(library) not in ("jax", "optax")


def in_dtype(expression, dtype):
    """Return an expression for numexpr without numbers, and the numbers by name: by itself it takes them as float64."""
    numbers = {}

    def name(match):
        return numbers.setdefault(match[0], f"number{len(numbers)}")

    text = re.sub(r"(?<![\w.])\d+\.?\d*(?:e-?\d+)?", name, expression)
    return text, {each: dtype.type(number) for number, each in numbers.items()}
