"""Tables: the arguments of one kernel for each of many arrays, so that one call walks all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.compiler import join
from ..kernels.words import HEAD

Columns = Mapping[str, tuple[Any, ...]]


class Table:
    """A kernel that is bound to the arguments of each of many arrays; see `kernels.loops.array_lists`.

    Parameters
    ----------
    loop : callable
        `update_many` or `measure_many`.
    kernel : Kernel
    dtype : dtype
        Of what the kernel is given.
    items : ndarray
        The number of items of each array.
    work, moved : int
        Elements of an item; bytes that it moves.
    own : mapping
        The kernel's own arguments by name: an example, and the words of each, for all arrays or for each. The first
        word may be None, which `walk` sets.
    given : mapping
        Likewise what it is given.
    """

    def __init__(
        self,
        loop: Any,
        kernel: Any,
        dtype: np.dtype[Any],
        items: NDArray[np.intp],
        work: int,
        moved: int,
        own: Columns,
        given: Columns,
    ) -> None:
        self._kernel, self._items, self._starts, self._work = join(loop), items, starts_of(items), work
        self._moved, self._body = moved, kernel.bind(dtype, *(example for example, *_ in own.values()))
        self._given = HEAD + sum(len(words) for _, *words in own.values())
        self._rows = np.zeros((items.size, self._given + sum(len(words) for _, *words in given.values())), np.int64)
        self._rows[:, :HEAD] = np.frombuffer(self._body, np.int64)[:HEAD]
        self._places, place = {}, HEAD
        for name, (_, *words) in (*own.items(), *given.items()):
            self._places[name] = place
            for each in words:
                if each is not None:
                    self._rows[:, place] = each
                place += 1

    def walk(self, chosen: NDArray[np.intp] | None, **words: Any) -> None:
        """Walk the items of all arrays, or of those that were chosen, after their words have been set."""
        rows, starts = self._rows, self._starts
        if chosen is not None:
            rows, starts = rows[chosen], starts_of(self._items[chosen])
        for name, values in words.items():
            rows[:, self._places[name]] = values
        size = int(starts[-1])
        self._kernel(size, starts, rows, self._given, self._work, size * self._moved, self._body)


def starts_of(sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where each of some pieces begins that lie one after the other, and where the last one ends."""
    starts = np.zeros(sizes.size + 1, np.intp)
    np.cumsum(sizes, out=starts[1:])
    return starts
