"""What it costs to grow: the benchmark's measurement of it, and what the report says of it."""

import gc
import json

import numpy as np
import pytest
from made_up_results import full, growing

import gd
from gd.__main__ import main
from gd.bench import growth as measured
from gd.bench.report import growth


def test_growth_is_measured_at_the_sizes_asked_for():
    pairs = [(sweep, size) for sweep, size in measured.cases(sizes=(10, 40)) if "SGD" in sweep.what]
    records = measured.growth(pairs, lambda text: None)
    assert [(each["what"], each["size"]) for each in records] == [(sweep.what, size) for sweep, size in pairs]
    assert all(each["libraries"][side]["median"] > 0 for each in records for side in ("gd", "ceiling"))


def test_growth_is_measured_alone(tmp_path, capsys):
    assert main(["bench", "--only", "growth", "--sizes", "10,40", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["cases"] == results["epochs"] == []
    found = {(record["what"], record["size"]): record["libraries"] for record in results["growth"]}
    assert found.keys() == {(sweep.what, size) for sweep in measured.SWEEPS for size in (10, 40)}
    assert all("gd" in each for each in found.values())
    assert "## Growth" in capsys.readouterr().out


def test_a_size_that_does_not_fit_into_memory_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr(measured, "free_memory", lambda: 5e9)
    sweep = measured.SWEEPS[0]
    (record,) = measured.growth([(sweep, sweep.sizes[-1])], lambda text: None)
    assert record["libraries"] == {}
    assert record["failed"] == {"gd": "it takes 8.0 GB, and 5.0 GB are free"}
    text = "\n".join(part for part in growth.section_of({"growth": [record]}, []) or () if type(part) is str)
    assert text == ""  # nothing was timed


def test_a_run_takes_sizes_of_quick_runs_and_a_full_run_up_to_a_billion():
    assert max(size for _, size in measured.cases()) == 10**9
    assert all(size * sweep.elements <= measured.QUICK for sweep, size in measured.cases(quick=True))


@pytest.mark.parametrize(
    "figures, place",
    [
        ([(1e3, 1e-6, 1e-7), (1e4, 1e-5, 1e-6), (1e5, 1e-4, 1e-5)], None),
        ([(1e3, 1e-6, 1e-7), (1e4, 5e-5, 5e-6), (1e5, 5e-4, 5e-5)], None),  # the ceiling rises as much
        ([(1e3, 1e-6, 1e-7), (1e4, 5e-5, 1e-6), (1e5, 1e-4, 1e-5)], None),  # one size alone
        ([(1e3, 1e-7, 1e-6), (1e4, 1e-6, 1e-6), (1e5, 1e-5, 1e-5)], None),  # small calls are cheaper than the ceiling's
        ([(1e3, 1e-6, 1e-7), (1e4, 3e-5, 1e-6), (1e5, 3e-4, 1e-5)], (1e3, 1e4)),
        ([(1e3, 9e-6, 1e-7), (1e4, 1e-5, 1e-6), (1e5, 3e-4, 1e-5)], (1e4, 1e5)),  # from the cheapest size on
        ([(1e3, 1e-6, None), (1e4, 1.5e-5, None), (1e5, 2.5e-4, None)], (1e3, 1e5)),  # nothing to compare with
    ],
)
def test_a_cliff_is_a_lasting_rise_beyond_the_ceilings(figures, place):
    found = growth.cliff(growing(*figures))
    assert (found and tuple(record["size"] for record in found)) == place


def test_the_report_names_a_cliff_and_what_was_left_out():
    _, said, *parts = growth.section_of(full(), []).parts
    assert said == "A cliff in SGD.step: from 1e7 on, the time per element is 4.5x that at 1e3, its ceiling's 1.00x."
    table, missing = parts
    assert table.columns == ("call", "ns per", "1e3", "1e5", "1e7", "rise")
    assert table.rows == [
        ("SGD.step", "element", "2.00", "4.00", "9.00", "4.5x"),
        ("its ceiling", "", "1.00", "1.00", "1.00", "1.00x"),
    ]
    assert missing == "SGD.step was not timed at 1e9: it takes 8.0 GB, and 5.0 GB are free."


def test_an_array_of_a_list_is_one_object_for_the_garbage_collector():
    """More of them make new optimizers of 100,000 arrays several times as slow as of 1,000."""
    params = [np.zeros(3) for _ in range(1_000)]
    gd.Adam(params).step(params_like := [np.ones(3) for _ in params])
    gc.collect()
    before = len(gc.get_objects())
    optimizer = gd.Adam(params)
    gc.collect()
    assert len(gc.get_objects()) - before < 1.2 * len(params)
    optimizer.step(params_like)
