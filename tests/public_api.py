"""The public names of gd and their signatures, one a line: ``python tests/public_api.py`` prints them.

`public_api.txt` holds what it printed last: whoever changes the API changes the file, where a reviewer sees it.
Parameters are listed by name, kind and default; annotations are checked by pyright.
"""

import inspect
import re
import sys
from importlib import import_module

MODULES = (
    "gd gd.activations gd.batches gd.comparison gd.datasets gd.initializers gd.losses gd.optimizers gd.plan "
    "gd.preprocessing gd.profiling gd.pytorch gd.schedules gd.search gd.surfaces gd.typing"
).split()
EXTRA = ["gd.estimators"]  # needs scikit-learn


def lines():
    """Return a line for each public function, class, method and property."""
    found, seen = [], {}
    for module in MODULES + EXTRA:
        home = import_module(module)
        names = getattr(home, "__all__", None) or [
            name for name, value in vars(home).items() if getattr(value, "__module__", None) == module
        ]
        for name in sorted(names):
            value = getattr(home, name)
            first = seen.setdefault(id(value), f"{module}.{name}")
            if first != f"{module}.{name}" and callable(value):
                found.append(f"{module}.{name} is {first}")
            elif not name.startswith("_"):
                found += _described(first, value)
    return found


def _described(name, value):
    if inspect.isclass(value) and value.__module__.startswith("gd."):
        yield f"class {name}{_signature(value)}"
        for member in sorted(vars(value)):
            if member.startswith("_"):
                continue
            each = inspect.getattr_static(value, member)
            each = each.__func__ if isinstance(each, (classmethod, staticmethod)) else each
            if inspect.isfunction(each) and each.__module__.startswith("gd."):
                yield f"{name}.{member}{_signature(each)}"
            elif isinstance(each, property):
                yield f"{name}.{member}"
    elif inspect.isfunction(value):
        yield f"{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _signature(function):
    if inspect.isclass(function) and issubclass(function, (Exception, dict)):
        return ""
    signature = inspect.signature(function)
    plain = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=plain, return_annotation=signature.empty))
    return re.sub(" at 0x[0-9a-f]+", "", text)


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
