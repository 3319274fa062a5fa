"""Registry: objects by name, and objects of users, which stand for themselves and are saved as module:variable."""

import sys
from typing import Any, TypeVar

Kind = TypeVar("Kind")


class Registry(dict[Any, Kind]):
    """Objects by name; an object of a user, which has no name here, is its own key.

    Parameters
    ----------
    kind : function
        True for an object of the kind of this registry.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __missing__(self, key: Any) -> Kind:
        if self._kind(key):
            return key
        raise KeyError(key)

    def key(self, value: Any) -> Any:
        """Return the name of an object that has one, an object of a user as it is; None for anything else."""
        if isinstance(value, str) or not self._kind(value):
            return None
        return next((name for name, each in self.items() if each is value), value)


class OfUser:
    """An object that a user keeps in a variable of a module: copies are itself, and pickles hold its place."""

    name: str
    of_user = False

    def variable(self) -> str:
        """Return the name of the variable, or raise if there is none."""
        home = vars(sys.modules.get(self.__module__, sys))
        name = self.name if home.get(self.name) is self else next((k for k, v in home.items() if v is self), None)
        if name is None:
            raise TypeError(f"{self!r} must be a variable of {self.__module__}, by which it is saved and found again")
        return name

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return self.variable() if self.of_user else object.__reduce_ex__(self, 2)


def plain(value: Any) -> Any:
    """Return a user's object as a file holds it: "module:variable"; a dict of such; anything else as it is."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return f"{value.__module__}:{value.variable()}" if isinstance(value, OfUser) and value.of_user else value


def restored(value: Any) -> Any:
    """Return the object, or the dict of arguments, that `plain` wrote.

    The object's module must have been imported, as a file must not cause that.
    """
    if isinstance(value, dict):
        return value | {name: restored(value[name]) for name in ("activation", "output", "loss") if name in value}
    if not isinstance(value, str) or ":" not in value:
        return value
    module, _, name = value.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    if not isinstance(found, OfUser):
        advice = f"import {module} first" if module not in sys.modules else f"define {name} in {module}"
        raise ValueError(f"{value} is not known here, and a file imports nothing: {advice}")
    return found
