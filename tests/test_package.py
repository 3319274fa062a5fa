"""The package as a whole: what is exported, what may import what, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gd

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


def test_kernels_import_nothing_of_gd_and_only_relatively():
    for path in (ROOT / "kernels").rglob("*.py"):
        depth = len(path.relative_to(ROOT / "kernels").parts)
        for level, module in imports(path):
            assert not (level == 0 and module.split(".")[0] in ("gd", "kernels", "bench")), path
            assert level <= depth, f"{path} reaches out of kernels"


def test_rules_know_no_loops():
    for path in (ROOT / "kernels" / "rules").glob("*.py"):
        assert not any("loops" in module for _, module in imports(path)), path


def test_the_reference_is_independent():
    assert not any(level for level, _ in imports(ROOT / "gd" / "reference.py"))


def test_an_installed_copy_is_complete_and_kernels_is_no_top_level_package():
    program = "import gd, gd.kernels.loops.dense, gd.kernels.rules.adam; print(gd.__version__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == gd.__version__
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "imported as gd.kernels" in done.stderr


def test_import_loads_nothing_heavy_and_leaves_the_environment_alone():
    program = (
        "import os, sys; before = dict(os.environ); import gd; assert dict(os.environ) == before; "
        "heavy = ('scipy.linalg', 'torch', 'sklearn', 'matplotlib', 'tqdm', 'threadpoolctl'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("gd/*.py")) + sorted(ROOT.glob("kernels/**/*.py")), ids=lambda p: p.stem
)
def test_every_public_function_and_class_is_documented(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if path.name == "reference.py" or path.parent.name == "rules":
                continue  # formulas that speak for themselves
            assert ast.get_docstring(node), f"{path.name}: {node.name}"
