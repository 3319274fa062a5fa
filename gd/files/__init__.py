"""Files: checkpoints, the safetensors format, atomic replacement of files, figures."""

from .atomic import LOCK, WORKSPACE, flush, lock, replacement
from .checkpoints import CheckpointError, encoded, load, require_safetensors, save
from .figures import new_figure, written

__all__ = [
    "LOCK", "WORKSPACE", "CheckpointError", "encoded", "flush", "load", "lock", "new_figure", "replacement",
    "require_safetensors", "save", "written",
]  # fmt: skip
