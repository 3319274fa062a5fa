"""Ctrl-C stops between two steps, never within one, so that parameters and their optimizer's state match."""

import _signal  # the functions of `signal` take as long as a small step
from signal import SIGINT, default_int_handler
from threading import get_ident, main_thread


class Interruption:
    """Defers the first Ctrl-C to the end of the block or to `raise_if_any`; the second acts at once.

    This works only in the main thread, which alone gets signals, and if Ctrl-C has its default handler.
    """

    def __enter__(self):
        self.seen = False
        self._deferring = get_ident() == main_thread().ident and _signal.getsignal(SIGINT) is default_int_handler
        if self._deferring:
            _signal.signal(SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True

    def raise_if_any(self):
        """Raise KeyboardInterrupt if a Ctrl-C was deferred."""
        if self.seen:
            raise KeyboardInterrupt

    def __exit__(self, *error):
        if self._deferring:
            _signal.signal(SIGINT, default_int_handler)
            if error[0] is None:
                self.raise_if_any()
