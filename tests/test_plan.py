"""The modelled step of data-parallel training, and `gd plan`."""

import re
from math import log2

import numpy as np
import pytest

from gd import plan
from gd.__main__ import main
from gd.bench import measure
from gd.optimizers import OPTIMIZERS
from gd.plan import Network, Rates, step

NETWORK, RATES = Network(2e-6, 12.5e9), Rates(0.5e-9, 8, 0.1e-9)


def run(capsys, *arguments):
    status = main(["plan", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rows(out):
    """Return the numbers in the rows of the table, those of time in ms."""
    return [
        [float(word.replace(",", "")) for word in line.split()[:7]]
        for line in out.splitlines()
        if line[:5].strip().isdigit()
    ]


@pytest.mark.parametrize("nodes", [2, 4, 64, 1024])
def test_costs_of_a_power_of_two_are_those_of_the_paper(nodes):
    size, (a, b, g) = 4e6, (NETWORK.latency, 1 / NETWORK.bandwidth, RATES.adding)
    sent = (nodes - 1) / nodes * size
    for found, expected in (
        (plan.ring_reduce_scatter(nodes, size, NETWORK, g), (nodes - 1) * a + sent * (b + g)),
        (plan.doubling_reduce_scatter(nodes, size, NETWORK, g), log2(nodes) * a + sent * (b + g)),
        (plan.ring_all_gather(nodes, size, NETWORK), (nodes - 1) * a + sent * b),
        (plan.doubling_all_gather(nodes, size, NETWORK), log2(nodes) * a + sent * b),
    ):
        assert found == pytest.approx(expected, rel=1e-12)


def test_other_numbers_of_nodes_take_rounds_more():
    size, network = 0, Network(1.0, 1.0)
    assert [plan.doubling_all_gather(n, size, network) for n in (3, 5, 6, 9)] == [2, 3, 3, 4]
    assert [plan.doubling_reduce_scatter(n, size, network) for n in (3, 5, 6, 9)] == [3, 4, 4, 5]
    assert plan.doubling_reduce_scatter(3, 1e6, Network(0.0, 1.0)) == 2e6  # whole vectors twice
    assert plan.doubling_reduce_scatter(4, 1e6, Network(0.0, 1.0)) == 0.75e6


@pytest.mark.parametrize("nodes", [1, 2, 3, 7, 8, 100, 1024])
@pytest.mark.parametrize("size", [4, 4e4, 4e9])
def test_the_fastest_is_the_faster_of_both(nodes, size):
    for collective in (plan.reduce_scatter, plan.all_gather):
        ring, doubling, fastest = (
            collective(nodes, size, NETWORK._replace(collectives=name)) for name in ("ring", "doubling", "fastest")
        )
        assert fastest == min(ring, doubling)


def test_among_three_nodes_long_vectors_go_around_the_ring_and_short_ones_do_not():
    long, short = (plan.reduce_scatter(7, size, NETWORK) for size in (4e8, 4))
    assert long == plan.ring_reduce_scatter(7, 4e8, NETWORK)
    assert short == plan.doubling_reduce_scatter(7, 4, NETWORK)


def test_one_node_sends_nothing_and_each_of_many_updates_its_shard():
    one, many = (step(n, 1001, 0.25, RATES, NETWORK._replace(collectives="ring")) for n in (1, 10))
    assert one.wire == one.additions == 0
    assert one.seconds == 0.25 + 1001 * RATES.update
    assert one.state == 8008
    assert many.update == 101 * RATES.update  # the largest
    assert many.state == 808
    assert many.additions == pytest.approx(0.9 * 4004 * RATES.adding, rel=1e-9)
    assert many.seconds == pytest.approx(many.compute + many.wire + many.additions + many.update, rel=1e-15)


def test_without_wire_efficiency_is_1():
    free = Network(0.0, 1e300)
    for scaling in plan.SCALINGS:
        steps = [step(n, 2**20, plan.rows_of_a_node(n, 64, scaling) / 64, Rates(1e-20, 8), free) for n in (1, 4, 64)]
        assert [plan.efficiency(steps[0], each, scaling) for each in steps] == pytest.approx([1, 1, 1], rel=1e-12)


def test_rows_are_shared_out_in_strong_scaling_alone():
    assert [plan.rows_of_a_node(n, 100, "strong") for n in (1, 3, 100, 1000)] == [100, 34, 1, 1]
    assert [plan.rows_of_a_node(n, 100, "weak") for n in (1, 3, 1000)] == [100, 100, 100]


@pytest.mark.parametrize(
    "change, match",
    [
        ({"nodes": 0}, "nodes must be at least 1"),
        ({"nodes": 1.5}, "nodes must be an integer"),
        ({"parameters": 0}, "parameters must be at least 1"),
        ({"compute": -1}, "compute must be in"),
        ({"rates": Rates(0, 8)}, "rates.update must be in"),
        ({"rates": Rates(1, 8, float("nan"))}, "rates.adding must be in"),
        ({"network": Network(-1, 1)}, "network.latency must be in"),
        ({"network": Network(0, 0)}, "network.bandwidth must be in"),
        ({"network": Network(0, 1, "torus")}, "network.collectives must be one of"),
    ],
)
def test_bad_arguments_are_refused(change, match):
    good = {"nodes": 2, "parameters": 10, "compute": 0.1, "rates": RATES, "network": NETWORK}
    with pytest.raises((TypeError, ValueError), match=f"^step: {match}"):
        step(**good | change)


@pytest.mark.parametrize(
    "count, text",
    [(0, "0.0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (123.4e9, "123 GB"), (8e15, "8000 TB")],
)
def test_bytes_have_the_unit_that_fits(count, text):
    assert plan.in_bytes(count) == text


@pytest.fixture
def quick(monkeypatch):
    """Measure nothing for long."""
    monkeypatch.setattr(measure, "TURN", 0.0)


def test_the_table_is_marked_and_adds_up(capsys, quick):
    status, out, err = run(capsys, "--parameters", 1e5, "--compute", 0.5, "--bandwidth", 1, "--latency", 10)
    assert (status, err) == (0, "")
    assert re.search(r"^MODELLED .*nothing was sent$", out, re.MULTILINE)
    table = rows(out)
    assert [row[0] for row in table] == [2**k for k in range(11)]
    for nodes, compute, scatter, added, update, gather, whole in table:
        assert compute == pytest.approx(500 / nodes, abs=0.5)  # of 1,024 rows
        assert whole == pytest.approx(compute + scatter + added + update + gather, abs=0.003)
        assert gather == pytest.approx(1e3 * plan.all_gather(int(nodes), 4e5, Network(1e-5, 1e9)), abs=6e-4)
    assert len({row.split()[-1] for row in out.splitlines() if row.endswith("B")}) == 2


def test_a_network_is_measured_for_the_rows_of_a_node(capsys, quick):
    arguments = ("--network", "6,5,3", "--nodes", "2,3", "--batch-size", 10)
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    assert "53 parameters" in out
    assert "forward and backward of 10 rows" in out
    assert [row[0] for row in rows(out)] == [1, 2, 3]
    status, out, _ = run(capsys, *arguments, "--scaling", "weak")
    assert len({row[1] for row in rows(out)}) == 1


@pytest.mark.parametrize("dtype, state", [(None, 8), ("bfloat16", 4), ("int8", 2 * 260 / 256)])
def test_the_state_of_an_element_is_that_of_the_storage(dtype, state, capsys, quick):
    status, out, _ = run(capsys, "--parameters", 1000, "--nodes", 1, *(("--state-dtype", dtype) if dtype else ()))
    assert status == 0
    assert f"{state:.3g} bytes of state\n" in out
    assert not dtype or f"Adam with {dtype} states, 1,000 parameters" in out
    assert plan.in_bytes(1000 * state) in out


def test_a_picture(capsys, quick, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "plan.png"
    status, out, _ = run(capsys, "--parameters", 1000, "--output", picture)
    assert status == 0
    assert f"drawn      {picture}" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    steps = [step(n, 1000, 0.1, RATES, NETWORK) for n in (1, 2)]
    assert "not measured" in plan.plot(steps, "weak", "title").get_suptitle()


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("--batch-size", 0), "--batch-size must be at least 1"),
        (("--latency", -1), "network.latency must be in"),
        (("--bandwidth", 0), "network.bandwidth must be in"),
        (("--compute", "nan"), "compute must be in"),
        (("--network", "5,3", "--compute", 1), "give one of the two"),
        (("--network", "5"), "widths"),
        (("--output", "/nowhere/plan.png"), "--output /nowhere/plan.png: no such folder"),
    ],
)
def test_options_that_do_not_fit_are_one_line_and_status_2(arguments, match, capsys):
    pytest.importorskip("matplotlib")
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert match in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [("--parameters", "0"), ("--parameters", "x"), ("--nodes", "0"), ("--optimizer", "lamb"), ("--scaling", "x")],
)
def test_unknown_choices_end_in_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["plan", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_every_optimizer_that_steps_elements_alone_can_be_planned():
    from gd.commands.plan import NAMES, measure_rates

    assert set(OPTIMIZERS) - set(NAMES.values()) == {"LAMB", "LARS", "Prodigy", "Adafactor", "SM3", "Muon"}
    rates = measure_rates("SGD", None, 100)
    assert rates.update > 0
    assert rates.adding > 0
    assert rates.state == 0
    assert np.isfinite(rates).all()
