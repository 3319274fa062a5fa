"""Checkpoints of several ranks: a file for each rank's shard, and a manifest that is written last.

A checkpoint is these files of a folder, for the number 7 and two ranks:

====================================  ==================================================================================
``checkpoint-7.rank-0.safetensors``   by `gd.save`: rank 0's part of the parameters, and the state of its optimizer
``checkpoint-7.rank-1.safetensors``   likewise for rank 1
``checkpoint-7.tree.safetensors``     the caller's own tree
``checkpoint-7.json``                 the manifest: step, size, where shards begin, versions, hashes of all files
====================================  ==================================================================================

Each file is replaced atomically, so there is a manifest only if all files are on the disk. Files without a manifest are
not a checkpoint, and a checkpoint whose files do not match the hashes in its manifest is skipped.
"""

import hashlib
import json
import platform
import re
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numba
import numpy as np

from ..files import WORKSPACE, CheckpointError, load, replacement, save
from ..kernels.storage import CODE_BLOCK
from ..typing import FilePath
from ..version import __version__
from .ranks import Ranks

FORMAT, VERSION = "gd shards", 1
NAME = re.compile(r"checkpoint-(\d+)\.(json|tree\.safetensors|rank-\d+\.safetensors)")


def write(
    ranks: Ranks,
    path: FilePath,
    state: Mapping[str, Any],
    tree: Mapping[str, Any],
    size: int,
    step: int,
    keep: int,
) -> None:
    """Write a checkpoint of `size` parameters; `state` has this rank's numbers and arrays of its shard."""
    folder, number = Path(path), 0
    if ranks.rank == 0:
        folder.mkdir(exist_ok=True)
        number = max(_numbers(folder), default=0) + 1
    number = int(ranks.sum(number))  # all ranks wait here for the folder
    own = _path(folder, number, ranks.rank)
    save(own, state)
    hashes = ranks.gather(np.frombuffer(_hash(own), np.uint8))
    if ranks.rank == 0:
        save(_path(folder, number, "tree"), tree)
        shard = state["parameters"].size
        files = [
            {"start": min(k * shard, size), "stop": min((k + 1) * shard, size), "sha256": each.tobytes().hex()}
            for k, each in enumerate(hashes)
        ]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "step": step,
            "size": size,
            "shard": shard,
            "shards": files,
            "tree": {"sha256": _hash(_path(folder, number, "tree")).hex()},
            "versions": {
                "gd": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "numba": numba.__version__,
            },
        }
        with replacement(_path(folder, number)) as new:
            whole = {"manifest": manifest, "sha256": _hash_of(manifest)}
            new.write_text(json.dumps(whole, indent=1), encoding="utf-8")
        _remove(folder, keep)
    ranks.wait()


def exist(ranks: Ranks, folder: FilePath) -> bool:
    """Return True if there is a checkpoint, damaged or not."""
    return bool(ranks.sum(ranks.rank == 0 and any(_numbers(Path(folder), "json"))))


def read(where: str, ranks: Ranks, path: FilePath, size: int, shard: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (state of this rank's shard, tree) of the newest checkpoint that is complete and undamaged."""
    folder, manifest, number = Path(path), {}, 0
    for k in count():
        manifests = sorted(_numbers(folder, "json"), reverse=True) if ranks.rank == 0 else []
        number = int(ranks.sum(manifests[k] if k < len(manifests) else 0))
        if not number:
            raise CheckpointError(f"{where}: {folder} holds no checkpoint that is complete and undamaged")
        try:
            manifest = _checked(ranks, folder, number)
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            manifest = {}
        if not ranks.sum(not manifest):
            break
    if manifest["size"] != size:
        raise CheckpointError(f"{where}: {folder} is of {manifest['size']} parameters, there are {size}")
    return _cut_again(ranks, folder, number, manifest, shard), load(_path(folder, number, "tree"))


def _cut_again(ranks: Ranks, folder: Path, number: int, manifest: Mapping[str, Any], shard: int) -> dict[str, Any]:
    """Return the state of this rank's shard, cut in blocks of 256 elements from the shards in the files."""
    blocks, old = shard // CODE_BLOCK, manifest["shard"] // CODE_BLOCK
    first = ranks.rank * blocks  # of this shard among all blocks
    overlapping = [k for k in range(len(manifest["shards"])) if k * old < first + blocks and first < (k + 1) * old]
    state: dict[str, Any] = {}
    for k in overlapping or [0]:
        for name, value in load(_path(folder, number, k)).items():
            if not isinstance(value, np.ndarray):
                state[name] = value
                continue
            rows = value.reshape(old, -1)
            new = state.setdefault(name, np.zeros((blocks, rows.shape[1]), rows.dtype))
            low, high = max(first, k * old), min(first + blocks, (k + 1) * old)
            if low < high:
                new[low - first : high - first] = rows[low - k * old : high - k * old]
    return {name: value.reshape(-1) if isinstance(value, np.ndarray) else value for name, value in state.items()}


def _checked(ranks: Ranks, folder: Path, number: int) -> dict[str, Any]:
    """Return a manifest; raise if it, or one of the files that this rank checks, is not as it was written."""
    whole = json.loads(_path(folder, number).read_text(encoding="utf-8"))
    manifest = whole["manifest"]
    if (manifest["format"], manifest["version"], _hash_of(manifest)) != (FORMAT, VERSION, whole["sha256"]):
        raise ValueError("a damaged manifest, or of another format")
    files = [*enumerate(manifest["shards"]), ("tree", manifest["tree"])]
    for part, file in files[ranks.rank :: ranks.size]:
        if _hash(_path(folder, number, part)).hex() != file["sha256"]:
            raise ValueError("a damaged file")
    return manifest


def _remove(folder: Path, keep: int) -> None:
    """Remove old checkpoints, manifests first, and incomplete ones; no rank may be saving."""
    kept = sorted(_numbers(folder, "json"))[-keep:]
    old = [path for path in folder.iterdir() if (found := NAME.fullmatch(path.name)) and int(found[1]) not in kept]
    for path in sorted(old, key=lambda path: path.suffix != ".json"):
        path.unlink(missing_ok=True)
    for workspace in folder.glob(f".checkpoint-*{WORKSPACE}"):  # left by saves that were killed
        shutil.rmtree(workspace, ignore_errors=True)


def _numbers(folder: Path, kind: str = "") -> set[int]:
    """Return the numbers of the checkpoints that have files, or files of one kind."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {int(found[1]) for name in names if (found := NAME.fullmatch(name)) and found[2].startswith(kind)}


def _path(folder: Path, number: int, part: int | str | None = None) -> Path:
    """Return the path of a manifest, or of the file of a rank or of the tree."""
    kind = "json" if part is None else f"{part if part == 'tree' else f'rank-{part}'}.safetensors"
    return folder / f"checkpoint-{number}.{kind}"


def _hash_of(manifest: Any) -> str:
    return hashlib.sha256(json.dumps(manifest).encode()).hexdigest()


def _hash(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
