"""Ctrl-C between two steps, never within one: parameters and the state of their optimizer belong together."""

import _signal  # the functions of `signal` take as long as a small step
from signal import SIGINT, default_int_handler
from threading import get_ident, main_thread


class Interruption:
    """Lets the first Ctrl-C wait until the end of the context, or until it is asked for; a second one does not wait.

    In the main thread, which alone hears it, and where Ctrl-C means what it means by default.
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
        """Raise KeyboardInterrupt if Ctrl-C waits."""
        if self.seen:
            raise KeyboardInterrupt

    def __exit__(self, *error):
        if self._deferring:
            _signal.signal(SIGINT, default_int_handler)
            if error[0] is None:
                self.raise_if_any()
