"""Trees: arrays in lists, tuples and dicts, also of one another, each by the path of keys that leads to it."""

from collections.abc import Callable, Container, Iterator, Mapping, ValuesView
from dataclasses import is_dataclass
from itertools import repeat
from typing import Any

import numpy as np

from ..checks import lent
from .vector import ParameterVector

ONCE = Iterator, ValuesView  # taken as a list: what can be read once, or cannot be indexed
BRANCHES = list, tuple, Mapping
DEEPEST = 100  # levels of a tree


def entries(where: str, name: str, arrays: Any, keys: Container[Any] = ()) -> dict[Any, tuple[str, Any]]:
    """Return {key: (label, array)} of an array, or of a tree or an iterator of them; tensors become views.

    The key is None for one array, else that in the container; in a container within another it is a path, such as
    ``"layers[0].w"``. What stands at one of `keys` is taken for an array, even if it is none.
    """
    if isinstance(arrays, np.ndarray):
        return {None: (name, arrays)}
    if isinstance(arrays, (list, tuple)):
        labelled = {k: (f"{name}[{k}]", array) for k, array in enumerate(arrays)}
    elif isinstance(arrays, Mapping):
        labelled = {key: (f"{name}[{key!r}]", array) for key, array in arrays.items()}
    elif isinstance(arrays, ONCE):
        return entries(where, name, list(arrays), keys)
    elif (array := _leaf(where, name, arrays)) is not arrays:
        return {None: (name, array)}
    else:
        raise TypeError(
            f"{where}: {name} must be a NumPy array, or a list, tuple or dict of them, got {type(arrays).__name__}"
        )
    nested = False
    for key, (label, array) in labelled.items():
        if type(array) is not np.ndarray:
            if isinstance(array, BRANCHES):
                nested = nested or key not in keys
            else:
                labelled[key] = label, _leaf(where, label, array)
    if nested:
        labelled = _flat(where, name, labelled, keys, id(arrays))
    if not labelled:
        raise ValueError(f"{where}: {name} must hold at least one array, got none")
    return labelled


def _flat(
    where: str, name: str, labelled: dict[Any, tuple[str, Any]], keys: Container[Any], root: int
) -> dict[Any, tuple[str, Any]]:
    """Return the entries of a tree from those of its root."""
    found: dict[Any, tuple[str, Any]] = {}
    for key, (label, each) in labelled.items():
        is_branch = isinstance(each, BRANCHES) and key not in keys
        below = _below(where, str(key), label, each, keys, (root,)) if is_branch else [(key, label, each)]
        for path, own, array in below:
            if path in found:
                raise ValueError(f"{where}: {name} has keys that read alike, got {path!r} twice")
            found[path] = own, array
    return found


def _below(
    where: str, path: str, label: str, node: Any, keys: Container[Any], above: tuple[int, ...]
) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, label, array) of all arrays of a container, which is in those with the ids `above`."""
    if id(node) in above or len(above) > DEEPEST:
        fault = "holds itself" if id(node) in above else f"is in more than {DEEPEST} others"
        raise ValueError(f"{where}: a {type(node).__name__} in {label.partition('[')[0]} {fault}, so it is no tree")
    fields = getattr(node, "_fields", None)
    if isinstance(node, Mapping):
        parts = [(f".{key}", f"[{key!r}]", each) for key, each in node.items()]
    elif fields is not None:
        parts = [(f".{field}", f".{field}", each) for field, each in zip(fields, node, strict=True)]
    else:
        parts = [(f"[{k}]", f"[{k}]", each) for k, each in enumerate(node)]
    for end, own, each in parts:
        if isinstance(each, BRANCHES) and path + end not in keys:
            yield from _below(where, path + end, label + own, each, keys, (*above, id(node)))
        else:
            yield path + end, label + own, _leaf(where, label + own, each)


def _leaf(where: str, label: str, x: Any) -> Any:
    """Return a tensor as an array, anything else as it is; raise for a dataclass, which may look like a tree."""
    if is_dataclass(x):
        raise TypeError(f"{where}: {label} must not be a dataclass, got {type(x).__name__}; pass a dict of its fields")
    return lent(where, label, x)


def is_nested(node: Any) -> bool:
    """Return True if a container holds further ones."""
    return any(isinstance(each, BRANCHES) for each in (node.values() if isinstance(node, Mapping) else node))


def reader(node: Any) -> Callable[[Any], list[Any]]:
    """Return a function that lists the arrays of any tree of the structure of this one, in its order.

    It raises for trees of other structures; a branch may be None for all of its arrays. Its source is written here,
    a subscript for each array: a walk over 150 arrays takes 5 times as long, half the time of their step.
    """
    lines, found, names = [], [], {}

    def write(node: Any, name: str) -> None:
        names[f"none_of_{name}"] = filled(node, repeat(None))
        lines.append(f" if {name} is None: {name} = none_of_{name}")
        lines.append(f" if len({name}) != {len(node)}: raise ValueError")
        if not isinstance(node, Mapping) and not is_nested(node):
            found.append(f"*{name}")
            return
        for key in node if isinstance(node, Mapping) else range(len(node)):
            number = len(names)
            names[f"key_{number}"] = key
            if isinstance(node[key], BRANCHES):
                lines.append(f" node_{number} = {name}[key_{number}]")
                write(node[key], f"node_{number}")
            else:
                found.append(f"{name}[key_{number}]")

    write(node, "tree")
    exec("\n".join(["def read(tree):", *lines, f" return [{', '.join(found)}]"]), names)
    return names["read"]


def filled(node: Any, arrays: Iterator[Any]) -> Any:
    """Return a tree of the structure of another, with other arrays; any of them may be None."""
    if isinstance(node, Mapping):
        found = {key: filled(each, arrays) for key, each in node.items()}
        whole = isinstance(node, ParameterVector) and all(each is not None for each in found.values())
        return ParameterVector.from_arrays(found) if whole else found
    if isinstance(node, (list, tuple)):
        return getattr(node, "_make", type(node))([filled(each, arrays) for each in node])  # a named tuple, too
    return next(arrays)


def replaced(node: Any, other: Any) -> Any:
    """Return a tree with the arrays of another of its structure; lists and dicts stay the same objects."""
    if not isinstance(node, (list, dict)):
        return other
    for key in node if isinstance(node, dict) else range(len(node)):
        node[key] = replaced(node[key], other[key])
    return node
