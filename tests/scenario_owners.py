"""Scenarios of kernel caches that several users share, and of images: see scenarios.py. Root plays all of the users."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from scenario_tools import Skipped

import gd
from gd.kernels import cache
from gd.kernels.compiler import Kernel
from gd.kernels.loops.elementwise import map_elements
from gd.kernels.rules import activations

ROOT = Path(gd.__file__).parent.parent
ANN, BOB, NOBODY = 40_001, 40_002, 65_534  # users
GROUP = 40_000  # of all users


@contextmanager
def acting_as(user, group=GROUP):
    """Have the rights of a user only."""
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def run(user, rule=activations.tanh, group=GROUP):
    """Run a new kernel with the rights of a user; return whether its code was cached, and its warnings."""
    with acting_as(user, group if user else 0), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kernel, out = Kernel(map_elements, (rule,)), np.zeros(3)
        kernel(3, out, np.ones(3))
    assert abs(out - np.tanh(1.0)).max() < 1e-12 or rule is not activations.tanh
    (compiled,) = kernel.compiled.values()
    return compiled.was_cached, [str(each.message) for each in told]


def shared(name, mode, owner=0, group=GROUP):
    """Use a new folder of this mode, owner and group as cache; return it."""
    folder = Path(os.environ["GD_CACHE_DIR"]).with_name(name)
    folder.mkdir()
    os.chown(folder, owner, group)
    folder.chmod(mode)
    os.environ["GD_CACHE_DIR"] = str(folder)
    cache._folder.cache_clear()
    return folder


def of(folder, user):
    return cache._folder_in(folder, user)


def prepare():
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise Skipped("only root can play several users")
    os.setgroups([])
    os.umask(0o022)
    folder = Path(os.environ["GD_CACHE_DIR"])
    folder.chmod(0o711)
    os.environ["GD_CACHE_DIR"] = "off"
    gd.tanh(np.ones(3))  # import all that compiling needs: users cannot read root's home, where Python may be
    os.environ["GD_CACHE_DIR"] = str(folder / "first")


def share():
    """Users share a folder: each reads root's kernels and writes a folder of their own."""
    prepare()
    folder = shared("image", 0o755)
    assert run(0) == (False, [])
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    assert run(0) == run(ANN) == run(BOB) == (True, [])  # which root has warmed up
    cached, (told,) = run(ANN, activations.relu)
    assert not cached
    assert told.startswith("gd: the kernel cache was not written (Permission denied: ")
    assert f"{of(folder, 0)} belongs to root (uid 0), this process to uid {ANN}; set GD_CACHE_DIR to a folder" in told
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before

    for name, mode, owner in (("sticky", 0o1777, 0), ("open", 0o777, 0), ("group", 0o2775, 0), ("Ann's", 0o770, ANN)):
        folder = shared(name, mode, owner)
        for user in (ANN, BOB):
            assert run(user) == (False, []), name
            assert run(user) == (True, []), name
            assert of(folder, user).stat().st_mode & 0o777 == 0o700
            assert of(folder, user).stat().st_uid == user
    folder = shared("OpenShift", 0o775, ANN, group=0)  # a user of any number, in root's group
    assert run(BOB, group=0) == (False, [])
    assert run(BOB, group=0) == (True, [])

    folder = shared("closed", 0o755, ANN)
    cached, (told,) = run(BOB)
    assert not cached
    assert told.startswith("gd: the kernel cache was not used (Permission denied: ")
    assert f"{folder} belongs to uid {ANN}, this process to uid {BOB}; set GD_CACHE_DIR to a folder of your" in told


def distrust():
    """Nothing runs that another user could have written, wherever they put it."""
    prepare()
    folder = shared("open", 0o777)
    own, planted = of(folder, BOB), of(folder, ANN)

    def refused(message):
        cached, told = run(BOB)
        assert not cached
        assert any(message in each for each in told), told

    assert run(ANN) == (False, [])
    os.rename(planted, own)  # another's folder in the place of one's own
    refused(f"{own} belongs to uid {ANN}, this process to uid {BOB}; set GD_CACHE_DIR to a folder of your own")
    own.chmod(0o755)
    cache._folder.cache_clear()  # as in a new process
    refused(f"{own} belongs to uid {ANN}, not to uid {BOB}; set GD_CACHE_DIR to a folder of your own")
    shutil.rmtree(own)
    cache._folder.cache_clear()
    assert run(BOB) == (False, [])
    assert run(ANN) == (False, [])
    os.rename(own, folder / "away")
    os.rename(planted, own)  # and while one uses it
    refused(f"{own} belongs to uid {ANN}")
    shutil.rmtree(own)
    own.symlink_to(folder / "away")  # or a link
    refused("the kernel cache was not read")
    own.unlink()
    os.rename(folder / "away", own)
    assert run(BOB) == (True, [])

    (file,) = (path for path in own.iterdir() if "tanh" in path.name)
    for owner, mode in ((ANN, 0o644), (BOB, 0o666), (BOB, 0o620)):
        os.chown(file, owner, GROUP)
        file.chmod(mode)
        refused(f"{file} belongs to uid {ANN}" if owner == ANN else f"{file} of uid {BOB} can be written by others")
        assert run(BOB) == (True, [])  # it is replaced

    folder = shared("image", 0o1777)
    assert run(0) == (False, [])
    (file,) = (path for path in of(folder, 0).iterdir() if "tanh" in path.name)
    for path, mode in ((file, 0o666), (file.parent, 0o775), (file.parent, 0o757)):
        right = path.stat().st_mode
        path.chmod(mode)
        refused(f"{path} of root (uid 0) can be written by others")
        assert run(BOB) == (True, [])  # from their own folder
        shutil.rmtree(of(folder, BOB))
        path.chmod(right)
    assert run(BOB) == (True, [])


def find_home():
    """What root runs with the home of a user leaves nothing there that stops the user's cache."""
    prepare()
    home = shared("home", 0o700, ANN)
    os.environ |= {"HOME": str(home), "XDG_CACHE_HOME": "", "GD_CACHE_DIR": ""}
    assert cache.cache_root() == Path("~root/.cache/gd").expanduser()
    for cached in (False, True):
        assert run(ANN) == (cached, [])
    assert [path.stat().st_uid for path in home.rglob("*")] == [ANN] * len(list(home.rglob("*")))
    os.environ["HOME"] = "/nonexistent/home"
    cached, (told,) = run(BOB)
    assert not cached
    assert "belongs to root (uid 0), this process to uid" in told
    assert "set GD_CACHE_DIR to a folder of your own" in told


TRAIN = """
import numpy as np, gd
from gd.kernels.compiler import kernels
X, y = np.zeros((64, 5), np.float32), np.arange(64) % 2
model = gd.MLP([5, 4, 2])
gd.fit(model, X, y, gd.Adam(model.parameters), batch_size=8, epochs=1, progress=False)
print(sum(not each.was_cached for kernel in kernels for each in kernel.compiled.values()), model.score(X, y))
"""


def build_image():
    """The image of docs/containers.md, warmed up by root, runs as nobody in file systems that cannot be written."""
    prepare()
    page = (ROOT / "docs" / "containers.md").read_text()
    (dockerfile,) = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    folder = Path(os.environ["GD_CACHE_DIR"]).parent
    environment = dict(
        each.split("=", 1) for line in re.findall(r"^ENV (.*)", dockerfile, re.M) for each in shlex.split(line)
    )
    assert environment["GD_CACHE_DIR"] == "/opt/gd-cache"
    environment = os.environ | environment | {"GD_CACHE_DIR": str(folder / "opt"), "PYTHONPATH": str(ROOT)}
    (warm_up,) = (shlex.split(line) for line in re.findall(r"^RUN (python -c .*)", dockerfile, re.M))
    (folder / "train.py").write_text(TRAIN)
    python = [sys.executable, "-W", "error"]
    subprocess.run([*python, *warm_up[1:]], env=environment, check=True)
    assert "USER nobody" in dockerfile
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    version = [*nobody, *python, "-c", "import numba, sys; print(sys.version)"]
    if subprocess.run(version, capture_output=True, text=True).stdout.strip() != sys.version:
        nobody += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # where root's home has Python
    mounts = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && mount -o remount,bind,ro /"
    command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *nobody, *python, folder / "train.py"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    if "mount" in done.stderr and "Traceback" not in done.stderr:
        raise Skipped(f"file systems cannot be mounted here: {done.stderr}")
    assert done.stdout.split()[:1] == ["0"], done.stdout + done.stderr
