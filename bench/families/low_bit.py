"""Adam with states, or parameters, gradients and states, in fewer bits: against float32, of gd and of others."""

from dataclasses import replace

import numpy as np

import gd
from gd import reference

from ..cases import Family, Side, vectors
from .optimizers import Optimizers

WHATS = {
    "Adam, bfloat16 states": {"state_dtype": "bfloat16"},
    "Adam, int8 states": {"state_dtype": "int8"},
    "Adam, bfloat16 parameters, int8 states": {"param_dtype": "bfloat16", "state_dtype": "int8"},
}


class LowBit(Family):
    """One step of Adam; other libraries step parameters and states in float32."""

    name = "low-bit"
    sizes = (100_000, 1_000_000, 8_000_000, 32_000_000)
    quick = (8_000_000,)
    headline = tuple(WHATS)
    whats = tuple(WHATS)
    tolerance = 2e-2  # of what is stored in bfloat16: 2**-7, and 2**-6 for two steps

    def makers(self, case):
        """One of each library."""
        plain = Optimizers().makers(replace(case, what="Adam"))
        if case.dtype != "float32":
            return {"numpy": plain["numpy"]}
        own = {"gd": lambda: self._gd(case), "gd float32": plain["gd"]}
        return own | {name: plain[name] for name in ("numpy", "torch fused")}

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


def _upper(x):
    """Return the upper halves of float32 numbers: bfloat16."""
    return (x.view(np.uint32) >> 16).astype(np.uint16)
