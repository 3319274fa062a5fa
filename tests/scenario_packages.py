"""Scenarios of how gd is packed: in a zip file, a frozen program, beside the other `gd`; see scenarios.py."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from house import laid_out
from scenario_tools import Skipped

from gd.optimizers import OPTIMIZERS

PROGRAM = """
import numpy as np, gd
from gd.kernels.compiler import kernels
p, model = np.ones(3), gd.MLP([4, 3, 2])
gd.AdaBelief(p).step(p.copy())
X, y = np.zeros((8, 4), np.float32), np.zeros(8, int)
gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=4, epochs=1, progress=False)
loaded = all(each.was_cached for kernel in kernels for each in kernel.compiled.values())
print(len(gd.optimizers.OPTIMIZERS), p.round(6).tolist(), loaded)
"""
RESULT = f"{len(OPTIMIZERS)} {[0.998889] * 3}"
CHANGED = """
import os, sys, warnings, numpy as np, gd
os.utime(sys.argv[1], (0, 0))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    gd.relu(np.ones(3))
print(told[0].message)
"""
UNUSED = (  # by the program, and large
    "torch sklearn pandas pyarrow matplotlib mpi4py joblib safetensors tqdm setuptools pkg_resources pygments "
    "scipy.stats scipy.optimize scipy.integrate scipy.interpolate scipy.ndimage scipy.spatial"
).split()


def run(*command, path=None):
    """Run a command outside of the checkout, with a folder or file on Python's path; return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(path or "")}
    done = subprocess.run(list(map(str, command)), env=environment, cwd="/", capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def twice(*command, path=None):
    """Run the program twice: it works, and the second time it finds its kernels in the cache."""
    results = [run(*command, path=path) for _ in range(2)]
    assert results[0] in (f"{RESULT} True", f"{RESULT} False"), results[0]
    assert results[1] == f"{RESULT} True", results[1]


def zipped():
    """Gd works from a zip file, with asserts and docstrings or without them, and notices that the file was replaced."""
    with laid_out() as folder:
        archive, bare = Path(folder, "gd.zip"), Path(folder, "checkout.zip")
        for path, parts in ((archive, ["gd"]), (bare, ["gd", "kernels", "bench"])):
            root = Path(folder) if path is archive else Path(__file__).parent.parent
            with zipfile.ZipFile(path, "w") as file:
                for each in (file for part in parts for file in (root / part).rglob("*.py")):
                    file.write(each, each.relative_to(root))
        twice(sys.executable, "-W", "error", "-c", PROGRAM, path=archive)
        for flag in ("-O", "-OO"):
            twice(sys.executable, flag, "-c", PROGRAM, path=archive)  # their byte code is other code
        twice(sys.executable, "-c", PROGRAM, path=bare)
        assert "sources have changed" in run(sys.executable, "-c", CHANGED, archive, path=archive)


def frozen():
    """A program frozen by PyInstaller works, has all optimizers, and caches its kernels."""
    if find_spec("PyInstaller") is None:
        raise Skipped("no PyInstaller here")
    with laid_out() as folder:
        program = Path(folder, "program.py")
        program.write_text(PROGRAM)
        options = [f"--exclude-module={each}" for each in UNUSED]
        options += [f"--additional-hooks-dir={folder}/gd/_pyinstaller"]  # what the entry point of an installed gd says
        options += [f"--{each}={folder}/{each}" for each in ("distpath", "workpath", "specpath")]
        told = run(sys.executable, "-m", "PyInstaller", "--log-level=ERROR", *options, program, path=folder)
        executable = next(Path(folder, "distpath").glob("program/program*"), None)
        assert executable, told
        twice(executable)


def beside_the_other():
    """An import tells of the other `gd` that pip has put into the same folder, and of kernels that are missing."""
    with laid_out() as folder:
        Path(folder, "gd_kernels-0.2.dist-info").mkdir()
        assert run(sys.executable, "-W", "error", "-c", "import gd", path=folder) == ""
        Path(folder, "gd-0.1.11.dist-info").mkdir()
        assert "python -m pip uninstall gd gd-kernels" in run(sys.executable, "-c", "import gd", path=folder)
        Path(folder, "gd", "kernels").rename(Path(folder, "gd", "elsewhere"))
        alone = "import sys; sys.meta_path = [each for each in sys.meta_path if 'Editable' not in str(each)]; import gd"
        assert "ImportError: gd is incomplete" in run(sys.executable, "-c", alone, path=folder)


def interpreted():
    """All public calls give without compilation what they give with it."""
    from interpreted import compare  # imports much, which other scenarios must not

    count, lines = compare(seeds=(0,))
    assert count
    assert not lines, "\n".join(lines)
