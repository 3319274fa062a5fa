"""Optimizers of gd.pytorch on tensors, beside those of torch.optim: one step with given gradients."""

from functools import partial
from importlib.util import find_spec

import numpy as np

import gd
from gd import reference

from ..cases import Case, Family, Side, vectors
from .optimizers import FUSED, VARIANTS

LENGTH = 1_081  # elements of each of several tensors: 148 of them are 160,000; the last may be shorter
SEVERAL, NEW, HALF = ", several tensors", ", several tensors with new gradients", ", several bfloat16 tensors"
ONE = ", one tensor"
LARGE = ("Adam", "RMSprop", "NAdam", "Adadelta")


class Tensors(Family):
    """One step of an optimizer of PyTorch; the size is that of all tensors together. It needs PyTorch."""

    name = "tensors"
    sizes, quick, odd = (160_000, 2_500_000, 10_000_000), (160_000,), (1, 1_083, 10_007)
    headline = (f"Adam{SEVERAL}",) if find_spec("torch") else ()
    whats = (f"Adam{SEVERAL}", f"Adam{NEW}", f"AdamW{HALF}", *(name + ONE for name in LARGE)) if headline else ()
    tolerance = 2e-2  # bfloat16 rounds to 2**-7

    def sizes_of(self, what):
        """Return the sizes of a full run: several tensors are small."""
        return self.sizes[1:] if what.endswith(ONE) else self.sizes[:1]

    def makers(self, case):
        """Return a maker for each library; all get equal parameters and gradients."""
        name, _, kind = case.what.partition(",")
        variants = {each: VARIANTS[each] for each in VARIANTS if each != "torch fused" or name in FUSED}
        made = {each: partial(self._torch, name, f",{kind}", case, options) for each, options in variants.items()}
        if case.dtype != "float32" and f",{kind}" == HALF:
            return {"numpy": partial(self._numpy, name, case)}
        return {
            "gd": partial(self._torch, name, f",{kind}", case, None),
            "numpy": partial(self._numpy, name, case),
        } | made

    def _numpy(self, name, case):
        p, g = _rounded(case)
        optimizer = reference.Optimizer(name, {"p": p})
        return Side(lambda: optimizer.step({"p": g}), lambda: [p])

    def _torch(self, name, kind, case, options):
        import torch

        dtype = torch.bfloat16 if kind == HALF else None
        length = max(case.size, 1) if kind == ONE else LENGTH
        params, grads = (torch.from_numpy(each).to(dtype).split(length) for each in _rounded(case))
        params = [torch.nn.Parameter(p) for p in params]
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        home = gd.pytorch if options is None else torch.optim
        optimizer = getattr(home, name)(params, **(options or {}))

        def call():
            if kind == NEW:
                optimizer.zero_grad()
                for p, g in zip(params, grads, strict=True):
                    p.grad = g.detach()
            optimizer.step()

        return Side(call, lambda: [np.concatenate([p.detach().to(torch.float64).numpy() for p in params])])


def _rounded(case: Case):
    """Return parameters and gradients, which bfloat16 holds exactly if the case is one of it."""
    found = vectors(case, 2)
    if HALF in case.what and case.dtype == "float32":
        found = [(each.view(np.uint32) & 0xFFFF0000).view(np.float32) for each in found]
    return found
