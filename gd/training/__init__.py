"""Training: `fit`, what it returns and when it stops, and `warmup`."""

from .early_stopping import EarlyStopping
from .fitting import Checkpoint, fit
from .gradient_norms import LayerNorms
from .history import History
from .precompilation import tasks, warmup

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LayerNorms",
    "fit",
    "tasks",
    "warmup",
]
