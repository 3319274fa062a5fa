"""The benchmark's report, the README's table and the check against a baseline, of results that are made up."""

import copy
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import gd
from gd.bench.report import notation, plots, readme, regression, summary, write
from gd.bench.report.document import Lost, Table, markdown_table, numeric

pytest.importorskip("matplotlib")

ROOT = Path(gd.__file__).parent.parent
VOID = {"meta", "link"}  # elements of HTML without an end


def timed(**libraries):
    """Return the timings of libraries; `torch_fused` is torch fused."""
    return {
        name.replace("_", " "): {"median": s, "low": 0.99 * s, "high": 1.02 * s, "rounds": 7}
        for name, s in libraries.items()
    }


def case(what, size, *, family="optimizers", dtype="float32", threads=2, failed=(), **libraries):
    return {
        "family": family,
        "what": what,
        "size": size,
        "dtype": dtype,
        "threads": threads,
        "bytes": 28 * size,
        "flops": 14 * size,
        "mix": "4r3w",
        "libraries": timed(**libraries),
        "failed": dict(failed),
    }


def full():
    """Return results with something in every section, and odd things among them."""
    cases = [
        case("Adam", 10_000, gd=1e-5, ceiling=0.95e-5, numpy=4e-5, torch_eager=9e-5, torch_fused=3e-5),
        case("Adam", 1_000_000, gd=2e-4, ceiling=1.5e-4, numpy=8e-3, torch_eager=9e-4, torch_fused=4e-4),
        case("Adam", 100_000_000, gd=0.05, ceiling=0.049, numpy=0.5, torch_eager=0.2, torch_fused=0.046),
        case("Adam", 1_000_000, dtype="float64", gd=4e-4, ceiling=3.9e-4, numpy=8e-3),
        case("SGD", 10_000, gd=1e-5, ceiling=0.89999e-5, numpy=0.999e-5),
        case("SGD", 1_000_000, gd=1e-4, ceiling=1e-4, numpy=1e-3),
        case(
            "<b>|sneaky|</b> & *co* `x $y_$",
            10_000,
            gd=1e-5,
            numpy=2e-5,
            failed={"torch <i>": "a|b `c|d` <script>alert(1)"},
        ),
        case("Rprop", 10_000, numpy=2e-5, failed={"gd": "wrong result"}),
        case("sigmoid forward", 10_000, family="activations", gd=1e-5, ceiling=0.89e-5, numpy=2e-5),
        case("softmax", 10_000, family="activations", gd=1e-5, ceiling=0.4e-5, numpy=2e-5),
        case("softmax", 10_000, family="losses", gd=1e-5, ceiling=0.3e-5, numpy=2e-5),
        case("not finite", 10_000, family="losses", gd=math.nan, ceiling=1e-5, numpy=math.inf),
    ]
    cases[-2]["bytes"] = cases[-2]["flops"] = None
    cases[-1]["libraries"]["numpy"]["median"] = None
    bandwidth = [
        {"mix": mix, "elements": n, "threads": 2, "seconds": {"median": n * 1e-9, "low": 0, "high": 0}, "bytes": 8 * n}
        for mix in ("1r1w", "4r3w")
        for n in (1000, 1_000_000)
    ]
    return {
        "format": 1,
        "command": "gd bench --quick",
        "started": "2026-11-22T03:00:00+00:00",
        "seconds": 83.2,
        "quick": True,
        "environment": {
            "processor": "A <fast> processor",
            "cores": 2,
            "threads": 2,
            "memory": 2**34,
            "vector_bits": 512,
            "caches": {"L1": 49152, "L2": 2**21},
            "system": "Linux",
            "commit": "5ce0431+",
            "versions": {"gd": "0.1", "numpy": "2.3", "torch": "2.13"},
            "blas": [{"library": "openblas", "version": "0.3", "architecture": "Zen", "threads": 2, "of": "numpy"}],
            "threading_layer": "omp",
            "waiting": "passive",
        },
        "ceilings": {
            "bandwidth": bandwidth,
            "products": [
                {"order": 512, "dtype": "float32", "threads": 2, "seconds": {"median": 1e-3}, "flops": 2 * 512**3}
            ],
        },
        "cases": cases,
        "scaling": [
            case("Adam", 1_000_000, threads=1, gd=4e-4, ceiling=3e-4, numpy=8e-3),
            case("Adam", 1_000_000, gd=2e-4, ceiling=1.5e-4, numpy=8e-3, torch=4e-4),
            case("Lion", 1_000_000, threads=1, gd=4e-4, numpy=3e-4),
        ],
        "epochs": [
            {
                "what": "784-10",
                "unit": "epoch",
                "family": "training",
                "size": 128,
                "threads": 2,
                "libraries": timed(gd=2.0, numpy=3.0, torch=1.5, products=1.0),
            }
        ],
        "memory": [
            {"what": "step of 784-10", "library": library, "bytes": size}
            for library, size in (("gd", 3 * 2**20), ("numpy", 2**20))
        ],
        "compilation": {
            "import": 0.24,
            "cold": 0.9,
            "cached": 0.2,
            "kernels": [{"kernel": "update-adam", "cold": 0.4, "cached": 0.004, "bytes": 50_000}],
            "first": [{"case": "MLP fit", "cold": 3.1, "warm": 0.05, "cold_wall": 3.0, "warm_wall": 0.05}],
            "further": [{"case": "MLP fit, tanh", "after": "MLP fit", "seconds": 0.25}],
            "cache_bytes": 2_000_000,
            "cache_kernels": 40,
        },
        "assembly": [
            {
                "kernel": "update-adam",
                "dtype": "float32",
                "vector_bits": 256,
                "instructions": {"vmulps": 12, "vdivps": 4},
                "loads": 4,
                "stores": 3,
                "flops_per_element": None,
            }
        ],
        "accuracy": [
            {"activation": "tanh", "dtype": "float32", "what": "forward", "gd": [1.4, 1.5], "torch": [0.6, 2.0]},
            {"activation": "selu", "dtype": "float32", "what": "forward", "gd": [1.604, 1], "torch": [1.596, 2]},
            {"activation": "elu", "dtype": "float32", "what": "forward", "gd": [1.4, math.nan], "torch": None},
        ],
    }


def without_peers():
    results = full()
    for record in (*results["cases"], *results["scaling"], *results["epochs"]):
        record["libraries"] = {name: each for name, each in record["libraries"].items() if name in ("gd", "ceiling")}
    return results


def of_one_size():
    results = full()
    results["cases"] = [record for record in results["cases"] if record["size"] == 1_000_000]
    return {"format": 1, "cases": results["cases"]}


def failed_alone():
    return {"format": 1, "cases": [case("Adam", 100, failed={"gd": "wrong result", "numpy": "wrong result"})]}


def emptied():
    results = full()
    return {name: type(value)() if isinstance(value, list | dict) else value for name, value in results.items()}


TREES = {
    "full": full,
    "without peers": without_peers,
    "one size": of_one_size,
    "failed": failed_alone,
    "emptied": emptied,
    "nothing": lambda: {"format": 1},
}
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


def markdown_sections(text):
    """Return {title: rows of all tables} of a report in Markdown."""
    sections = {}
    for line in text.splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line[3:], [])
        elif line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            rows.append(tuple(cell.strip().removeprefix("**").removesuffix("**") for cell in cells))
    return sections


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


def test_many_losing_rows_are_shown_by_size_and_folded(tmp_path):
    worse = [case(f"Adam{k}", 10**n, gd=1e-5, numpy=1e-5 * (0.9 - 0.05 * k)) for k in range(7) for n in (4, 5)]
    results = {"format": 1, "cases": worse}
    write(results, tmp_path)
    rows = sections_of(tmp_path, "html")["Where gd loses"]
    assert rows[:2] == [("kernel", "1e4", "1e5"), ("Adam6, 2 threads", "0.60x", "0.60x")]
    assert ("Adam3, 2 threads", "1e5", "numpy 0.75x", "10.0 µs") in rows
    assert len(rows) == 1 + 7 + 1 + 14
    assert "<summary>All 14 cases" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| Adam6, 2 threads |" in summary(results)
    assert "<summary>" not in summary(results)


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


def test_the_headline_sums_up(reports):
    rows = {row[0]: row for row in sections_of(reports["full"], "html")["Headline"]}
    assert rows["family"] == ("family", "won", "share of the ceiling", "numpy", "torch", "lowest share")
    # shares at the largest sizes 0.98, 0.975 and 1; numpy 4, 40, 10, 20, 0.999, 10 and 2 times, torch 3, 2, 0.92
    assert rows["optimizers"] == ("optimizers", "5 of 7", "0.98", "6.8x", "1.77x", "0.97")
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
    assert titles["one size"] == ["Headline", "Where gd loses", "Roofline", "Optimizers"]
    assert len(titles["full"]) == len(set(titles["full"])) == 17


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
        assert not any(colour in picture for colour in (plots.INK, *plots.SLOTS))


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


def test_the_readme_is_updated_between_its_markers():
    text = f"# gd\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe rest.\n"
    once = readme.update_readme(text, full())
    assert once.startswith(f"# gd\n\n{readme.BEGIN}\n")
    assert once.endswith(f"\n{readme.END}\n\nThe rest.\n")
    assert "old" not in once
    assert readme.readme_table(full()) in once
    assert readme.update_readme(once, full()) == once


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
        readme.update_readme(text, full())


def test_the_table_of_the_readme_is_short_and_names_its_source():
    results = full()
    results["epochs"] *= 5
    more = [copy.deepcopy(results["cases"][k]) | {"what": what} for what in readme.HEADLINE for k in range(3)]
    results["cases"] = more + results["cases"]
    text = readme.readme_table(results)
    rows = markdown_sections(f"## \n{text}")[""][2:]
    assert len(rows) <= readme.ROWS
    assert rows[0] == ("Adam", "10,000", "1.00 ns/element", "4.0x", "3.0x", "0.95")
    assert rows[1] == ("Adam", "100,000,000", "0.500 ns/element", "10x", "0.92x", "0.98")
    assert rows[-1] == ("epoch of 784-10", "-", "2.00 s", "1.50x", "0.75x", "-")
    for part in ("A <fast> processor", "2 threads", "numpy 2.3", "torch 2.13", "(docs/benchmark/results.json)"):
        assert part in text.replace("\n", " ")


@pytest.mark.parametrize("make", TREES.values(), ids=TREES)
def test_the_table_of_the_readme_of_any_results(make):
    assert not re.search(r"\b(nan|inf|None)\b", readme.readme_table(make()))


def test_the_readme_has_its_markers():
    readme.update_readme((ROOT / "README.md").read_text(encoding="utf-8"), full())


def test_the_table_in_the_readme_is_that_of_the_committed_results():
    path = ROOT / readme.FOLDER / "results.json"
    if not path.exists():
        pytest.skip("no results are committed")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.update_readme(text, json.loads(path.read_text(encoding="utf-8"))) == text


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
