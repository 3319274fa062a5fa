"""How many threads kernels use, and keeping BLAS's own threads out of their way."""

import functools

from .kernels import pool
from .ranges import check_integer


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
            raise ValueError(f"threads: n must be {pool.max_threads()} at most (NUMBA_NUM_THREADS), got {n}")
        self._before = pool.get_threads()
        pool.set_threads(n)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pool.set_threads(self._before)


def get_threads():
    """Return the number of threads that kernels use."""
    return pool.get_threads()


def single_threaded_blas():
    """Return a context in which BLAS uses one thread: products run inside kernels that are parallel themselves."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller():
    from threadpoolctl import ThreadpoolController

    from .kernels.blas import load_blas

    load_blas()
    return ThreadpoolController()
