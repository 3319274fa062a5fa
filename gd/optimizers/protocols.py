"""Protocols: what Python itself asks of an optimizer: fixed attributes, its text, copies and pickles, with-blocks."""

from typing import Any, Self

from ..parameters import Structure
from .declaration import Declaration
from .hyperparameters import SHARED
from .storage import GRAD_DTYPES

FIXED = (*SHARED, "params", "groups")


class Protocols(Declaration):
    """The special methods of an optimizer."""

    _prepare: Any
    _structure: Structure
    close: Any
    load_state_dict: Any

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ and (name in self.ranges or name in FIXED):
            raise AttributeError(f"{self._name}: {name} is fixed at construction; make another with this state_dict")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Views, kernels and groups are not part of a copy or a pickle: they are made again for the new params."""
        if self._state.folder is not None:
            raise TypeError(f"{self._name}: an optimizer with state_dir cannot be copied; see save_state")
        made_again = {"_alone", "_small", "_structure", "_state", "_steps", "groups"}
        kept = {name: value for name, value in vars(self).items() if name not in made_again}
        groups = [given | {"lr": group._lr} for given, group in zip(self._specifications, self.groups, strict=True)]
        arrays = self._structure.arrays.items()
        orders = {key: array.order for key, array in arrays if array.order and self.state_dtype == "int8"}
        return kept | {"_specifications": groups, "saved": self._state.to_dict(), "orders": orders}

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved, orders = state.pop("saved"), state.pop("orders")
        vars(self).update(state)
        vars(self)["params"] = Structure(self._name, self.params, _any).reordered(orders)
        grad_dtype = GRAD_DTYPES.get(self.grad_dtype)
        self._prepare(Structure(self._name, self.params, _any, self.zero_grads, grad_dtype), None)
        self.load_state_dict(saved)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        lr = self._lr if callable(self._lr) else f"{self._lr:g}"
        names = (*self._hyperparameters, *(name for name in SHARED if name in self._schedules or getattr(self, name)))
        given = "".join(f", {name}={self._schedules.get(name, getattr(self, name))}" for name in names)
        return f"{self._name}(lr={lr}{given})"


def _any(where: str, label: str, array: Any) -> None:
    """Take any array: each was checked when the optimizer was made."""
