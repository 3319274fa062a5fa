"""Stubs for what is collected when gd is imported: ``python tests/stubs.py`` writes them, a test compares.

Activations are made of their declarations, and `gd` shows every optimizer, activation and loss without naming it. An
editor and a type checker see them by these files; no one edits them by hand.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import gd
from gd import activations, functional, losses, optimizers

ROOT = Path(gd.__file__).parent
HEAD = "# Written by `python tests/stubs.py`: do not edit.\n"


def stubs():
    """Return {path: text} of all stubs."""
    return {
        ROOT / "activations" / "__init__.pyi": _activations(),
        ROOT / "losses" / "__init__.pyi": _room(losses),
        ROOT / "optimizers" / "__init__.pyi": _room(optimizers),
        ROOT / "functional.pyi": _functional(),
        ROOT / "__init__.pyi": _gd(),
    }


def _activations():
    made = activations.public_functions()
    lines = [HEAD, "from typing import Any\n", "from numpy.typing import NDArray\n", "from ..typing import Array"]
    written = [name for name, function in made.items() if function.__module__ != "gd.activations"]
    lines += _exports(activations, {*activations.__all__} - {*made, "ACTIVATIONS"} | {*written})
    lines += ["from .functions import public_functions as public_functions", "\nACTIVATIONS: dict[str, Activation]\n"]
    for name, function in made.items():
        if name not in written:
            lines.append(f"def {name}{inspect.signature(function)}: ...".replace("'", ""))
    return "\n".join(lines) + "\n"


def _functional():
    made = functional.FUNCTIONS
    lines = [HEAD, "from collections.abc import Callable", "from typing import Any, Literal, Union\n"]
    lines += ["from numpy.typing import NDArray\n", "from .optimizers import function_of as function_of"]
    lines += ["from .optimizers import initial_state as initial_state\n", "FUNCTIONS: dict[str, Callable[..., bool]]\n"]
    array = str(NDArray[Any])
    for name, function in made.items():
        signature = str(inspect.signature(function)).replace(array, "NDArray[Any]").replace("typing.", "")
        lines.append(f"def {name}{signature}: ...")
    return "\n".join(lines) + "\n"


def _room(room):
    lines = [HEAD, *_exports(room, room.__all__)]
    if hasattr(room, "public_functions"):
        lines.append("from .functions import public_functions as public_functions")
    return "\n".join(lines) + "\n"


def _exports(room, names):
    """Return imports of names from the modules of a room that define them."""
    homes = {}
    for name in sorted(names):
        value = getattr(room, name)
        home = getattr(value, "__module__", None) or next(
            module
            for module in sorted(sys.modules)
            if module.startswith(f"{room.__name__}.") and getattr(sys.modules[module], name, None) is value
        )
        if not home.startswith(f"{room.__name__}."):
            continue
        homes.setdefault(home.removeprefix(room.__name__), []).append(name)
    return [f"from {home} import {name} as {name}" for home, names in sorted(homes.items()) for name in names]


def _gd():
    lines = [HEAD]
    rooms = sorted(name for name in gd.__all__ if inspect.ismodule(getattr(gd, name)))
    lines += [f"from . import {name} as {name}" for name in rooms]
    homes = {}
    for name in sorted(set(gd.__all__) - set(rooms)):
        home = "version" if name == "__version__" else getattr(gd, name).__module__.split(".")[1]
        if name != "LayerNorms":
            homes.setdefault(home, []).append(name)
    lines += [f"from .{home} import {name} as {name}" for home, names in sorted(homes.items()) for name in names]
    lines.append("\nLayerNorms = GradientNorms")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text)
