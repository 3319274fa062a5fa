"""Adam with states, or parameters, gradients and states, in fewer bits: against float32, of gd and of others."""

import numpy as np

import gd
from gd import reference

from ..cases import Family, Side, vectors

WHATS = {
    "Adam, bfloat16 states": {"state_dtype": "bfloat16"},
    "Adam, int8 states": {"state_dtype": "int8"},
    "Adam, bfloat16 parameters, int8 states": {"param_dtype": "bfloat16", "state_dtype": "int8"},
}


class LowBit(Family):
    """One step of Adam; other libraries step parameters and states in float32."""

    name = "low_bit"
    sizes = (100_000, 1_000_000, 8_000_000, 32_000_000)
    quick = (8_000_000,)
    headline = tuple(WHATS)
    whats = tuple(WHATS)
    tolerance = 2e-2  # of what is stored in bfloat16: 2**-7, and 2**-6 for two steps

    def makers(self, case):
        """One of each library."""
        libraries = {"gd": self._gd, "numpy": self._numpy, "gd float32": self._float32, "torch fused": self._torch}
        if case.dtype != "float32":
            libraries = {"numpy": self._numpy}
        return {name: lambda maker=maker: maker(case) for name, maker in libraries.items()}

    def arrays(self, case):
        """Parameters, gradient and states of each."""
        return 16

    def _gd(self, case):
        options = WHATS[case.what]
        arrays = vectors(case, 2)
        if "param_dtype" in options:
            arrays = [_upper(each) for each in arrays]
        p, g = arrays
        optimizer = gd.Adam(p, **options)
        return Side(lambda: optimizer.step(g), lambda: [reference.from_bfloat16(p) if p.dtype == np.uint16 else p])

    def _float32(self, case):
        p, g = vectors(case, 2)
        optimizer = gd.Adam(p)
        return Side(lambda: optimizer.step(g), lambda: [p])

    def _numpy(self, case):
        p, g = vectors(case, 2)
        optimizer = reference.Optimizer("Adam", {"p": p})
        return Side(lambda: optimizer.step({"p": g}), lambda: [p])

    def _torch(self, case):
        import torch

        p, g = vectors(case, 2)
        tensor = torch.nn.Parameter(torch.from_numpy(p))
        tensor.grad = torch.from_numpy(g)
        return Side(torch.optim.Adam([tensor], fused=True).step, lambda: [p])


def _upper(x):
    """Return the upper halves of float32 numbers: bfloat16."""
    return (x.view(np.uint32) >> 16).astype(np.uint16)
