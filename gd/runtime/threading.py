"""How many threads kernels use, and keeping BLAS's own threads out of their way."""

import functools
from contextlib import contextmanager
from threading import Lock

from ..checks import check_integer, shown
from ..kernels import pool


class threads:
    """Set the number of threads of all kernels in this process, for good or for a while.

    Parameters
    ----------
    n : int
        1 to the size of Numba's pool (NUMBA_NUM_THREADS, by default the cores this process may use).

    Raises
    ------
    TypeError, ValueError
        If n is not an integer in that range.

    Notes
    -----
    The default is the pool's size, or a container's CPU quota where that is smaller. Results do not
    depend on the number of threads.

    Examples
    --------
    >>> import gd
    >>> with gd.threads(1):
    ...     gd.get_threads()
    1
    """

    def __init__(self, n):
        n = check_integer("threads", "n", n, 1)
        if n > pool.max_threads():
            raise ValueError(
                f"threads: n must be {pool.max_threads()} at most (NUMBA_NUM_THREADS), got {shown(n, str)}"
            )
        self._before, self._n = pool.get_threads(), n
        pool.set_threads(n)

    def __enter__(self):
        pool.set_threads(self._n)
        return self

    def __exit__(self, *error):
        pool.set_threads(self._before)


def get_threads():
    """Return the number of threads that kernels use."""
    return pool.get_threads()


_blas_lock = Lock()
_blas_users, _blas_limit = 0, None


@contextmanager
def single_threaded_blas():
    """Let BLAS use one thread in this context: products run inside kernels that are parallel themselves.

    The limit holds for the process. Several Python threads may be in the context at once; the last one to
    leave restores what was before the first.
    """
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _controller().limit(limits=1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()


@functools.cache
def _controller():
    from threadpoolctl import ThreadpoolController

    from ..kernels.blas import load_blas

    load_blas()
    return ThreadpoolController()
