"""Signals wait for the end of a step, so that parameters and their optimizer's state are of the same steps.

A handler of a signal, which Python calls between any two of its instructions in the main thread, may raise: that of
Ctrl-C does, and so do those of users and of libraries that limit time (SIGALRM) or end a job in order (SIGTERM).
"""

import _signal  # the functions of `signal` take as long as a small step
import os
from signal import SIGINT, default_int_handler, valid_signals
from threading import get_ident, main_thread

_NUMBERS = tuple(map(int, valid_signals()))
_main = main_thread().ident  # of the thread that alone calls handlers
_waits = False  # True within a block
_found, _handlers = [], {}  # the handlers that the last block found; and by number, those that are written in Python
_seen = {}  # the signals that came in a block: number -> (handler, frame)


class Interruption:
    """Has the handlers of all signals wait for the end of the block; there all are called, whatever one of them raises.

    A block within another is a part of it. In other threads there is nothing to do.
    """

    _outermost = False

    def __enter__(self):
        global _waits
        if not _waits and get_ident() == _main:
            found = list(map(_signal.getsignal, _NUMBERS))  # a loop in Python would take as long as a small step
            if found != _found:
                _look_at(found)
            try:
                for number in _handlers:
                    _signal.signal(number, _note)
            except BaseException:  # of a signal that came before its handler was replaced
                _restore()
                raise
            self._outermost = _waits = True

    def __exit__(self, *error):
        global _waits
        if self._outermost:
            try:
                _restore()
            finally:
                _waits = False
                if _seen:
                    _call()


def _look_at(found):
    """Note handlers; `_note` may be among them, if the user kept it and set it again, or `_restore` was interrupted."""
    global _found, _handlers
    pairs = zip(_NUMBERS, found, strict=True)
    _found, _handlers = found, {n: _handlers[n] if each is _note else each for n, each in pairs if callable(each)}


def _note(number, frame):
    if _waits:
        _seen[number] = _handlers[number], frame
    else:  # a block begins or ends
        _handlers[number](number, frame)


def _restore():
    try:
        for number, handler in _handlers.items():
            if _signal.getsignal(number) is _note:  # else the block set another
                _signal.signal(number, handler)
    except BaseException:  # of a signal that came when its handler was back
        _restore()
        raise


def _call():
    """Call the handlers that waited, all of them."""
    try:
        while _seen:
            number, (handler, frame) = _seen.popitem()
            handler(number, frame)
    finally:
        if _seen:
            _call()


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
    global _main, _waits
    _main = get_ident()
    if _waits:
        _restore()
        _waits = False
        _seen.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
