"""Communicators whose ranks are threads of one process: the methods of mpi4py's that gd uses, without MPI."""

from threading import Barrier, Thread

import numpy as np


class Communicator:
    """One rank of several, which share `barrier` and `given`."""

    def __init__(self, rank=0, barrier=None, given=None):
        self.rank, self.barrier, self.given = rank, barrier or Barrier(1), given or [None]

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.given)

    def Barrier(self):
        self.barrier.wait(60)

    def Bcast(self, buffer):
        buffer[...] = self._exchanged(buffer)[0]

    def Allreduce(self, given, total):
        total[...] = sum(self._exchanged(given))

    def Allgather(self, given, gathered):
        gathered.reshape(len(self.given), -1)[...] = [each.reshape(-1) for each in self._exchanged(given)]

    def Alltoall(self, given, received):
        received[...] = [each[self.rank] for each in self._exchanged(given)]

    def Reduce_scatter_block(self, given, total):
        total[...] = sum(each[self.rank] for each in self._exchanged(given))

    def _exchanged(self, array):
        """Return what all ranks hand in."""
        self.given[self.rank] = np.array(array)
        self.Barrier()
        arrays = list(self.given)
        self.Barrier()
        return arrays


def on_ranks(size, function):
    """Return what a function of a communicator returns on each of several ranks."""
    barrier, given, found, errors = Barrier(size), [None] * size, [None] * size, []

    def run(rank):
        try:
            found[rank] = function(Communicator(rank, barrier, given))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found
