"""What tables that people have say: separators, marks, headers, columns that are no features, labels."""

import pickle
import zipfile
from datetime import date

import numpy as np
import pytest
from layouts import numbers, table

from gd.__main__ import main
from gd.datasets import DataError, Table, load, read

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def lines(text, *rows, times=60):
    """Return a table of a first line and rows that come again and again."""
    return "\n".join([text, *(rows[k % len(rows)].replace("#", f"{(k * 37) % 97}") for k in range(times))]) + "\n"


def understood(folder, content, encoding="utf-8", **options):
    """Return what is read of a text."""
    (folder / "t.csv").write_bytes(content.encode(encoding))
    return read(folder / "t.csv", **options)


def refusal(folder, content, encoding="utf-8", **options):
    """Return why a text is refused."""
    (folder / "t.csv").write_bytes(content.encode(encoding))
    with pytest.raises(DataError) as error:
        load(folder / "t.csv", 0, np.float32, **options)
    text = str(error.value)
    assert "\n" not in text
    return text.partition("t.csv: ")[2]


@pytest.mark.parametrize(
    "content, column, first",
    [
        (lines("a;b;c", "0,5;0,3;1", "?;1,#;0"), "a", "0.5"),  # decimal commas beside a mark for missing
        (lines("a;b;c", "1.312;1.234,5;1", "?;3,5;0"), "a", "1312"),  # thousands beside it
        (lines("a;b;c", "7;3;1", "8;#;0", times=1200) + "0,5;3,5;1\n" * 700, "a", 7.0),  # decimal commas come late
        (lines("area\tpop", "3\t96,365", "#\t1,024", "4\t999"), "pop", "96365"),  # English thousands
        (lines("a,b,c", '1,"3,000",0', '2,"1,500",1'), "b", "3000"),
        (lines("x;y", "1\xa0234,5;0", "2\xa0345,7;1"), "x", "1234.5"),  # French thousands
        (lines("Datum;Preis;Klasse", "01.02.2023;6.270,17;0", "02.02.2023;1,#;1"), "Datum", "01.02.2023"),  # dates stay
        (lines("ip;v;c", "192.168.000.100;1.234,5;0", "10.0.0.1;2,#;1"), "ip", "192.168.000.100"),
    ],
)
def test_numbers_are_read_by_the_marks_of_the_file(tmp_path, content, column, first):
    source = understood(tmp_path, content)
    values = source.y if source.label == column else source.X.columns[column]
    assert values[0] == first or float(values[0]) == float(first)


@pytest.mark.parametrize(
    "header, named",
    [
        ("2015,2016,2017,2018,class", True),
        ("400.0,400.5,401.0,401.5,y", True),
        ("0,2,3,4,species", True),
        ("0,1,3,4,5", True),
        ("2015,2016,2017,2018,2019", True),
        (",0,1,3,4", True),
        ("0.5,0.1,0.3,0.2,1", False),
        ("5,3,1,4,1", False),
        ("1,2,3,4,5", True),
        ("0.5,0.6,0.7,0.8,1", False),
        ("region,2000,2001,2002,class", True),
    ],
)
def test_a_first_line_of_numbers_that_ascend_is_a_header(tmp_path, header, named):
    rng = np.random.default_rng(0)
    rows = "\n".join(",".join([*(f"{value:.3f}" for value in rng.random(4)), str(k % 2)]) for k in range(60))
    source = understood(tmp_path, f"{header}\n{rows}\n")
    assert source.layout.named is named
    assert source.rows == 60 + (not named)


@pytest.mark.parametrize(
    "first, rest, named",
    [
        ("region,2000,2001,2002,class", "A#,0.5,1.2,2.7,y;B#,0.4,1.3,2.9,x", True),  # of series that grow
        ("2000,2001,2002,region", "0.5,1.2,#,north;0.4,1.3,#,south", True),
        ("0,1,2", "5,#,1;1,2,0;0,1,2;2,1,2;0,2,1", False),
        ("6,24,32,33,39", "5,24,#,33,2;6,1,32,3,39;9,3,2,1,4", False),
        ('"1,000","2,000","3,000"', '"1,037","2,091","3,053";"4,500","1,000","2,500"', False),
        (
            "high,low,5more,more,big,acc",
            "med,low,2,4,big,acc;high,med,5more,2,small,unacc;low,low,3,more,med,acc",
            False,
        ),
        ("unknown,3,a", "unknown,5,b;7,#,a;9,#,b;5,2,a", False),
        ("none,low", "none,high;some,low;none,low;some,high", False),
    ],
)
def test_a_first_line_whose_cells_come_again_is_a_row(tmp_path, first, rest, named):
    source = understood(tmp_path, lines(first, *rest.split(";")))
    assert source.layout.named is named


def test_a_header_that_comes_again_is_told(tmp_path):
    texts = lines("shape,cap,class", "x,y,e", "b,s,p")
    assert refusal(tmp_path, texts + texts) == "line 62, row 61 repeats the header; take it out"


@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_the_line_that_names_the_separator_for_excel_is_understood(tmp_path, separator):
    source = understood(tmp_path, f"sep={separator}\n" + table(separator, decimal="."))
    assert (source.rows, list(source.X.columns), source.label) == (120, ["a", "b", "c", "d"], "kind")
    assert source.X.place(0, "a").endswith("line 3, row 1, column 'a'")


@pytest.mark.parametrize(
    "content, why",
    [
        (lines("age,sex,income", "20,M,55,1", "31,F,#,0"), "line 1 has 3 columns between commas, expected 4 as in"),
        (lines("a,b,c", "'0.3','x, y',0", "'0.#','x, z',1"), "line 1 has 3 columns between commas, expected 4 as in"),
        (
            lines("name x y", "New York 0.6 0", "Old Town 0.# 1"),
            "line 1 has 3 columns between spaces, expected 4 as in",
        ),
        ("my table\n" + lines("a,b,c", "3,#,b", "4,#,a"), "line 1 has 1 column between commas, expected 3 as in"),
        ('{"a": 1, "b": 3}\n' * 60, "is JSON"),
        ("<html>\n<body>, </body>\n</html>", "is HTML or XML"),
        (lines("a,b,c", "1,#,0", "2,#,1", times=40) + "?,1,?\n", "line 42, row 41, column 'c': '?' is no number"),
        (
            lines("a,b,c", "1,#,0", "2,#,1", times=400) + "3,1,ERR\n",
            "line 402, row 401, column 'c': 'ERR' is no number",
        ),
        (lines("a,b,c", "1,#,0", "2,#,NA"), "line 3, row 2, column 'c': the label is missing (empty, NA, NaN or null)"),
        (lines("a,b,c", "1,#,1e200", "2,#,1"), "line 2, row 1, column 'c': the label 1e+200 is too large"),
        (lines("a,b,c", "3,#,0", "4,#,1") + '5,"6,1\n7,8,0\n', "line 62 opens a quote that is not closed"),
        (lines("a,b,c", "3,#,0", "4,#,1") + "9" * 400 + ",6,1\n", "line 62, row 61, column 'a': inf is no number"),
        (
            lines("a b,c", "3,#", "4,#").replace("3,", "x,", 1),
            "line 2, row 1, column 'a b': 'x' is no number; --drop 'a b' ",
        ),
        (lines('"a, b",c,d', "3,#,0", "4,#,1").replace("3,", "x,", 1), "--drop '\"a, b\"' leaves the column out"),
        (lines("-x,c,d", "3,#,0", "4,#,1").replace("3,", "x,", 1), "--drop=-x leaves the column out"),
        (
            lines("a,b,c", *(f"{k},x{k},{k % 2}" for k in range(60))),
            "column 'b' has 48 different texts in 48 rows, such as",
        ),
    ],
)
def test_what_is_no_table_or_no_label_is_told_with_its_line(tmp_path, content, why):
    assert why in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "content, features, label",
    [
        (lines("a,b,c", "1,#,0", "2,#,1").replace("\n", ",\n").replace("c,\n", "c\n"), "a b", "c"),  # a last separator
        (lines("a,b,c,", "1,#,0", "2,#,1"), "a b", "c"),  # in the header alone
        (lines("a,b,c,Unnamed: 3", "1,#,0,", "2,#,1,"), "a b", "c"),
        (lines("0.1,0.2,1,", "0.3,0.#,0,"), "0 1", "2"),
        (lines("a,b,c", "1,,0", "2,,1"), "a", "c"),  # an empty column
        (lines("a,b,c", "1,?,0", "2,?,1"), "a", "c"),
        (lines("a;b;c", "1;#;0", "2;#;1") + ";;\n;;\n", "a b", "c"),  # empty lines at the end
        (lines("X,Y,area", "7,5,0.5", "6,#,1.#"), "X Y", "area"),  # y beside x is no label
        (lines("3,p|y,0", "4,p|z,1"), "0 1", "2"),  # a separator inside of cells
        (lines('3,"p;y",0', '4,"p;z",1'), "0 1", "2"),
        ("\n".join(f"2020-01-{k:02} 00:30:00,0.{k * 7 % 90},{k % 2}" for k in range(1, 29)), "0 1", "2"),  # no svmlight
        ("|1x3 Cross validator\n" + lines("1,9,a", "3,#,a", "1,2,b"), "0 1", "2"),
        ("# made by x\n# on friday\n" + lines("a,b,c", "3,#,b", "4,#,a"), "a b", "c"),
        (lines("p,x,k", "\u22121,#,0", "2,#,1"), "p x", "k"),
        (lines("day,humid,sales", *(f"{k + 1},{k + 3},{k % 7}" for k in range(60))), "day humid", "sales"),
        (lines("doors,size,class", "2,big,a", "3,small,b", "4,big,a", "5more,med,b"), "doors size", "class"),
    ],
)
def test_columns_and_label_are_those_that_a_reader_sees(tmp_path, content, features, label):
    source = understood(tmp_path, content)
    assert (" ".join(source.X.columns), source.label) == (features, label)


def test_auto_mpg_has_spaces_and_one_tab(tmp_path):
    rows = [f'{18 + k % 7}.0   8   307.{k}      130.0      3504.\t"chevrolet {k}"' for k in range(40)]
    assert list(understood(tmp_path, "\n".join(rows)).X.columns) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("name", ["Id", "PassengerId", "rownames", "Unnamed: 0", "row_id"])
def test_columns_that_count_the_rows_are_left_out(tmp_path, name):
    rows = [f"{k + 1},{(k * 37) % 19},{k // 20}" for k in range(60)]
    source = understood(tmp_path, "\n".join([f"{name},a,kind", *rows]))
    assert source.left_out == {name: "counts the rows"}
    assert list(understood(tmp_path, "\n".join(rows)).X.columns) == ["1"]


def test_columns_mostly_of_marks_are_numbers(tmp_path):
    content = lines("a,b,c", "1,?,0", "2,?,1", "#,?,0", "4,#,1")
    assert "column 'b': '?' is no number; --impute median fills missing values, --drop b" in refusal(tmp_path, content)
    (tmp_path / "t.csv").write_text(content)
    assert load(tmp_path / "t.csv", 0, np.float32, impute=True).X.shape == (48, 2)


def test_booleans_may_be_written_in_several_ways(tmp_path):
    source = understood(tmp_path, lines("a,b,c", "TRUE,#,0", "1,#,1", "false,#,0", "0,#,1"))
    assert source.X.kind("a") == "boolean"
    assert source.X.texts("a", "boolean")[:4].tolist() == ["True", "True", "False", "False"]


def test_long_cells_and_long_lines(tmp_path):
    content = lines("a,t,c", "1,x,0", "2,y,1") + f"3,{'z' * 200_000},1\n?,x,0\n"
    assert "line 63, row 62, column 'a': '?' is no number" in refusal(tmp_path, content)
    names = ",".join(f"gene_number_{k:012d}" for k in range(8000))
    row = ",".join(["0.5"] * 8000)
    source = understood(tmp_path, f"{names}\n{row}\n{row}\n")
    assert len(source.X.columns) == 7999


def test_names_that_come_again_are_numbered_at_once(tmp_path):
    source = understood(
        tmp_path, lines(",".join(["a"] * 5000 + ["a.1"]), ",".join(["1"] * 5001), ",".join(["2"] * 5001))
    )
    assert list(source.X.columns)[:3] == ["a", "a.2", "a.3"]


def test_columns_of_parquet_that_hold_no_numbers_or_texts(tmp_path):
    pytest.importorskip("pyarrow")
    X, y = numbers()
    frame = pandas.DataFrame({"when": [date(2020, 1, 1)] * 120, "list": [[1]] * 120, "a": X[:, 0], "y": y})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'when' holds dates or times, .* --drop when leaves it out"):
        read(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'list' holds .*; --drop list leaves it out"):
        read(tmp_path / "t.parquet", drop=["when"])
    assert list(read(tmp_path / "t.parquet", drop=["when", "list"]).X.columns) == ["a"]


def test_files_of_other_kinds_are_named(tmp_path):
    frame = tmp_path / "f.pkl"
    frame.write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(DataError, match="is a pickle"):
        read(frame)
    with zipfile.ZipFile(tmp_path / "book.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(DataError, match="is a workbook"):
        read(tmp_path / "book.csv")


def test_class_names_that_the_terminal_cannot_show(tmp_path, monkeypatch):
    import io
    import sys

    (tmp_path / "t.csv").write_text(lines("a,b,c", "1,#,ja", "2,#,\u0142\u00f3d\u017a"))
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["train", "--data", str(tmp_path / "t.csv"), "--hidden", "4", "--epochs", "1"]) == 0
    out.flush()
    assert rb"\u0142" in out.buffer.getvalue()


def test_control_characters_do_not_reach_the_terminal(tmp_path, capsys):
    (tmp_path / "t.csv").write_text(lines('"a\n\x1b[31m",b,c', "x,#,0", *["3,#,1"] * 29))
    assert main(["train", "--data", str(tmp_path / "t.csv")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("scale", [1e-140, 1e-12, 1e12, 1e100])
def test_targets_of_any_scale(tmp_path, scale):
    X, _ = numbers()
    np.savez(tmp_path / "t.npz", X=X, y=(3 + X[:, 0]) * scale)
    data = load(tmp_path / "t.npz", 0, np.float64)
    np.testing.assert_allclose(data.y.std(), 1, rtol=1e-9)
    np.testing.assert_allclose(data.target.decode(data.y).std(), data.target.deviation, rtol=1e-9)


def test_a_table_names_its_cells():
    table = Table({"age": np.array(["1", "?"], object)}, "people")
    with pytest.raises(DataError, match=r"^people: row 2, column 'age': '\?' is no number"):
        table.numbers("age", False)
