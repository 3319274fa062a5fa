"""The environment of a measurement: processor, caches, threads, BLAS, versions, commit."""

import os
import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import llvmlite.binding
from threadpoolctl import threadpool_info

import gd
from gd.kernels import pool
from gd.runtime import PACKAGES, processor, sysctl, threading_layer, vector_bits, versions

PEERS = ("torch", "jax", "optax", "numexpr", "scikit-learn", "thinc", "deepspeed")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
CPUS = Path("/sys/devices/system/cpu")


def environment():
    """Return the hardware and software of this process; unknown items are None or missing.

    Returns
    -------
    dict
        processor, core, system, commit, threading_layer, waiting : str
        The core is LLVM's name of its kind, such as "znver4".
            The commit of the checkout, with "+" if files have changed since; None outside of a checkout.
        cores, logical_cores, threads : int
            Physical cores, logical cores, and the threads that gd uses.
        memory : int
            Bytes.
        vector_bits : int
        caches : dict of str to int
            Bytes of the first core's "L1" for data, "L2" and "L3", shared or not.
        versions : dict of str to str
            Versions of the installed packages.
        blas : list of dict
            The BLAS libraries in this process, and the package that each came with.
    """
    layer = threading_layer()  # must come before `waiting`, which it determines
    return {
        "processor": processor(),
        "core": llvmlite.binding.get_host_cpu_name(),
        "cores": _cores(),
        "logical_cores": os.cpu_count(),
        "threads": pool.get_threads(),
        "memory": _memory(),
        "vector_bits": vector_bits(),
        "caches": _caches(),
        "system": platform.platform(),
        "commit": _commit(),
        "versions": {"gd": gd.__version__, "python": platform.python_version(), **versions((*PACKAGES, *PEERS))},
        "blas": _blas(),
        "threading_layer": layer,
        "waiting": pool.waiting(),
    }


def _cores():
    siblings = [path.read_text() for path in CPUS.glob("cpu[0-9]*/topology/thread_siblings_list")]
    return len(set(siblings)) or _number(sysctl("hw.physicalcpu"))


def _memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _caches():
    found = {}
    for index in sorted(CPUS.glob("cpu0/cache/index[0-9]*")):
        with suppress(OSError, ValueError):
            if (index / "type").read_text().strip() != "Instruction":
                level, size = ((index / name).read_text().strip() for name in ("level", "size"))
                found[f"L{level}"] = int(size[:-1]) * UNITS[size[-1]]
    for level, name in (("L1", "l1dcachesize"), ("L2", "l2cachesize"), ("L3", "l3cachesize")):
        if level not in found and (size := _number(sysctl(f"hw.{name}"))):
            found[level] = size
    return found


def _number(text):
    return int(text) if text.isdigit() else None


def _commit():
    root = Path(gd.__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--dirty=+"]
    variables = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)}  # ignore a checkout around this folder
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def _blas():
    """Return the BLAS libraries, without paths of this machine."""
    found = []
    for each in threadpool_info():
        if each["user_api"] == "blas":
            package = re.search(r"site-packages[/\\]([^/\\.]+)", each["filepath"])
            found.append(
                {
                    "library": each["internal_api"],
                    "version": each["version"],
                    "architecture": each.get("architecture"),
                    "threads": each["num_threads"],
                    "of": package[1] if package else None,
                }
            )
    return found
