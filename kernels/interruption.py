"""Signals wait for the end of a step, so that parameters and their optimizer's state are of the same steps.

A handler of a signal, which Python calls between any two of its instructions in the main thread, may raise: Ctrl-C does,
and so do handlers of users and of libraries that limit time (SIGALRM), or end a job in order (SIGTERM).
"""

import os
from signal import SIGINT, default_int_handler, valid_signals
from threading import get_ident, main_thread

import _signal  # the functions of `signal` take as long as a small step

_NUMBERS = tuple(map(int, valid_signals()))
_main = main_thread().ident  # of the thread that alone calls handlers
_current = None  # the block in which they wait
_found, _python = [], {}  # the handlers that the last block found, and those among them that are Python's, by number


class Interruption:
    """Has the handlers of all signals wait for the end of the block, where they are called, whatever one of them raises.

    A block within another is a part of it. In other threads there is nothing to do.
    """

    def __enter__(self):
        global _current
        if _current is None and get_ident() == _main:
            self._replaced, self._seen, self._own = _handlers(), {}, self._note
            try:
                for number in self._replaced:
                    _signal.signal(number, self._own)
            except BaseException:  # of a signal that came before its handler was replaced
                self._restore()
                raise
            _current = self
        return self

    def _note(self, number, frame):
        if _current is self:
            self._seen[number] = frame
        else:  # the block has begun to end, or the user kept this handler and set it again
            self._replaced[number](number, frame)

    def _restore(self):
        try:
            for number, handler in self._replaced.items():
                if _signal.getsignal(number) is self._own:  # else the block set another
                    _signal.signal(number, handler)
        except BaseException:  # of a signal that came when its handler was back
            self._restore()
            raise

    def __exit__(self, *error):
        global _current
        if _current is self:
            try:
                self._restore()
            finally:
                _current = None
                self._call()

    def _call(self):
        """Call the handlers that waited, all of them."""
        try:
            while self._seen:
                number, frame = self._seen.popitem()
                self._replaced[number](number, frame)
        finally:
            if self._seen:
                self._call()


def _handlers():
    """Return {number: handler} of the signals that have a handler in Python."""
    global _found, _python
    found = list(map(_signal.getsignal, _NUMBERS))  # a loop in Python would take as long as a small step
    if found != _found:
        _found, _python = found, {n: each for n, each in zip(_NUMBERS, found, strict=True) if callable(each)}
    return _python


class CtrlC:
    """Has the first Ctrl-C wait for the end of the block, or for `raise_if_any`; the second acts at once.

    This is for loops that also call functions of users, in which other signals must be able to end a wait.
    """

    def __enter__(self):
        self.seen = False
        self._waits = get_ident() == _main and _signal.getsignal(SIGINT) is default_int_handler
        if self._waits:
            _signal.signal(SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.seen or not self._waits:
            raise KeyboardInterrupt
        self.seen = True

    def raise_if_any(self):
        """Raise KeyboardInterrupt if a Ctrl-C was deferred."""
        if self.seen:
            raise KeyboardInterrupt

    def __exit__(self, *error):
        if self._waits:
            self._waits = False
            _signal.signal(SIGINT, default_int_handler)
            if error[0] is None:
                self.raise_if_any()


def _in_child():
    global _main, _current
    _main = get_ident()
    if _current is not None:
        _current._restore()
        _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
