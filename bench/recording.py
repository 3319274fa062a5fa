"""Records the kernels that a call of gd runs, for inspection of each."""

from contextlib import contextmanager
from typing import NamedTuple

from gd.kernels import observation
from gd.kernels.compiler import Kernel, OrderedKernel, splitting
from gd.kernels.machine_code import signature_of


class Run(NamedTuple):
    """One run of a kernel."""

    kernel: Kernel
    kinds: tuple  # the types of its arguments
    compiling: float  # seconds to compile or load it


class _Recorder:
    """An observer of kernels for `gd.kernels.observation`."""

    def __init__(self):
        self.runs = []

    def started(self):
        pass

    def ended(self, kernel, arguments, seconds, compiling, split):
        _, *rest = arguments
        if isinstance(
            kernel, OrderedKernel
        ):  # an ordered kernel's work is the kernel's own; its body gets the number of parts
            rest[0] = 1
        self.runs.append(Run(kernel, signature_of(rest), compiling))


@contextmanager
def recorded(parallel=False):
    """Collect the kernels that run in this context, all of them serial or all split over the threads."""
    recorder = _Recorder()
    observation.add(recorder)
    try:
        with splitting(1 if parallel else float("inf")):
            yield recorder.runs
    finally:
        observation.remove(recorder)
