"""Addresses and names of the compiled code of kernels, for profilers that see only addresses."""

import re
from collections import Counter

import llvmlite.binding as llvm

from .compiler import kernels


def functions():
    """Yield (address, size, name) of every function that was compiled or loaded for a kernel.

    A body is the only code in its object file, as all that it calls is inlined into it.
    """
    for kernel in list(kernels):
        for kinds, compiled in list(kernel.compiled.items()):
            sections = llvm.ObjectFileRef.from_data(compiled.code.object).sections()
            size = sum(section.size() for section in sections if section.is_text())
            dtypes = Counter(re.findall(r"float\d+", str(kinds))).most_common(1)
            yield compiled.address, size, "-".join([kernel.name, *dict(dtypes)])
