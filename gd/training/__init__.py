"""Training: `fit` and its arguments and results, and `warmup`."""

from .averages import averaged
from .early_stopping import EarlyStopping
from .fitting import fit
from .gradient_norms import GradientNorms
from .history import History
from .loop import Checkpoint, schedules_of
from .precompilation import tasks, warmup

__all__ = [
    "Checkpoint", "EarlyStopping", "GradientNorms", "History", "averaged", "fit", "schedules_of", "tasks", "warmup",
]  # fmt: skip
