"""Which kernels a call of gd runs, for what looks at kernels one by one."""

from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

from gd.kernels.compiler import Kernel, splitting


class Run(NamedTuple):
    """One run of a kernel."""

    kernel: Kernel
    signature: tuple  # the argument types of kernel.serial
    seconds: float  # compilation or loading included where it was the first


@contextmanager
def recorded(parallel=False):
    """Collect the kernels that run meanwhile, all of them serially or all split over the threads."""
    runs, walk = [], Kernel._walk

    def recording(kernel, parallel, size, arguments):
        start = perf_counter()
        as_asked = walk(kernel, parallel, size, arguments)
        seconds = perf_counter() - start
        passed = 0, size, arguments if kernel.parallel else (1, *arguments)
        runs.append(Run(kernel, tuple(map(kernel.serial.typeof_pyval, passed)), seconds))
        return as_asked

    Kernel._walk = recording
    try:
        with splitting(1 if parallel else float("inf")):
            yield runs
    finally:
        Kernel._walk = walk
