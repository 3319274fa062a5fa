"""Files: checkpoints, the safetensors format, replacement of a whole file at once, figures."""

from .checkpoints import CheckpointError, encoded, load, require_safetensors, save
from .figures import new_figure, written
from .replacement import WORKSPACE, flush, lock, replacement

__all__ = [
    "WORKSPACE",
    "CheckpointError",
    "encoded",
    "flush",
    "load",
    "lock",
    "new_figure",
    "replacement",
    "require_safetensors",
    "save",
    "written",
]
