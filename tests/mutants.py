"""Whether the tests notice a fault: ``python tests/mutants.py [--count 20] [--seed 0] [--full] [path ...]``.

Draws mutants by a seed, each one change of one expression in a copy of the tree: + for -, < for <=, a constant that is
one more, a condition that is its opposite, and so on. Runs the tests on each until one fails, prints which did, and
exits with 1 if more than a tenth of the mutants lived. A mutant that lives shows that a test is missing, or it computes
the same (an equivalent mutant), or it is about speed alone: that is for a person to say.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATHS = "kernels/rules", "kernels/loops", "gd/optimizers", "gd/training"
PARTS = "gd", "kernels", "bench", "tests", "docs"
LIMIT = 1200  # seconds of one run
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def changes(tree):
    """Return functions that change one place of a module each, with the line and what is done there."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for each in (part for statement in node.body for part in ast.walk(statement)):
            if isinstance(each, (ast.BinOp, ast.AugAssign)) and type(each.op) in ARITHMETIC:
                found.append((each, "op", ARITHMETIC[type(each.op)](), "operator"))
            elif isinstance(each, ast.Compare) and type(each.ops[0]) in COMPARISONS:
                found.append((each, "ops", [COMPARISONS[type(each.ops[0])](), *each.ops[1:]], "comparison"))
            elif isinstance(each, (ast.If, ast.IfExp, ast.While)):
                found.append((each, "test", ast.UnaryOp(ast.Not(), each.test), "condition"))
            elif isinstance(each, ast.Constant) and type(each.value) in (int, float):
                found.append((each, "value", each.value + 1, "constant"))
            elif isinstance(each, ast.BoolOp):
                found.append((each, "op", ast.Or() if isinstance(each.op, ast.And) else ast.And(), "and, or"))
    unique = {(id(node), name): (node, name, value, what) for node, name, value, what in found}
    return list(unique.values())


def draw(paths, chance):
    """Return (file, line, before, after, text of the mutated file), of one mutant."""
    while True:
        files = [file for path in paths for file in ([path] if path.suffix else sorted(path.rglob("*.py")))]
        file = chance.choices(files, [each.stat().st_size for each in files])[0]
        tree = ast.parse(file.read_text())
        possible = changes(tree)
        if possible:
            node, name, value, _ = chance.choice(possible)
            statement = next(s for s in _statements(tree) if any(part is node for part in ast.walk(s)))
            before = ast.unparse(statement).splitlines()[0]
            setattr(node, name, value)
            after = ast.unparse(ast.fix_missing_locations(statement)).splitlines()[0]
            return file, node.lineno, before, after, ast.unparse(tree)


def _statements(tree):
    """Return the statements of a module, the innermost first."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    return sorted(found, key=lambda node: (node.end_lineno - node.lineno, -node.lineno))


def outcome(root, options, environment):
    """Run the tests until one fails; return its name, "TIMEOUT", or None if none did."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--max-worker-restart=0", "-p", "no:cacheprovider", *options]
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return "TIMEOUT"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"exit code {done.returncode}"


def main():
    """Draw mutants, run the tests on each, and say which lived."""
    parser = argparse.ArgumentParser(description="Whether the tests notice faults.")
    parser.add_argument("paths", nargs="*", default=PATHS)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="run all tests, not the default tier")
    options = parser.parse_args()
    chance, lived = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(-1, options.count):  # first without a change: what fails then says nothing
            root = Path(folder, str(k))
            root.mkdir()
            for part in PARTS:
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            for file in ROOT.glob("*.*"):
                if file.is_file():
                    shutil.copy(file, root)
            if k >= 0:
                file, line, before, after, text = draw([root / path for path in options.paths], chance)
                file.write_text(text)
            environment = os.environ | {"PYTHONPATH": str(root), "GD_CACHE_DIR": str(Path(folder, "kernels"))}
            start = time.perf_counter()
            killed = outcome(root, ["--full"] if options.full else [], environment)
            seconds = time.perf_counter() - start
            if k < 0:
                print(f"without a change: {killed or 'all pass'}, {seconds:.0f} s", flush=True)
                if killed:
                    return 2
                continue
            print(f"{k:>3} {file.relative_to(root)}:{line}\n      {before}\n    > {after}\n    = ", end="")
            print(f"{'LIVED' if killed is None else killed}, {seconds:.0f} s", flush=True)
            lived += [k] if killed is None else []
            shutil.rmtree(root)
    print(f"{options.count - len(lived)} of {options.count} were noticed, seed {options.seed}")
    return 1 if len(lived) > options.count / 10 else 0


if __name__ == "__main__":
    sys.exit(main())
