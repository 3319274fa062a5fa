"""narrowing_search: trials that follow from the seed, ranges that shrink around the best, journals to go on from."""

import builtins
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gd
from gd.search import Choice, LogUniform, Uniform, narrowing_search
from gd.version import to_install

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
RANGES = {
    "lr": LogUniform(1e-6, 1.0),
    "width": LogUniform(4, 512, integer=True),
    "activation": Choice(["relu", "tanh", "silu"]),
    "momentum": Uniform(0, 1),
}


def peak(parameters, seed):
    """A score whose maximum 1 is at lr=1e-3, width=64, tanh, momentum=0.9; it diverges from lr=0.1 on."""
    if parameters["lr"] > 0.1:
        raise FloatingPointError("the loss is inf")
    score = 1 - (math.log10(parameters["lr"]) + 3) ** 2 - math.log2(parameters["width"] / 64) ** 2 / 4
    return score - (parameters["momentum"] - 0.9) ** 2 - 0.5 * (parameters["activation"] != "tanh") + 1e-12 * (seed % 7)


class Counted:
    """An objective that counts its calls and gives up after some of them."""

    def __init__(self, objective=peak, limit=math.inf):
        self.objective, self.limit, self.calls = objective, limit, 0

    def __call__(self, parameters, seed):
        if self.calls == self.limit:
            raise KeyboardInterrupt
        self.calls += 1
        return self.objective(parameters, seed)


# --- Ranges


@pytest.mark.parametrize("log", [False, True])
def test_integers_are_drawn_alike_with_both_ends(rng, log):
    each = LogUniform(1, 4, integer=True) if log else Uniform(-1, 2, integer=True)
    values, counts = np.unique([each.sample(rng) for _ in range(8000)], return_counts=True)
    assert values.tolist() == ([1, 2, 3, 4] if log else [-1, 0, 1, 2])
    ends = np.array([0.5, 1.5, 2.5, 3.5, 4.5])
    expected = np.diff(np.log(ends)) / np.log(9) if log else np.full(4, 0.25)
    np.testing.assert_allclose(counts / 8000, expected, atol=0.02)
    assert type(each.sample(rng)) is int


def test_orders_of_magnitude_are_drawn_alike(rng):
    values = [LogUniform(1e-4, 1.0).sample(rng) for _ in range(8000)]
    assert all(1e-4 <= value <= 1 for value in values)
    counts, _ = np.histogram(np.log10(values), bins=[-4, -3, -2, -1, 0])
    np.testing.assert_allclose(counts / 8000, 0.25, atol=0.02)


@settings(max_examples=150)
@given(st.data())
def test_narrowed_ranges_lie_inside_shrink_and_hold_the_best(data):
    integer, log = data.draw(st.booleans()), data.draw(st.booleans())
    number = st.integers(1 if log else -1000, 1000) if integer else st.floats(1e-9 if log else -1e6, 1e6)
    low, high = sorted([data.draw(number), data.draw(number)])
    each = (LogUniform if log else Uniform)(low, high, integer=integer)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    best, share = [each.sample(rng) for _ in range(data.draw(st.integers(1, 5)))], data.draw(st.floats(1e-9, 1))
    narrow = each.narrowed(best, share)
    assert type(narrow) is type(each)
    assert narrow.integer == integer
    assert low <= narrow.low <= best[0] <= narrow.high <= high
    coordinate = math.log if log else float
    margin = 0.5 if integer else 0.0
    width = coordinate(high + margin) - coordinate(low - margin)
    if integer:  # whole values that lie inside, and the best
        inside = width * share if not log else (high + margin) * (1 - math.exp(-width * share))
        assert narrow.high - narrow.low + 1 <= inside + 2
    else:
        slack = 1e-9 * max(abs(coordinate(low)), abs(coordinate(high)), 1e-9)
        assert coordinate(narrow.high) - coordinate(narrow.low) <= share * width + slack
        assert coordinate(narrow.high) - coordinate(narrow.low) >= share * width - slack  # shifted, not cut


def test_ranges_are_narrowed_around_the_median_but_hold_the_best():
    assert Uniform(0, 10).narrowed([4, 6, 5], 0.2) == Uniform(4, 6)
    assert Uniform(0, 10).narrowed([9.5], 0.5) == Uniform(5, 10)
    assert Uniform(0, 10).narrowed([1, 9, 9], 0.2) == Uniform(1, 3)
    assert Uniform(1, 10, integer=True).narrowed([5], 0.5) == Uniform(3, 7, integer=True)
    assert Uniform(0, 9, integer=True).narrowed([7], 0.01) == Uniform(7, 7, integer=True)
    narrow = LogUniform(1e-4, 1.0).narrowed([1e-2], 0.5)
    assert (narrow.low, narrow.high) == pytest.approx((1e-3, 1e-1), rel=1e-12)


def test_choices_keep_the_options_of_the_best_in_order():
    options = ((64,), [64, 64], np.float32(3), None)
    assert Choice(options).narrowed([None, [64, 64], None], 0.5).options == ([64, 64], None)
    assert Choice(np.array([1, 2])).sample(np.random.default_rng(0)) in (1, 2)


def test_ranges_print_themselves():
    assert str(Uniform(0, 0.123456)) == "0 to 0.1235"
    assert str(LogUniform(16, 256, integer=True)) == "16 to 256 (log)"
    assert str(Choice(["relu", (3, 4), math.sqrt, peak])) == "relu, (3, 4), <built-in function sqrt>, <function peak>"


def test_scikit_learn_draws_from_ranges():
    sampler = pytest.importorskip("sklearn.model_selection").ParameterSampler
    drawn = list(sampler(RANGES, 20, random_state=0))
    assert drawn == list(sampler(RANGES, 20, random_state=0))
    assert len({each["lr"] for each in drawn}) == 20
    for random_state in (None, 3, np.random.default_rng(3), np.random.RandomState(3)):
        assert 1e-6 <= RANGES["lr"].rvs(random_state=random_state) <= 1
    assert RANGES["lr"].rvs(3) == RANGES["lr"].rvs(np.random.default_rng(3))


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: Uniform(0, math.inf), r"Uniform: high must be in \(-inf, inf\), got inf"),
        (lambda: Uniform(math.nan, 1), "Uniform: low must be in .*, got nan"),
        (lambda: Uniform("0", 1), "Uniform: low must be a number in .*, got '0'"),
        (lambda: Uniform(2, 1), "Uniform: low must not be above high, got 2.0 and 1.0"),
        (lambda: Uniform(-1e308, 1e308), "Uniform: low must not be above high"),
        (lambda: Uniform(0.5, 3, integer=True), "Uniform: low must be a whole number with integer=True, got 0.5"),
        (lambda: Uniform(0, 1, integer=1), "Uniform: integer must be True or False, got 1"),
        (lambda: LogUniform(0, 1), r"LogUniform: low must be in \(0, inf\), got 0"),
        (lambda: Choice([]), r"Choice: options must be at least one, none twice, got \[\]"),
        (lambda: Choice(["relu", "tanh", "relu"]), "Choice: options must be at least one, none twice"),
        (lambda: Choice([np.ones(2), np.ones(2)]), "Choice: options must be at least one, none twice"),
        (lambda: Choice("relu"), "Choice: options must be a list, got 'relu'"),
        (lambda: Choice({1, 2}), "Choice: options must be a list, got {1, 2}"),
    ],
)
def test_bad_ranges_are_refused(make, match):
    with pytest.raises((TypeError, ValueError), match=f"^{match}"):
        make()


# --- Searches


def test_a_search_is_better_than_one_round_of_as_many_trials():
    ranges = RANGES | {"activation": Choice(["tanh"])}
    for seed in range(5):
        narrowing = narrowing_search(peak, ranges, rounds=4, samples=15, seed=seed)
        single = narrowing_search(peak, ranges, rounds=1, samples=60, seed=seed)
        assert narrowing.score > max(single.score, 0.9)


def test_a_result_holds_all_that_happened():
    result = narrowing_search(peak, RANGES, rounds=3, samples=8, seed=1)
    assert [(trial.round, trial.number) for trial in result.trials] == [(k, n) for k in range(3) for n in range(8)]
    assert len({trial.seed for trial in result.trials}) == 24
    assert result.ranges[0] == RANGES
    assert len(result.ranges) == 3
    for trial in result.trials:
        assert trial.parameters.keys() == RANGES.keys()
        assert type(trial.seed) is int
        assert trial.seconds > 0
        for name, each in result.ranges[trial.round].items():
            value = trial.parameters[name]
            assert value in each.options if isinstance(each, Choice) else each.low <= value <= each.high
        if trial.error is None:
            assert trial.score == peak(trial.parameters, trial.seed)
    assert result.score == max(trial.score for trial in result.trials)
    assert result.score == result.ranked[0].score
    assert result.best == result.ranked[0].parameters
    for before, after in zip(result.ranges[:-1], result.ranges[1:], strict=True):
        assert math.log(after["lr"].high / after["lr"].low) == pytest.approx(
            0.5 * math.log(before["lr"].high / before["lr"].low)
        )
        assert set(after["activation"].options) <= set(before["activation"].options)


def test_the_best_trials_so_far_say_where_to_go_on():
    result = narrowing_search(peak, RANGES, rounds=3, samples=10, keep=0.3, shrink=0.25)
    for k in (1, 2):
        so_far = sorted((t for t in result.trials if t.round < k and not t.error), key=lambda t: -t.score)[:3]
        for name, each in RANGES.items():
            expected = each.narrowed([trial.parameters[name] for trial in so_far], 0.25**k)
            assert result.ranges[k][name] == expected


def test_trials_follow_from_the_seed_alone():
    result = narrowing_search(peak, RANGES, seed=3)
    assert result == narrowing_search(peak, dict(reversed(RANGES.items())), seed=3)
    assert result.trials[:10] == narrowing_search(peak, RANGES, rounds=1, samples=10, seed=3).trials
    assert result.trials[:4] == narrowing_search(peak, RANGES, rounds=1, samples=4, seed=3).trials
    assert result.trials != narrowing_search(peak, RANGES, seed=4).trials


def test_processes_change_nothing(tmp_path):
    pytest.importorskip("joblib")
    expected = narrowing_search(peak, RANGES, rounds=2, samples=6)
    result = narrowing_search(peak, RANGES, rounds=2, samples=6, jobs=2, journal=tmp_path / "journal")
    assert result == expected
    assert narrowing_search(Counted(limit=0), RANGES, rounds=2, samples=6, journal=tmp_path / "journal") == expected

    class Marked:  # an option that is another one once it was sent to a process
        pass

    options = [Marked(), Marked(), Marked()]
    result = narrowing_search(
        lambda parameters, seed: parameters["a"], {"a": Uniform(0, 1), "option": Choice(options)}, jobs=2, samples=4
    )
    assert all(trial.parameters["option"] in options for trial in result.trials)
    with pytest.raises(ZeroDivisionError):
        narrowing_search(lambda parameters, seed: 1 / 0, RANGES, jobs=2)


def test_processes_share_the_threads(monkeypatch):
    pytest.importorskip("joblib")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")  # which each process would use
    before = gd.get_threads()
    result = narrowing_search(lambda parameters, seed: gd.get_threads(), RANGES, rounds=1, samples=4, jobs=2)
    assert {trial.score for trial in result.trials} == {min(2, max(1, before // 2))}
    assert gd.get_threads() == before


def test_failed_trials_are_noted_and_left_behind():
    def objective(parameters, seed):
        if parameters["x"] > 0.8:
            raise FloatingPointError
        return {0: math.nan, 1: math.inf, 2: -math.inf}.get(int(5 * parameters["x"]), np.float32(parameters["x"]))

    result = narrowing_search(objective, {"x": Uniform(0, 1)}, rounds=2, samples=20)
    assert {trial.error for trial in result.trials[:20]} == {
        None,
        "FloatingPointError",
        "the score is nan",
        "the score is inf",
        "the score is -inf",
    }
    assert all((trial.score == -math.inf) == (trial.error is not None) for trial in result.trials)
    assert all(type(trial.score) is float for trial in result.trials)
    assert 0.6 <= result.score <= 0.8


def test_where_all_trials_fail_the_ranges_stay():
    result = narrowing_search(lambda parameters, seed: math.nan, RANGES, samples=2)
    assert result.best is None
    assert result.score == -math.inf
    assert result.ranges == [RANGES] * 3


def test_a_training_that_diverges_is_a_failed_trial(rng):
    X = rng.standard_normal((100, 2), np.float32)
    y = (X[:, 0] > 0).astype(int)

    def objective(parameters, seed):
        model = gd.MLP([2, 8, 2], seed=seed)
        optimizer = gd.Adam(model.parameters, lr=parameters["lr"])
        gd.fit(model, X, y, optimizer, batch_size=20, progress=False, seed=seed)
        return model.score(X, y)

    result = narrowing_search(objective, {"lr": Choice([1e-2, 1e30])}, rounds=1, samples=6)
    assert {trial.parameters["lr"] for trial in result.trials} == {1e-2, 1e30}
    for trial in result.trials:
        diverged = trial.error is not None and trial.error.startswith("fit: the loss is nan in epoch 1")
        assert diverged == (trial.parameters["lr"] == 1e30)


def test_what_an_objective_does_to_its_parameters_is_its_own():
    result = narrowing_search(lambda parameters, seed: parameters.pop("lr"), RANGES, rounds=1, samples=2)
    assert result.trials[0].parameters.keys() == RANGES.keys()


def test_callbacks_see_each_round_and_can_end_the_search():
    seen = []
    result = narrowing_search(
        peak, RANGES, samples=3, callbacks=[lambda result: seen.append(len(result.trials)), lambda _: len(seen) == 2]
    )
    assert seen == [3, 6]
    assert len(result.trials) == 6
    assert len(result.ranges) == 2
    assert len(narrowing_search(peak, RANGES, samples=3, callbacks=lambda result: True).trials) == 3


def test_progress_goes_to_standard_error(capsys):
    pytest.importorskip("tqdm")
    narrowing_search(peak, RANGES, rounds=2, samples=3, progress=True)
    assert "6/6" in capsys.readouterr().err
    narrowing_search(peak, RANGES, rounds=2, samples=3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "missing, run, match",
    [
        ("joblib", lambda: narrowing_search(peak, RANGES, jobs=2), "narrowing_search: jobs=2 needs joblib"),
        ("tqdm", lambda: narrowing_search(peak, RANGES, progress=True), "narrowing_search: progress=True needs tqdm"),
        ("matplotlib", lambda: narrowing_search(peak, RANGES).plot(), "SearchResult.plot needs matplotlib"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, missing, run, match):
    there = builtins.__import__

    def absent(name, *arguments):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return there(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=f"^{match}: {re.escape(to_install('train'))}$"):
        run()


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"objective": 3}, "objective must be a function, got int"),
        ({"objective": lambda parameters, seed: None}, "objective must return a number, got None"),
        ({"objective": lambda parameters, seed: True}, "objective must return a number, got True"),
        ({"ranges": {}}, "ranges must be a dict of names and ranges, got {}"),
        ({"ranges": [Uniform(0, 1)]}, "ranges must be a dict of names and ranges"),
        ({"ranges": {"lr": (0, 1)}}, r"ranges\['lr'\] must be a Uniform, LogUniform or Choice, got \(0, 1\)"),
        ({"ranges": {1: Uniform(0, 1)}}, "ranges must have names that are strings, got 1"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"samples": 2.0}, "samples must be an integer"),
        ({"keep": 0}, r"keep must be in \(0, 1\], got 0"),
        ({"shrink": 1.5}, r"shrink must be in \(0, 1\], got 1.5"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"journal": 3}, "journal must be a path, got 3"),
        ({"callbacks": [3]}, "callbacks must be a sequence of functions, got int"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises((TypeError, ValueError), match=f"^narrowing_search: {match}"):
        narrowing_search(**{"objective": peak, "ranges": RANGES} | arguments)


# --- Journals


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "search.jsonl"


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def test_a_journal_is_strict_json_and_holds_every_trial_exactly(journal, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", synced.append)
    result = narrowing_search(peak, RANGES, samples=6, journal=journal)
    lines = [json.loads(line, parse_constant=refuse) for line in journal.read_text().splitlines()]
    assert lines[0]["ranges['lr']"] == repr(RANGES["lr"])
    assert len(lines) == len(synced) == 19
    for line, trial in zip(lines[1:], result.trials, strict=True):
        assert line["parameters"]["lr"] == trial.parameters["lr"]
        assert RANGES["activation"].options[line["parameters"]["activation"]] == trial.parameters["activation"]
        assert line["score"] == (trial.score if trial.error is None else None)
    content = journal.read_bytes()
    again = narrowing_search(Counted(limit=0), RANGES, samples=6, journal=str(journal))
    assert again == result
    assert [trial.seconds for trial in again.trials] == [trial.seconds for trial in result.trials]
    assert journal.read_bytes() == content


@pytest.mark.parametrize("ended", [0, 1, 5, 6, 17])
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_an_interrupted_search_goes_on(journal, ended, cut):
    expected = narrowing_search(peak, RANGES, samples=6)
    with pytest.raises(KeyboardInterrupt):
        narrowing_search(Counted(limit=ended), RANGES, samples=6, journal=journal)
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) - cut])  # as a crash leaves it
    objective = Counted()
    assert narrowing_search(objective, RANGES, samples=6, journal=journal) == expected
    assert objective.calls == 18 - (ended - bool(cut) if ended else 0)
    assert len(journal.read_bytes().splitlines()) == 19
    assert narrowing_search(Counted(limit=0), RANGES, samples=6, journal=journal) == expected


def test_a_search_goes_on_with_more_rounds(journal):
    first = narrowing_search(peak, RANGES, rounds=1, samples=5, journal=journal)
    objective = Counted()
    result = narrowing_search(objective, RANGES, rounds=3, samples=5, journal=journal)
    assert objective.calls == 10
    assert result == narrowing_search(peak, RANGES, rounds=3, samples=5)
    assert narrowing_search(Counted(limit=0), RANGES, rounds=1, samples=5, journal=journal) == first


def test_options_need_not_be_json(journal):
    def make():
        return {"f": Choice([lambda x: x, math.sin, np.float32(0.5), (64, 64), None])}

    def objective(parameters, seed):
        return seed / 2**31

    result = narrowing_search(objective, make(), samples=5, journal=journal)
    ranges = make()  # of which the first option is another function, at another address
    again = narrowing_search(Counted(limit=0), ranges, samples=5, journal=journal)
    assert [trial.score for trial in again.trials] == [trial.score for trial in result.trials]
    assert all(trial.parameters["f"] in ranges["f"].options for trial in again.trials)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"samples": 4}, "samples is 3 there and 4 here"),
        ({"keep": 0.5}, "keep is 0.2 there and 0.5 here"),
        ({"shrink": 0.25}, "shrink is 0.5 there and 0.25 here"),
        (
            {"ranges": RANGES | {"lr": LogUniform(1e-6, 2.0)}},
            r"ranges\['lr'\] is .*high=1.0.* there and .*high=2.0.* here",
        ),
        ({"ranges": {"lr": RANGES["lr"]}}, r"ranges\['activation'\] is Choice.* there and None here"),
    ],
)
def test_journals_of_other_searches_are_refused(journal, change, match):
    narrowing_search(peak, RANGES, samples=3, journal=journal)
    content = journal.read_bytes()
    with pytest.raises(ValueError, match=f"journal .*search.jsonl is of another search: {match}"):
        narrowing_search(**{"objective": peak, "ranges": RANGES, "samples": 3, "journal": journal} | change)
    assert journal.read_bytes() == content


@pytest.mark.parametrize("line", [b"garbage", b"\xff\x00", b"3", b"{}", b'{"round": [], "number": {}}', b'"text"'])
def test_damaged_lines_are_named(journal, line):
    narrowing_search(peak, RANGES, samples=3, journal=journal)
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([*lines[:4], line, *lines[4:]]) + b"\n")
    content = journal.read_bytes()
    with pytest.raises(ValueError, match=r"journal .*search.jsonl: line 5 must be a trial"):
        narrowing_search(peak, RANGES, samples=3, journal=journal)
    assert journal.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        {"score": "0.5"},
        {"score": None},
        {"score": math.nan},
        {"error": "why"},
        {"seed": 1},
        {"parameters": {}},
        {"x": 1},
    ],
)
def test_trials_that_were_changed_are_refused(journal, change):
    narrowing_search(peak, RANGES, samples=3, journal=journal)
    lines = journal.read_text().splitlines()
    k = next(k for k, line in enumerate(lines) if k and json.loads(line)["error"] is None)
    lines[k] = json.dumps(json.loads(lines[k]) | change)
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"journal has a trial . of round . that this search has not"):
        narrowing_search(peak, RANGES, samples=3, journal=journal)


@pytest.mark.parametrize("content", ["notes", '{"format"', "notes\nof a day\n", "[]\n", '{"a": 1}\n'])
def test_other_files_are_left_alone(journal, content):
    journal.write_text(content)
    if content == '{"format"':  # what a crash leaves of a journal's first line
        assert narrowing_search(peak, RANGES, samples=3, journal=journal).trials
        return
    with pytest.raises(ValueError, match=r"narrowing_search: journal .*search.jsonl"):
        narrowing_search(peak, RANGES, samples=3, journal=journal)
    assert journal.read_text() == content


# --- Plots and examples


def test_a_plot_shows_every_trial_range_and_the_best(tmp_path):
    pytest.importorskip("matplotlib")
    result = narrowing_search(peak, RANGES, samples=6)
    figure = result.plot(tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_xlabel() for axis in axes] == [*RANGES, "trial (line: best so far)"]
    for axis in axes:
        points = [line for line in axis.lines if line.get_marker() != "None"]
        stars = [line for line in points if line.get_marker() == "*"]
        assert [line.get_ydata()[0] for line in stars] == [result.score]
        assert [line.get_marker() == "x" for line in points] == [trial.error is not None for trial in result.trials]
        assert axis.get_ylim() == axes[0].get_ylim()
    points = [line for line in axes[0].lines if line.get_marker() != "None"]
    assert [line.get_xdata()[0] for line in points] == [trial.parameters["lr"] for trial in result.trials]
    bars = [line for line in axes[0].lines if len(line.get_xdata()) == 2]
    assert [tuple(line.get_xdata()) for line in bars] == [(each["lr"].low, each["lr"].high) for each in result.ranges]
    assert axes[0].get_xscale() == axes[1].get_xscale() == "log"
    assert [label.get_text() for label in axes[2].get_xticklabels()] == ["relu", "tanh", "silu"]


@pytest.mark.parametrize("score", [math.nan, 0.0, 0.7])
def test_a_plot_of_equal_scores_or_none(tmp_path, score):
    pytest.importorskip("matplotlib")
    ranges = {"fixed": LogUniform(3, 3), "option": Choice([peak, "x" * 40]), "n": Uniform(2, 2, integer=True)}
    narrowing_search(lambda parameters, seed: score, ranges, rounds=2, samples=2).plot(tmp_path / "search.png")
    assert (tmp_path / "search.png").exists()


def test_the_example_runs(tmp_path):
    pytest.importorskip("sklearn")
    command = [
        sys.executable,
        "-W",
        "error",
        EXAMPLES / "search.py",
        "--rounds",
        "1",
        "--samples",
        "1",
        "--epochs",
        "1",
    ]
    command += ["--journal", tmp_path / "journal", "--plot", tmp_path / "search.png"]
    environment = {**os.environ, "PYTHONPATH": str(Path(gd.__file__).parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "accuracy on the test set" in done.stdout
    assert len((tmp_path / "journal").read_text().splitlines()) == 2
    assert (tmp_path / "search.png").exists()
