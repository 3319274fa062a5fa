"""Scenarios of the kernel cache: see scenarios.py. Each has a folder of its own in GD_CACHE_DIR."""

import compileall
import os
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from scenario_tools import Skipped

import gd
from gd.kernels import cache
from gd.kernels.compiler import Kernel
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.rules import activations

ROOT = Path(gd.__file__).parent.parent
PROGRAM = """
import sys, warnings
import numpy, numba
if sys.argv[1]:
    numba.__version__ = sys.argv[1]
import gd
from gd.kernels.compiler import kernels
x = numpy.ones(64)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for call in sys.argv[2:]:
        if call == "SGD":
            gd.SGD(x, lr=0.5, clip_value=1.0).step(numpy.ones(64))
            print(x[0])
        else:
            print(getattr(gd, call)(numpy.full(64, 2.0))[0])
assert all(issubclass(each.category, RuntimeWarning) for each in told)
print(sum(each.was_cached for kernel in kernels for each in kernel.compiled.values()))
print("\\n".join(str(each.message) for each in told))
"""
VALUES = {"SGD": "0.5", "relu": "2.0", "relu6": "2.0", "hard_tanh": "1.0"}


def environment(folder, root=ROOT):
    return os.environ | {"GD_CACHE_DIR": str(folder), "PYTHONPATH": str(root)}


def run(folder, *calls, root=ROOT, version="", before=(), **more):
    """Make calls in a new process; return cache hits, results, and warnings. `before` is a command that runs others."""
    command = [*before, sys.executable, "-c", PROGRAM, version, *calls]
    done = subprocess.run(command, env=environment(folder, root) | more, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return parse(done.stdout, calls)


def parse(output, calls):
    lines = output.splitlines()
    values, hits, told = lines[: len(calls)], int(lines[len(calls)]), lines[len(calls) + 1 :]
    return hits, values, [line for line in told if line]


def right(hits, *calls):
    """Return what `run` returns where all is well."""
    return hits, [VALUES[call] for call in calls], []


def own_folder():
    folder = Path(os.environ["GD_CACHE_DIR"])
    assert not list(folder.iterdir())
    return folder


def files(folder):
    """Return the files of kernels: that of the entry is of no kernel."""
    return sorted(path for path in folder.rglob("*.kernel") if not path.name.startswith("gd_entry"))


def damage():
    """A file with any bit flipped, cut anywhere, overwritten or emptied is a warning and a recompile."""
    own_folder()
    x, chance = np.linspace(-3, 3, 64), random.Random(0)
    expected = gd.tanh(x)
    (file,) = files(cache.folder())
    content = file.read_bytes()

    def refused(damaged):
        file.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert cache._find(file.stem) is None
        (warning,) = told
        assert warning.category is RuntimeWarning
        assert "the kernel cache was not read" in str(warning.message)

    out = np.empty(64)
    positions = [*range(300), *(chance.randrange(len(content)) for _ in range(1_000)), len(content) - 1]
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 1 << chance.randrange(8)
        refused(flipped)
    lengths = [0, 1, 31, 32, 33, len(content) - 1, *(chance.randrange(len(content)) for _ in range(300))]
    for length in lengths:
        refused(content[:length])
    others = [b"", b"x" * 5_000, bytes(len(content)), content + b"\0", content[32:], os.urandom(len(content))]
    for other in others:
        refused(other)
    for other in (b"", content[:1_000]):  # and what follows is a recompile that mends the file
        file.write_bytes(other)
        for told in (1, 0):
            out[:] = 0
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                kernel()(64, out, x)
            assert (out == expected).all()
            assert len(heard) == told
    print(f"{len(positions) + len(lengths) + len(others)} damages")


def kernel():
    """Return the kernel of tanh as a new process would make it."""
    return Kernel(map_elements, (activations.tanh,))


def exchange():
    """A whole and valid file under the name of another kernel or in the folder of another version is not used."""
    folder, calls = own_folder(), ("relu6", "hard_tanh")  # whose signatures are alike
    assert run(folder, *calls) == right(0, *calls)
    before = files(folder)
    one, two = [file.read_bytes() for file in before]
    before[0].write_bytes(two)
    before[1].write_bytes(one)
    hits, values, told = run(folder, *calls)
    assert (hits, values, len(told)) == (0, right(0, *calls)[1], 2)
    assert all("damaged" in each for each in told)
    assert run(folder, *calls) == right(2, *calls)
    assert run(folder, *calls, version="0.0.0") == right(0, *calls)
    for file in files(folder):
        if file not in before:
            shutil.copy(before[0].with_name(file.name), file)
    hits, values, told = run(folder, *calls, version="0.0.0")
    assert (hits, values, len(told)) == (0, right(0, *calls)[1], 2)


def namespaced(*commands):
    """Return a command that runs another after some that mount file systems, or skip where that is forbidden."""
    before = ["unshare", "--mount", "--map-root-user"]
    try:
        subprocess.run([*before, "mount", "-t", "tmpfs", "none", "/tmp"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skipped(f"file systems cannot be mounted here: {error}") from None
    return [*before, "sh", "-c", f'{" && ".join(commands)} && exec "$@"', "sh"]


def read_only():
    """A folder that cannot be written is read; what it lacks is one warning, and compiled."""
    folder = own_folder()
    assert run(folder, "SGD", before=namespaced("true")) == right(0, "SGD")  # as the user that it has there
    before = namespaced(f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}")
    assert run(folder, "SGD", before=before) == right(1, "SGD")
    calls = "SGD", "relu", "hard_tanh"
    hits, values, told = run(folder, *calls, before=before)
    assert (hits, values) == right(1, *calls)[:2]
    (warning,) = set(told)  # which Python shows once
    assert warning.startswith("gd: the kernel cache was not written (Read-only file system: ")
    shutil.rmtree(files(folder)[0].parent)
    hits, values, told = run(folder, "SGD", before=before)
    assert (hits, values, len(told)) == (*right(0, "SGD")[:2], 1)
    assert told[0].startswith("gd: the kernel cache was not used (")
    if os.getuid() > 0:  # to root nothing is forbidden
        folder.chmod(0o500)
        assert run(folder, "SGD")[:2] == right(0, "SGD")[:2]
        folder.chmod(0o700)


def full_disk():
    """What does not fit on the disk is a warning and leaves nothing behind."""
    folder, calls = own_folder(), ("SGD", "relu")
    for size in ("4k", "16k"):
        before = namespaced(f"mount -t tmpfs -o size={size},mode=700 none {folder}")
        command = [*before, "sh", "-c", f'"$@" && ls -A1R {folder}', "sh", sys.executable, "-c", PROGRAM, "", *calls]
        done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=True)
        output, names = done.stdout.split(f"{folder}:")[0], done.stdout
        hits, values, told = parse(output, calls)
        assert (hits, values) == right(0, *calls)[:2]
        assert set(told), size
        assert all("No space left on device" in each for each in told), told
        assert ".tmp" not in names


def compile_at_once(count):
    """Processes that begin at once in one empty folder have the right results, and leave whole files."""
    folder, calls = own_folder(), ("SGD", "relu")
    command = [sys.executable, "-c", PROGRAM, "", *calls]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    together = [subprocess.Popen(command, env=environment(folder), **pipes) for _ in range(count)]
    for process in together:
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert parse(output, calls)[1:] == right(0, *calls)[1:], output
    assert len(files(folder)) == len(calls)
    assert not list(folder.rglob("*.tmp"))
    assert run(folder, *calls) == right(len(calls), *calls)


def change():
    """Another rule, constant, helper, option or version compiles anew, and what was there before is found again."""
    root = own_folder() / "checkout"
    for part in ("gd", "kernels"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))

    def ran(**keywords):
        hits, (value,), told = run(root.parent / "cached", "SGD", root=root, **keywords)
        assert not told
        return hits, float(value)

    def replace(name, old, new):
        path = root / "kernels" / name
        text = path.read_text()
        assert old in text, name
        path.write_text(text.replace(old, new))

    assert ran() == (0, 0.5)
    assert ran() == (1, 0.5)
    replace("rules/stages.py", "return clip(g, c.clip_value), p", "return FACTOR * clip(g, c.clip_value), p")
    replace("rules/stages.py", "\n\n\n", "\n\nFACTOR = 4\n\n\n")
    assert ran() == (0, -1.0)
    replace("rules/stages.py", "FACTOR = 4", "FACTOR = 8")
    assert ran() == (0, -3.0)
    assert ran() == (1, -3.0)
    assert ran(version="0.0.0") == (0, -3.0)
    assert ran(NUMBA_OPT="1") == (0, -3.0)
    assert ran(NUMBA_CPU_NAME="generic") == (0, -3.0)
    assert ran(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="+sse4.2") == (0, -3.0)
    assert ran(version="0.0.0") == ran() == (1, -3.0)


def identify():
    """Code is known by what was imported: from a .pyc older than its source, without sources, or from a zip file."""
    folder = own_folder()
    root, cached = folder / "checkout", folder / "cached"
    for part in ("gd", "kernels"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    rule, old = root / "kernels" / "rules" / "stages.py", "return clip(g, c.clip_value), p"
    sources = {factor: rule.read_text().replace(old, old.replace("clip(g", f"{factor} * clip(g")) for factor in (1, 3)}

    def write(factor):
        rule.write_text(sources[factor])
        os.utime(rule, (1e9, 1e9))

    def ran(root=root, **more):
        hits, (value,), told = run(cached, "SGD", root=root, **{"PYTHONDONTWRITEBYTECODE": ""} | more)
        assert not told, told
        return hits, float(value)

    write(1)
    assert ran() == (0, 0.5)
    write(3)  # of the same size and time: Python itself runs the old .pyc
    assert ran() == (1, 0.5)
    shutil.rmtree(rule.parent / "__pycache__")
    assert ran() == (0, -0.5)
    assert ran(PYTHONOPTIMIZE="2")[1] == -0.5

    compileall.compile_dir(root, quiet=1, legacy=True)
    for each in root.rglob("*.py"):
        each.unlink()
    assert ran() == (1, -0.5)  # without sources
    write(1)
    compileall.compile_file(rule, force=True, quiet=1, legacy=True)
    rule.unlink()
    assert ran() == (1, 0.5)
    archive = shutil.make_archive(str(folder / "zipped"), "zip", root)
    assert ran(archive) == (1, 0.5)


def keep_private():
    """A folder is made for its owner alone, root's for all to read; one that others can write to is not used."""
    if not hasattr(os, "getuid"):
        raise Skipped("no POSIX permissions here")
    folder = own_folder()
    assert run(folder / "a" / "b", "relu") == right(0, "relu")
    private = files(folder)[0].parent
    root = private.parent
    assert private.stat().st_mode & 0o777 == (0o700 if os.geteuid() else 0o755)
    assert files(folder)[0].stat().st_mode & 0o777 == (0o600 if os.geteuid() else 0o644)
    for mode in (0o720, 0o702, 0o777):
        private.chmod(mode)
        hits, values, told = run(root, "relu")
        assert (hits, values, len(told)) == (*right(0, "relu")[:2], 1)
        assert told[0].startswith("gd: the kernel cache was not used (")
        assert "can be written by others" in told[0]
    private.chmod(0o700)
    files(folder)[0].chmod(0o666)  # as it was left by another program
    assert "can be written by others" in run(root, "relu")[2][0]
    assert run(root, "relu") == right(1, "relu")
