"""The tiers of the tests, and how many kernels each file may compile.

``pytest`` runs the default tier, in minutes: what finds nearly all faults. ``pytest --full`` (or -m "full or not full")
runs all but what is marked slow. The full tier's own tests are those marked so, and of tests with many cases, taken in
a random order that is always the same, those that bring no value of a parameter which none before had: each optimizer,
option, dtype and size is still there once.

Compiling is what tests would wait for. It is counted: a file that compiles more kernels than its budget fails, and says
in which tests. (From a cache that has them, none is compiled.)
"""

import random
from collections import Counter

import pytest

from gd.kernels import compiler

FEW = 8  # cases of a test that are never thinned out
BUDGET = 60  # kernels that a file may compile
BUDGETS = {}
_compiled = pytest.StashKey[Counter]()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the full tier, too")


def pytest_collection_modifyitems(config, items):
    """Leave out what is not of the tier that was asked for."""
    asked = config.option.markexpr
    for item in _thinned_out(items):
        item.add_marker("full")
    left_out = {"slow": "slow" in asked, "full": config.option.full or "full" in asked or "slow" in asked}
    unwanted = [name for name, wanted in left_out.items() if not wanted]
    out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    if out and not _named(config, out):
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def _named(config, items):
    """Whether the command line names one of these tests: it is run then, whatever its tier."""
    return any("::" in argument for argument in config.args)


def _thinned_out(items):
    """Yield the cases that have no value of a parameter which none before had, of tests with many cases."""
    cases = {}
    for item in items:
        if hasattr(item, "callspec"):
            cases.setdefault((item.path, item.cls, item.originalname), []).append(item)
    for each in cases.values():
        seen = set()
        random.Random(each[0].originalname).shuffle(each)  # so that not all have the first size and dtype
        for item in each if len(each) > FEW else ():
            values = {(name, _key(value)) for name, value in item.callspec.params.items()}
            if values <= seen:
                yield item
            seen |= values


def _key(value):
    return repr(value) if isinstance(value, (str, int, float, bool, tuple, type(None))) else id(value)


@pytest.fixture(scope="module", autouse=True)
def _budget(request):
    """Fail in the last test of a file that compiled more kernels than it may."""
    counts = request.node.stash[_compiled] = Counter()
    yield
    total, most = counts.total(), BUDGETS.get(request.node.path.name, BUDGET)
    if total > most and not request.config.option.full:
        named = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5))
        pytest.fail(f"{request.node.path.name} compiled {total} kernels, {most} are its budget; most in {named}")


@pytest.fixture(autouse=True)
def _counted(request, _budget):
    before = compiler.compilations
    yield
    if compiler.compilations > before:
        request.node.getparent(pytest.Module).stash[_compiled][request.node.name] += compiler.compilations - before
