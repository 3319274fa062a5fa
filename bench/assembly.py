"""Inspects compiled kernels: vector widths, instructions of the main loop, flops per element."""

import platform
from collections import Counter, defaultdict
from fnmatch import fnmatchcase

import numpy as np
from numba import types

from gd.activations import ACTIVATIONS
from gd.losses import LOSSES
from gd.optimizers import OPTIMIZERS
from gd.training import tasks

from .instructions import innermost_loops
from .recording import recorded

DTYPES = ("float32", "float64")


def table(names=None, dtypes=DTYPES):
    """Return `inspect` of every kernel of optimizers, activations and losses, with the name it belongs to as "what".

    Parameters
    ----------
    names : sequence of str, optional
        Some of the names that `gd.warmup` takes.
    dtypes : sequence of dtype
    """
    records = []
    for name in (*OPTIMIZERS, *ACTIVATIONS, *LOSSES) if names is None else names:
        for dtype in dtypes:
            records += [{"what": name, **inspect(*each)} for each in _kernels(name, dtype)]
    return records


def listing(pattern):
    """Return the assembly of the float32 kernels of some names as text; each kernel is compiled for it.

    Parameters
    ----------
    pattern : str
        A name that `gd.warmup` takes, in any case, or with wildcards, such as "*adam*".

    Raises
    ------
    ValueError
        If there is no such name.
    """
    names = [name for name in tasks() if fnmatchcase(name.lower(), pattern.lower())]
    if not names:
        raise ValueError(f"listing: pattern must match one of {', '.join(tasks())}, got {pattern!r}")
    found = {kernel.name: (kernel, kinds) for name in names for kernel, kinds in _kernels(name, DTYPES[0])}
    return "\n".join(f"# {name}\n{kernel.assembly(kinds)}" for name, (kernel, kinds) in found.items())


def _kernels(name, dtype):
    """Return (kernel, types of its arguments) of the kernels that a name runs, each once."""
    with recorded() as runs:
        tasks()[name](np.dtype(dtype))
    return list(dict.fromkeys((run.kernel, run.kinds) for run in runs))


def inspect(kernel, kinds):
    """Return properties of a kernel's code for some argument types.

    Returns
    -------
    dict
        kernel : its name.
        dtype : the narrowest dtype of its arrays of floats.
        others : vector_bits, elements and flops_per_element of its other loops.
        And the items that `main_loops` returns for the first loop.
    """
    arrays = [each.dtype for each in kinds if isinstance(each, types.Array)]
    bits = min(each.bitwidth for each in arrays if isinstance(each, types.Float))
    main, *others = main_loops(kernel.assembly(kinds), bits // 8)
    short = [{name: each[name] for name in ("vector_bits", "elements", "flops_per_element")} for each in others]
    return {"kernel": kernel.name, "dtype": f"float{bits}", **main, "others": short}


def main_loops(text, itemsize, machine=None):
    """Return properties of the innermost loops of an assembly; the loop with most flops per element comes first.

    Loops with the same kinds of arithmetic are versions of one loop, such as one for a few elements or for arrays that
    overlap: the fastest counts. The elements of an iteration follow from the bytes that it reads or writes of an array.

    Parameters
    ----------
    text : str
        The assembly of all functions of a module, as LLVM writes it.
    itemsize : int
        Bytes of an element.
    machine : str, optional
        As `platform.machine()` names it; default: this one.

    Returns
    -------
    list of dict
        vector_bits : 128 to 512 for vectors, 32 or 64 for single numbers, None if no loop computes anything.
        instructions : counts of the instructions on vector registers, without moves.
        loads, stores : numbers of loads and stores of arrays.
        calls : number of calls of other functions.
        elements : elements per iteration; None if unknown.
        unroll : vectors per iteration.
        flops_per_element : a fused multiply-add counts as two; None if elements is None.
    """
    versions = defaultdict(list)
    for loop in innermost_loops(text, machine or platform.machine()):
        if any(each.operation or each.access for each in loop):
            versions[_arithmetic(loop)].append(loop)
    if len(versions) > 1:
        versions.pop(frozenset(), None)  # copies and the like
    fastest = [max(each, key=_speed) for each in versions.values()] or [[]]
    known = {id(loop): _elements(loop, itemsize) for loop in fastest}  # None for loops that touch no array
    fastest.sort(key=lambda loop: (bool(known[id(loop)]), _flops(loop) / (known[id(loop)] or 1)), reverse=True)
    return [_summary(loop, itemsize) for loop in fastest]


def _summary(loop, itemsize):
    vectors = [each for each in loop if each.bits]
    widths = Counter(each.bits for each in vectors if each.operation) or Counter(each.bits for each in vectors)
    bits = widths.most_common(1)[0][0] if widths else None
    elements = _elements(loop, itemsize)
    return {
        "vector_bits": bits,
        "instructions": dict(Counter(each.name for each in vectors if not each.moves).most_common()),
        "loads": sum(each.access == "load" for each in vectors),
        "stores": sum(each.access == "store" for each in vectors),
        "calls": sum(each.calls for each in loop),
        "elements": elements,
        "unroll": elements and max(1, 8 * itemsize * elements // bits),
        "flops_per_element": elements and _flops(loop) / elements,
    }


def _arithmetic(loop):
    """Return the kinds of arithmetic, without minimum and maximum, which are jumps in scalar code."""
    return frozenset(each.operation for each in loop) - {"", "min", "max"}


def _speed(loop):
    """Return flops per instruction, and bits per instruction to decide between loops without flops."""
    return _flops(loop) / len(loop), sum(each.bits for each in loop) / len(loop)


def _flops(loop):
    return sum(each.flops for each in loop)


def _elements(loop, itemsize):
    arrays = defaultdict(dict)
    for each in loop:
        if each.access:
            arrays[each.array][each.address] = each.bytes
    return min((sum(places.values()) // itemsize for places in arrays.values()), default=None)
