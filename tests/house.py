"""The house, looked at from outside: ``python tests/house.py [--trace, --types, --annotated]``.

Prints what the layout is judged by: modules at the top of gd, files above 400 lines, rooms and the imports among them,
names in ``dir(gd)``, lines in all; and keeps the contracts of pyproject.toml (import-linter). With ``--trace`` prints
the rooms and files that one optimizer step, one activation and one `fit` enter, in order; with ``--types`` runs
pyright; with ``--annotated`` has it tell which share of the public API is annotated.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = "gd", "kernels", "bench"
LONG = 400  # lines of a file


def modules():
    """Return {dotted name: path} of all source files, as they are named where gd is installed."""
    found = {}
    for path in (path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))):
        names = list(path.relative_to(ROOT).with_suffix("").parts)
        names = names if names[0] == "gd" else ["gd", *names]
        found[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    return found


def room(name):
    """Return the room that a module is in: a sub-package of gd, or a module at its top."""
    return ".".join(name.split(".")[:2])


def imports(name, path, known):
    """Yield (module that is imported from, name or None) for what a module of gd imports of gd."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] == "gd")
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            if source.split(".")[0] == "gd":
                for alias in node.names:
                    whole = f"{source}.{alias.name}"
                    yield (whole, None) if whole in known else (source, alias.name)


@contextmanager
def laid_out():
    """Yield a folder with a copy of gd as it is installed, where kernels and bench are in gd."""
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "gd", Path(folder, "gd"), ignore=ignored)
        for part in PARTS[1:]:
            shutil.copytree(ROOT / part, Path(folder, "gd", part), ignore=ignored)
        for path in (ROOT / "pyproject.toml", ROOT / "tests" / "user_code.py"):
            shutil.copy(path, folder)
        yield folder


def keep_contracts():
    """Run import-linter; return its exit status."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    with laid_out() as folder:
        command = [sys.executable, "-c", program, "pyproject.toml", "--no-cache"]
        return subprocess.run(command, cwd=folder, check=False).returncode


def check_types(share=False):
    """Run pyright over gd and a user's code, or have it tell the annotated share of the public API."""
    arguments = ["--verifytypes", "gd", "--ignoreexternal"] if share else []
    with laid_out() as folder:
        command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": folder}, check=False).returncode


def trace(call):
    """Return the files of gd that a call enters, in order, without compiled code."""
    seen = {}

    def look(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.parts[len(ROOT.parts)] in PARTS:
            seen.setdefault(path.relative_to(ROOT).as_posix())

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(seen)


def print_traces():
    """Print what calls enter, once everything is compiled."""
    sys.path.insert(0, str(ROOT))  # not a gd that is installed elsewhere
    import numpy as np

    import gd

    x, g = np.ones((2, 64), np.float32)
    X, y, labels = np.ones((64, 4), np.float32), np.ones(64, np.float32), np.arange(64) % 3
    adam, mlp, linear = gd.Adam(x), gd.MLP([4, 8, 3]), gd.LinearModel(4)

    def fit(model, targets):
        gd.fit(model, X, targets, gd.Adam(model.parameters), batch_size=16, epochs=1, progress=False)

    calls = {
        "Adam.step(g), one array": lambda: adam.step(g),
        "gd.sigmoid(x)": lambda: gd.sigmoid(x),
        "fit(MLP)": lambda: fit(mlp, labels),
        "fit(LinearModel)": lambda: fit(linear, y),
    }
    for name, call in calls.items():
        call()
        files = trace(call)
        rooms = list(dict.fromkeys("/".join(file.split("/")[:2]).removesuffix(".py") for file in files))
        print(f"\n{name}: {len(rooms)} rooms, {len(files)} files\n  " + "\n  ".join(files))


def main():
    """Print the figures; return 1 if a contract is broken."""
    parser = argparse.ArgumentParser(description="The house, looked at from outside.")
    parser.add_argument("--types", action="store_true", help="run pyright")
    parser.add_argument("--annotated", action="store_true", help="the annotated share of the public API, by pyright")
    parser.add_argument("--trace", action="store_true", help="the files that calls enter")
    options = parser.parse_args()
    if options.trace:
        print_traces()
        return 0
    if options.types or options.annotated:
        return check_types(options.annotated)
    found = modules()
    lines = {name: len(path.read_text().splitlines()) for name, path in found.items()}
    arrows = {(room(name), room(source)) for name, path in found.items() for source, _ in imports(name, path, found)}
    arrows = {(a, b) for a, b in arrows if a != b and "gd" not in (a, b)}
    top = [path.name for path in sorted((ROOT / "gd").glob("*.py"))]
    program = "import gd; print(len(dir(gd)))"
    names = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    print(f"modules at the top of gd: {len(top)} ({', '.join(top)})")
    long = {name: count for name, count in lines.items() if count > LONG}
    print(f"files above {LONG} lines: {len(long)} {long or ''}")
    print(f"rooms: {len({room(name) for name in found} - {'gd'})}, imports among them: {len(arrows)}")
    print(f"names in dir(gd): {names.strip()}")
    print(f"lines: {sum(lines.values()):,} in {len(lines)} files", flush=True)
    return keep_contracts()


if __name__ == "__main__":
    sys.exit(main())
