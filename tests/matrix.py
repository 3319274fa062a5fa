"""Try other versions of Python and of the packages: ``python tests/matrix.py [python ...]``.

Takes the interpreters that are named, or else those from 3.11 on in PATH and in pyenv's folder. Each gets two virtual
environments, into which a copy of gd is installed: one with the oldest packages that pyproject.toml allows, one with
the newest that there are. In each a selection of the tests runs, in some minutes. docs/platforms.md has the results.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = "test_machine_code.py", "test_math.py", "test_networks.py", "test_checkpoints.py"
TOOLS = "pytest", "pytest-xdist", "hypothesis", "mpmath"
SHOWN = "numpy", "numba", "scipy", "scikit-learn"


def interpreters():
    """Yield a path for each version of Python that gd supports."""
    folders = [*map(Path, os.get_exec_path()), *sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin"))]
    found = {}
    for path in chain.from_iterable(folder.glob("python3.[0-9]*") for folder in folders):
        minor = re.fullmatch(r"python3\.(\d+)", path.name)
        if minor and int(minor[1]) >= 11 and path.exists():
            works = subprocess.run([path, "-m", "venv", "--help"], capture_output=True).returncode == 0
            if works:  # a shim of pyenv may not
                found.setdefault(int(minor[1]), path)
    return [str(found[minor]) for minor in sorted(found)]


def oldest():
    """Return the lower bounds in pyproject.toml as constraints of pip."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    bounded = [re.match(r"([\w-]+)>=([\d.]+)", each) for each in wanted]
    return [f"{bound[1]}=={bound[2]}" for bound in bounded if bound]


def run(python, folder, constraints):
    """Install and test; return (packages, result) in words."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    own = str(folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    copy = folder / "gd"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build"))
    (folder / "constraints.txt").write_text("\n".join(constraints))
    options = "--quiet", "--only-binary=numpy,numba,llvmlite,scipy,scikit-learn", "-c", str(folder / "constraints.txt")
    wanted = ["-e", f"{copy}[train]", *TOOLS]
    done = subprocess.run([own, "-m", "pip", "install", *options, *wanted], capture_output=True, text=True)
    if done.returncode:
        return "", "not installed: " + " ".join(re.findall("^ERROR: (.*)", done.stderr, re.MULTILINE))
    listed = subprocess.run([own, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True).stdout
    packages = ", ".join(each.replace("==", " ") for each in listed.split() if each.partition("==")[0] in SHOWN)
    tests = [f"tests/{name}" for name in TESTS]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["GD_CACHE_DIR"] = str(folder / "kernels")
    command = [own, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-5000:], done.stderr[-1000:], flush=True)
    return packages, (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")


def main():
    """Run all and print a line for each; return 1 if tests failed somewhere."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("python", nargs="*", help="paths of interpreters")
    failed = False
    for python in parser.parse_args().python or interpreters():
        version = subprocess.run([python, "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
        for age, constraints in (("oldest", oldest()), ("newest", [])):
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                packages, result = run(python, Path(folder), constraints)
            failed |= "passed" not in result or "failed" in result or "error" in result
            print(f"| {version} | {age} | {packages} | {result} | {time.perf_counter() - start:.0f} s |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
