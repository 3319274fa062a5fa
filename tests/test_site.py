"""The site: its formulas, its course, every block of code on it, and the build, which is strict."""

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

import gd
from gd.optimizers import OPTIMIZERS

ROOT = Path(gd.__file__).parent.parent
DOCS = ROOT / "docs"
COURSE = sorted((DOCS / "course").glob("*.md"))
RUN_ELSEWHERE = {  # pages whose blocks of Python other tests run, by the file of the test
    "README.md": "test_readme.py",
    "docs/training.md": "test_readme.py",
    "docs/tensors.md": "test_readme.py",
    "docs/profiling.md": "test_readme.py",
    "docs/overview.md": "test_readme.py",
    "docs/own_rules.md": "test_readme.py",
    "docs/clients.md": "test_clients.py",
    "docs/estimators.md": "test_readme.py",
    "docs/low_bit.md": "test_readme.py",
    "docs/distributed.md": "test_readme.py",
}
LONGEST = 18  # words of a sentence of the README, in the mean

sys.path.insert(0, str(DOCS))
docstrings = pytest.importorskip("site_pages.docstrings")
formulas = pytest.importorskip("site_pages.formulas")


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_formula_of_each_optimizer_is_typeset(name):
    text = inspect.getdoc(OPTIMIZERS[name])
    if found := docstrings.BLOCK.search(text):
        assert formulas.block(found[2].splitlines())


@pytest.mark.parametrize(
    "text, latex",
    [
        ("m <- beta1 * m", r"m \leftarrow \beta_{1} \, m"),
        ("g / (sqrt(v) + eps)", r"\frac{g}{\sqrt{v} + \epsilon}"),
        ("(a + b) / c * d", r"\frac{a + b}{c} \, d"),
        ("x**2", "{x}^{2}"),
        ("|g| <= 1e-3", r"\left|g\right| \le 1 \cdot 10^{-3}"),
        ("x for x > 0, else 0", r"\begin{cases} x & \text{if } x > 0 \\ 0 & \text{else} \end{cases}"),
        ("e**x / sum e**x", r"\frac{{e}^{x}}{\sum {e}^{x}}"),
        ("betas[0]", r"\mathrm{betas}_{0}"),
        ("x times (", None),
        ("", None),
    ],
)
def test_formulas(text, latex):
    assert formulas.formula(text) == latex


def test_each_public_name_has_its_place_in_the_reference():
    pages = pytest.importorskip("site_pages.pages")
    shown = {name for names in pages.OTHERS.values() for name in names}
    own = {name.removesuffix("_from_output").removesuffix("_backward") for name in gd.activations.public_functions()}
    shown |= OPTIMIZERS.keys() | {"LayerNorms", "__version__"} | gd.losses.LOSSES.keys()
    for name in gd.__all__:
        if not inspect.ismodule(getattr(gd, name)) and name not in gd.activations.public_functions():
            assert name in shown, f"docs/site_pages/pages.py does not show gd.{name}"
    assert own - gd.activations.ACTIVATIONS.keys() <= shown


def test_functions_whose_summary_is_a_sentence_have_no_formula():
    assert docstrings.of_function(gd.gelu) is None
    assert docstrings.of_function(gd.relu) == r"\max\left(x, 0\right)"
    assert r"\text{if }" in docstrings.of_function(gd.huber)


@pytest.mark.parametrize("page", COURSE, ids=lambda page: page.stem)
def test_a_page_of_the_course_runs_and_draws_its_picture(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(page)
    exec(block, {"__name__": page.stem})
    assert f"![{re.search(r'!.(.*?).[(]pictures/', page.read_text())[1]}](pictures/{page.stem}.png)" in page.read_text()
    assert (tmp_path / f"{page.stem}.png").read_bytes()[1:4] == b"PNG"


def test_each_page_with_code_is_run_by_a_test():
    pages = [ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("*/*.md")]
    ignored = {line.strip("/\n") for line in (DOCS / ".gitignore").read_text().splitlines()}
    with_code = {page.relative_to(ROOT).as_posix() for page in pages if page.name not in ignored and blocks(page)} - {
        page.relative_to(ROOT).as_posix() for page in COURSE
    }
    assert with_code == RUN_ELSEWHERE.keys()
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / test).read_text()


def test_badges_are_true():
    text, project = (
        (ROOT / "README.md").read_text(encoding="utf-8"),
        tomllib.loads((ROOT / "pyproject.toml").read_text()),
    )
    project = project["project"]
    python, license_, dependencies = re.findall(r"badge/\w+-([^)]*)-blue", text)
    assert unquote(python) == project["requires-python"].replace(">=", "≥")
    assert license_ == project["license"]
    assert int(dependencies) == len(project["dependencies"])
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {gd.__version__}\n" in citation
    assert f"license: {license_}\n" in citation


def test_the_readme_is_short_and_so_are_its_sentences():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    _, _, text = text.partition("<!-- /benchmark -->")
    text = re.sub(r"(?m)^#.*$|\]\([^)]*\)", " ", re.sub(r"(?s)```.*?```", " ", text))
    sentences = [each.split() for each in re.split(r"[.:]\s|\n\n|\n- ", text)]
    lengths = [len(words) for words in sentences if words]
    assert sum(lengths) / len(lengths) < LONGEST


@pytest.mark.full
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    pytest.importorskip("numpydoc")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api" / "Adam.html").read_text(encoding="utf-8")
    assert "<math" in page
    assert "optimizer-Adam.svg" in page
    assert "https://cdn" not in page  # it works without a network
