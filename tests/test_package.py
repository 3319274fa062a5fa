"""The package as a whole: what is exported, what may import what, and what an import costs."""

import ast
import inspect
import pickle
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import iter_modules

import house
import public_api
import pytest
import stubs

import gd
from gd.version import DISTRIBUTION, to_install

ROOT = Path(gd.__file__).parent.parent
FOLDERS = [folder for folder in ("kernels", "gd", "bench") if (ROOT / folder / "__init__.py").exists()]


def imports(path):
    """Yield (level, module) for every import of a file; level 0 is an absolute one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)


def test_the_fixed_names_are_exported():
    for name in (
        "Adam AdamW SGD Momentum Nesterov Adagrad RMSprop sigmoid sigmoid_backward tanh relu leaky_relu elu mse "
        "softmax_cross_entropy MLP fit ParameterVector threads warmup initializers activations "
        "save load CheckpointError"
    ).split():
        assert hasattr(gd, name), name


def test_rooms_import_what_others_show_and_only_downwards():
    pytest.importorskip("importlinter")
    assert house.keep_contracts() == 0, "an import that the contracts in pyproject.toml do not allow"
    known = house.modules()
    for name, path in known.items():
        for source, imported in house.imports(name, path, known):
            shown = known.get(house.room(source))
            if house.room(source) == house.room(name) or source in ("gd", "gd.kernels", "gd.bench") or not shown:
                continue
            if house.room(source) in ("gd.kernels", "gd.bench") or shown.name != "__init__.py":
                continue
            where = f"{name} imports {imported} from {source}"
            assert source == house.room(source), f"{where}: a room shows in its __init__ what others may use"
            assert imported is None or imported in __import__(source, fromlist=["_"]).__all__, (
                f"{where}, which is not in its __all__"
            )


def test_kernels_import_nothing_of_gd_and_only_relatively():
    for path in (ROOT / "kernels").rglob("*.py"):
        depth = len(path.relative_to(ROOT / "kernels").parts)
        for level, module in imports(path):
            assert not (level == 0 and module.split(".")[0] in ("gd", "kernels", "bench")), path
            assert level <= depth, f"{path} reaches out of kernels"


def test_the_reference_is_independent():
    for path in (ROOT / "gd" / "reference").glob("*.py"):
        assert not any(level > 1 or module.startswith("gd") for level, module in imports(path)), path


def test_no_name_that_a_room_shows_is_that_of_one_of_its_modules():
    for folder in (path.parent for path in (ROOT / "gd").glob("*/__init__.py")):
        room = import_module(f"gd.{folder.name}")
        assert not {path.stem for path in folder.glob("*.py")} & set(getattr(room, "__all__", ())), folder.name
    assert all(
        inspect.ismodule(getattr(gd, name)) for name in {each.name for each in iter_modules(gd.__path__)} & set(dir(gd))
    )


def test_dir_holds_what_is_public_and_nothing_else():
    assert dir(gd) == sorted(gd.__all__)
    assert all(hasattr(gd, name) for name in gd.__all__)
    assert len(set(gd.__all__)) == len(gd.__all__)


@pytest.mark.parametrize("room", [gd, gd.activations, gd.losses, gd.optimizers, gd.schedules])
def test_public_names_can_be_pickled(room):
    for name in room.__all__:
        each = getattr(room, name)
        if callable(each):
            assert pickle.loads(pickle.dumps(each)) is each


def test_an_installed_copy_is_complete_and_kernels_is_no_top_level_package():
    program = "import gd, gd.kernels.loops.dense, gd.kernels.rules.adam; print(gd.__version__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gd.__version__
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "imported as gd.kernels" in done.stderr


def test_advice_to_install_never_names_another_project(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    sources = "".join(path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert set(re.findall(r"to_install\([\"'](\w+)", sources)) <= set(project["optional-dependencies"])
    for command in re.findall(r"pip install (\S+)", sources):
        assert command.startswith((".", '".[', '"{DISTRIBUTION}[')), command
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: name)
    assert to_install("train") == 'python -m pip install "gd-kernels[train]"'
    monkeypatch.undo()
    monkeypatch.setattr("gd.version.DISTRIBUTION", "gd-that-nobody-has-installed")
    assert to_install("train") == 'python -m pip install ".[train]" in a checkout of gd'


def test_pyinstaller_finds_the_hook():
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pyinstaller40"]
    (folder,) = EntryPoint("hook-dirs", entry["hook-dirs"], "pyinstaller40").load()()
    assert Path(folder, "hook-gd.py").is_file()


def test_import_loads_nothing_heavy_and_leaves_the_environment_alone():
    program = (
        "import os, sys; before = dict(os.environ); import gd; assert dict(os.environ) == before; "
        "heavy = ('scipy.linalg', 'torch', 'sklearn', 'matplotlib', 'tqdm', 'threadpoolctl'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("gd/**/*.py")) + sorted(ROOT.glob("kernels/**/*.py")), ids=lambda p: p.stem
)
def test_every_public_function_and_class_is_documented(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if path.parent.name in ("reference", "rules"):
                continue  # formulas that speak for themselves
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_names_and_signatures_are_those_that_were_agreed_on():
    pytest.importorskip("sklearn")
    agreed = (ROOT / "tests" / "public_api.txt").read_text().splitlines()
    found = public_api.lines()
    assert found == agreed, "`python tests/public_api.py > tests/public_api.txt` shows the difference to a reviewer"


def test_stubs_show_what_is_collected_at_import():
    for path, text in stubs.stubs().items():
        assert path.read_text() == text, f"{path.name} of {path.parent.name}: `python tests/stubs.py` writes it again"
    for name in gd.activations.public_functions() | gd.losses.public_functions():
        parameters = inspect.signature(getattr(gd, name)).parameters.values()
        assert all(each.kind is not each.VAR_KEYWORD for each in parameters), name


@pytest.mark.full
def test_the_code_of_a_user_is_well_typed_and_runs(capsys):
    pytest.importorskip("pyright")
    runpy.run_path(str(ROOT / "tests" / "user_code.py"), run_name="__main__")
    assert capsys.readouterr().out
    assert house.check_types() == 0, "pyright"
