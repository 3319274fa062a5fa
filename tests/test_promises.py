"""Every promise of docs/promises.md, and every one that SECURITY.md proves, has its tests."""

import ast
import re
from pathlib import Path

import pytest
from scenarios import SCENARIOS

import gd

ROOT = Path(gd.__file__).parent.parent
PAGES = [ROOT / "docs" / "promises.md", ROOT / "SECURITY.md"]


def links(text):
    """Yield (names, path) of each link to a test or to scenarios: [`name`, `name`](path)."""
    for names, path in re.findall(r"\[((?:`[\w-]+`(?:,\s+)?)+)\]\(([^)]+)\)", text):
        yield re.findall(r"`([\w-]+)`", names), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_are_named_exist(page):
    found = list(links(page.read_text()))
    assert found
    for names, path in found:
        file = page.parent / path
        tree = ast.parse(file.read_text())
        functions = SCENARIOS if file.name == "scenarios.py" else {getattr(each, "name", None) for each in tree.body}
        assert all(name in functions for name in names), (names, path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_links_lead_to_files(page):
    for path in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / path).is_file(), path


def test_every_promise_names_a_test():
    promises = re.split(r"^- ", PAGES[0].read_text().partition("## To see it")[0], flags=re.MULTILINE)[1:]
    assert len(promises) > 20
    for promise in promises:
        assert list(links(promise.partition("\n\n")[0])), promise


def test_every_scenario_belongs_to_a_promise():
    named = {name for names, path in links(PAGES[0].read_text()) if path.endswith("scenarios.py") for name in names}
    assert {name for name in SCENARIOS if not name.startswith("interrupt")} <= named


def test_every_script_that_shows_a_promise_exists():
    scripts = re.findall(r"^    python (tests/\S+)", PAGES[0].read_text(), re.MULTILINE)
    assert len(scripts) == 6
    assert all((ROOT / script).is_file() for script in scripts)
