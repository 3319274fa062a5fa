"""The errors of `kernels.math` over ALL float32 numbers, or 10**8 of float64.

``python tests/exhaustive.py [--float64] [functions]``: a few minutes for each function on 2 cores, or half a minute.
With --float64 the points are stratified as in `tests/test_math.py`, and the exact values those of NumPy's long double
where it has the function. It writes where it stands into exhaustive.json in the current folder and goes on from there
when started again; `tests/test_math.py` runs a stratified sample of the same.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from test_math import EXACT, MAXIMUM_ULP, MULTIPLE_PRECISION, evaluate, stratified

CHUNK = 2**24  # bit patterns of float32
SAMPLES = 67  # of `stratified`, some 1.5 million points each
STATE = Path("exhaustive.json")


def worst_float32(name, chunk):
    """Return the largest error in ULP among CHUNK bit patterns, and where."""
    bits = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK, dtype=np.uint64).astype(np.uint32)
    return worst_at(name, bits.view(np.float32), np.float64)


def worst_float64(name, sample):
    """Return the same among the points of a sample."""
    return worst_at(name, stratified(np.random.default_rng(sample), np.float64), np.longdouble)


def worst_at(name, x, wide):
    """Return the largest error in ULP at x, and where; infinite where NaN or infinities differ."""
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(wide))
        rounded = exact.astype(x.dtype)
        found = evaluate(name, x)
        finite = np.isfinite(rounded)
        same = np.isnan(found) == np.isnan(rounded)
        same &= np.isinf(found) == np.isinf(rounded)
        if not same.all():
            return float("inf"), float(x[~same][0])
        ulps = np.abs(found[finite].astype(wide) - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    if not ulps.size:
        return 0.0, 0.0
    at = int(np.argmax(ulps))
    return float(ulps[at]), float(x[finite][at])


def main(arguments):
    """Run through all numbers, from where the last run stopped; exit with 1 if a bound does not hold."""
    double = "--float64" in arguments
    names = [each for each in arguments if each != "--float64"]
    if double and np.finfo(np.longdouble).nmant <= 52:
        sys.exit("exhaustive.py: there is no wider type than float64 on this platform")
    possible = [name for name in MAXIMUM_ULP if not (double and name in MULTIPLE_PRECISION)]
    worst, chunks = (worst_float64, SAMPLES) if double else (worst_float32, 2**32 // CHUNK)
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    held = True
    for name in names or possible:
        entry = state.setdefault(f"{name} float64" if double else name, {"chunk": 0, "ulp": 0.0, "at": 0.0})
        while entry["chunk"] < chunks:
            ulp, at = worst(name, entry["chunk"])
            if ulp > entry["ulp"]:
                entry.update(ulp=ulp, at=at)
            entry["chunk"] += 1
            STATE.write_text(json.dumps(state))
        bound = MAXIMUM_ULP[name][double]
        held &= entry["ulp"] <= bound
        print(f"{name:<15} {entry['ulp']:6.3f} ULP at {entry['at']!r} (bound {bound})", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
