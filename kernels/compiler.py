"""Joins a rule and a loop into a kernel: start here to read compiled code.

A *rule* is a scalar formula. A *loop* is a function that takes rules and returns a *body*, which walks the items
``start <= i < stop`` of its arrays; the loop decides what an item is (an element, a row, a block of rows). `join`
makes a kernel of the two. From Python to memory a call passes

    Kernel      chooses: in one part, or in several over the thread pool (see `break_even`)
    entry       packs the arguments, finds the code for their types, and calls it: body(start, stop, arguments)
    machine_code, cache         have made that code on the first call, or loaded it

    in one part         body(0, size, arguments)
    in several          body(size * part // parts, size * (part + 1) // parts, arguments) for each part

A body is always serial code, compiled once for the types of its arguments, and its result for an item does not depend
on where the walk was cut. A body can call another body by its address, at blocks of items; that one is *bound* to
arguments of its own. So the parts of a network or a training are compiled once each, not for every combination:

    bound = join(update, adam).bind(p.dtype, p, m, v)       own arguments, and the dtype of the given ones
    invoke(bound, start, stop, (coefficients, g, 0))        in a body: the walk of update-adam with both
    split(bound, parts, size, (...))                        the same, over the pool

`bound` is an argument of one type, whatever it is bound to.
"""

import functools
import sys
import threading
from contextlib import contextmanager
from time import perf_counter
from traceback import walk_tb

import numba
import numpy as np

from . import cache, gates, machine_code, observation, pool, user_rules
from .break_even import Choice
from .entry import Entry, launcher
from .interruption import Interruption
from .machine_code import compiling, load, njit, processor, signature_of
from .settings import INTERPRETED
from .traffic import of_arrays
from .words import BOUND, number_of

LIKELY, SURELY = 16, 256  # multiples of parallel_from: from there splitting is tried first; from there it always pays
NEVER = 2**62  # the parallel_from of loops that are not split, or that other bodies call


class _Override(threading.local):
    """What `splitting` uses instead of every loop's own break-even, in one Python thread."""

    parallel_from = None


_override = _Override()


def device(function, reassociate=False):
    """Compile a scalar rule or a helper for use inside bodies; it is inlined into its callers.

    With `reassociate` its sums may be taken in any order, so that they vectorize. The order follows from the
    sizes of the arrays alone, but may differ between processors.
    """
    return njit(function, **({"fastmath": {"reassoc", "contract"}} if reassociate else {}))


def loop(parallel_from, ordered=False, flush=False, traffic=None, work=None, given="", names=None):
    """Declare a loop, and the amount of work from which splitting it over threads can pay: the number of items.

    From `parallel_from` items on the kernel tries both; from 256 times as many it always splits. The items of an
    ordered loop need each other's results: see `OrderedKernel`. With `flush`, subnormal results become 0 (see `entry`).
    `traffic` says how many bytes a call moves: a function of its arguments, or what happens to each array, as in
    ``"- rw r"`` (see the module `traffic`). If the size of items depends on the arrays' shapes, `work` is a function of
    size and arguments that returns the total amount of work, in the unit of `parallel_from`. `given` are the types of
    the first arguments, which a calling body gives if this one is bound: ``"x[:] x[:,:] int body"``, with x for the
    dtype, and body for a bound body. If there are many arguments, `names` is a named tuple: the body then takes them by
    name.
    """

    def declare(factory):
        factory.parallel_from, factory.ordered, factory.flush, factory.work = parallel_from, ordered, flush, work
        factory.traffic, factory.given = (
            of_arrays(traffic) if isinstance(traffic, str) else traffic,
            tuple(given.split()),
        )
        factory.names = names
        return factory

    return declare


kernels = []  # all kernels of this process
_owners = {}  # address of code -> its kernel
compilations = 0  # number of compilations in this process so far


@functools.cache
def join(loop, *rules):
    """Return the kernel of a loop and its rules: the same object for the same arguments."""
    return (OrderedKernel if loop.ordered else Kernel)(loop, rules)


class Compiled:
    """The code of a kernel for the types of its arguments."""

    def __init__(self, kernel, kinds):
        loop, rules = kernel.loop, kernel.rules

        def make(symbol):
            for rule in rules:
                user_rules.check(rule, kinds)
            return machine_code.compile_body(kernel.body(), kinds, len(loop.given), symbol, loop.names)

        details = [str(each) for each in kinds], loop.given, processor()
        self.code, self.was_cached = cache.code(kernel.name, (loop, *rules), details, make)
        try:
            (self.address,) = load(self.code, launcher()).values()
        except RuntimeError:  # it does not link here: a library differs
            if not self.was_cached:
                raise
            self.code, self.was_cached = make(self.code.symbol), False
            (self.address,) = load(self.code, launcher()).values()
        global compilations
        compilations += not self.was_cached
        _owners[self.address] = kernel


@observation.observable
class Kernel:
    """A compiled loop: ``kernel(size, *arguments)`` walks items 0 to size."""

    def __init__(self, loop, rules):
        self.name = "-".join(function.__name__ for function in (loop, *rules))
        self.loop, self.rules, self.compiled = loop, rules, {}  # types of arguments -> code
        self.parallel_from, self.traffic, self.work, self._choices = loop.parallel_from, loop.traffic, loop.work, {}
        self._bound, self._lock = {}, threading.RLock()
        self._named = loop.names._make if loop.names else tuple
        if INTERPRETED:
            self._body = self.body()
            self.enter = lambda parts, size, *arguments: self._interpret(0, size, arguments)
        else:
            self._entry = Entry(self._prepare, len(loop.given), flush=loop.flush)
            self.enter = self._entry.enter
        kernels.append(self)

    def body(self):
        """Return the Python function that is compiled; nobody keeps it, because Numba's results for it are large."""
        body = self.loop(*map(device, self.rules))
        body.__name__ = self.name.replace("-", "_")
        return body

    def _prepare(self, tags, *arguments):
        """Make sure that there is code for arguments of these tags."""
        self._entry.add(tags, self._code(signature_of(arguments)).address)

    def _code(self, kinds):
        with Interruption(), compiling(), self._lock:  # an interrupt would leave Numba's registries half filled
            if kinds not in self.compiled:
                with observation.compiling(self.name):
                    self.compiled[kinds] = Compiled(self, kinds)
            return self.compiled[kinds]

    def _interpret(self, start, stop, arguments):
        """Walk some items in plain Python: like compiled code without warnings, and Ctrl-C waits for the end."""
        with Interruption(), np.errstate(all="ignore"):
            _begun = True
            self._body(start, stop, self._named(arguments))

    def address(self, kinds):
        """Return the address of the code for some types of arguments."""
        return self._code(kinds).address

    def assembly(self, kinds):
        """Return the assembly of the code for some types of arguments."""
        return machine_code.assembly(self.body(), kinds, len(self.loop.given), self.loop.names)

    def bind(self, dtype, *own):
        """Return a bound body, for arguments of a dtype; whoever keeps it must keep its own arguments, too."""
        if INTERPRETED:
            return functools.partial(lambda own, start, stop, given: self._interpret(start, stop, (*given, *own)), own)
        entry = self._bound.get(dtype)
        if entry is None:
            entry = self._bound.setdefault(dtype, self._entry_of_bound(dtype))
        return entry.bind(*own)

    def _entry_of_bound(self, dtype):
        given = tuple(_type_named(name, numba.from_dtype(dtype)) for name in self.loop.given)

        def prepare(tags, *own):
            entry.add(tags, self._code(given + signature_of(own)).address)

        entry = Entry(prepare, number=number_of(given))
        return entry

    def __call__(self, size, *arguments):
        """Walk items 0 to size, in parallel if it pays and the pool is free."""
        override = _override.parallel_from
        if override is not None:
            _begun = True  # for `has_run`, here and in the methods below
            self._walk(size >= override, self.enter, (size, *arguments))
            return
        amount = size if self.work is None else self.work(size, *arguments)
        _begun = True
        if amount < self.parallel_from or size < 2:
            self.enter(1, size, *arguments)
        else:
            self._choose(amount, 1, self.enter, (size, *arguments))

    def through(self, gate, amount, *objects):
        """Walk through a gate, as a call of at least `parallel_from` would: gate.enter(parts, *objects)."""
        _begun = True
        return self._choose(amount, 1, gate.enter, objects)

    def _choose(self, amount, items, enter, arguments):
        """Walk serially or in parallel, whichever was faster lately for this amount of work, by time per item.

        Return what enter(parts, *arguments) returns, None if it is a gate that refused.
        """
        if amount >= SURELY * self.parallel_from:
            _begun = True
            return self._walk(True, enter, arguments)[1]
        amounts = amount.bit_length()  # one size class: equal within a factor of 2
        choice = self._choices.get(amounts)
        if choice is None:
            choice = self._choices.setdefault(amounts, Choice(amount >= LIKELY * self.parallel_from))
        parallel, start = choice.side, perf_counter()
        _begun = True
        as_requested, result = self._walk(parallel, enter, arguments)
        if as_requested and parallel == choice.side and (result is not None or enter is self.enter):
            choice.record((perf_counter() - start) / items)
        return result

    def _walk(self, parallel, enter, arguments):
        """Walk in parallel or serially; return (True if it was done as requested, the result)."""
        parts = 1
        try:
            if parallel:
                parts = pool.enter()
            _begun = True
            result = self._run(parts, enter, arguments)
        finally:
            if parts > 1:
                pool.leave()
        return parallel == (parts > 1), result

    def _run(self, parts, enter, arguments):
        _begun = True
        return enter(parts, *arguments)

    def name_with(self, arguments):
        """Return the kernel's name, joined with the rules (or else the loops) of the bound bodies in its arguments."""
        bound = [_owners[int.from_bytes(each[:8], sys.byteorder)] for each in arguments if isinstance(each, bytes)]
        return "-".join([self.name, *(each.name.partition("-")[2] or each.name for each in bound)])

    def __repr__(self):
        return f"<kernel {self.name}>"


@observation.observable
class OrderedKernel(Kernel):
    """A loop whose items need each other's results: ``kernel(size, work, *arguments)`` walks them one after the other.

    The bodies that an item calls are split if that pays; `work` is the amount of work of an item, in the unit of the
    loop's parallel_from. The body gets the number of parts before the arguments.
    """

    def __call__(self, size, work, *arguments):
        """Walk items 0 to size in order."""
        override = _override.parallel_from
        if override is not None or work < self.parallel_from:
            self._walk(override is not None and work >= override, self.enter, (size, *arguments))
        else:
            self._choose(work, size, self.enter, (size, *arguments))

    def _run(self, parts, enter, arguments):
        size, *rest = arguments
        _begun = True
        return enter(1, size, parts, *rest)


def has_run(error):
    """Return True if a kernel finished before the exception of a signal's handler, False if it never did.

    Compiled code is not interrupted: handlers are called after it has returned, in the method that called it.
    Of the kernels' methods in the traceback, the innermost has a local `_begun` if everything that it called has
    returned; only `_prepare` and the functions that it calls come before compiled code that has not run yet, and only
    `raise_from` after code that has raised itself.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename in (__file__, observation.__file__)]
    if frames[-1].f_code is machine_code.raise_from.__code__:
        return False
    return not ours or "_begun" in ours[-1].f_locals  # without a frame of ours, it came after the call


def _type_named(name, real):
    """Return the type that a name in a loop's `given` means, for a dtype."""
    number, _, dimensions = name.partition("[")
    number = {"x": real, "int": numba.intp, "uint": numba.uint64, "float": numba.float64, "body": BOUND}[number]
    return {"": number, ":]": number[::1], ":,:]": number[:, ::1]}[dimensions]


@contextmanager
def splitting(parallel_from):
    """Split walks from this number of items on, in this Python thread: 1 means always, math.inf never."""
    before, _override.parallel_from = _override.parallel_from, parallel_from
    gates.close()
    try:
        yield
    finally:
        gates.close(-1)
        _override.parallel_from = before
