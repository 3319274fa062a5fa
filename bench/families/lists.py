"""Optimizers: one step on a list of arrays of 1,000 elements, where the overhead per array is as long as its step."""

from dataclasses import replace

import numpy as np

from gd import reference
from gd.optimizers import OPTIMIZERS

from ..cases import Side, vectors
from .optimizers import FUSED, VARIANTS, Optimizers

LENGTH = 1_000  # elements of an array; the last may be shorter
SUFFIX = " on a list"


class Lists(Optimizers):
    """One step on a list of arrays; the size is that of all arrays together."""

    name = "lists"
    sizes, quick, odd = (100_000, 1_000_000), (1_000_000,), (1, 1_023, 10_007)
    headline = (f"Adam{SUFFIX}",)
    whats = tuple(name + SUFFIX for name in FUSED)

    def makers(self, case):
        """Return a maker for each library that takes lists; all get equal parameters and gradients."""
        return {name: maker for name, maker in super().makers(_of_one(case)).items() if name in LISTED}

    def ceiling(self, case):
        """Return the walk of the update over contiguous arrays."""
        return super().ceiling(_of_one(case))

    def _gd(self, case):
        (p, params), (_, grads) = _lists(case)
        optimizer = OPTIMIZERS[case.what](params)
        return Side(lambda: optimizer.step(grads), lambda: [p])

    def _numpy(self, case):
        (p, params), (_, grads) = (_named(each) for each in _lists(case))
        optimizer = reference.Optimizer(case.what, params)
        return Side(lambda: optimizer.step(grads), lambda: [p])

    def _torch(self, options, case):
        import torch

        (p, params), (_, grads) = _lists(case)
        tensors = [torch.nn.Parameter(torch.from_numpy(each)) for each in params]
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(g)
        return Side(getattr(torch.optim, case.what)(tensors, **options).step, lambda: [p])


LISTED = ("gd", "numpy", *VARIANTS)


def _of_one(case):
    return replace(case, what=case.what.removesuffix(SUFFIX))


def _lists(case):
    """Return (vector, the list of its pieces) of the parameters and of the gradients."""
    return [(each, np.split(each, range(LENGTH, each.size, LENGTH))) for each in vectors(case, 2)]


def _named(pair):
    vector, pieces = pair
    return vector, dict(enumerate(pieces))
