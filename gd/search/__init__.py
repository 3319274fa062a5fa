"""Random search of hyper-parameters, in rounds that narrow the ranges."""

from .distributions import Choice, LogUniform, Uniform
from .narrowing import narrowing_search
from .results import SearchResult, Trial

__all__ = [
    "Choice", "LogUniform", "SearchResult", "Trial", "Uniform", "narrowing_search",
]  # fmt: skip
