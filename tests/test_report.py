"""The benchmark's report and the check against a baseline, of results that are made up."""

import csv
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_results import TREES, case, full, markdown_sections, of_one_size

import gd
from gd.__main__ import main
from gd.bench.families import families
from gd.bench.report import drawing, notation, plots, reasons, regression, summary, write, write_comparison
from gd.bench.report.document import Lost, Table, markdown_table, numeric
from gd.bench.report.side_by_side import write_csv

pytest.importorskip("matplotlib")

ROOT = Path(gd.__file__).parent.parent
VOID = {"meta", "link"}  # elements of HTML without an end


SHOWN = (  # of full(): what has to be in a row where gd loses
    ("Adam, float32", "1e8", "torch fused 0.92x"),
    ("Adam, float32", "1e6", "0.75"),
    ("SGD, float32", "1e4", "numpy 0.999x", "0.899"),
    ("sigmoid forward, float32", "0.89"),
    ("softmax (activations), float32", "0.40"),
    ("softmax (losses), float32", "0.30"),
    ("Adam, float32, 1 thread", "0.75"),
    ("Lion, float32, 1 thread", "numpy 0.75x"),
    ("epoch of 784-10", "torch 0.75x"),
)


class Page(HTMLParser):
    """Rows of all tables by section, and whatever is wrong with a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.references, self.used = [], [], [], [], []
        self.sections, self.cell, self.shown = {}, None, ""
        self.feed(text)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.cell = ""
        if tag == "tr":
            self.row = []
        if tag in ("td", "th"):
            self.cell = ""

    def handle_startendtag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.references.append(value)
            self.used += re.findall(r"url\(#([^)]*)\)", value or "")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
        if tag == "h2":
            self.rows = self.sections.setdefault(self.cell, [])
        if tag in ("td", "th"):
            self.row.append(self.cell)
        if tag == "tr":
            self.rows.append(tuple(self.row))

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data
        if self.open[-1:] != ["style"]:
            self.shown += data


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """{name of a tree: the folder of its report}."""
    folders = {}
    for name, make in TREES.items():
        folders[name] = tmp_path_factory.mktemp(name.replace(" ", "_"))
        write(make(), folders[name])
    return folders


@pytest.fixture(params=TREES)
def folder(request, reports):
    return reports[request.param]


def sections_of(folder, kind):
    text = (folder / f"report.{kind}").read_text(encoding="utf-8")
    return Page(text).sections if kind == "html" else markdown_sections(text)


@pytest.mark.parametrize("kind", ["html", "md"])
def test_every_losing_row_is_shown(reports, kind):
    rows = sections_of(reports["full"], kind)["Where gd loses"]
    for name, *cells in SHOWN:
        assert any(row[0] == name and {*cells} <= {*row, *_column(rows, row, cells)} for row in rows), (name, cells)
    named = [row for row in rows if row[0] != "kernel" and set("".join(row)) != {"-", ":"}]
    assert len(named) == len(SHOWN)


def test_lost_comparisons_are_folded_by_their_reason(tmp_path):
    worse = [case(f"Adam{k}", 10**n, gd=1e-5, numpy=1e-5 * (0.9 - 0.05 * k)) for k in range(7) for n in (4, 5)]
    results = {"format": 1, "cases": worse}
    write(results, tmp_path)
    rows = sections_of(tmp_path, "html")["Where gd loses"]
    assert rows[:2] == [("kernel", "size", "who", "gd"), ("Adam6, 2 threads", "1e4", "numpy 0.60x", "10.0 µs")]
    assert rows[8:10] == [rows[0], ("Adam6, 2 threads", "1e5", "numpy 0.60x", "10.0 µs")]
    assert len(rows) == 2 * (1 + 7)
    small, unknown = (f"<summary>7 comparisons. {why}</summary>" for why in (reasons.SMALL, reasons.UNKNOWN))
    assert small in (text := (tmp_path / "report.md").read_text(encoding="utf-8"))
    assert unknown in text.partition(small)[2]
    assert "| Adam6, 2 threads |" in summary(results)  # a terminal shows tables of a few rows
    results["cases"] = [each | {"size": 10_000} for each in worse]
    assert f"\n14 comparisons. {reasons.SMALL}\n" in summary(results)
    assert "| Adam6, 2 threads |" not in summary(results)


@pytest.mark.parametrize("kind", ["html", "md"])
def test_the_report_opens_with_where_gd_stands(reports, kind):
    text = (reports["full"] / f"report.{kind}").read_text(encoding="utf-8")
    claim, won = "A peer is faster than gd in 4 of 13 comparisons; over all of them", "gd won 6 of 9 optimizers, 2 of 2"
    places = [
        text.index(each)
        for each in (claim, won, "A &lt;fast&gt;, 2 threads", "Where gd loses\n" if kind == "md" else "<h2>")
    ]
    assert places == sorted(places)
    picture = (reports["full"] / "pictures" / "standing.svg").read_text(encoding="utf-8")
    dots = [len(re.findall(rf"<use [^>]*fill: var\(--p{slot}\)", picture)) for slot in (0, 2)]
    assert dots == [9, 4]
    assert all(f">{each}<" in picture for each in ("6 of 9", "2 of 2", "0 of 1", "a peer is faster", "gd is faster"))


def test_a_reason_is_the_first_that_fits_then_noise_then_unknown():
    def why(what, size, peer=0.5e-5, family="activations", day="2026-11-22"):
        return reasons.reason(case(what, size, family=family, gd=1e-5, torch=peer), day)

    assert why("relu", 100) == why("mse", 1_000, family="losses") == reasons.SMALL
    assert why("softmax", 100) == reasons.SMALL
    assert why("softmax_backward", 1_000).startswith("Rows")
    assert why("gelu", 10_000_000).startswith("gd's normal")
    assert why("mse", 100_000, family="losses") == why("relu", 100_000) == reasons.UNKNOWN
    assert why("relu", 100_000, 0.975e-5) == reasons.NOISE  # 0.995e-5 is the peer's upper quartile, 0.99e-5 gd's lower
    assert why("relu", 100_000, 0.96e-5) == reasons.UNKNOWN
    assert why("relu", 100, day="2026-12-01T08:00:00") == reasons.UNKNOWN  # what was mended explains no later run


@pytest.mark.parametrize("reason", reasons.REASONS)
def test_reasons_are_sentences_on_what_is_measured(reason):
    assert re.fullmatch(r"(gd|[A-Z]).*[^.]\.", reason.why)
    made = families()
    for name in reason.families:
        sizes = [
            size for what in made[name].whats if re.fullmatch(reason.what, what) for size in made[name].sizes_of(what)
        ]
        assert any(reason.sizes[0] <= size <= reason.sizes[1] for size in sizes)


def _column(rows, row, cells):
    """Return the sizes in the heads of the columns in which a row has one of the cells."""
    heads = [other for other in rows[: rows.index(row)] if other[0] == "kernel"]
    return {head for head, cell in zip(heads[-1], row, strict=True) if cell in cells}


@pytest.mark.parametrize("kind", ["html", "md"])
def test_who_is_not_timed_is_named_with_the_reason(reports, kind):
    text = (reports["full"] / f"report.{kind}").read_text(encoding="utf-8")
    assert "Rprop, float32, 1e4: gd was not timed: wrong result" in text
    rows = sections_of(reports["full"], kind)["Not timed"]
    assert ("Rprop, float32", "1e4", "gd", "wrong result") in rows
    assert len(rows) == (3 if kind == "html" else 4)


def test_families_are_summed_up(reports):
    rows = {row[0]: row for row in sections_of(reports["full"], "html")["Families"]}
    assert rows["family"] == ("family", "won", "share of the ceiling", "numpy", "torch", "lowest share")
    # shares at the largest sizes 0.98, 0.975, 1 and, of one thread, 0.75; numpy 4, 40, 10, 20, 0.999, 10, 2, 20, 0.75
    # times, torch 3, 2, 0.92
    assert rows["optimizers"] == ("optimizers", "6 of 9", "0.92", "6.0x", "1.77x", "0.75")
    assert rows["epochs"] == ("epochs", "0 of 1", "-", "1.50x", "0.75x", "-")


def test_pages_are_well_formed_and_need_nothing_else(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.wrong
    assert all(each.startswith("#") or each == "data:," for each in page.references)
    assert "//" not in re.sub(r"&lt;.*?&gt;", "", text)
    assert len(page.ids) == len(set(page.ids))
    assert {each[1:] for each in page.references if each != "data:,"} | set(page.used) <= set(page.ids)


def test_nothing_unknown_is_printed(folder):
    shown = Page((folder / "report.html").read_text(encoding="utf-8")).shown
    for text in (shown, (folder / "report.md").read_text(encoding="utf-8")):
        assert not re.search(r"\b(nan|inf|None)\b", text, re.IGNORECASE)


def test_names_are_escaped(reports):
    name, reason = "<b>|sneaky|</b> & *co* `x $y_$, float32", "a|b `c|d` <script>alert(1)"
    page = Page((reports["full"] / "report.html").read_text(encoding="utf-8"))
    assert any(row[0] == name for row in page.sections["Optimizers"])
    assert (name, "1e4", "torch <i>", reason) in page.sections["Not timed"]
    text = (reports["full"] / "report.md").read_text(encoding="utf-8")
    assert r"&lt;b&gt;\|sneaky\|&lt;/b&gt; &amp; \*co\* \`x $y\_$" in text
    assert "<script" not in text


def test_sections_without_data_are_left_out(reports):
    titles = {name: list(sections_of(folder, "html")) for name, folder in reports.items()}
    assert titles["nothing"] == ["Where gd loses"]
    assert titles["emptied"] == ["Where gd loses", "Run it again"]
    assert titles["one size"] == ["Families", "Roofline", "Where gd loses", "Optimizers"]
    assert len(titles["full"]) == len(set(titles["full"])) == 18


def test_nothing_is_lost_where_nothing_was_compared(reports):
    assert "Nothing was compared" in (reports["nothing"] / "report.md").read_text(encoding="utf-8")
    assert "Nothing was compared" not in (reports["without peers"] / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["html", "md"])
def test_where_others_are_better_in_other_ways_is_said(reports, kind):
    text = (reports["full"] / f"report.{kind}").read_text(encoding="utf-8")
    assert "Another library is more accurate somewhere in tanh: see Accuracy." in text
    assert "Another library takes less memory in: step of 784-10." in text
    rows = sections_of(reports["full"], kind)["Accuracy"]
    assert ("tanh", "1.4 / 1.5", "0.60 / 2.0") in rows
    assert ("elu", "1.4 / -", "-") in rows


def test_a_speed_up_is_of_what_was_timed_with_the_fewest_threads(reports):
    picture = (reports["full"] / "pictures" / "scaling-1.svg").read_text(encoding="utf-8")
    assert ">numpy<" in picture
    assert ">torch<" not in picture


def test_the_command_to_run_it_again(reports):
    text = (reports["full"] / "report.md").read_text(encoding="utf-8")
    assert "    git checkout 5ce0431\n" in text
    assert text.endswith("\n    gd bench --quick\n")
    assert "Files had changed since that commit." in text


def test_the_same_results_make_the_same_files(reports, tmp_path):
    assert write(full(), tmp_path) == tmp_path / "report.html"
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert files == sorted(path.relative_to(reports["full"]) for path in reports["full"].rglob("*.*"))
    for file in files:
        assert (tmp_path / file).read_bytes() == (reports["full"] / file).read_bytes(), file


def test_the_results_are_written_as_they_are(reports):
    assert json.loads((reports["one size"] / "results.json").read_text()) == of_one_size()


def test_pictures_of_the_markdown_are_files(reports):
    text = (reports["full"] / "report.md").read_text(encoding="utf-8")
    names = re.findall(r"!\[[^]]+\]\((pictures/[^)]+)\)", text)
    assert sorted(names) == sorted(f"pictures/{path.name}" for path in (reports["full"] / "pictures").iterdir())
    assert {name.split("/")[1].split("-")[0].removesuffix(".svg") for name in names} == set(plots.KINDS)
    for name in names:
        picture = (reports["full"] / name).read_text(encoding="utf-8")
        assert picture.startswith("<svg ")
        assert "prefers-color-scheme:dark" in picture
        assert not any(colour in picture for colour in (drawing.INK, *drawing.SLOTS))


def test_a_report_without_matplotlib_has_no_pictures(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = write(full(), tmp_path).read_text(encoding="utf-8")
    assert "<svg" not in text
    assert "There are no pictures" in text
    assert "torch fused 0.92x" in text


@pytest.mark.parametrize("side, figure", [("ceiling", "share of the ceiling"), ("numpy", "ratio to NumPy")])
@pytest.mark.parametrize("factor", [0.8, 0.9])
def test_a_fall_of_a_fifth_is_found_and_one_of_a_tenth_is_not(side, figure, factor):
    results = full()
    for record in (results["cases"][1], results["epochs"][0]):
        if side in record["libraries"]:
            record["libraries"][side]["median"] *= factor
    lines = regression.fallen(results, full())
    if factor > 0.85:
        assert lines == []
        assert len(regression.fallen(results, full(), tolerance=0.05)) >= 1
    else:
        before, after = {"ceiling": ("0.75", "0.60"), "numpy": ("40x", "32x")}[side]
        assert f"Adam, 1,000,000 float32: {figure} {before} -> {after} (-20 %)" in lines
        assert len(lines) == (1 if side == "ceiling" else 2)
    assert regression.missing(results, full()) == []


def test_absolute_times_are_not_compared():
    results = full()
    for record in (*results["cases"], *results["epochs"]):
        for each in record["libraries"].values():
            each["median"] = each["median"] and 10 * each["median"]
    assert regression.fallen(results, full()) == []


def test_the_largest_fall_comes_first_and_failures_before():
    results = full()
    for record, factor in zip(results["cases"], (0.7, 0.5, 0.6), strict=False):
        record["libraries"]["numpy"]["median"] *= factor
    results["cases"][4]["failed"] = {"gd": "wrong result"}
    lines = regression.fallen(results, full())
    assert lines[0] == "SGD, 10,000 float32: gd failed: wrong result"
    assert [line.rpartition("(")[2] for line in lines[1:]] == ["-50 %)", "-40 %)", "-30 %)"]


def test_what_is_not_there_is_missing_and_not_fallen():
    results = full()
    del results["cases"][:2], results["cases"][0]["libraries"]["ceiling"], results["epochs"]
    assert regression.fallen(results, full()) == []
    assert regression.missing(results, full()) == [
        "Adam, 10,000 float32",
        "Adam, 1,000,000 float32",
        "Adam, 100,000,000 float32: share of the ceiling",
        "epoch of 784-10",
    ]
    assert regression.missing(full(), results) == []


def test_numbers_stand_to_the_right_and_lost_ones_are_bold():
    table = Table(("name", "x", "y"), [("1", "2.0x", "a"), ("2", "-", "3"), ("c", Lost("0.5x"), "")])
    assert numeric(table) == [False, True, False]
    assert markdown_table(table).splitlines()[1:] == [
        "| --- | ---: | --- |",
        "| 1 | 2.0x | a |",
        "| 2 | - | 3 |",
        "| c | **0.5x** |  |",
    ]


@pytest.mark.parametrize(
    "function, value, text",
    [
        (notation.times, 0.012, "0.012x"),
        (notation.times, 0.934, "0.93x"),
        (notation.times, 0.9999, "0.999x"),
        (notation.times, 1.0, "1.00x"),
        (notation.times, 1.96, "1.96x"),
        (notation.times, 5.23, "5.2x"),
        (notation.times, 13.2, "13x"),
        (notation.times, 123.0, "120x"),
        (notation.times, 1234.0, "1,200x"),
        (notation.times, None, "-"),
        (notation.duration, 2.1e-7, "210 ns"),
        (notation.duration, 9.9996e-7, "1.00 µs"),
        (notation.duration, 1.234e-3, "1.23 ms"),
        (notation.duration, 83.21, "83.2 s"),
        (notation.duration, 2412.0, "40 min"),
        (notation.duration, math.nan, "-"),
        (notation.power, 100, "100"),
        (notation.power, 10_000, "1e4"),
        (notation.power, 32_000_000, "3.2e7"),
        (notation.power, 33_562_624, "3.36e7"),
        (notation.power, None, "-"),
        (notation.figures, 0, "0"),
        (notation.figures, 0.09996, "0.100"),
        (notation.figures, 1234.0, "1,230"),
        (notation.figures, math.inf, "-"),
        (notation.amount, 49152, "48 KiB"),
        (notation.amount, 1023 * 1024, "1,023 KiB"),
        (notation.amount, 57671680, "55 MiB"),
        (notation.amount, None, "-"),
        (notation.ulps, 0.61, "0.61"),
        (notation.ulps, 44.2, "44"),
        (notation.ulps, 1.31e7, "1.3e7"),
        (notation.percent, 0.043, "4 %"),
        (notation.percent, 0.123, "12 %"),
    ],
)
def test_numbers_are_written_with_digits_that_mean_something(function, value, text):
    assert function(value) == text


@pytest.mark.parametrize(
    "share, text", [(0.97, "0.97"), (0.897, "0.897"), (0.8999, "0.899"), (0.9, "0.90"), (1.04, "1.04")]
)
def test_a_share_below_what_is_enough_is_never_written_as_enough(share, text):
    assert notation.part(share, 0.9) == text


def test_two_results_stand_side_by_side(tmp_path, capsys):
    after = full()
    adam = after["cases"][1]
    adam["libraries"]["gd"]["median"] *= 2
    after["cases"].remove(next(case for case in after["cases"] if case["what"] == "softmax"))
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, results in zip(paths, (full(), after), strict=True):
        path.write_text(json.dumps(results))
    assert main(["bench", "--compare", *map(str, paths), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "by more than 15 %, 0 are faster and 1 slower" in said
    sections = markdown_sections((tmp_path / "comparison.md").read_text(encoding="utf-8"))
    (changed,) = sections["The largest changes, above 1.15 times"][2:]
    assert changed[:5] == ("Adam, float32", "1e6", "200 µs", "400 µs", "2.0x")
    assert [row[-1] for row in sections["In one only"][2:]] == ["A"]
    assert (tmp_path / "comparison.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("make", TREES.values(), ids=TREES)
def test_any_results_stand_beside_any_others(make, tmp_path):
    for pair in ((make(), full()), (full(), make())):
        assert not re.search(r"\bNone\b", write_comparison(*pair, tmp_path))


def test_a_table_has_a_row_for_each_timing(tmp_path):
    write_csv(full(), tmp_path / "results.csv")
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (row,) = (row for row in rows if (row["what"], row["size"], row["library"]) == ("Adam", "10000", "torch fused"))
    assert float(row["median"]) == 3e-5
    assert row["bytes"] == "280000"
