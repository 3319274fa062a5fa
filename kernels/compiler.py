"""How a rule and a loop become a kernel: the one place that knows Numba's options.

A *rule* is a scalar formula. A *loop* is a function that takes rules and returns a *body*, which
walks the items ``start <= i < stop`` of its arrays; what an item is (an element, a row, a block of
rows) is the loop's business. `join` compiles the two, on first use and for each dtype, twice:

    serial      body(0, size, arguments)
    parallel    body(size * part // parts, size * (part + 1) // parts, arguments) for each part

and the kernel chooses between them at each call (see `choice`). This is the only `prange` of the house, so a
body is always serial code, and what it computes for an item does not depend on where it was cut.
(`arguments` is one tuple, as Numba does not recognize its own signatures of functions with *args.)
"""

import functools
import os
import threading
from contextlib import contextmanager
from time import perf_counter
from traceback import walk_tb

import numba

from . import observation, pool, subnormals, wide
from .cache import KernelCache
from .choice import Choice
from .interruption import Interruption
from .traffic import whole

# No fast math, not even contraction to fused multiply-adds: which products the compiler fuses depends on the
# loop around a rule, and so would the last bit (and the direction of Lion's step). It costs nothing measurable;
# where fusing matters `math.fma` says so. The numpy error model makes x / 0 infinite rather than an exception.
DEBUG = os.environ.get("GD_DEBUG", "0") not in ("", "0")  # check the bounds of every access, and cache nothing
OPTIONS = {"fastmath": False, "error_model": "numpy"} | ({"boundscheck": True} if DEBUG else {})
INTERPRETED = bool(numba.config.DISABLE_JIT)  # by NUMBA_DISABLE_JIT=1: rules and loops run as the Python that they are
LIKELY, SURELY = 16, 256  # times parallel_from: where splitting is tried first, and where it always pays
INLINED = {"forceinline": True, **OPTIONS}  # for what is used inside kernels: they vectorize only what they see


class _Override(threading.local):
    """What `splitting` puts in place of every loop's own break-even, in one Python thread."""

    parallel_from = None


_override = _Override()


def device(function, reassociate=False):
    """Compile a scalar rule or a helper for use inside kernels; it is inlined into its callers.

    With `reassociate` its sums may be taken in any order, so that they vectorize. The order follows from the
    sizes of the arrays alone, but may differ between processors.
    """
    options = INLINED | ({"fastmath": {"reassoc", "contract"}} if reassociate else {})
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=wide.Compiler, **options)(function)


def loop(parallel_from, ordered=False, flush=False, traffic=None, work=None):
    """Declare a loop, and the amount of work from which splitting it over threads can pay: the number of items.

    From there on the kernel finds out, up to 256 times as many, where it always pays. An ordered loop's items
    need each other's results: see `OrderedKernel`. With `flush`, results that are subnormal become 0: see
    `subnormals`. `traffic` says how many bytes a call moves: a function of its arguments, or what happens to each
    array, as in ``"- rw r"``: see the module of that name. Where items are large or small by the arrays' shapes, `work`
    is a function of size and arguments that says how much all of them are, in the unit of `parallel_from`.
    """

    def declare(factory):
        factory.parallel_from, factory.ordered, factory.flush, factory.work = parallel_from, ordered, flush, work
        factory.traffic = whole(traffic) if isinstance(traffic, str) else traffic
        return factory

    return declare


kernels = []  # all that were made


@functools.cache
def join(loop, *rules):
    """Return the kernel of a loop and its rules: the same object for the same arguments."""
    return (OrderedKernel if loop.ordered else Kernel)(loop, rules)


@observation.observable
class Kernel:
    """A compiled loop: ``kernel(size, *arguments)`` walks items 0 to size."""

    def __init__(self, loop, rules):
        self.name = "-".join(function.__name__ for function in (loop, *rules))
        self.parallel_from, self.traffic, self.work, self._choices = loop.parallel_from, loop.traffic, loop.work, {}
        body = loop(*map(device, rules))
        if loop.flush and not INTERPRETED:
            body = subnormals.flushing(device(body))
        self.serial = self._compile(body, (loop, *rules))
        self.parallel = None if loop.ordered else self._compile(_split(self.serial), (loop, *rules), parallel=True)
        kernels.append(self)

    def _compile(self, function, sources, parallel=False):
        if INTERPRETED:
            return function
        if parallel and not DEBUG:  # where an exception is lost: one part after the other then
            options = OPTIONS | {"parallel": True}
        else:
            options = OPTIONS | {"pipeline_class": wide.Compiler}
        dispatcher = numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
        name = f"{self.name}-{'parallel' if parallel else 'serial'}"
        observation.time_compiling(dispatcher)
        dispatcher.compile = _whole(dispatcher.compile)
        if not DEBUG:
            KernelCache.attach(dispatcher, name, sources, (parallel, sorted(map(str, OPTIONS.items()))))
        return dispatcher

    def __call__(self, size, *arguments):
        """Walk items 0 to size, in parallel where it pays and the pool is free."""
        _begun = True  # for `has_run`, here and in the methods below
        override = _override.parallel_from
        if override is not None:
            self._walk(size >= override, size, arguments)
            return
        amount = size if self.work is None else self.work(size, *arguments)
        if amount < self.parallel_from or size < 2:
            self.serial(0, size, arguments)
        else:
            self._choose(amount, 1, size, arguments)

    def _choose(self, amount, items, size, arguments):
        """Walk as was faster lately for such an amount of work, by the time of each item."""
        if amount >= SURELY * self.parallel_from:
            _begun = True
            self._walk(True, size, arguments)
            return
        amounts = amount.bit_length()  # alike within a factor of 2
        choice = self._choices.get(amounts)
        if choice is None:
            choice = self._choices.setdefault(amounts, Choice(amount >= LIKELY * self.parallel_from))
        parallel, start = choice.parallel, perf_counter()
        _begun = True
        if self._walk(parallel, size, arguments) and parallel == choice.parallel:
            choice.record((perf_counter() - start) / items)

    def _walk(self, parallel, size, arguments):
        """Walk in parallel, or else serially; return whether it was done as asked."""
        parts = 1
        try:
            if parallel:
                parts = pool.enter()
            _begun = True
            self._run(parts, size, arguments)
        finally:
            if parts > 1:
                pool.leave()
        return parallel == (parts > 1)

    def _run(self, parts, size, arguments):
        _begun = True
        if parts == 1:
            self.serial(0, size, arguments)
        else:
            self.parallel(parts, size, arguments)

    def __repr__(self):
        return f"<kernel {self.name}>"


@observation.observable
class OrderedKernel(Kernel):
    """A loop whose items need each other's results: ``kernel(size, work, *arguments)`` walks them one after the other.

    The kernels that an item calls are split where that pays; `work` says how much an item is, in the unit of
    the loop's parallel_from. The body gets the number of parts before the arguments.
    """

    def __init__(self, loop, rules):
        pool.launch()
        super().__init__(loop, rules)

    def __call__(self, size, work, *arguments):
        """Walk items 0 to size in order."""
        override = _override.parallel_from
        if override is not None or work < self.parallel_from:
            self._walk(override is not None and work >= override, size, arguments)
        else:
            self._choose(work, size, size, arguments)

    def _run(self, parts, size, arguments):
        self.serial(0, size, (parts, *arguments))


def has_run(interrupt):
    """Whether a kernel had done its work when this KeyboardInterrupt came out of it, rather than none of it.

    Compiled code is not interrupted: what comes meanwhile is heard when it has returned, in the method that called it.
    In the exception's way through the methods of kernels, the innermost has `_begun` if all it called has returned;
    only the compiler's own methods come between it and compiled code that is yet to run.
    """
    frames = [frame for frame, _ in walk_tb(interrupt.__traceback__)]
    ours = [k for k, frame in enumerate(frames) if frame.f_code.co_filename == __file__]
    if not ours:
        return True  # it came after the call
    inner = frames[ours[-1] + 1 :]
    return "_begun" in frames[ours[-1]].f_locals and not (inner and inner[0].f_globals["__name__"].startswith("numba."))


def _whole(compile_signature):
    """Let Ctrl-C wait until a dispatcher has compiled: cut short, what Numba imports and registers would stay so."""

    def whole(signature):
        with Interruption():
            return compile_signature(signature)

    return whole


def _split(body):
    def split(parts, size, arguments):
        for part in numba.prange(parts):
            body(size * part // parts, size * (part + 1) // parts, arguments)

    return split


@contextmanager
def splitting(parallel_from):
    """Split from this number of items in this Python thread, whatever the loops say: 1 always, math.inf never."""
    before, _override.parallel_from = _override.parallel_from, parallel_from
    try:
        yield
    finally:
        _override.parallel_from = before
