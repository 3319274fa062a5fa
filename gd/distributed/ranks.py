"""Ranks: the processes of an MPI communicator, and how vectors go between them."""

import sys
from contextlib import contextmanager
from functools import cached_property, wraps
from time import perf_counter

import numpy as np

METHODS = "Get_rank Get_size Barrier Bcast Allreduce Allgather Alltoall Reduce_scatter_block".split()
BUCKET = 2**24  # elements of a message at most: MPI counts to 2**31, and what is sent is in memory twice


def world(where):
    """Return the communicator of all processes that mpiexec started."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI
        raise ImportError(f'{where} needs mpi4py and an MPI: python -m pip install "gd[mpi]" ({error})') from error
    return MPI.COMM_WORLD


def _timed(method):
    @wraps(method)
    def timed(self, *arguments):
        start = perf_counter()
        try:
            return method(self, *arguments)
        finally:
            self.seconds += perf_counter() - start

    return timed


class Ranks:
    """The processes of a communicator, of which each calls the same methods in the same order.

    A vector is cut into one shard of equal size for each rank; behind its end shards are filled up with zeros.

    Parameters
    ----------
    where : str
        The function that was called, for messages.
    comm : communicator
        Of mpi4py, or any object with those of its upper-case methods that are in `METHODS`.

    Attributes
    ----------
    rank, size : int
        The number of this process, and how many there are.
    seconds : float
        Spent on sending, receiving and waiting for others.
    """

    def __init__(self, where, comm):
        for name in METHODS:
            if isinstance(comm, type) or not callable(getattr(comm, name, None)):
                expected = "a communicator such as mpi4py.MPI.COMM_WORLD"
                raise TypeError(f"{where}: comm must be {expected}, got {type(comm).__name__} without {name}")
        self.comm, self.rank, self.size, self.seconds = comm, comm.Get_rank(), comm.Get_size(), 0.0

    @_timed
    def sum(self, numbers):
        """Return the sums over all ranks of some numbers, in float64: of 0 on all ranks but one it is exact."""
        numbers = np.asarray(numbers, np.float64)
        total = np.empty_like(numbers)
        self.comm.Allreduce(numbers, total)
        return total

    @_timed
    def gather(self, array):
        """Return the arrays of all ranks, of one shape, one after the other."""
        gathered = np.empty((self.size, *array.shape), array.dtype)
        self.comm.Allgather(np.ascontiguousarray(array), gathered)
        return gathered

    @_timed
    def wait(self):
        """Wait until all ranks are here."""
        self.comm.Barrier()

    @_timed
    def broadcast(self, vector):
        """Overwrite a vector by that of rank 0."""
        for first in range(0, vector.size, BUCKET):
            self.comm.Bcast(vector[first : first + BUCKET])

    @_timed
    def reduce(self, vector, shard, tree):
        """Write the sum over all ranks of this rank's part of a vector into `shard`.

        With `tree`, pairs are added, then pairs of pairs, and so on; else in whatever order MPI finds fast.
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
    def collect(self, shard, vector):
        """Write the shards of all ranks into a vector."""
        for part in self._parts(shard.size):
            if vector.size == self.size * shard.size and part == slice(0, shard.size):
                self.comm.Allgather(shard, vector)
                continue
            received = np.empty((self.size, part.stop - part.start), vector.dtype)
            self.comm.Allgather(shard[part], received)
            for row, place in self._places(received, vector, shard.size, part):
                place[:] = row[: place.size]

    def _parts(self, size):
        """Return the slices of a shard that go in one message each."""
        step = max(1, BUCKET // self.size)
        return [slice(first, min(first + step, size)) for first in range(0, size, step)]

    def _cut(self, vector, size, part):
        """Return a part of each shard of a vector as the rows of a matrix."""
        if vector.size == self.size * size and part == slice(0, size):
            return vector.reshape(self.size, size)
        rows = np.zeros((self.size, part.stop - part.start), vector.dtype)
        for row, place in self._places(rows, vector, size, part):
            row[: place.size] = place
        return rows

    def _places(self, rows, vector, size, part):
        """Yield each row and where it lies in the vector, which may end within it or before."""
        for k, row in enumerate(rows):
            yield row, vector[k * size + part.start : k * size + part.stop]

    @contextmanager
    def in_turn(self):
        """Let the first rank of each machine do this before the others, which then find kernels compiled."""
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
    def _node(self):
        """Return the communicator of the ranks on this machine, where MPI can tell, else that of all."""
        shared = getattr(sys.modules.get(type(self.comm).__module__), "COMM_TYPE_SHARED", None)
        return self.comm if shared is None else self.comm.Split_type(shared)


def add(a, b, out=None):
    """Return the sum of two arrays, whatever is in them."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.add(a, b, out=out)
