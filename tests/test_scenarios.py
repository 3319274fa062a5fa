"""Scenarios of threads, forks, Ctrl-C and damaged caches, each in a process of its own: see scenarios.py."""

import pytest
from conftest import optimized
from scenarios import LIMIT, SCENARIOS, run

PATIENCE = 5 * LIMIT  # other tests run meanwhile, and with GD_DEBUG every process compiles


@pytest.mark.parametrize("name", [pytest.param(n, marks=optimized if "cache" in n else ()) for n in SCENARIOS])
def test_scenario(name):
    outcome = run(name, PATIENCE)
    if outcome.result == "skipped":
        pytest.skip(outcome.output)
    assert outcome.result == "passed", f"{outcome.result} after {outcome.seconds:.0f} of {PATIENCE} s: {outcome.output}"
