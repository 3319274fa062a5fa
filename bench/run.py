"""A run of the benchmark: verifies, times and measures what a plan asks for; returns a tree for the report.

The tree holds only numbers, texts, lists and dicts, like results.json. Times are seconds per call: median and
quartiles of rounds in which all libraries take turns.
"""

import functools
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

import gd
from gd.training import tasks

from . import accuracy, assembly, ceilings, compilation, environment, growth
from .cases import Family
from .cost import cost
from .families import families
from .families.training import ROWS, WIDE, peak_memory
from .libraries import obeys, set_threads
from .measure import interleaved
from .verification import verify

FORMAT = 1
PATIENCE = 10  # seconds of a case above which there are fewer turns
SLOW = (
    "torch compiled",
    "deepspeed",
    "torch loop",
)  # two compile C++; the loop is slower than foreach
SCALED = (("optimizers", "Adam", 1_000_000), ("optimizers", "Adam", 8_000_000), ("activations", "sigmoid", 1_000_000))
MORE_SCALED = (("activations", "gelu_backward", 16_000_000), ("losses", "softmax_cross_entropy", 10_000_000))


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Parameters
    ----------
    quick : bool, default: False
        The headline computations at a few sizes, without libraries that compile for minutes.
    only : tuple of str, default: ()
        Names of computations or families, or "growth", in upper or lower case; if given, nothing else is timed or
        measured.
    sizes : tuple of int, default: ()
        Sizes instead of each family's own.
    threads : int, optional
        Number of threads; by default gd's.
    rounds : int, optional
        Turns of each library; by default 7, or 3 in a quick run and for cases that take seconds.
    data : str, optional
        Data for networks and linear models, as `gd train --data` takes it.
    """

    quick: bool = False
    only: tuple = ()
    sizes: tuple = ()
    threads: int | None = None
    rounds: int | None = None
    data: str | None = None

    @property
    def turns(self):
        """Turns of each library."""
        return self.rounds or (3 if self.quick else 7)

    @property
    def wanted(self):
        """The names that were asked for, in lower case."""
        return {name.lower() for name in self.only}

    def takes(self, family, what):
        """Return True if the plan includes a computation."""
        if self.only:
            return bool(self.wanted & {family.name, what.lower(), what.lower().removesuffix("_backward")})
        return not self.quick or what in family.headline

    def cases(self, family):
        """Return the cases of a family, grouped by computation."""
        taken = []
        for what in family.whats:
            if self.takes(family, what):
                sizes = self.sizes or (family.quick if self.quick else family.sizes_of(what))
                taken += [family.case(what, size) for size in sizes]
        return [case for case in taken if family.fits(case)]

    @property
    def growing(self):
        """The (sweep, size) pairs of what it costs to grow; a quick run measures it only if it was asked for."""
        asked = growth.NAME in self.wanted if self.only else not self.quick
        return growth.cases(self.quick, self.sizes) if asked else []


class UnknownName(ValueError):
    """Raised for a name that no computation and no family has."""


def check_names(names):
    """Raise UnknownName unless each is a computation or a family."""
    known = {name: None for family in families().values() for name in (family.name, *family.whats)} | {
        growth.NAME: None
    }
    for name in names:
        if name.lower() not in {each.lower() for each in known}:
            raise UnknownName(f"expected names of computations or families, such as {', '.join(known)}, got {name!r}")


def run(plan, command, progress):
    """Return the results of a plan.

    Parameters
    ----------
    plan : Plan
    command : str
        The command line that repeats the run.
    progress : callable
        Called with a text before each part of the work.
    """
    started, start = datetime.now(UTC), perf_counter()
    threads = plan.threads or gd.get_threads()
    made = families()
    made["training"].path = plan.data
    with gd.threads(threads), threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        set_threads(threads)
        results = {
            "format": FORMAT,
            "command": command,
            "started": started.isoformat(timespec="seconds"),
            "quick": plan.quick,
            "environment": environment.environment(),
        }
        timed = [family for family in made.values() if family.name != "training"]
        results["cases"] = [
            record for family in timed for record in timings(plan, family, plan.cases(family), progress)
        ]
        results["epochs"] = epochs(plan, made["training"], progress)
        results["growth"] = growth.growth(plan.growing, progress)
        if not plan.only:
            results["ceilings"] = measured_ceilings(plan, progress)
            results["scaling"] = scaling(plan, made, threads, progress)
            progress("peak memory")
            results["memory"] = memory(plan)
            progress("accuracy")
            results["accuracy"] = accuracy.accuracy(quick=plan.quick)
            progress("compilation")
            results["compilation"] = compilation.compilation(quick=plan.quick)
        progress("assembly")
        results["assembly"] = assembly.table(_whats(results), ("float32",) if plan.quick else ("float32", "float64"))
    results["seconds"] = perf_counter() - start
    return results


def parts(plan):
    """Return the number of calls of `progress` in a run."""
    count = 1 + len(plan.growing) + sum(len(plan.cases(family)) for family in families().values())
    if plan.only:
        return count
    cases = len(SCALED) + (0 if plan.quick else len(MORE_SCALED))
    threads = _thread_counts(plan.threads or gd.get_threads())
    return count + 5 + len(threads) * cases


def timings(plan, family: Family, cases, progress):
    """Verify and time cases; return their records."""
    records = []
    for case in cases:
        progress(str(case))
        libraries = _libraries(plan, family, case)
        failed = dict(_wrong(family, case.what, case.dtype, libraries, plan.quick))
        with np.errstate(all="ignore"):
            calls = {}
            for name, side in family.sides(case, set(libraries) - failed.keys()).items():
                try:
                    side.call()
                    calls[name] = side.call
                except Exception as error:  # a library may fail in its own ways: out of memory, no compiler
                    failed[name] = f"failed at size {case.size:,}: {type(error).__name__}: {error}"[:200]
            mix, ceiling = family.ceiling(case)
            if ceiling is not None:
                calls["ceiling"] = ceiling.call
            seconds = interleaved(calls, plan.turns, family.settle, patience=PATIENCE if plan.rounds is None else inf)
        record = {
            "family": family.name,
            "what": case.what,
            "size": case.size,
            "dtype": case.dtype,
            "threads": gd.get_threads(),
            "bytes": None,
            "flops": None,
            "mix": mix,
            "libraries": seconds,
            "failed": failed,
        }
        if "gd" in calls:
            record["bytes"], record["flops"] = cost(family, case, calls["gd"])
        records.append(record)
    return records


@functools.cache
def _wrong(family, what, dtype, libraries, quick):
    return verify(family, what, dtype, libraries, family.odd[-2:] if quick else None)


def _libraries(plan, family, case):
    """Return the names of the libraries to time: those whose number of threads can be set."""
    names = family.makers(case)
    everywhere = gd.get_threads() == os.cpu_count()
    return tuple(name for name in names if (not plan.quick or name not in SLOW) and (everywhere or obeys(name)))


def epochs(plan, family, progress):
    """Return the records of epochs of training, extrapolated from some steps."""
    found = []
    for record in timings(plan, family, plan.cases(family), progress):
        rows, steps = record["size"], family.steps(family.case(record["what"], record["size"]))
        factor, unit = 1 / steps, "step"
        if record["what"] != WIDE:
            factor, unit = factor * -(-ROWS // rows), f"epoch of {ROWS:,} rows"
        for seconds in record["libraries"].values():
            for name in ("median", "low", "high"):
                seconds[name] *= factor
        for name in ("bytes", "flops"):
            record[name] = record[name] and record[name] * factor
        found.append(record | {"what": f"{record['what']}, batch {rows}", "unit": unit})
    return found


def measured_ceilings(plan, progress):
    """Return the measured ceilings of the machine."""
    sizes, orders = (ceilings.SIZES[1:5], ceilings.ORDERS[1:2]) if plan.quick else (ceilings.SIZES, ceilings.ORDERS)
    progress("memory bandwidth")
    streams = ceilings.bandwidth(sizes, plan.turns)
    progress("matrix products")
    return {"bandwidth": streams, "products": ceilings.products(orders, plan.turns)}


def scaling(plan, made, threads, progress):
    """Return records of some cases with 1, 2, 4, ... threads."""
    found = []
    for count in _thread_counts(threads):
        with gd.threads(count), threadpool_limits(count):
            set_threads(count)
            for name, what, size in SCALED + (() if plan.quick else MORE_SCALED):
                found += timings(plan, made[name], [made[name].case(what, size)], progress)
    set_threads(threads)
    return found


def _thread_counts(threads):
    """Return 1, 2, 4, ... and last the number itself; an empty list for one thread."""
    return sorted({*(2**k for k in range(threads.bit_length())), threads}) if threads > 1 else []


def memory(plan):
    """Return the rise of peak memory in steps of a wide network; Linux only."""
    found = []
    for library in () if plan.quick else ("gd", "numpy", "torch"):
        peak = peak_memory(library, WIDE, 16)
        if peak is not None:
            found.append({"what": f"step of {WIDE}, batch 16", "library": library, "bytes": peak})
    return found


def _whats(results):
    """Return the names of the timed computations, as `gd.warmup` takes them."""
    names = {record["what"].removesuffix("_backward"): None for record in results["cases"]}
    return [name for name in names if name in tasks()]
