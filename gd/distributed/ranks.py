"""Ranks: sends vectors between the processes of an MPI communicator."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..version import to_install

Method = TypeVar("Method", bound=Callable[..., Any])

METHODS = "Get_rank Get_size Barrier Bcast Allreduce Allgather Alltoall Reduce_scatter_block".split()
BUCKET = 2**24  # most elements of a message: MPI counts to 2**31, and a message is in memory twice


def world(where: str) -> Any:
    """Return the communicator of all processes that mpiexec started."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI
        raise ImportError(f"{where} needs mpi4py and an MPI: {to_install('mpi')} ({error})") from error
    return MPI.COMM_WORLD


def _timed(method: Method) -> Method:
    """Add the seconds of a method to `seconds`."""

    @wraps(method)
    def timed(self: "Ranks", *arguments: Any) -> Any:
        start = perf_counter()
        try:
            return method(self, *arguments)
        finally:
            self.seconds += perf_counter() - start

    return timed  # pyright: ignore[reportReturnType]  # it has the signature of the method


class Ranks:
    """The processes of a communicator; each must call the same methods in the same order.

    A vector is cut into shards of equal size, one for each rank, and padded with zeros.

    Parameters
    ----------
    where : str
        The function that was called, for messages.
    comm : communicator
        Of mpi4py, or any object with the methods named in `METHODS`.

    Attributes
    ----------
    rank, size : int
        The number of this process, and the number of processes.
    seconds : float
        Time spent on sending, receiving and waiting for others.
    """

    comm: Any
    rank: int
    size: int
    seconds: float

    def __init__(self, where: str, comm: Any) -> None:
        for name in METHODS:
            if isinstance(comm, type) or not callable(getattr(comm, name, None)):
                expected = "a communicator such as mpi4py.MPI.COMM_WORLD"
                raise TypeError(f"{where}: comm must be {expected}, got {type(comm).__name__} without {name}")
        self.comm, self.rank, self.size, self.seconds = comm, comm.Get_rank(), comm.Get_size(), 0.0

    @_timed
    def sum(self, numbers: ArrayLike) -> NDArray[np.float64]:
        """Return the sum of each number over all ranks, in float64; it is exact if all ranks but one have 0."""
        numbers = np.asarray(numbers, np.float64)
        total = np.empty_like(numbers)
        self.comm.Allreduce(numbers, total)
        return total

    @_timed
    def gather(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the arrays of all ranks, which have one shape, stacked."""
        gathered = np.empty((self.size, *array.shape), array.dtype)
        self.comm.Allgather(np.ascontiguousarray(array), gathered)
        return gathered

    @_timed
    def wait(self) -> None:
        """Wait until all ranks are here."""
        self.comm.Barrier()

    @_timed
    def broadcast(self, vector: NDArray[Any]) -> None:
        """Overwrite a vector by that of rank 0."""
        for first in range(0, vector.size, BUCKET):
            self.comm.Bcast(vector[first : first + BUCKET])

    @_timed
    def reduce(self, vector: NDArray[Any], shard: NDArray[Any], tree: bool) -> None:
        """Write the sum over all ranks of this rank's part of a vector into `shard`.

        With `tree`, pairs are added, then pairs of pairs, and so on; else MPI chooses the order.
        """
        for part in self._parts(shard.size):
            sent = self._cut(vector, shard.size, part)
            if not tree:
                self.comm.Reduce_scatter_block(sent, shard[part])
                continue
            received = np.empty_like(sent)
            self.comm.Alltoall(sent, received)
            while len(received) > 1:
                received = add(received[0::2], received[1::2])
            shard[part] = received[0]

    @_timed
    def collect(self, shard: NDArray[Any], vector: NDArray[Any]) -> None:
        """Write the shards of all ranks into a vector."""
        for part in self._parts(shard.size):
            if vector.size == self.size * shard.size and part == slice(0, shard.size):
                self.comm.Allgather(shard, vector)
                continue
            received = np.empty((self.size, part.stop - part.start), vector.dtype)
            self.comm.Allgather(shard[part], received)
            for row, place in self._places(received, vector, shard.size, part):
                place[:] = row[: place.size]

    def _parts(self, size: int) -> list[slice]:
        """Return slices of a shard, one for each message."""
        step = max(1, BUCKET // self.size)
        return [slice(first, min(first + step, size)) for first in range(0, size, step)]

    def _cut(self, vector: NDArray[Any], size: int, part: slice) -> NDArray[Any]:
        """Return a part of each shard of a vector as the rows of a matrix."""
        if vector.size == self.size * size and part == slice(0, size):
            return vector.reshape(self.size, size)
        rows = np.zeros((self.size, part.stop - part.start), vector.dtype)
        for row, place in self._places(rows, vector, size, part):
            row[: place.size] = place
        return rows

    def _places(
        self, rows: NDArray[Any], vector: NDArray[Any], size: int, part: slice
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield each row with its part of the vector, which is shorter than the row if the vector ends before."""
        for k, row in enumerate(rows):
            yield row, vector[k * size + part.start : k * size + part.stop]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first rank of each machine run the block before the others, which then find kernels compiled."""
        node = self._node
        first = node.Get_rank() == 0
        if not first:
            node.Barrier()
        try:
            yield
        finally:
            if first:
                node.Barrier()

    @cached_property
    def _node(self) -> Any:
        """Return the communicator of the ranks on this machine if MPI can tell, else that of all."""
        shared = getattr(sys.modules.get(type(self.comm).__module__), "COMM_TYPE_SHARED", None)
        return self.comm if shared is None else self.comm.Split_type(shared)


def add(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the sum of two arrays, without warnings of overflow or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add(a, b, out=out)
