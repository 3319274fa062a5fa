"""Try the newest Numba there is, release candidates too: ``python tests/next_numba.py``.

Makes a virtual environment with it, whatever pyproject.toml bounds, and runs the tests of the names that kernels/ uses
and Numba does not promise to keep, those of kernels, and a training. Says so, and ends with 0, where there is no newer
one than this environment has.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

import numba

ROOT = Path(__file__).parent.parent
TESTS = (
    "test_machine_code.py",
    "test_compiler.py",
    "test_cache.py",
    "test_identity.py",
    "test_optimizers.py",
    "test_networks.py",
)


def main():
    """Install it, run the tests, and return their status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"], "pytest-xdist", "hypothesis"]
    names = [re.split("[<>=]", each)[0] for each in wanted]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "Scripts" if sys.platform == "win32" else "bin", "python")
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *names], check=True)
        subprocess.run([*install, "--pre", "--upgrade", "numba", "llvmlite"], check=True)
        subprocess.run([*install, "--no-deps", "-e", str(ROOT)], check=True)
        version = [python, "-c", "import numba; print(numba.__version__)"]
        newest = subprocess.run(version, check=True, capture_output=True, text=True).stdout.strip()
        print(f"the newest Numba is {newest}; kernels were checked with {numba.__version__}", flush=True)
        if newest == numba.__version__:
            return 0
        return subprocess.run([python, "-m", "pytest", "-q", *(f"tests/{name}" for name in TESTS)], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
