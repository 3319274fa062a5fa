"""Reports kernel calls to observers; free while none is registered.

An observer has two methods, which are called in the Python thread of the call::

    started()                                               before a call
    ended(kernel, arguments, seconds, compiling, split)     after a call, even one that raised

`seconds` is the time of the call, `compiling` the part of it spent on compiling or loading code, and `split` is True if
the walk was split over threads. While there are observers, methods of the kernels' classes are replaced.
"""

import functools
import os
import threading
from contextlib import contextmanager
from time import perf_counter

_lock = threading.Lock()
_observers = ()  # replaced, never changed: a running call keeps its tuple
_waiting = ()  # likewise: functions to call before a kernel is compiled
switches = []  # functions that are called with whether there are observers, when that changes
_methods = []  # (class, name, its own method, the method that reports)


class _Call(threading.local):
    """What a Python thread records during its calls."""

    compiling = 0.0  # seconds spent on compiling in all calls so far
    split = False  # whether the last walk was split


_call = _Call()


def observable(cls):
    """Declare a class of kernels whose calls can be observed: ``__call__``, which walks by ``_run(parts, ...)``."""
    for name, telling in (("__call__", _telling), ("_run", _noting)):
        own = vars(cls)[name]
        _methods.append((cls, name, own, telling(own)))
    return cls


def add(observer):
    """Report to an observer all calls, in any thread, that begin from now on."""
    _change(lambda observers: (*observers, observer))


def remove(observer):
    """Report no new calls to an observer; it still hears the end of calls that have started."""
    _change(lambda observers: tuple(each for each in observers if each is not observer))


def _change(change):
    global _observers
    with _lock:
        before, _observers = _observers, change(_observers)
        if bool(before) != bool(_observers):
            for cls, name, own, telling in _methods:
                setattr(cls, name, telling if _observers else own)
            for each in switches:
                each(bool(_observers))


def _telling(call):
    @functools.wraps(call)
    def told(kernel, *arguments):
        observers, compiled = _observers, _call.compiling
        _call.split = False
        for each in observers:
            each.started()
        start = perf_counter()
        _begun = True  # for `compiler.has_run`
        try:
            call(kernel, *arguments)
        finally:
            seconds, compiling = perf_counter() - start, _call.compiling - compiled
            for each in observers:
                each.ended(kernel, arguments, seconds, compiling, _call.split)

    return told


def _noting(run):
    @functools.wraps(run)
    def noted(kernel, parts, *rest):
        _call.split = parts > 1
        return run(kernel, parts, *rest)

    return noted


@contextmanager
def compiling(name):
    """Record the time to compile or load a kernel, for the call that needs it; report its name (see `waiting`)."""
    for tell in _waiting:
        tell(name)
    start = perf_counter()
    try:
        yield
    finally:
        _call.compiling += perf_counter() - start


@contextmanager
def waiting(tell):
    """Within the block, call `tell(name)` before a kernel is compiled or loaded, in any thread."""
    global _waiting
    with _lock:
        _waiting = (*_waiting, tell)
    try:
        yield
    finally:
        with _lock:
            _waiting = tuple(each for each in _waiting if each is not tell)


def _in_child():
    global _lock, _waiting
    _lock = threading.Lock()  # another thread of the parent may have held it
    _waiting = ()
    _change(lambda observers: ())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
