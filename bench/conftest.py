"""``pytest bench --benchmark-only``: times every case of every installed library by pytest-benchmark."""

import functools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gd

from .cost import cost
from .environment import environment
from .families import families
from .libraries import installed, set_threads
from .measure import MOST, TURN, interleaved
from .verification import verify

SIZES = slice(1, None, 2)  # every other size of a full run
ROUNDS = 5


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Run benchmarks in this process, one after the other."""
    return 0


def pytest_generate_tests(metafunc):
    """Make a test of every case and library, named by strings that -k and --benchmark-compare can match."""
    family = families()[metafunc.module.FAMILY]
    found = []
    for what in family.whats:
        for size in family.sizes_of(what)[SIZES]:
            case = family.case(what, size)
            if family.fits(case):
                found += [(what, size, name) for name in family.makers(case) if installed(name)]
    metafunc.parametrize(("what", "size", "library"), found)


def pytest_collection_modifyitems(items):
    """Ignore warnings of other libraries."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"))


def pytest_benchmark_update_machine_info(config, machine_info):
    """Add the environment of the report: caches, BLAS, threads, versions, commit."""
    machine_info.update(environment())


@pytest.fixture(scope="session", autouse=True)
def _threads():
    with threadpool_limits(gd.get_threads()):
        set_threads(gd.get_threads())
        yield


@functools.cache
def _verified(family, what):
    return verify(families()[family], what)


@pytest.fixture
def measured(benchmark, request, what, size, library):
    """Return a function that verifies, then times one library's side of a case."""

    def measure():
        family = families()[request.module.FAMILY]
        case = family.case(what, size)
        wrong = _verified(family.name, what).get(library)
        if wrong:
            pytest.fail(wrong)
        with np.errstate(all="ignore"):
            sides = family.sides(case, (library, "gd"))
            (_, ceiling), needed = family.ceiling(case), cost(family, case, sides["gd"].call)
            call = sides[library].call
            call()
            repeats = int(min(MOST, max(1, TURN / interleaved({library: call}, 1)[library]["median"])))
            benchmark.group = f"{what}, {size:,}"
            benchmark.pedantic(call, rounds=ROUNDS, iterations=repeats, warmup_rounds=1)
            seconds = benchmark.stats.stats.median
            told = {"threads": gd.get_threads(), "dtype": case.dtype, "library": library}
            if needed.bytes is not None:
                told |= {"bytes_per_element": needed.bytes / size, "GB/s": needed.bytes / seconds / 1e9}
            if needed.flops is not None:
                told |= {"flops_per_element": needed.flops / size, "GFLOP/s": needed.flops / seconds / 1e9}
            if ceiling is not None:
                best = interleaved({"ceiling": ceiling.call}, ROUNDS)["ceiling"]["median"]
                told["share_of_ceiling"] = best / seconds
            benchmark.extra_info.update(told)

    return measure
