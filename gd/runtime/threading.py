"""Set the number of threads of kernels, and limit BLAS to one thread inside kernels."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Self

from ..checks import check_integer, shown
from ..kernels import pool


class threads:
    """Set the number of threads of all kernels in this process: permanently, or in a `with` block.

    Parameters
    ----------
    n : int
        1 to the size of Numba's thread pool (NUMBA_NUM_THREADS, by default the cores this process may use).

    Raises
    ------
    TypeError, ValueError
        If n is not an integer in that range.

    Notes
    -----
    The default is the size of the thread pool, or the CPU quota of the container if that is smaller. Results do not
    depend on the number of threads.

    Examples
    --------
    >>> import gd
    >>> with gd.threads(1):
    ...     gd.get_threads()
    1
    """

    def __init__(self, n: int) -> None:
        n = check_integer("threads", "n", n, 1)
        if n > pool.max_threads():
            raise ValueError(
                f"threads: n must be {pool.max_threads()} at most (NUMBA_NUM_THREADS), got {shown(n, str)}"
            )
        self._before, self._n = pool.get_threads(), n
        pool.set_threads(n)

    def __enter__(self) -> Self:
        pool.set_threads(self._n)
        return self

    def __exit__(self, *error: object) -> None:
        pool.set_threads(self._before)


def get_threads() -> int:
    """Return the number of threads that kernels use."""
    return pool.get_threads()


_blas_lock = Lock()
_blas_users: int = 0
_blas_limit: Any = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread in the block, for matrix products inside kernels that are parallel themselves.

    The limit holds for the process. Several Python threads may be in such a block at once; the last one to leave
    restores the limit that held before the first.
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
