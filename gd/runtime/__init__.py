"""Runtime: number of threads, facts about the machine and its libraries, progress bars."""

from .machine import (
    PACKAGES,
    cache_size,
    free_memory,
    information,
    processor,
    sysctl,
    threading_layer,
    vector_bits,
    versions,
)
from .progress import check_progress, compiling_bar, progress_bar
from .threading import get_threads, single_threaded_blas, threads

__all__ = [
    "PACKAGES", "cache_size", "check_progress", "compiling_bar", "free_memory", "get_threads", "information",
    "processor", "progress_bar", "single_threaded_blas", "sysctl", "threading_layer", "threads", "vector_bits",
    "versions",
]  # fmt: skip
