"""Types of gd's public API, for annotations in code that uses it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Protocol, TypedDict

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Array",
    "DTypeLike",
    "FilePath",
    "Grads",
    "Integers",
    "LossParameters",
    "OptimizerOptions",
    "Params",
    "Rate",
    "Reduction",
]


class Tensor(Protocol):
    """A tensor of another library, on the CPU: gd reads and writes its memory through DLPack."""

    def __dlpack__(self, *arguments: Any, **keywords: Any) -> Any: ...

    def __dlpack_device__(self) -> Any: ...


Array = NDArray[Any] | Tensor
Params = Array | Sequence[Any] | Iterator[Any] | Mapping[Any, Any]  # of Array, or of sequences and mappings of them
Grads = Params  # in which any array may be None
Rate = float | Callable[[int], float]  # a number, or a schedule: a function of the number of steps taken before
FilePath = str | PathLike[str]
Reduction = Literal["mean", "sum", "none"]
Integers = NDArray[np.integer]


class LossParameters(TypedDict, total=False):
    """Parameters of losses: each loss takes those of its function, with the same defaults."""

    beta: float
    class_weights: NDArray[Any] | None
    delta: float
    epsilon: float
    label_smoothing: float
    positive_weight: float
    q: float


class OptimizerOptions(TypedDict, total=False):
    """Keywords that every optimizer takes: see `gd.Optimizer`."""

    l1: Rate
    l2: Rate
    weight_decay: Rate
    proximal: bool
    maximize: bool
    clip_value: Rate | None
    clip_norm_each: Rate | None
    clip_norm: Rate | None
    skip_nonfinite: bool
    ema: Rate | None
    state_dtype: Literal["bfloat16", "int8"] | None
    param_dtype: Literal["bfloat16"] | None
    grad_dtype: Literal["float32", "float64", "bfloat16"] | None
    master_weights: bool
    seed: int
    zero_grads: bool
    track_norms: bool
    groups: Sequence[Mapping[str, Any]]
    state_dir: FilePath | None
