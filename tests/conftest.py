"""Fixtures; kernels compiled by the tests are cached beside pytest's own cache, not in the user's; see tiers.py."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("GD_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))

import numpy as np
import pytest
from hypothesis import settings

from gd.kernels.settings import DEBUG

pytest_plugins = ["tiers"]

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")  # tests fail for what has changed, not by luck; the scripts' --seed looks elsewhere

DTYPES = ("float32", "float64")
SIZES = (1, 7, 8, 9, 1023, 4097, 100_003)

optimized = pytest.mark.skipif(DEBUG, reason="GD_DEBUG: bounds are checked, and nothing is cached")


def pytest_make_parametrize_id(val):
    """Name tests after the keywords of a dict: pytest's own names of dicts are numbers."""
    return ",".join(map(str, val)) if isinstance(val, dict) else None


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=SIZES, ids=str)
def size(request):
    return request.param


@pytest.fixture(params=[os.name, "as on Windows"] if os.name == "posix" else [os.name])
def system(request, monkeypatch):
    """Run the test once on this system, and on POSIX once more with locks like those of Windows, which are of files."""
    if request.param == os.name:
        return
    import fcntl

    from gd.files import atomic

    def locking(descriptor, mode, size):
        assert (mode, size) == (2, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def rmtree(folder, ignore_errors):  # all but what is open
        for each in folder.iterdir():
            if each.name != atomic.LOCK:
                each.unlink()

    monkeypatch.setattr(atomic, "fcntl", None)
    monkeypatch.setattr(atomic, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2), raising=False)
    monkeypatch.setattr(atomic, "shutil", SimpleNamespace(rmtree=rmtree, copyfile=shutil.copyfile))


@pytest.fixture(params=["serial", "parallel"])
def walk(request):
    """Run the test once with serial and once with parallel kernels, whatever the size."""
    from gd.kernels.compiler import splitting

    with splitting(float("inf") if request.param == "serial" else 1):
        yield request.param
