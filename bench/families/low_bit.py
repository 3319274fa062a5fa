"""Adam with states, or parameters, gradients and states, in fewer bits, against float32 Adam of gd and others."""

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
    """One step of Adam; other libraries take it in float32."""

    name = "low-bit"
    sizes = (100_000, 1_000_000, 8_000_000, 32_000_000)
    quick = (8_000_000,)
    headline = tuple(WHATS)
    whats = tuple(WHATS)
    tolerance = 2e-2  # bfloat16 rounds to 2**-7; two steps to 2**-6

    def makers(self, case):
        """Return a maker for each library."""
        plain = Optimizers().makers(replace(case, what="Adam"))
        if case.dtype != "float32":
            return {"numpy": plain["numpy"]}
        own = {"gd": lambda: self._gd(case), "gd float32": plain["gd"]}
        return own | {name: plain[name] for name in ("numpy", "torch fused")}

    def arrays(self, case):
        """Return the number of arrays for parameters, gradient and states of all sides."""
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
