"""Set the number of threads of kernels, and limit BLAS to one thread inside kernels."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Self

from ..checks import check_integer, shown
from ..kernels import pool
from ..kernels.interruption import Interruption


class threads:
    """Set the number of threads of kernels: by a call for this process, by a `with` block for that block alone.

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
    The default is the smallest of the pool's size, the CPU quota of the container, OMP_NUM_THREADS and
    OMP_THREAD_LIMIT. Results do not depend on the number of threads.

    The number of a block holds in the Python thread or the asyncio task that is in the block, and in tasks created
    there. Other Python threads, also those started there, have the number of the process. A call in a block sets the
    number of the process, which shows after the block.

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
        self.n = n
        pool.calls.append(self)

    def __enter__(self) -> Self:
        with suppress(ValueError):  # it is a block for the second time
            pool.calls.remove(self)
        pool.blocks.set((*pool.blocks.get(), self))
        return self

    def __exit__(self, *error: object) -> None:
        blocks = pool.blocks.get()
        for k in reversed(range(len(blocks))):  # it need not be the last: generators can end in any order
            if blocks[k] is self:
                pool.blocks.set(blocks[:k] + blocks[k + 1 :])
                break


def get_threads() -> int:
    """Return the number of threads that kernels use, here: in the `with` blocks of `threads` around the call."""
    return pool.get_threads()


_blas_lock = Lock()
_blas_users: set[object] = set()
_blas_before: list[tuple[Any, int]] = []  # libraries that are limited, with the threads that they had


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread in the block, for matrix products inside kernels that are parallel themselves.

    The limit holds for the process. Several Python threads may be in such a block at once; the last one to leave
    restores the limit that held before the first. A forked child begins with that limit, too.
    """
    user = object()
    try:
        with Interruption(), _blas_lock:
            if not _blas_users:
                _limit_blas()
            _blas_users.add(user)
        yield
    finally:
        with Interruption(), _blas_lock:
            _blas_users.discard(user)
            if not _blas_users:
                _restore_blas()


def _limit_blas():
    for library in _libraries():  # as a `limit` of threadpoolctl does, in a fifth of the time
        threads = library.get_num_threads()
        if threads is not None and threads > 1:
            _blas_before.append((library, threads))
            library.set_num_threads(1)


def _restore_blas():
    while _blas_before:
        library, threads = _blas_before.pop()
        library.set_num_threads(threads)


def _in_child():
    global _blas_lock
    _blas_lock = Lock()  # another thread of the parent may have held it
    _blas_users.clear()
    _restore_blas()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@functools.cache
def _libraries():
    """Return what controls each BLAS alone: a limit of all restores other counts, too, such as OpenMP's."""
    from threadpoolctl import ThreadpoolController

    from ..kernels.blas import load_blas

    load_blas()
    return ThreadpoolController().select(user_api="blas").lib_controllers
