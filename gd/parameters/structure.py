"""The structures that users keep arrays in: one array, or a list, tuple or dict of them."""

from collections.abc import Mapping

import numpy as np

from ..checks import lent


def entries(where, name, arrays):
    """Return {key: (label, array)} of an array, or a list, tuple or mapping of arrays, tensors as their memory."""
    if isinstance(arrays, np.ndarray):
        return {None: (name, arrays)}
    if isinstance(arrays, (list, tuple)):
        labelled = {k: (f"{name}[{k}]", array) for k, array in enumerate(arrays)}
    elif isinstance(arrays, Mapping):
        labelled = {key: (f"{name}[{key!r}]", array) for key, array in arrays.items()}
    elif (array := lent(where, name, arrays)) is not arrays:
        return {None: (name, array)}
    else:
        raise TypeError(
            f"{where}: {name} must be a NumPy array, or a list, tuple or dict of them, got {type(arrays).__name__}"
        )
    if not labelled:
        raise ValueError(f"{where}: {name} must hold at least one array, got none")
    for key, (label, array) in labelled.items():
        if type(array) is not np.ndarray:
            labelled[key] = label, lent(where, label, array)
    return labelled
