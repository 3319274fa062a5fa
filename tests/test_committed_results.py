"""The committed results: their folders, index, reports and picture, and what the README says of them."""

import copy
import re
from pathlib import Path

import pytest
from made_up_results import TREES, full, markdown_sections

import gd
from gd.__main__ import main
from gd.bench import run as running
from gd.bench.report import readme, reasons, report
from gd.bench.report.document import markdown
from gd.bench.report.results import behind_peers, processor

pytest.importorskip("matplotlib")

ROOT = Path(gd.__file__).parent.parent


def of_another():
    results = full()
    results["environment"] |= {"processor": "AMD EPYC 9R14 96-Core Processor", "core": "znver4"}
    return results


RUNS = {"a-fast": full(), "amd-epyc-9r14": of_another()}


def in_checkout():
    if not (runs := readme.committed(ROOT)):
        pytest.skip("no results are committed")
    return runs


@pytest.mark.parametrize(
    "name, short, folder",
    [
        ("Intel(R) Xeon(R) Processor", "Intel Xeon", "intel-xeon"),
        ("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz", "Intel Xeon Platinum 8488C", "intel-xeon-platinum-8488c"),
        ("AMD EPYC 9R14 96-Core Processor", "AMD EPYC 9R14", "amd-epyc-9r14"),
        ("Apple M2", "Apple M2", "apple-m2"),
        (None, "unknown processor", "unknown-processor"),
    ],
)
def test_processors_have_short_names(name, short, folder):
    results = {"environment": {"processor": name, "core": "znver4"}}
    assert processor(results) == f"{short} (znver4)"
    assert readme.folder_of(results) == folder


def test_the_readme_is_updated_between_its_markers():
    text = f"# gd\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe rest.\n"
    once = readme.update_readme(text, RUNS)
    assert once.startswith(f"# gd\n\n{readme.BEGIN}\n")
    assert once.endswith(f"\n{readme.END}\n\nThe rest.\n")
    assert "old" not in once
    assert readme.summary(RUNS) in once
    assert readme.update_readme(once, RUNS) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        readme.BEGIN,
        readme.END + readme.BEGIN,
        readme.BEGIN + readme.END + readme.END,
        2 * readme.BEGIN + readme.END,
    ],
)
def test_a_readme_without_markers_is_refused(text):
    with pytest.raises(ValueError, match="needs one line"):
        readme.update_readme(text, RUNS)


def test_the_table_of_results_is_short():
    results = full()
    results["epochs"] *= 5
    more = [copy.deepcopy(results["cases"][k]) | {"what": what} for what in readme.HEADLINE for k in range(3)]
    results["cases"] = more + results["cases"]
    rows = markdown_sections(f"## \n{readme.results_table({'here': results})}")[""][2:]
    assert len(rows) <= readme.ROWS
    assert rows[0] == ("Adam", "10,000", "A &lt;fast&gt;", "1.00 ns/element", "4.0x", "3.0x", "0.95")
    assert rows[1] == ("Adam", "100,000,000", "A &lt;fast&gt;", "0.500 ns/element", "10x", "0.92x", "0.98")
    assert rows[-1] == ("epoch of 784-10", "-", "A &lt;fast&gt;", "2.00 s", "1.50x", "0.75x", "-")


def test_the_readme_names_machines_and_links_to_where_gd_loses():
    text = re.sub(r"\s+", " ", readme.summary(RUNS))
    for part in ("22 November 2026", "2 threads", "numpy 2.3", "torch 2.13", "/report.md#where-gd-loses)"):
        assert text.count(part) == 2
    assert "](docs/benchmark/speed.svg)" in text
    assert readme.speed(RUNS).svg.count(">elements<") == 2  # a panel a processor


@pytest.mark.parametrize("make", TREES.values(), ids=TREES)
def test_what_the_readme_says_of_any_results(make):
    runs = {"here": make()}
    assert not re.search(r"\b(nan|inf|None)\b", readme.summary(runs) + readme.results_table(runs))


def test_the_readme_has_its_markers():
    readme.update_readme((ROOT / "README.md").read_text(encoding="utf-8"), RUNS)


def test_rows_of_the_table_name_their_processor():
    rows = markdown_sections(f"## \n{readme.results_table(RUNS)}")[""]
    assert rows[0] == ("", "elements", "processor", "gd", "plain NumPy", "PyTorch", "share of the ceiling")
    assert [row[:3] for row in rows[2:4]] == [
        ("Adam", "10,000", who) for who in ("A &lt;fast&gt;", "AMD EPYC 9R14 (znver4)")
    ]


def test_the_index_names_processors_dates_and_how_many_comparisons_are_lost():
    text = readme.index(RUNS)
    for folder, results in RUNS.items():
        assert f"## {processor(results)}, 22 November 2026\n\nA peer is faster than gd in 4 of 13 comparisons" in text
        assert f"]({folder}/report.md)" in text
        assert f"]({folder}/pictures/standing.svg)" in text


def test_one_command_runs_all_and_writes_what_is_committed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(running, "run", lambda plan, command, progress: of_another())
    (tmp_path / "README.md").write_text(f"# gd\n\n{readme.BEGIN}\n{readme.END}\n")
    assert main(["bench", "--readme", str(tmp_path / "README.md")]) == 0
    folder = tmp_path / readme.FOLDER
    assert readme.committed(tmp_path).keys() == {"amd-epyc-9r14"}
    assert "# gd benchmark, AMD EPYC 9R14" in (folder / "amd-epyc-9r14" / "report.md").read_text(encoding="utf-8")
    assert (folder / "README.md").read_text(encoding="utf-8") == readme.index(readme.committed(tmp_path))
    assert "AMD EPYC 9R14 (znver4)" in (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--only", "adam"], "--readme is for a whole run"),
        (["--output", "there"], "--readme is for a whole run"),
        ([], "the README needs one line"),
    ],
)
def test_only_whole_runs_are_committed(options, message, tmp_path, capsys):
    (tmp_path / "README.md").write_text("# gd\n")
    assert main(["bench", "--readme", str(tmp_path / "README.md"), *options]) == 2
    assert message in capsys.readouterr().err


def test_what_is_committed_is_what_the_results_say():
    runs = in_checkout()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.update_readme(text, runs) == text
    assert readme.index(runs) == (ROOT / readme.FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(readme.folder_of(results) == folder for folder, results in runs.items())


def test_committed_reports_are_of_this_code():
    """Otherwise `python -m gd.bench.report` writes them again."""
    for folder, results in in_checkout().items():
        assert markdown(*report(results)) == (ROOT / readme.FOLDER / folder / "report.md").read_text(encoding="utf-8")


def test_each_reason_is_needed():
    """A reason that explains no lost comparison of the committed results has had its day."""
    runs = in_checkout().values()
    needed = {reasons.reason(record, results["started"]) for results in runs for record in behind_peers(results)}
    assert {each.why for each in reasons.REASONS} <= needed
