"""Random search of hyper-parameters."""

from .narrowing import narrowing_search
from .ranges import Choice, LogUniform, Uniform
from .results import SearchResult, Trial
