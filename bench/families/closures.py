"""L-BFGS: eleven iterations on a quadratic, whose gradient costs next to nothing beside the history's ten pairs."""

import numpy as np

import gd
from gd import reference

from ..cases import Family, Side, vectors

OPTIONS = {"lr": 0.3, "max_iter": 11, "tolerance_grad": 0.0, "tolerance_change": 0.0, "history_size": 10}
WHATS = {"L-BFGS": None, "L-BFGS, strong Wolfe": "strong_wolfe"}


class Closures(Family):
    """Optimizers that are given the loss as a function, from the same start in each call."""

    name = "closures"
    sizes, quick = (100, 10_000, 1_000_000, 10_000_000), (10_000, 1_000_000)
    headline = ("L-BFGS",)
    whats = tuple(WHATS)
    tolerance = 1e-3  # eleven iterations in float32

    def makers(self, case):
        """Return a maker for each library."""
        return {name: lambda make=make: make(case) for name, make in (
            ("gd", self._gd), ("numpy", self._numpy), ("torch", self._torch),
        )}  # fmt: skip

    def arrays(self, case):
        """Return the number of arrays of all sides: three histories and some."""
        return 100

    def _problem(self, case):
        """Return the start, and f(p, g) that writes the gradient of sum(a * (p - b)**2) / 2 and returns the loss."""
        a, b = vectors(case, 2)
        np.clip(np.abs(a, out=a), 0.5, 2.0, out=a)

        def f(p, g):
            np.subtract(p, b, out=g)
            loss = np.dot(g * a, g) / 2
            np.multiply(g, a, out=g)
            return float(loss)

        return np.zeros_like(b), f

    def _gd(self, case):
        (p, f), search = self._problem(case), WHATS[case.what]
        g = np.empty_like(p)

        def call():
            p.fill(0)
            gd.LBFGS(p, max_eval=100, line_search=search, **OPTIONS).step(lambda: (f(p, g), g))

        return Side(call, lambda: [p])

    def _numpy(self, case):
        (start, f), search = self._problem(case), WHATS[case.what]
        found = [start]

        def fun(x):
            g = np.empty_like(x)
            return f(x, g), g

        def call():
            found[0] = reference.lbfgs(fun, start, line_search=search, **OPTIONS)[0]

        return Side(call, lambda: found)

    def _torch(self, case):
        import torch

        (p, f), search = self._problem(case), WHATS[case.what]
        tensor, g = torch.nn.Parameter(torch.from_numpy(p)), np.empty_like(p)
        tensor.grad = torch.from_numpy(g)

        def call():
            p.fill(0)
            torch.optim.LBFGS([tensor], max_eval=100, line_search_fn=search, **OPTIONS).step(
                lambda: torch.tensor(f(p, g))
            )

        return Side(call, lambda: [p])
