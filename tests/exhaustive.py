"""The errors of `kernels.math` over ALL float32 numbers: ``python tests/exhaustive.py [functions]``.

A few minutes for each function on 2 cores. It writes where it stands into exhaustive.json in the current folder and
goes on from there when started again; `tests/test_math.py` runs a stratified sample of the same.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from test_math import EXACT, MAXIMUM_ULP, evaluate

CHUNK = 2**24
STATE = Path("exhaustive.json")


def worst_in(name, chunk):
    """Return the largest error in ULP among CHUNK bit patterns, and where."""
    bits = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        rounded = exact.astype(np.float32)
        found = evaluate(name, x)
        finite = np.isfinite(rounded)
        same = np.isnan(found) == np.isnan(rounded)
        same &= np.isinf(found) == np.isinf(rounded)
        if not same.all():
            return float("inf"), float(x[~same][0])
        ulps = np.abs(found[finite].astype(np.float64) - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    if not ulps.size:
        return 0.0, 0.0
    at = int(np.argmax(ulps))
    return float(ulps[at]), float(x[finite][at])


def main(names):
    """Run through all numbers, from where the last run stopped; exit with 1 if a bound does not hold."""
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    held = True
    for name in names or MAXIMUM_ULP:
        entry = state.setdefault(name, {"chunk": 0, "ulp": 0.0, "at": 0.0})
        while entry["chunk"] < 2**32 // CHUNK:
            ulp, at = worst_in(name, entry["chunk"])
            if ulp > entry["ulp"]:
                entry.update(ulp=ulp, at=at)
            entry["chunk"] += 1
            STATE.write_text(json.dumps(state))
        bound = MAXIMUM_ULP[name][0]
        held &= entry["ulp"] <= bound
        print(f"{name:<15} {entry['ulp']:6.3f} ULP at {entry['at']!r} (bound {bound})", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
