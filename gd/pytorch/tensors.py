"""Tensors: those that an optimizer steps, with their states, by the addresses of their memory.

All that a user can change between steps is looked at before each: groups, hyper-parameters, states, addresses. Each
look is a pass over a list in compiled code, as Python needs longer for a tensor than gd for its step.
"""

from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.graph import increment_version

from ..checks import memory_order
from ..optimizers import BorrowedArrays

if TYPE_CHECKING:
    from .optimizer import Optimizer

DTYPES = torch.float32, torch.float64, torch.bfloat16
address, is_contiguous, strides_of = torch.Tensor.data_ptr, torch.Tensor.is_contiguous, torch.Tensor.stride


class Tensors:
    """The tensors of an optimizer that have a gradient or a state.

    Parameters
    ----------
    owner : gd.pytorch.Optimizer
        Its `state` gets the entries that it lacks.
    """

    def __init__(self, owner: "Optimizer") -> None:
        self._owner, label = owner, owner.label()
        self._all, self.params, owners = [], [], []
        self._groups: list[dict[bool, Any]] = []  # of each group, the optimizers of gd by whether they are for bfloat16
        for group in owner.param_groups:
            made: dict[bool, Any] = {}
            for p in group["params"]:
                self._all.append(p)
                if p.grad is None and not owner.state.get(p):
                    continue
                check_tensor(label, p)
                is_low = p.dtype is torch.bfloat16
                if is_low not in made:
                    made[is_low] = owner.owner_of(group, is_low)
                self.params.append(p)
                owners.append(made[is_low])
            self._groups.append(made)
        self._watched = [*owner.watched()]
        self._values = [self._look(group) for group in owner.param_groups]
        active = set(map(id, self.params))
        self._others = [p for p in self._all if id(p) not in active]
        self._views = [p.detach() if _is_dense(p) else p.detach().contiguous() for p in self.params]
        self._copied = [k for k, p in enumerate(self.params) if not _is_dense(p)]
        self._strides = list(map(strides_of, self._views))
        if all(map(is_contiguous, self._views)):
            self._strides = None  # nothing to compare
        self._dtypes = [p.dtype for p in self.params]
        self._owners, self._memory = owners, [*self.params]  # and their states
        if owners:
            self._borrowed = BorrowedArrays(label, list(map(_array, self._views)), owners)
            self._adopt()
        self._known = self._entries()
        self._addresses = list(map(address, self._memory))

    def _adopt(self) -> None:
        """Make state arrays of the tensors of the optimizer's state, and add those that it lacks."""
        state, formula = self._owner.state, self._owner.formula
        self._scalars = tuple(self._owners[0].torch_scalars(1))
        self._counts = torch.zeros(len(self.params), 1 + len(self._scalars))  # the steps of each, then its scalars
        names = (*(("step",) if formula.__name__ != "SGD" else ()), *self._scalars)  # as in torch.optim
        states = []
        for k, (p, view, owner) in enumerate(zip(self.params, self._views, self._owners, strict=True)):
            entry, slots = state.get(p, {}), self._borrowed.slots(k)
            self._counts[k, 0] = any(entry.get(name) is not None for name in slots)
            for name in slots:
                given = entry.get(name)
                if given is None or not _fits(owner, name, given, view):
                    entry[name] = _tensor(self._borrowed.new_slot(k, name))
                    if given is not None:
                        entry[name].copy_(given)
            for name, number in zip(names, self._counts[k, -len(names) :] if names else (), strict=True):
                if name in entry:
                    number.fill_(entry[name])
                entry[name] = number
            if entry:
                state[p] = entry
            states.append([_array(entry[name]) for name in slots])
            self._memory += [entry[name] for name in slots]
        self._borrowed.use(states)

    def _entries(self) -> list[Any]:
        """Return the keys and the tensors of the optimizer's state."""
        state = self._owner.state
        return [*state, *chain.from_iterable(entry.values() for entry in state.values() if isinstance(entry, dict))]

    def _look(self, group: dict[str, Any]) -> list[Any]:
        """Return the learning rate and the other hyper-parameters of a group."""
        return [plain(group.get(name)) for name in self._watched]

    def are_up_to_date(self) -> bool:
        """Return True if nothing has changed but values, and hyper-parameters that were taken over now."""
        groups = self._owner.param_groups
        params = [p for group in groups for p in group["params"]]
        if len(params) != len(self._all) or len(groups) != len(self._groups) or not all(map(is_, params, self._all)):
            return False
        entries = self._entries()
        if len(entries) != len(self._known) or not all(map(is_, entries, self._known)):
            return False
        if any(p.grad is not None for p in self._others) or list(map(address, self._memory)) != self._addresses:
            return False
        for k, group in enumerate(groups):
            values = self._look(group)
            if values == self._values[k]:
                continue
            for is_low, owner in self._groups[k].items():
                if values[1:] == self._values[k][1:]:
                    owner.lr = values[0]
                elif not self._borrowed.renew(owner, self._owner.owner_of(group, is_low)):
                    return False
            self._values[k] = values
        return True

    def step(self) -> None:
        """Step the tensors that have a gradient."""
        if not self.params:
            return
        for k in self._copied:
            self._views[k].copy_(self.params[k])
        grads: list[Any] = [p.grad for p in self.params]
        has, sparse, stepped = slice(None), [], self.params
        try:
            found = np.fromiter(map(address, grads), np.intp, len(grads))
            if self._strides is None:
                fit = all(map(is_contiguous, grads))
            else:
                fit = self._strides == list(map(strides_of, grads))
            fit = fit and self._dtypes == [g.dtype for g in grads]
        except (TypeError, RuntimeError):  # of None and of sparse gradients, which have no address
            fit = False
        if not fit:
            stepped = [p for p, g in zip(self.params, grads, strict=True) if g is not None]
            grads, sparse = self._fitted(grads)
            found, has = _addresses(grads), np.array([g is not None for g in grads], bool)
        counts = self._counts.numpy()
        self._set_scalars(counts)
        if not self._borrowed.step(found, counts[:, 0], has, lambda k: _array(grads[k])):
            grads = [None if g is None else g.clone() for g in grads]  # some share the memory of parameters
            self._borrowed.step(_addresses(grads), counts[:, 0], has, lambda k: _array(grads[k]))
        for k, g in sparse:
            self._borrowed.step_rows(k, g.indices()[0].numpy(), g.values().contiguous().numpy(), counts[k : k + 1, 0])
        increment_version(stepped)
        for k in self._copied:
            if self.params[k].grad is not None:
                self.params[k].copy_(self._views[k])
        self._note_scalars(counts)

    def _fitted(self, grads: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return gradients in the dtype and order of their parameters, and (number, gradient) of those of rows."""
        found, sparse = list(grads), []
        for k, (g, view) in enumerate(zip(grads, self._views, strict=True)):
            if g is None:
                continue
            if g.layout is not torch.strided:
                if g.layout is torch.sparse_coo and g.sparse_dim() == 1 and self._borrowed.takes_rows(k):
                    sparse.append((k, g.coalesce()))
                    found[k] = None
                    continue
                g = g.to_dense()
            fits = g.dtype is view.dtype and _alike(g, view)
            found[k] = g if fits else torch.empty_strided(view.shape, view.stride(), dtype=view.dtype).copy_(g)
        return found, sparse

    # --- Numbers of the state

    def _set_scalars(self, counts: NDArray[Any]) -> None:
        """Give the optimizers of gd the numbers of their state."""
        for group, made in zip(self._owner.param_groups, self._groups, strict=True):
            for owner in made.values() if self._owner.formula.scalars else ():
                own = [counts[k, 0] for k, each in enumerate(self._owners) if each is owner]
                vars(owner).update({name: group[name] for name in owner.scalars}, steps=int(max(own)))

    def _note_scalars(self, counts: NDArray[Any]) -> None:
        """Note the numbers of the state after a step."""
        for group, made in zip(self._owner.param_groups, self._groups, strict=True):
            for owner in made.values() if self._owner.formula.scalars else ():
                owner.stepped(owner._lr_of_step)
                group.update({name: getattr(owner, name) for name in owner.scalars})
        if self._scalars:
            found: dict[Any, Any] = {}
            for k, owner in enumerate(self._owners):
                key = owner, counts[k, 0]
                if key not in found:
                    found[key] = list(owner.torch_scalars(int(counts[k, 0])).values())
                counts[k, 1:] = found[key]


def _addresses(grads: list[Any]) -> NDArray[np.intp]:
    """Return the addresses of gradients; 0 for None."""
    return np.fromiter((0 if g is None else address(g) for g in grads), np.intp, len(grads))


def check_tensor(where: str, p: torch.Tensor) -> None:
    """Raise TypeError unless a tensor can be stepped."""
    if p.dtype not in DTYPES or p.layout is not torch.strided or p.device.type != "cpu":
        got = f"{p.dtype} on {p.device}" + f", {p.layout}" * (p.layout is not torch.strided)
        got += "; make torch.view_as_real(p) the parameter" * p.is_complex()
        raise TypeError(f"{where}: params must be tensors of float32, float64 or bfloat16 on the CPU, got {got}")


def plain(value: Any) -> Any:
    """Return the number in a tensor; anything else as it is."""
    return value.item() if isinstance(value, torch.Tensor) else value


def _fits(owner: Any, name: str, given: torch.Tensor, view: torch.Tensor) -> bool:
    """Return True if a state tensor can be used as it is."""
    dtype = view.dtype if owner.state_dtype is None else torch.bfloat16
    if name in owner.exact and dtype is torch.bfloat16:
        dtype = torch.float32
    return given.dtype is dtype and given.device.type == "cpu" and _alike(given, view)


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return True if two tensors have the same shape and order in memory."""
    if a.shape != b.shape:
        return False
    return all(i == j for i, j, size in zip(a.stride(), b.stride(), a.shape, strict=True) if size > 1)


def _is_dense(p: torch.Tensor) -> bool:
    """Return True if the axes of a tensor lie in memory without gaps, in any order."""
    array = _array(p)
    return array.transpose(memory_order(array)).flags.c_contiguous


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return the memory of a tensor; of bfloat16 as uint16."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype is torch.bfloat16 else tensor).numpy()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a tensor with the memory of an array; uint16 as bfloat16."""
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype is torch.uint16 else tensor
